#include "worker/probe/skew.h"

#include <assert.h>

static dur_ns length_of(dur_ns difference)
{
    return difference < 0 ? -difference : difference;
}

/* Less than this was not set: it drifted. */
static dur_ns least_step(dur_ns limit)
{
    return limit / 2;
}

static enum skew_verdict whose(const struct skew *skew, dur_ns ours, dur_ns servers, dur_ns unsure,
                               dur_ns limit)
{
    dur_ns our_step = length_of(ours - skew->ours);
    dur_ns their_step = length_of(servers - skew->servers) - unsure;

    if (!skew->agreed || our_step > least_step(limit)) {
        return SKEW_OURS;
    }
    /* What was decided when they parted holds until they agree: a drift looks like a step later. */
    if (skew->verdict != SKEW_NONE) {
        return skew->verdict;
    }
    return their_step > least_step(limit) ? SKEW_SERVERS : SKEW_OURS;
}

enum skew_verdict skew_look(struct skew *skew, const struct skew_sight *seen, dur_ns limit,
                            dur_ns *ret_offset)
{
    assert(seen->answered_at >= seen->asked_at);
    assert(limit > 0);

    dur_ns unsure = (seen->answered_at - seen->asked_at) / 2;
    dur_ns ours = seen->ours - seen->answered_at;
    dur_ns servers = seen->servers - (seen->answered_at - unsure);
    dur_ns offset = ours - servers;

    if (length_of(offset) - unsure > limit) {
        skew->verdict = whose(skew, ours, servers, unsure, limit);
    } else {
        *skew =
            (struct skew){.verdict = SKEW_NONE, .agreed = true, .ours = ours, .servers = servers};
    }
    *ret_offset = offset;
    return skew->verdict;
}
