#include "supervisor/election_fencing.h"

#include <assert.h>
#include <stddef.h>

#include "supervisor/election_moves.h"

/* A worker that has SIGKILL and is not reaped is in the kernel's hands: look again this often. */
#define KILL_AGAIN DUR_S(1)
/* Descendants get at least this long to die, even where the lease is over already. */
#define SWEEP_AT_LEAST DUR_S(1)
/* Where no lease ends a sweep, say again this often that something refuses to die. */
#define SWEEP_AGAIN DUR_S(10)

static void sweep(struct election *e, struct election_actions *out)
{
    mono_ns until = e->now + SWEEP_AT_LEAST;

    if (e->lock_kept && e->lease_deadline == MONO_NEVER) {
        until = e->now + SWEEP_AGAIN;
    } else if (e->lock_kept && e->lease_deadline + e->terms.margin > until) {
        until = e->lease_deadline + e->terms.margin;
    }
    e->fence = FENCE_SWEEPING;
    e->deadline = until;
    election_act(out, ELECTION_SWEEP);
}

void election_fencing_kill(struct election *e, enum end_reason reason, struct election_actions *out)
{
    election_leave(e, out);
    e->reason = reason;
    election_act(out, ELECTION_KILL_WORKER);
    e->fence = FENCE_KILLING;
    election_become(e, ELECTION_FENCING, e->now + ELECTION_KILL_BELOW_AFTER, out);
}

void election_fencing_of_dead(struct election *e, enum end_reason reason,
                              struct election_actions *out)
{
    election_leave(e, out);
    e->reason = reason;
    e->fence = FENCE_SWEEPING;
    election_become(e, ELECTION_FENCING, MONO_NEVER, out);
    sweep(e, out);
}

/* Nothing of the dead worker runs any more. */
static void swept(struct election *e, struct election_actions *out)
{
    bool had_term = e->epoch.generation != 0 || e->epoch.number != 0;

    if (had_term && e->probe_ready) {
        e->fence = FENCE_RECORDING;
        e->deadline = e->now + ELECTION_RECORD_WITHIN;
        election_act(out, ELECTION_RECORD_FENCE);
        return;
    }
    election_let_go(e, out);
}

/*
 * Something refuses to die, and the lease is over. It is not recorded as
 * fenced: the next leader would start at once, and ought to wait.
 */
static void not_swept(struct election *e, struct election_actions *out)
{
    election_act(out, ELECTION_UNKILLABLE);
    if (e->lock_kept && e->lease_deadline == MONO_NEVER && !e->at_once) {
        e->deadline = e->now + SWEEP_AGAIN; /* nothing but this lock protects the next leader */
        return;
    }
    election_let_go(e, out);
}

static bool is_overdue(const struct election *e, const struct election_event *event)
{
    return event->type == ELECTION_TICK && e->now >= e->deadline;
}

void election_fencing_step(struct election *e, const struct election_event *event,
                           struct election_actions *out)
{
    switch (e->fence) {
    case FENCE_KILLING:
        if (event->type == ELECTION_WORKER_EXITED) {
            sweep(e, out);
        } else if (event->type == ELECTION_ELECTED) {
            election_take_office(
                e, event); /* sent before it died: the fence now covers this term too */
        } else if (is_overdue(e, event)) {
            e->deadline = e->now + KILL_AGAIN;
            election_act(out, ELECTION_KILL_WORKER);
            election_act(out, ELECTION_KILL_BELOW);
        }
        return;
    case FENCE_SWEEPING:
        if (event->type == ELECTION_DESCENDANTS_GONE) {
            swept(e, out);
        } else if (event->type == ELECTION_WORKER_EXITED) {
            sweep(e, out); /* its successor died as well */
        } else if (is_overdue(e, event)) {
            not_swept(e, out);
        }
        return;
    case FENCE_RECORDING:
        if (event->type == ELECTION_FENCE_RECORDED || event->type == ELECTION_PROBE_GONE ||
            is_overdue(e, event)) {
            election_let_go(e, out);
        }
        return;
    case FENCE_NONE:
        break;
    }
    assert(!"fencing without a phase");
}
