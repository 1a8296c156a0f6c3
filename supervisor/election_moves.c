#include "supervisor/election_moves.h"

#include <assert.h>
#include <stddef.h>

/* Without a database the worker answers a campaign at once; this is for a loaded machine. */
#define CAMPAIGN_WITHIN_MIN DUR_S(2)

void election_act(struct election_actions *out, enum election_action action)
{
    assert(out->count < ELECTION_ACTIONS_MAX);
    out->list[out->count++] = action;
}

void election_become(struct election *e, enum election_state state, mono_ns deadline,
                     struct election_actions *out)
{
    assert(e->state != ELECTION_STOPPED); /* stopping only rises */
    e->state = state;
    e->deadline = deadline;
    if (state != ELECTION_FENCING) {
        e->fence = FENCE_NONE;
    }
    election_act(out, ELECTION_ANNOUNCE);
}

void election_leave(struct election *e, struct election_actions *out)
{
    if ((e->seeking || e->witnessing) && e->probe_ready) {
        election_act(out, ELECTION_LEAVE);
    }
    e->seeking = false;
    e->witnessing = false;
    e->seat_held = false;
}

static void close_lock(struct election *e, struct election_actions *out)
{
    if (e->lock_kept) {
        election_act(out, ELECTION_CLOSE_LOCK);
    }
    e->lock_kept = false;
    e->epoch = (struct epoch){0, 0};
    e->lease_deadline = MONO_NEVER;
}

static void rest_for(struct election *e, dur_ns length)
{
    mono_ns until = e->now + length;

    if (until > e->rest_until) {
        e->rest_until = until;
    }
}

void election_rest_after(struct election *e, enum end_reason reason)
{
    switch (reason) {
    case END_NONE:
    case END_STOP:
    case END_STEP_DOWN: /* rests as long as it was told to */
    case END_RELOAD:
    case END_LEASE_EXPIRED:
    case END_CLOCK:     /* is a fact of its own */
    case END_SEAT_LOST: /* the probe backs off by itself */
    case END_WORKER_DIED:
    case END_WORKER_HUNG:
    case END_SUPERVISOR_DIED: /* is said to none */
        return;
    case END_NOT_GRANTED: /* mode = poll: the normal case */
        rest_for(e, jittered(e->terms.retry_interval, e->terms.retry_jitter, &e->random));
        return;
    case END_SESSION_ENDED:
        if (e->lock_kept) {
            return; /* a leader that lost its session competes like everybody else */
        }
        rest_for(e, backoff_next(&e->rest, &e->random));
        return;
    case END_WITNESS:
    case END_CONNECT_FAILED:
    case END_REFUSED:
    case END_TERM_FAILED:
    case END_INTERNAL:
    case END_REASON_COUNT:
        /* Longer than the others take to look: another instance may do better. */
        rest_for(e, e->terms.retry_interval + backoff_next(&e->rest, &e->random));
        return;
    }
}

static void campaign(struct election *e, struct election_actions *out)
{
    dur_ns within = 2 * e->slice + e->terms.connect_timeout;

    assert(!e->lock_kept);
    e->turn++;
    e->reason = END_NONE;
    e->campaign_began = e->now;
    election_act(out, ELECTION_CAMPAIGN);
    election_become(e, ELECTION_HEIR,
                    e->now + (within < CAMPAIGN_WITHIN_MIN ? CAMPAIGN_WITHIN_MIN : within), out);
}

void election_follow(struct election *e, struct election_actions *out)
{
    bool may_seek = e->terms.candidate && e->worker_ready && !e->clock_wrong;

    if (e->stopping) {
        election_leave(e, out);
        e->reason = END_STOP; /* not what ended the last term, an hour ago */
        election_become(e, ELECTION_STOPPED, MONO_NEVER, out);
        election_act(out, ELECTION_GONE);
        return;
    }
    if (e->anew && !e->paused) {
        election_leave(e, out);
        e->paused = true;
        election_act(out, ELECTION_READY_TO_ELECT_ANEW);
    }
    if (e->paused) {
        return;
    }
    if (!may_seek) {
        election_leave(e, out);
        return;
    }
    if (!e->terms.has_probe) {
        if (e->now >= e->rest_until) {
            e->slice = 0;
            e->poll = false;
            campaign(e, out);
        }
        return;
    }
    if (e->seat_held) {
        if (e->now >= e->rest_until) {
            campaign(e, out);
            return;
        }
        election_leave(e, out); /* taken before our LEAVE arrived */
    }
    if (e->probe_ready && !e->seeking) {
        e->seeking = true;
        election_act(out, ELECTION_SEEK);
    }
}

void election_let_go(struct election *e, struct election_actions *out)
{
    election_leave(e, out);
    close_lock(e, out);
    rest_for(e, e->step_down_rest);
    e->step_down_rest = 0;
    election_become(e, ELECTION_FOLLOWER, MONO_NEVER, out);
    election_follow(e, out);
}

void election_take_office(struct election *e, const struct election_event *event)
{
    e->epoch = event->epoch;
    e->lease_deadline = event->deadline;
    e->lock_kept = true;
    backoff_reset(&e->rest);
}
