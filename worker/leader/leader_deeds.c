/* What the turn decided, done: on the lock, the term and the jobs, and told to the supervisor. */
#include "worker/leader/leader_private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/duration.h"
#include "common/log.h"
#include "common/process_tree.h"
#include "worker/database/session.h"

/* Where the far end says nothing of a slice: a lock file has none, and needs none. */
#define SLICE_DEFAULT DUR_MS(800)

/* ---- telling the supervisor ---- */

static bool tell(struct leader *l, enum message_type type, struct message *m, int pass_fd)
{
    int rc = channel_send(&l->child->up, type, m, pass_fd);

    if (rc < 0) { /* without a supervisor there is nobody to tell; one that hangs is not normal */
        bool gone = rc == -EPIPE || rc == -EBADF;
        log_event(gone ? LEVEL_DEBUG : LEVEL_WARN, "message_not_sent", "type=%s error=%s",
                  message_name(type), log_text(strerror(-rc)).is);
    }
    return rc == 0;
}

static void tell_ended(struct leader *l, enum message_type type)
{
    struct message m = {
        .u.ended = {.turn = l->turn.number, .epoch = l->turn.epoch, .reason = l->turn.reason},
    };

    (void)snprintf(m.u.ended.text, sizeof(m.u.ended.text), "%s", l->text);
    (void)tell(l, type, &m, -1);
}

void leader_tell_blocked(struct leader *l, int ledger_pid)
{
    struct message m = {.u.blocked = {.turn = l->turn.number, .ledger_pid = ledger_pid}};

    (void)tell(l, MESSAGE_OPENING_BLOCKED, &m, -1);
}

void leader_tell_critical(struct leader *l, const char *job)
{
    struct message m = {.u.critical = {.job = ""}};

    (void)snprintf(m.u.critical.job, sizeof(m.u.critical.job), "%s", job);
    (void)tell(l, MESSAGE_CRITICAL, &m, -1);
}

void leader_tell_slice(struct leader *l)
{
    struct message m = {.u.turn = {.turn = l->turn.number}};

    (void)tell(l, MESSAGE_SLICE_ANSWERED, &m, -1);
}

/* ---- on lock, term and jobs ---- */

/* The waiter of a lock file is a child of ours, and no job. */
void leader_know_helper(struct leader *l)
{
    pid_t helper = l->lock != NULL ? l->lock->helper : 0;

    if (helper == l->helper) {
        return;
    }
    if (l->helper > 0) {
        jobs_keep(l->jobs, l->helper, false);
    }
    if (helper > 0) {
        jobs_keep(l->jobs, helper, true);
    }
    l->helper = helper;
}

void leader_close_lock(struct leader *l)
{
    lock_close(l->lock);
    l->lock = NULL;
    leader_know_helper(l);
}

/* The sessions of a turn use its configuration: it goes when they are closed, or retired. */
void leader_close_term(struct leader *l)
{
    term_close(l->term);
    l->term = NULL;
    jobs_forget_ledger(l->jobs);
    ledger_close(l->ledger); /* the term was kept on its connection */
    l->ledger = NULL;
    l->stamping = false;
    if (l->lock == NULL) {
        config_free(l->turn_config);
        l->turn_config = NULL;
    }
}

static void open_ledger(struct leader *l)
{
    const struct ledger_events events = jobs_ledger_events(l->jobs);
    const struct ledger_options options = {
        .config = l->turn_config,
        .address = l->order.address,
        .server = l->order.server,
        .incarnation = l->incarnation,
        .seed = prng_next(&l->random),
    };

    l->ledger = ledger_open(l->loop, &options, &events);
    assert(l->ledger != NULL);
}

static void open_term(struct leader *l)
{
    const struct term_events events = leader_term_events(l);
    const struct term_options options = {
        .config = l->turn_config,
        .ledger = l->ledger,
        .server = l->order.server,
        .seen = l->order.seen,
        .incarnation = l->incarnation,
        .jobs_hash = config_jobs_hash(l->config),
    };

    l->term = term_open(l->loop, &options, &events);
    assert(l->term != NULL);
}

static void open_lock(struct leader *l)
{
    const struct lock_events events = leader_lock_events(l);
    const struct lock_options options = {
        .config = l->turn_config,
        .address = l->order.address,
        .server = l->order.server,
        .slice = l->order.slice > 0 ? l->order.slice : SLICE_DEFAULT,
        .poll = l->order.poll != 0,
    };

    l->lock = lock_open(l->loop, &options, &events);
    assert(l->lock != NULL);
}

static void connect_both(struct leader *l)
{
    leader_close_term(l);    /* the last one's end may still be on its way */
    session_close_retired(); /* or there might be no room for both */
    l->campaign++;
    l->text[0] = '\0';
    l->takeover = (struct takeover){.reason = TAKEOVER_CLEAN};
    assert(l->turn_config == NULL);
    int rc = config_without_jobs(l->config, &l->turn_config);
    assert(rc == 0);
    if (l->config->job_count > 0 && !process_tree_available()) {
        leader_keep_text(l, "/proc cannot be read: jobs could not be found to be ended");
        leader_happened(l, (struct turn_event){.type = TURN_LOCK_FAILED, .reason = END_REFUSED});
        return;
    }
    open_lock(l);
    open_ledger(l);
    open_term(l);
}

static void send_elected(struct leader *l)
{
    assert(l->lock != NULL);
    struct message m = {
        .u.elected = {.turn = l->turn.number,
                      .epoch = l->turn.epoch,
                      .server = l->lock->options.server,
                      .deadline = l->turn.deadline,
                      .lock_pid = l->lock->backend_pid},
    };

    /* The reason: how the terms before ended, which says whether the jobs begin at once. */
    log_info("elected", "election=%s epoch=%s instance=%s pid=%d reason=%s",
             log_text(l->turn_config->election.name).is, epoch_text(l->turn.epoch).is,
             log_text(l->turn_config->pgbaton.instance).is, l->lock->backend_pid,
             takeover_reason_name(l->takeover.reason));
    if (!tell(l, MESSAGE_ELECTED, &m, l->lock->fd)) {
        /* Without its copy of the socket our crash would free the key before our jobs are dead. */
        leader_keep_text(l, "the supervisor does not take the lock's descriptor");
        leader_happened_to_process(
            l, (struct turn_event){.type = TURN_ORPHANED, .reason = END_SUPERVISOR_DIED});
        return;
    }
    ledger_begin(l->ledger, l->turn.epoch);
}

static void send_renewed(struct leader *l)
{
    struct message m = {.u.renewed = {.turn = l->turn.number,
                                      .deadline = l->turn.deadline,
                                      .progress = jobs_progress(l->jobs)}};

    (void)tell(l, MESSAGE_RENEWED, &m, -1);
}

static void announce_wait(struct leader *l)
{
    log_info("takeover_wait", "election=%s epoch=%s instance=%s wait=%s reason=%s",
             log_text(l->turn_config->election.name).is, epoch_text(l->turn.epoch).is,
             log_text(l->turn_config->pgbaton.instance).is, duration_text(l->turn.wait).is,
             takeover_reason_name(l->takeover.reason));
}

static void stamp(struct leader *l)
{
    l->stamping = true;
    term_stamp(l->term, turn_ended_as(&l->turn), end_reason_name(l->turn.reason), l->lock != NULL);
}

/* An end that somebody asked for is no trouble. */
static bool was_asked_for(enum end_reason reason)
{
    return reason == END_STOP || reason == END_STEP_DOWN || reason == END_RELOAD ||
           reason == END_NOT_GRANTED || reason == END_SEAT_LOST;
}

static void log_end(struct leader *l, const char *event, enum log_level level)
{
    log_event(level, event, "election=%s epoch=%s instance=%s reason=%s%s%s",
              log_text(l->turn_config->election.name).is, epoch_text(l->turn.epoch).is,
              log_text(l->turn_config->pgbaton.instance).is, end_reason_name(l->turn.reason),
              l->text[0] != '\0' ? " error=" : "", l->text[0] != '\0' ? log_text(l->text).is : "");
}

static void send_failed(struct leader *l)
{
    bool term_failed = l->turn.reason == END_TERM_FAILED;

    if (term_failed) {
        leader_keep_text(l, "it took too long: term_blocked says whether others stood in the way");
        log_end(l, "term_failed", LEVEL_ERROR);
    } else {
        log_end(l, "campaign_failed", was_asked_for(l->turn.reason) ? LEVEL_DEBUG : LEVEL_WARN);
    }
    tell_ended(l, MESSAGE_CAMPAIGN_FAILED);
}

static void send_lost(struct leader *l)
{
    log_end(l, "lost", LEVEL_WARN);
    tell_ended(l, MESSAGE_LOST);
}

static void send_released(struct leader *l)
{
    log_end(l, "released", l->turn.reason == END_SUPERVISOR_DIED ? LEVEL_WARN : LEVEL_INFO);
    tell_ended(l, MESSAGE_RELEASED);
}

static void forget(struct leader *l)
{
    leader_close_lock(l);
    if (!l->stamping) {
        leader_close_term(l);
    }
}

/* After a promotion the record of the last ticks before it may be lost: what was due until the term
 * was opened may have been run. */
static wall_ns unknown_until(const struct leader *l)
{
    return l->takeover.reason == TAKEOVER_HISTORY ? l->opened_wall : 0;
}

static void begin_term(struct leader *l)
{
    assert(l->lock != NULL);
    term_begin(l->term, l->lock->backend_pid, l->lock->options.server);
}

static void begin_jobs(struct leader *l)
{
    jobs_server(l->jobs, &l->order.address);
    jobs_begin(l->jobs, l->turn.epoch, l->ledger, unknown_until(l));
}

void leader_carry_out(struct leader *l, enum turn_action action)
{
    switch (action) {
    case TURN_CONNECT:
        connect_both(l);
        return;
    case TURN_OPEN_TERM:
        begin_term(l);
        return;
    case TURN_PROVE:
        lock_beat(l->lock);
        return;
    case TURN_SEND_ELECTED:
        send_elected(l);
        return;
    case TURN_ANNOUNCE:
        term_announce(l->term);
        return;
    case TURN_SEND_RENEWED:
        send_renewed(l);
        return;
    case TURN_ANNOUNCE_WAIT:
        announce_wait(l);
        return;
    case TURN_BEGIN_JOBS:
        begin_jobs(l);
        return;
    case TURN_DRAIN_JOBS:
        jobs_drain(l->jobs, l->turn.drain_until, l->turn.kill_at);
        return;
    case TURN_TERMINATE_JOBS:
        jobs_terminate(l->jobs);
        return;
    case TURN_KILL_JOBS:
        jobs_kill(l->jobs);
        return;
    case TURN_STAMP:
        stamp(l);
        return;
    case TURN_RELEASE_KEY:
        lock_release(l->lock);
        return;
    case TURN_CLOSE_KEY:
        leader_close_lock(l);
        return;
    case TURN_SEND_FAILED:
        send_failed(l);
        return;
    case TURN_SEND_LOST:
        send_lost(l);
        return;
    case TURN_SEND_RELEASED:
        send_released(l);
        return;
    case TURN_FORGET:
        forget(l);
        return;
    case TURN_EXIT:
        l->exit = true;
        return;
    }
}
