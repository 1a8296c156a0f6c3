#include "supervisor/election.h"

#include <assert.h>
#include <stddef.h>

#include "supervisor/election_fencing.h"
#include "supervisor/election_moves.h"

/* A heir that was answered for so long has shown that it can campaign. */
#define CAMPAIGN_HEALTHY_AFTER DUR_S(60)

/* Let go within these bounds; when no answer comes, or D passes before it does, the worker is
 * killed. */
static void stand_down(struct election *e, enum end_reason reason, dur_ns drain, dur_ns over,
                       struct election_actions *out)
{
    e->reason = reason;
    e->drain_until = e->now + drain;
    e->over_by = e->now + over;
    election_act(out, ELECTION_STAND_DOWN);
    election_become(e, ELECTION_STANDING_DOWN, e->over_by + ELECTION_ANSWER_SLACK, out);
}

static void stand_down_graceful(struct election *e, enum end_reason reason,
                                struct election_actions *out)
{
    stand_down(e, reason, e->terms.drain, e->terms.over, out);
}

/* A campaign has no jobs to wait for. */
static void stand_down_at_once(struct election *e, enum end_reason reason,
                               struct election_actions *out)
{
    stand_down(e, reason, 0, ELECTION_AT_ONCE, out);
}

/* Our own silence, not the worker's: D is judged when it has had the time to speak again. */
static bool is_overdue(const struct election *e, mono_ns deadline)
{
    return e->now >= deadline && e->now >= e->hear_until;
}

static void follower(struct election *e, const struct election_event *event,
                     struct election_actions *out)
{
    if (event->type == ELECTION_WORKER_EXITED) {
        election_fencing_of_dead(e, END_WORKER_DIED, out);
        return;
    }
    if (event->type == ELECTION_ELECTED) {
        election_fencing_kill(e, END_INTERNAL,
                              out); /* it leads without a campaign: not to be believed */
        return;
    }
    election_follow(e, out);
}

/* The key is gone. A worker that has seen it too is giving its jobs their loss_grace already. */
static dur_ns after_denial(const struct election *e)
{
    return e->terms.loss > ELECTION_AT_ONCE ? e->terms.loss : ELECTION_AT_ONCE;
}

static void heir_answered(struct election *e)
{
    mono_ns next = e->now + 2 * e->slice + e->terms.connect_timeout;

    if (next > e->deadline) {
        e->deadline = next;
    }
    if (e->now - e->campaign_began >= CAMPAIGN_HEALTHY_AFTER) {
        backoff_reset(&e->rest);
    }
}

static void call_witness(struct election *e, struct election_actions *out)
{
    if (e->probe_ready) {
        e->witnessing = true;
        election_act(out, ELECTION_LEAD);
    }
}

/* What every state with a live campaign or term does alike. True: the event was dealt with. */
static bool worker_spoke(struct election *e, const struct election_event *event,
                         struct election_actions *out)
{
    if (event->type == ELECTION_WORKER_EXITED) {
        election_fencing_of_dead(e, END_WORKER_DIED, out);
        return true;
    }
    if (event->type == ELECTION_CAMPAIGN_FAILED || event->type == ELECTION_LOST ||
        event->type == ELECTION_RELEASED) {
        if (e->reason == END_NONE) { /* it ended by itself, not because we told it to */
            e->reason = event->reason;
        }
        election_rest_after(e, e->reason);
        election_let_go(e, out);
        return true;
    }
    return false;
}

static void heir_ends(struct election *e, enum end_reason reason, struct election_actions *out)
{
    election_leave(e, out);
    stand_down_at_once(e, reason, out);
}

/*
 * Asked for. A campaign ends at once; but the key may have been granted with the
 * news on its way, and then there are jobs, which may take the time that those of
 * any leader may take. So only our own patience is that of a campaign, until
 * ELECTED comes.
 */
static void heir_is_asked_to_end(struct election *e, enum end_reason reason,
                                 struct election_actions *out)
{
    election_leave(e, out);
    stand_down_graceful(e, reason, out);
    e->deadline = e->now + ELECTION_AT_ONCE + ELECTION_ANSWER_SLACK;
}

static void heir(struct election *e, const struct election_event *event,
                 struct election_actions *out)
{
    switch (event->type) {
    case ELECTION_ELECTED:
        election_take_office(e, event);
        e->seeking = false;
        e->seat_held = false; /* LEAD makes the probe give it back */
        call_witness(e, out);
        election_become(e, ELECTION_LEADER, e->lease_deadline, out);
        return;
    case ELECTION_SLICE_ANSWERED:
        heir_answered(e);
        return;
    case ELECTION_SEAT_LOST:
    case ELECTION_PROBE_GONE:
    case ELECTION_PROBE_READY: /* another process: what the last one held is gone */
        if (e->terms.has_probe && !e->poll) {
            heir_ends(e, END_SEAT_LOST, out);
        }
        return;
    case ELECTION_CLOCK_WRONG:
        heir_is_asked_to_end(e, END_CLOCK, out);
        return;
    case ELECTION_ELECT_ANEW:
        heir_is_asked_to_end(e, END_RELOAD, out);
        return;
    case ELECTION_STOP:
        heir_is_asked_to_end(e, END_STOP, out);
        return;
    case ELECTION_STOP_NOW:
        heir_ends(e, END_STOP, out);
        return;
    case ELECTION_TICK:
        if (is_overdue(e, e->deadline)) {
            heir_ends(e, END_CONNECT_FAILED, out);
        }
        return;
    case ELECTION_WORKER_READY:
    case ELECTION_WORKER_EXITED:
    case ELECTION_SEAT_TAKEN:
    case ELECTION_CAMPAIGN_FAILED:
    case ELECTION_RENEWED:
    case ELECTION_UNHEARD:
    case ELECTION_LOST:
    case ELECTION_RELEASED:
    case ELECTION_WITNESS_DENIES:
    case ELECTION_CLOCK_RIGHT:
    case ELECTION_DESCENDANTS_GONE:
    case ELECTION_FENCE_RECORDED:
    case ELECTION_STEP_DOWN:
    case ELECTION_CONFIGURED:
    case ELECTION_EVENT_COUNT:
        return;
    }
}

static void leader(struct election *e, const struct election_event *event,
                   struct election_actions *out)
{
    switch (event->type) {
    case ELECTION_RENEWED:
        if (event->deadline > e->lease_deadline) {
            e->lease_deadline = event->deadline;
            e->deadline = event->deadline;
        }
        return;
    case ELECTION_PROBE_READY:
        call_witness(e, out);
        return;
    case ELECTION_WITNESS_DENIES:
        if (epoch_equal(event->epoch, e->epoch)) {
            stand_down(e, END_WITNESS, 0, after_denial(e), out);
        }
        return;
    case ELECTION_CLOCK_WRONG:
        stand_down_graceful(e, END_CLOCK, out);
        return;
    case ELECTION_STEP_DOWN:
        e->step_down_rest = event->rest;
        stand_down_graceful(e, END_STEP_DOWN, out);
        return;
    case ELECTION_ELECT_ANEW:
        stand_down_graceful(e, END_RELOAD, out);
        return;
    case ELECTION_STOP:
        stand_down_graceful(e, END_STOP, out);
        return;
    case ELECTION_STOP_NOW:
        stand_down_at_once(e, END_STOP, out);
        return;
    case ELECTION_TICK:
        if (is_overdue(e, e->deadline)) {
            election_fencing_kill(e, END_WORKER_HUNG, out);
        }
        return;
    case ELECTION_PROBE_GONE:
    case ELECTION_WORKER_READY:
    case ELECTION_WORKER_EXITED:
    case ELECTION_SEAT_TAKEN:
    case ELECTION_SEAT_LOST:
    case ELECTION_SLICE_ANSWERED:
    case ELECTION_CAMPAIGN_FAILED:
    case ELECTION_ELECTED:
    case ELECTION_UNHEARD:
    case ELECTION_LOST:
    case ELECTION_RELEASED:
    case ELECTION_CLOCK_RIGHT:
    case ELECTION_DESCENDANTS_GONE:
    case ELECTION_FENCE_RECORDED:
    case ELECTION_CONFIGURED:
    case ELECTION_EVENT_COUNT:
        return;
    }
}

/* Bounds are only ever lowered. */
static void hurry(struct election *e, enum end_reason reason, dur_ns drain, dur_ns over,
                  struct election_actions *out)
{
    if (e->now + over < e->over_by) {
        stand_down(e, reason, drain, over, out);
    }
}

static bool is_denied(const struct election *e, const struct election_event *event)
{
    return event->type == ELECTION_WITNESS_DENIES && e->lock_kept &&
           epoch_equal(event->epoch, e->epoch);
}

static void standing_down(struct election *e, const struct election_event *event,
                          struct election_actions *out)
{
    bool lease_is_over = e->lock_kept && is_overdue(e, e->lease_deadline);

    if (event->type == ELECTION_ELECTED && !e->lock_kept) {
        election_take_office(e, event); /* crossed our order: it will answer with RELEASED */
        e->deadline = e->over_by + ELECTION_ANSWER_SLACK;
    } else if (event->type == ELECTION_RENEWED && event->deadline > e->lease_deadline) {
        e->lease_deadline = event->deadline;
    } else if (event->type == ELECTION_STOP) {
        hurry(e, END_STOP, e->terms.drain, e->terms.over, out);
    } else if (event->type == ELECTION_STOP_NOW) {
        hurry(e, END_STOP, 0, ELECTION_AT_ONCE, out);
    } else if (is_denied(e, event)) {
        hurry(e, END_WITNESS, 0, after_denial(e), out);
    } else if (event->type == ELECTION_TICK && (lease_is_over || is_overdue(e, e->deadline))) {
        election_fencing_kill(e, END_WORKER_HUNG, out);
    }
}

/* Facts hold in every state; what to do about them depends on the state. */
static void learn_of_probe(struct election *e, const struct election_event *event)
{
    if (event->type == ELECTION_PROBE_READY || event->type == ELECTION_PROBE_GONE) {
        e->probe_ready = event->type == ELECTION_PROBE_READY;
        e->seeking = false;
        e->witnessing = false;
        e->seat_held = false;
    } else if (event->type == ELECTION_SEAT_TAKEN) {
        e->seat_held = e->seeking;
        if (e->state == ELECTION_FOLLOWER) { /* a campaign keeps what it began with */
            e->slice = event->slice;
            e->poll = event->poll;
        }
    } else if (event->type == ELECTION_SEAT_LOST) {
        e->seat_held = false; /* and it goes on seeking, unless it was told to leave */
    } else if (event->type == ELECTION_CLOCK_WRONG || event->type == ELECTION_CLOCK_RIGHT) {
        e->clock_wrong = event->type == ELECTION_CLOCK_WRONG;
    }
}

static void learn_of_worker(struct election *e, const struct election_event *event)
{
    if (event->type == ELECTION_WORKER_READY || event->type == ELECTION_WORKER_EXITED) {
        e->worker_ready = event->type == ELECTION_WORKER_READY;
        e->hear_until = 0;
    } else if (event->type == ELECTION_UNHEARD) {
        e->hear_until = e->now + ELECTION_SAY_AGAIN;
    }
}

static void learn_of_orders(struct election *e, const struct election_event *event)
{
    if (event->type == ELECTION_ELECT_ANEW) {
        e->anew = true;
    } else if (event->type == ELECTION_CONFIGURED && e->paused) {
        e->anew = false;
        e->paused = false;
        e->rest_until = 0;
        backoff_reset(&e->rest);
    } else if (event->type == ELECTION_STOP || event->type == ELECTION_STOP_NOW) {
        e->stopping = true;
        e->at_once = e->at_once || event->type == ELECTION_STOP_NOW;
    }
}

/* Answers carry the turn; what is about another one is not an answer. */
static bool is_stale(const struct election *e, const struct election_event *event)
{
    static const bool is_answer[ELECTION_EVENT_COUNT] = {
        [ELECTION_SLICE_ANSWERED] = true, [ELECTION_CAMPAIGN_FAILED] = true,
        [ELECTION_ELECTED] = true,        [ELECTION_RENEWED] = true,
        [ELECTION_LOST] = true,           [ELECTION_RELEASED] = true,
    };

    assert((unsigned)event->type < ELECTION_EVENT_COUNT);
    return is_answer[event->type] && event->turn != e->turn;
}

/* What must be true between any two events, whatever the events. */
static void check(const struct election *e)
{
    bool has_epoch = e->epoch.generation != 0 || e->epoch.number != 0;

    switch (e->state) {
    case ELECTION_FOLLOWER:
        assert(!e->lock_kept); /* nobody waits for a follower */
        assert(!e->stopping);
        assert(e->deadline == MONO_NEVER);
        break;
    case ELECTION_HEIR:
        assert(!e->lock_kept);
        assert(!e->stopping);
        assert(!e->clock_wrong);
        assert(e->worker_ready);
        assert(!e->terms.has_probe || e->poll || e->seat_held);
        assert(e->deadline != MONO_NEVER); /* nothing waits for ever */
        break;
    case ELECTION_LEADER:
        assert(e->lock_kept);
        assert(!e->stopping);
        assert(e->worker_ready);
        assert(!e->seat_held);
        assert(e->deadline == e->lease_deadline); /* D is its limit */
        break;
    case ELECTION_STANDING_DOWN:
        assert(e->worker_ready);
        assert(e->over_by >= e->drain_until);
        assert(e->deadline != MONO_NEVER);
        break;
    case ELECTION_FENCING:
        assert(e->fence != FENCE_NONE);
        assert(e->deadline != MONO_NEVER);
        break;
    case ELECTION_STOPPED:
        assert(e->stopping);
        assert(!e->lock_kept);
        assert(!e->seeking);
        break;
    case ELECTION_STATE_COUNT:
        assert(!"no such state");
    }
    assert(e->lock_kept || !has_epoch);
    assert((e->state == ELECTION_FENCING) == (e->fence != FENCE_NONE));
    assert(!e->paused || e->anew);
}

static bool waits_for_worker(const struct election *e)
{
    return e->state == ELECTION_HEIR || e->state == ELECTION_LEADER ||
           e->state == ELECTION_STANDING_DOWN;
}

static mono_ns wake_at(const struct election *e)
{
    mono_ns at = e->deadline;

    if (e->state == ELECTION_STANDING_DOWN && e->lock_kept && e->lease_deadline < at) {
        at = e->lease_deadline;
    }
    if (e->state == ELECTION_FOLLOWER && !e->terms.has_probe && e->now < e->rest_until) {
        at = e->rest_until;
    }
    if (waits_for_worker(e) && at < e->hear_until) {
        at = e->hear_until;
    }
    return at;
}

static void dispatch(struct election *e, const struct election_event *event,
                     struct election_actions *out)
{
    switch (e->state) {
    case ELECTION_FOLLOWER:
        follower(e, event, out);
        return;
    case ELECTION_HEIR:
        if (!worker_spoke(e, event, out)) {
            heir(e, event, out);
        }
        return;
    case ELECTION_LEADER:
        if (!worker_spoke(e, event, out)) {
            leader(e, event, out);
        }
        return;
    case ELECTION_STANDING_DOWN:
        if (!worker_spoke(e, event, out)) {
            standing_down(e, event, out);
        }
        return;
    case ELECTION_FENCING:
        election_fencing_step(e, event, out);
        return;
    case ELECTION_STOPPED:
        return;
    case ELECTION_STATE_COUNT:
        break;
    }
    assert(!"no such state");
}

void election_init(struct election *e, const struct election_terms *terms, mono_ns now,
                   uint64_t seed)
{
    *e = (struct election){
        .state = ELECTION_FOLLOWER,
        .fence = FENCE_NONE,
        .now = now,
        .deadline = MONO_NEVER,
        .lease_deadline = MONO_NEVER,
    };
    prng_seed(&e->random, seed);
    election_configure(e, terms);
    check(e);
}

void election_configure(struct election *e, const struct election_terms *terms)
{
    assert(terms->over >= terms->drain);
    e->terms = *terms;
    e->rest.least = terms->retry_interval;
    e->rest.most =
        terms->backoff_max > terms->retry_interval ? terms->backoff_max : terms->retry_interval;
}

void election_step(struct election *e, const struct election_event *event,
                   struct election_actions *ret_actions)
{
    assert(event->now >= e->now);
    check(e);

    *ret_actions = (struct election_actions){.count = 0};
    e->now = event->now;
    if (!is_stale(e, event)) {
        learn_of_probe(e, event);
        learn_of_worker(e, event);
        learn_of_orders(e, event);
        dispatch(e, event, ret_actions);
    }
    ret_actions->wake_at = wake_at(e);
    check(e);
}

bool election_expects(const struct election *e, uint64_t turn)
{
    bool waits = e->state == ELECTION_HEIR || e->state == ELECTION_STANDING_DOWN ||
                 (e->state == ELECTION_FENCING && e->fence == FENCE_KILLING);

    return waits && turn == e->turn && !e->lock_kept;
}

const char *election_state_name(enum election_state state)
{
    static const char *const names[ELECTION_STATE_COUNT] = {
        [ELECTION_FOLLOWER] = "follower", [ELECTION_HEIR] = "heir",
        [ELECTION_LEADER] = "leader",     [ELECTION_STANDING_DOWN] = "standing-down",
        [ELECTION_FENCING] = "fencing",   [ELECTION_STOPPED] = "stopped",
    };

    return (unsigned)state < ELECTION_STATE_COUNT ? names[state] : "?";
}
