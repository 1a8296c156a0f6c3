/*
 * answers.h - what is recorded, and what is asked of jobs, answered on the control socket: the
 * database is asked through the probe, and where there is no ledger the leader's worker through the
 * supervisor.
 *
 * Runs in: monitor. Never blocks.
 */
#ifndef PGBATON_WORKER_MONITOR_ANSWERS_H
#define PGBATON_WORKER_MONITOR_ANSWERS_H

#include <sys/types.h>

#include "common/channel.h"
#include "common/config.h"
#include "common/scoreboard.h"
#include "worker/monitor/control.h"
#include "worker/monitor/queries.h"

struct answers {
    struct control *control;
    struct queries *queries;
    struct channel *supervisor;
    const struct scoreboard *board;
    const struct config *config; /* the one without secrets; set anew after each reload */
};

/* answers_take - REQUEST_QUERY or REQUEST_JOB. Answered now, or later. */
void answers_take(struct answers *a, uint64_t ticket, const struct request *request, uid_t uid);

/* answers_command - what the worker has done, by way of the supervisor. */
void answers_command(struct answers *a, const struct message_job_answer *answer);

#endif
