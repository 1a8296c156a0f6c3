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

/* What a clock said when they last agreed is compared with what it says now: ours is known exactly,
 * the server's as well as both answers tell. */
static enum skew_verdict whose(const struct skew *skew, dur_ns ours, dur_ns servers, dur_ns unsure,
                               dur_ns limit)
{
    dur_ns our_step = length_of(ours - skew->ours);
    dur_ns their_step = length_of(servers - skew->servers) - unsure - skew->unsure;

    if (!skew->agreed || our_step > least_step(limit)) {
        return SKEW_OURS;
    }
    /* What was decided when they parted holds until they agree: a drift looks like a step later. */
    if (skew->verdict != SKEW_NONE) {
        return skew->verdict;
    }
    return their_step > least_step(limit) ? SKEW_SERVERS : SKEW_OURS;
}

/* Another server has another clock: with that one ours never agreed. That ours is wrong stays so
 * until they agree. */
static void meet(struct skew *skew, struct server_identity server)
{
    if (!identity_equal(skew->server, server)) {
        *skew = (struct skew){
            .server = server,
            .verdict = skew->verdict == SKEW_OURS ? SKEW_OURS : SKEW_NONE,
        };
    }
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

    meet(skew, seen->server);
    if (length_of(offset) - unsure > limit) {
        skew->verdict = whose(skew, ours, servers, unsure, limit);
    } else if (length_of(offset) + unsure <= limit) {
        skew->verdict = SKEW_NONE;
        skew->agreed = true;
        skew->ours = ours;
        skew->servers = servers;
        skew->unsure = unsure;
    }
    *ret_offset = offset;
    return skew->verdict;
}
