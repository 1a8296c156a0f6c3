/*
 * skew.h - PURE: our wall clock and the database's disagree: whose is wrong?
 * (DESIGN.md sections 4 and 6)
 *
 * An instance whose clock is wrong must not lead. But when the server's is set
 * wrong, every instance sees the same, and if all of them stepped aside nobody
 * would lead. So it counts which of the two was set since they last agreed, by
 * CLOCK_BOOTTIME, which nobody can set. Where that cannot be told (they never
 * agreed, or they drifted apart), the wrong one is ours.
 *
 * A machine that was halted with all of its clocks, without ending its session,
 * looks as if the server's had been set forward: its wall clock is behind until
 * it is corrected.
 *
 * Used by the probe.
 */
#ifndef PGBATON_WORKER_PROBE_SKEW_H
#define PGBATON_WORKER_PROBE_SKEW_H

#include <stdbool.h>

#include "common/clock.h"

enum skew_verdict {
    SKEW_NONE,    /* they agree */
    SKEW_OURS,    /* ours is wrong, or nobody can tell */
    SKEW_SERVERS, /* the server's was set, and ours was not */
};

/* One look: the answer was made somewhere between question and answer. */
struct skew_sight {
    mono_ns asked_at;
    mono_ns answered_at;
    wall_ns ours;    /* at answered_at */
    wall_ns servers; /* in the answer */
};

/* All zero: nothing is known yet. */
struct skew {
    enum skew_verdict verdict;
    bool agreed;    /* at some time: the two below are of the last one */
    dur_ns ours;    /* ahead of CLOCK_BOOTTIME */
    dur_ns servers; /* likewise */
};

/* skew_look - the verdict after this look. *ret_offset is ours minus the server's; limit is how
 * much of it is right. */
enum skew_verdict skew_look(struct skew *skew, const struct skew_sight *seen, dur_ns limit,
                            dur_ns *ret_offset);

#endif
