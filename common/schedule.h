/*
 * schedule.h - PURE: when a job is due.
 *
 * Today: every, always, @elected, @released, manual. The other forms of the
 * contract are recognised and answered with "not available in this version".
 */
#ifndef PGBATON_COMMON_SCHEDULE_H
#define PGBATON_COMMON_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"

enum schedule_kind {
    SCHEDULE_EVERY,    /* a fixed grid from the Unix epoch: a failover keeps the phase */
    SCHEDULE_ALWAYS,   /* a service: kept running while this instance leads */
    SCHEDULE_ELECTED,  /* once, each time this instance becomes leader */
    SCHEDULE_RELEASED, /* once, when leadership ends gracefully, before the unlock */
    SCHEDULE_MANUAL,
};

struct schedule {
    enum schedule_kind kind;
    dur_ns every; /* SCHEDULE_EVERY: above 0 */
};

/*
 * schedule_parse - returns 0; -ENOTSUP (a form of the contract that this
 * version does not have); -EINVAL. On failure reterr says what is wrong and
 * what would be right; on success it is not touched.
 */
int schedule_parse(const char *text, struct schedule *ret_schedule, char *reterr,
                   size_t reterr_size);

/* schedule_is_clocked - does a clock start it? */
bool schedule_is_clocked(const struct schedule *schedule);

/* schedule_next - the first instant strictly after that one; WALL_NEVER for the
 * kinds that no clock starts. */
wall_ns schedule_next(const struct schedule *schedule, wall_ns after);

#endif
