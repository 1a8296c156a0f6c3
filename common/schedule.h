/*
 * schedule.h - PURE: when a job is due.
 *
 * A schedule is parsed once; what it says of hours and days is kept as bits, and the next instant
 * is found by looking for the next bit. No allocation, no I/O, no clock of its own.
 *
 * Daylight saving is the rule of Vixie's cron. A job with a fixed time (neither its minute nor its
 * hour begins with *) runs when the clocks on the wall show that time, or a later one, for the
 * first time: what falls into a gap runs once, right after it, and nothing runs again in a repeated
 * hour. Other cron jobs follow the wall clock as it passes. `every` follows elapsed time.
 */
#ifndef PGBATON_COMMON_SCHEDULE_H
#define PGBATON_COMMON_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/schedule_cron.h"
#include "common/zone.h"

enum schedule_kind {
    SCHEDULE_EVERY,    /* a fixed grid from the Unix epoch: a failover keeps the phase */
    SCHEDULE_CRON,     /* five or six fields, @daily and its like */
    SCHEDULE_AT,       /* once */
    SCHEDULE_AFTER,    /* when another job has succeeded, or ended in any way */
    SCHEDULE_ALWAYS,   /* a service: kept running while this instance leads */
    SCHEDULE_ELECTED,  /* once, each time this instance becomes leader */
    SCHEDULE_RELEASED, /* once, when leadership ends gracefully, before the unlock */
    SCHEDULE_MANUAL,
};

struct schedule {
    enum schedule_kind kind;
    bool any;                /* SCHEDULE_AFTER: however the parent ended */
    dur_ns every;            /* SCHEDULE_EVERY: above 0 */
    dur_ns offset;           /* EVERY, CRON: what jitter adds to each instant; whole milliseconds */
    wall_ns at;              /* SCHEDULE_AT */
    const char *parent;      /* SCHEDULE_AFTER: the name of a job */
    const struct zone *zone; /* CRON, AT; belongs to whoever has parsed it, as does parent */
    struct schedule_cron cron; /* SCHEDULE_CRON */
};

/* What a schedule depends on besides its text. All zero: UTC, no jitter, a job without a name. */
struct schedule_options {
    const char
        *job; /* for H, ~ and jitter; NULL: not known yet, so what depends on it is not judged */
    const struct zone *zone; /* NULL: UTC; outlives the schedule */
    dur_ns jitter;
    bool day_and; /* day of month and day of week must both match */
};

/*
 * schedule_parse - options may be NULL. Returns 0, or -EINVAL with what is wrong, and what would be
 * right, in reterr; on success that is not touched, on failure the schedule is not. parent of an
 * `after` points into text, and what follows the name is not cut off: schedule_parent_length().
 */
int schedule_parse(const char *text, const struct schedule_options *options,
                   struct schedule *ret_schedule, char *reterr, size_t reterr_size);

/* schedule_parent_length - how many bytes of parent, as it was parsed, are the name. */
size_t schedule_parent_length(const char *parent);

/* schedule_next - the first instant strictly after that one; WALL_NEVER: there is none before the
 * end of wall_ns (2262), or it is one of the kinds that no clock starts. */
wall_ns schedule_next(const struct schedule *schedule, wall_ns after);

/* schedule_depends_on_name - does a text have H or ~ in it? */
bool schedule_depends_on_name(const char *text);

/* schedule_is_clocked - is it one of the kinds with instants: every, cron, at? */
bool schedule_is_clocked(const struct schedule *schedule);

/*
 * schedule_hash - of what it means: when the hash is another one, ticks before the change are none
 * of this schedule's. Same on every instance and in every version. Not of the zone's data: a new
 * tzdata does not wipe out what was missed.
 */
uint64_t schedule_hash(const struct schedule *schedule);

#endif
