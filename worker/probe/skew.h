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
 * An answer that took long leaves open by how much they differ. One that proves
 * neither that they agree nor that they do not changes nothing.
 *
 * What was seen outlives the session, or a server whose clock was set while it
 * was down would stop the fleet. It does not outlive the server: another one
 * (of another system_id, or another timeline) has a clock of its own.
 *
 * A machine that was halted with all of its clocks looks as if the server's had
 * been set forward, if it comes back to the same server: its wall clock is
 * behind until it is corrected.
 *
 * Used by the probe.
 */
#ifndef PGBATON_WORKER_PROBE_SKEW_H
#define PGBATON_WORKER_PROBE_SKEW_H

#include <stdbool.h>

#include "common/clock.h"
#include "common/identity.h"

enum skew_verdict {
    SKEW_NONE,    /* they agree, or nothing is proven yet */
    SKEW_OURS,    /* ours is wrong, or nobody can tell */
    SKEW_SERVERS, /* the server's was set, and ours was not */
};

/* One look: the answer was made somewhere between question and answer. */
struct skew_sight {
    struct server_identity server;
    mono_ns asked_at;
    mono_ns answered_at;
    wall_ns ours;    /* at answered_at */
    wall_ns servers; /* in the answer */
};

/* All zero: nothing is known yet. */
struct skew {
    struct server_identity server; /* of the last look */
    enum skew_verdict verdict;
    bool agreed;    /* with this server, at some time: the three below are of the last one */
    dur_ns ours;    /* ahead of CLOCK_BOOTTIME */
    dur_ns servers; /* likewise, */
    dur_ns unsure;  /* give or take this much */
};

/* skew_look - the verdict after this look. *ret_offset is ours minus the server's, as near as the
 * answer tells; limit is how much of it is right. */
enum skew_verdict skew_look(struct skew *skew, const struct skew_sight *seen, dur_ns limit,
                            dur_ns *ret_offset);

#endif
