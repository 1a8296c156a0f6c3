#include "worker/probe/stuck.h"

#include <string.h>

/* A healthy backend ends within milliseconds. */
#define END_WITHIN_MAX DUR_S(1)

static bool is_same(const struct stuck_sight *a, const struct stuck_sight *b)
{
    return a->pid == b->pid && strcmp(a->backend_start, b->backend_start) == 0 &&
           strcmp(a->state_change, b->state_change) == 0;
}

static bool is_evidence(const struct stuck_sight *seen)
{
    return seen->pid > 0 && seen->backend_start[0] != '\0' && seen->state_change[0] != '\0';
}

bool stuck_look(struct stuck_watch *watch, const struct stuck_sight *seen, dur_ns lease,
                mono_ns now)
{
    if (!is_evidence(seen) || !is_same(&watch->last, seen)) {
        watch->last = *seen;
        watch->since = now;
        return false;
    }
    if (now - watch->since < 2 * lease) {
        return false;
    }
    watch->since = now;
    return true;
}

bool stuck_may_end_leader(bool seat_held, bool polls, bool wants_to_lead)
{
    return seat_held || (polls && wants_to_lead);
}

bool stuck_opening_due(struct stuck_opening *opening, int pid, dur_ns lease, mono_ns now)
{
    if (opening->pid != pid) {
        opening->pid = pid;
        opening->since = now;
    }
    return now - opening->since >= lease;
}

dur_ns stuck_end_within(dur_ns lease)
{
    return lease / 4 < END_WITHIN_MAX ? lease / 4 : END_WITHIN_MAX;
}
