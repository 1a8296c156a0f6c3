/*
 * lag.h - PURE: does the worker that leads get on with its schedule? One whose
 * heartbeats go on while nothing that is due is started any more is as good as
 * dead: it is named, and then restarted.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_LAG_H
#define PGBATON_SUPERVISOR_LAG_H

#include <stdbool.h>

#include "common/clock.h"
#include "common/message.h"

/* What is due for longer than this is worth saying. */
#define LAG_SAY_AFTER DUR_S(5)
/* A worker that has decided nothing for so long, though something was due all the time, is
 * restarted: the limit of every worker that makes no progress. Far above what a loaded machine
 * makes of a turn of its loop. */
#define LAG_RESTART_AFTER DUR_S(10)

struct lag {
    bool due; /* as it said last: something, and it did not wait for the database */
    bool said;
    uint64_t decisions;  /* as the worker counts them */
    mono_ns stuck_since; /* due: the last sign that it decides, or that there was nothing to do */
};

/* LAG_OVER: what was said to be late is not late any more. */
enum lag_verdict { LAG_NONE, LAG_SAY, LAG_OVER, LAG_RESTART };

/* lag_step - the worker has reported. RESTART comes with each report until it is another worker's,
 * for which the struct is zeroed. */
enum lag_verdict lag_step(struct lag *lag, const struct message_progress *report, wall_ns wall,
                          mono_ns now);

/* lag_late - for how long what is next has been due; 0: it is not due yet. */
dur_ns lag_late(const struct message_progress *report, wall_ns wall);

#endif
