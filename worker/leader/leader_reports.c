/* What lock, term and jobs report: queued, to be decided upon outside of their callbacks. */
#include "worker/leader/leader_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

static void queue_at(struct leader *l, unsigned at, uint64_t campaign, struct turn_event event)
{
    assert(at <= l->queued);
    assert(l->queued < LEADER_QUEUE_MAX); /* each source reports once or twice a turn of the loop */
    memmove(&l->queue[at + 1], &l->queue[at], (l->queued - at) * sizeof(l->queue[0]));
    l->queue[at] = (struct leader_happening){.event = event, .campaign = campaign};
    l->queued++;
}

void leader_happened(struct leader *l, struct turn_event event)
{
    queue_at(l, l->queued, l->campaign, event);
}

void leader_happened_to_process(struct leader *l, struct turn_event event)
{
    queue_at(l, l->queued, 0, event);
}

void leader_keep_text(struct leader *l, const char *text)
{
    if (l->text[0] == '\0') { /* the first one is the reason, what follows is its consequence */
        (void)snprintf(l->text, sizeof(l->text), "%s", text);
    }
}

static void on_slice(void *ctx)
{
    leader_tell_slice(ctx);
}

static void on_granted(void *ctx)
{
    leader_happened(ctx, (struct turn_event){.type = TURN_GRANTED});
}

static void on_renewed(void *ctx, mono_ns sent_at, mono_ns deadline)
{
    struct leader *l = ctx;

    l->round_trip = clock_now() - sent_at;
    leader_happened(
        l, (struct turn_event){.type = TURN_RENEWED, .sent_at = sent_at, .deadline = deadline});
    if (l->turn.state == WORKER_OPENING) {
        leader_tell_slice(l); /* a long opening is not a hung worker */
    }
}

static void on_phase(void *ctx, enum lease_phase phase)
{
    enum turn_event_type type = TURN_LEASE_OVER;

    if (phase == LEASE_STOPPING) {
        type = TURN_LEASE_STOPPING;
    } else if (phase == LEASE_KILLING) {
        type = TURN_LEASE_KILLING;
    }
    leader_happened(ctx, (struct turn_event){.type = type});
}

static void on_lock_failed(void *ctx, enum end_reason why, const char *text)
{
    leader_keep_text(ctx, text);
    leader_happened(ctx, (struct turn_event){.type = TURN_LOCK_FAILED, .reason = why});
}

static void on_released(void *ctx)
{
    leader_happened(ctx, (struct turn_event){.type = TURN_RELEASED});
}

static void on_opened(void *ctx, struct epoch epoch)
{
    struct leader *l = ctx;

    l->opened_wall = clock_wall();
    leader_happened(l, (struct turn_event){.type = TURN_OPENED, .epoch = epoch});
}

static void on_open_failed(void *ctx, const char *text)
{
    leader_keep_text(ctx, text);
    leader_happened(ctx, (struct turn_event){.type = TURN_OPEN_FAILED});
}

static void on_blocked(void *ctx, int ledger_pid)
{
    struct leader *l = ctx;

    log_warn("term_blocked", "election=%s backend_pid=%d effect=%s",
             log_text(l->turn_config->election.name).is, ledger_pid,
             "\"other sessions hold what this one needs: it is tried again\"");
    leader_tell_blocked(l, ledger_pid);
    leader_tell_slice(l);
}

static void on_looked(void *ctx, struct takeover takeover)
{
    struct leader *l = ctx;

    l->takeover = takeover;
    leader_happened(l, (struct turn_event){.type = TURN_LOOKED, .wait = takeover.wait});
}

static void on_stamped(void *ctx)
{
    struct leader *l = ctx;

    l->stamping = false;
    leader_happened(l, (struct turn_event){.type = TURN_STAMPED});
}

/*
 * Before whatever else is queued: it is a fact already, and if the key was lost
 * in the same turn of the loop, there is no job left to be ended for it.
 */
static void on_idle(void *ctx)
{
    struct leader *l = ctx;

    queue_at(l, 0, l->campaign, (struct turn_event){.type = TURN_JOBS_IDLE});
}

/* Known already, though it is not decided upon before the next turn of the loop. */
static bool key_is_going(const struct leader *l)
{
    for (unsigned i = 0; i < l->queued; i++) {
        enum turn_event_type type = l->queue[i].event.type;

        if (type == TURN_LOCK_FAILED || type == TURN_LEASE_STOPPING || type == TURN_LEASE_KILLING ||
            type == TURN_LEASE_OVER) {
            return true;
        }
    }
    return false;
}

static bool may_start(void *ctx)
{
    const struct leader *l = ctx;

    return !key_is_going(l) && turn_may_start(&l->turn, clock_now());
}

static void on_started(void *ctx)
{
    leader_happened(ctx, (struct turn_event){.type = TURN_JOBS_STARTED});
}

static void on_critical(void *ctx, const char *job)
{
    leader_tell_critical(ctx, job);
}

/* Whatever the lock session says: the database has another leader's term. */
static void on_term_over(void *ctx)
{
    leader_keep_text(ctx, "the ledger says that another term was opened");
    leader_happened(ctx, (struct turn_event){.type = TURN_LOCK_FAILED, .reason = END_WITNESS});
}

struct lock_events leader_lock_events(struct leader *l)
{
    return (struct lock_events){
        .on_slice = on_slice,
        .on_granted = on_granted,
        .on_renewed = on_renewed,
        .on_phase = on_phase,
        .on_failed = on_lock_failed,
        .on_released = on_released,
        .ctx = l,
    };
}

struct term_events leader_term_events(struct leader *l)
{
    return (struct term_events){
        .on_opened = on_opened,
        .on_failed = on_open_failed,
        .on_blocked = on_blocked,
        .on_looked = on_looked,
        .on_stamped = on_stamped,
        .ctx = l,
    };
}

struct jobs_events leader_jobs_events(struct leader *l)
{
    return (struct jobs_events){.may_start = may_start,
                                .on_idle = on_idle,
                                .on_started = on_started,
                                .on_critical = on_critical,
                                .on_term_over = on_term_over,
                                .ctx = l};
}
