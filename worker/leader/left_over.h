/*
 * left_over.h - PURE: what becomes of a run that the term before has left to be
 * run: handed over while its leader drained, or waiting for others.
 *
 * A planned hand-over loses no tick. But where nobody took over, as when the
 * last instance was stopped for a night, its ticks are missed ones like all that
 * follow, and the job says what is done about those.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_LEFT_OVER_H
#define PGBATON_WORKER_LEADER_LEFT_OVER_H

#include <stdbool.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/outcome.h"

/* Why a run waits that a draining leader did not start. */
#define LEFT_OVER_HAND_OVER "hand-over"

struct left_over_rules {
    enum job_overlap overlap;
    enum job_missed missed;
    dur_ns window;
    dur_ns prompt; /* what is no later than this was handed over from leader to leader */
};

struct left_over {
    bool of_term;     /* it belongs to the term that it was made in, see follow_up.h */
    bool is_tick;     /* due by a schedule that follows the clock, and never tried */
    bool handed_over; /* else it waits for another run, as it did before */
    bool overlaps;    /* it waits for another run of its job */
    bool rescheduled; /* what its job's schedule is now is another than it was due by */
    bool later_due;   /* by now another tick of the job has been due after it */
    wall_ns scheduled_at;
};

struct left_over_end {
    bool runs;
    bool made_up;         /* one of several missed ticks: it runs after the others */
    enum outcome outcome; /* where it does not */
    const char *reason;   /* static */
};

struct left_over_end left_over_decide(const struct left_over_rules *rules,
                                      const struct left_over *run, wall_ns now);

/* How long a run of a job waits that no leader has in its configuration: in a fleet of two versions
 * the next leader may. */
#define LEFT_OVER_JOB_GONE DUR_S(3600)

/* left_over_is_gone - the same for a run of a job that this leader does not have: is it to be
 * closed
 * ("removed")? */
bool left_over_is_gone(wall_ns scheduled_at, wall_ns now);

#endif
