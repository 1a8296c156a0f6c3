/*
 * gap.h - PURE: the ticks of a job that nobody could run when they were due:
 * which of them are run now, and which are recorded, and as what (the job's
 * missed policy, DESIGN.md section 6).
 *
 * They may be millions, so they are walked in steps of a limited length.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_GAP_H
#define PGBATON_WORKER_LEADER_GAP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/outcome.h"
#include "common/schedule.h"

struct gap_rules {
    enum job_missed missed;
    dur_ns window;
    uint64_t most; /* MISSED_ALL: so many are run */
    bool paused;   /* none is run, and they were not missed */
    /* Ticks up to then may have been run and the record of it lost; they are run
     * (again) only where the job says so. 0: none. */
    wall_ns unknown_until;
    bool reruns;
    const char *reason; /* of those that are neither too old nor too many: "no leader" */
};

enum gap_stage { GAP_COUNTING, GAP_TELLING, GAP_PASSING, GAP_RUNNING, GAP_OVER };

struct gap_range {
    wall_ns first;
    wall_ns last;
    uint64_t count;
};

struct gap {
    enum gap_stage stage;
    struct gap_rules rules;
    wall_ns at;     /* every tick up to here has been looked at */
    wall_ns until;  /* the last moment of the gap */
    wall_ns window; /* ticks before it are too old */
    struct gap_range unknown;
    struct gap_range old;
    struct gap_range inside;
    wall_ns inside_after; /* the first of those comes after it */
    struct gap_range passed;
    uint64_t to_pass;
};

enum gap_verdict {
    GAP_WORKING, /* no news yet: step again, when others have had their turn */
    GAP_RECORD,  /* these are recorded with that outcome and reason */
    GAP_RUN,     /* this one is run, after the ones before it */
    GAP_DONE,    /* gap->at is the job's last tick now */
};

struct gap_step {
    enum gap_verdict verdict;
    struct gap_range range; /* RUN: count 1 */
    enum outcome outcome;   /* RECORD */
    const char *reason;     /* RECORD; static, or the rules' */
};

/* gap_begin - the ticks after last_tick, up to until. */
void gap_begin(struct gap *g, const struct gap_rules *rules, wall_ns last_tick, wall_ns until);

/* gap_step - look at so many ticks at most, and say what comes of it. */
struct gap_step gap_step(struct gap *g, const struct schedule *schedule, unsigned ticks);

#endif
