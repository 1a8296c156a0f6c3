/*
 * warnings.h - what an operator should know beyond the facts of the status.
 *
 * Runs in: monitor.
 */
#ifndef PGBATON_WORKER_MONITOR_WARNINGS_H
#define PGBATON_WORKER_MONITOR_WARNINGS_H

#include <jansson.h>

#include "worker/monitor/status.h"

/*
 * warnings_list - an array of {"name", "text"}; name is a stable identifier,
 * text a sentence for people. A new reference, or NULL: out of memory.
 */
json_t *warnings_list(const struct status_view *view);

#endif
