/*
 * check_json.h - what `pgbaton check --json` says.
 *
 * Keys are snake_case and stable: other people's scripts read them. What is not
 * known, or does not apply, is null and not absent.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_CHECK_JSON_H
#define PGBATON_SUPERVISOR_CLI_CHECK_JSON_H

#include <jansson.h>

#include "common/config.h"

/*
 * check_json - file, ok, problems, jobs, hash, budget. cfg NULL: the configuration is wrong, and
 * problems say how. A new reference, or NULL: out of memory.
 */
json_t *check_json(const char *file, const struct config *cfg,
                   const struct config_problems *problems, unsigned fleet);

#endif
