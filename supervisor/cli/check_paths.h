/*
 * check_paths.h - what `pgbaton check` warns of in the paths of a configuration: what cannot work
 * on the machine where it runs, which need not be the one that is meant.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_CHECK_PATHS_H
#define PGBATON_SUPERVISOR_CLI_CHECK_PATHS_H

#include "common/config.h"

/* check_paths_warn - adds warnings about the paths of the daemon. */
void check_paths_warn(const struct config *cfg, struct config_problems *problems);

/* check_paths_warn_of_job - the same of one job. */
void check_paths_warn_of_job(const struct config *cfg, const struct config_job *job,
                             struct config_problems *problems);

#endif
