/*
 * jobs_view.h - the document behind `pgbaton jobs`: the jobs of this configuration, with what the
 * ledger says of them.
 *
 * Keys are stable; a fact that is not known is null and not absent. A function of plain structs.
 *
 * Runs in: monitor.
 */
#ifndef PGBATON_WORKER_MONITOR_JOBS_VIEW_H
#define PGBATON_WORKER_MONITOR_JOBS_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/scoreboard.h"

/* Everything is borrowed for the time of the call. */
struct jobs_view {
    const struct config *config;
    json_t *rows;                 /* of QUERY_JOBS; NULL: there is no ledger */
    const struct board_job *jobs; /* rows of the scoreboard */
    size_t job_count;
    bool leads; /* this instance: its worker knows when each job is next */
    wall_ns wall;
};

/* jobs_view_document - an array, a new reference; NULL: out of memory. */
json_t *jobs_view_document(const struct jobs_view *view);

/* jobs_view_zone - the name of the zone that its schedule is read in. */
const char *jobs_view_zone(const struct config_job *job);

/* jobs_view_pause - an enum board_pause as "all", "job" or JSON null, a new reference. */
json_t *jobs_view_pause(uint32_t paused);

/* jobs_view_policy - what is configured for the job of that name and explains its outcomes, a new
 * reference; JSON null: it is none of ours. */
json_t *jobs_view_policy(const struct config *config, const char *name);

#endif
