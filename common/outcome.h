/*
 * outcome.h - PURE: what became of a tick, and where it came from: the closed
 * lists of the contract, as they are written in the ledger and in the log.
 */
#ifndef PGBATON_COMMON_OUTCOME_H
#define PGBATON_COMMON_OUTCOME_H

#include <stdbool.h>

/*
 * QUEUED: it waits: for the end of an earlier run, for its mutex, for
 * max_running, or to be started at all. RETRYING: it waits for its due time
 * after a failure. CLAIMED: a leader has said that it is going to start it; not
 * known: whether it did. RUNNING: it was started. The others are ends.
 */
enum outcome {
    OUTCOME_NONE,
    OUTCOME_QUEUED,
    OUTCOME_CLAIMED,
    OUTCOME_RUNNING,
    OUTCOME_RETRYING,
    OUTCOME_SUCCEEDED,
    OUTCOME_FAILED,
    OUTCOME_TIMED_OUT,
    OUTCOME_CANCELLED,
    OUTCOME_INTERRUPTED,
    OUTCOME_SKIPPED,
    OUTCOME_MISSED,
    OUTCOME_COUNT,
};

/* outcome_name - "queued", ...; "" for OUTCOME_NONE; "unknown" for a number that is none, which may
 * come out of shared memory. outcome_parse - OUTCOME_NONE for what is none. */
const char *outcome_name(enum outcome outcome);
enum outcome outcome_parse(const char *text);

/* outcome_is_open - from QUEUED to RETRYING: the tick is not settled. */
bool outcome_is_open(enum outcome outcome);

/* A run that takes its leader down with it each time must not do so for ever: the last attempt that
 * an interruption is followed by has this number. */
enum { OUTCOME_RERUN_ATTEMPTS = 10 };

/* What a run was started by. */
enum run_origin {
    ORIGIN_SCHEDULE, /* a tick of its schedule, made up for or not; @elected and @released too */
    ORIGIN_SERVICE,  /* `always`: one row for each start */
    ORIGIN_TRIGGER,  /* somebody asked for it */
    ORIGIN_AFTER,    /* its parent ended */
    ORIGIN_RETRY,    /* the attempt before failed */
    ORIGIN_RERUN,    /* the attempt before was interrupted */
    ORIGIN_COUNT,
};
const char *run_origin_name(enum run_origin origin); /* "schedule", ... */
enum run_origin run_origin_parse(const char *text);  /* ORIGIN_COUNT for what is none */

#endif
