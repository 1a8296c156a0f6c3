/*
 * check_schedule.h - what `pgbaton check` warns of in the schedule of a job: right as it is
 * written, and perhaps not what was meant.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_CHECK_SCHEDULE_H
#define PGBATON_SUPERVISOR_CLI_CHECK_SCHEDULE_H

#include "common/config.h"

/* check_schedule_warn - adds warnings about one job, as seen at that time. */
void check_schedule_warn(const struct config *cfg, const struct config_job *job, wall_ns now,
                         struct config_problems *problems);

#endif
