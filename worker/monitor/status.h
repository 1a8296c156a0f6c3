/*
 * status.h - the document behind `pgbaton status`, from what is known at one moment.
 *
 * Keys are snake_case and stable: other people's scripts read them. A fact that
 * is not known, or does not apply, is null and not absent. Moments are RFC 3339
 * in UTC, lengths are numbers with their unit in the name.
 *
 * A function of plain structs: no clock, no descriptors.
 *
 * Runs in: monitor.
 */
#ifndef PGBATON_WORKER_MONITOR_STATUS_H
#define PGBATON_WORKER_MONITOR_STATUS_H

#include <jansson.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/scoreboard.h"

/* Everything is borrowed for the time of the call. */
struct status_view {
    const struct config *config; /* the one without secrets */
    struct board_supervisor supervisor;
    struct board_probe probe;
    struct board_worker worker;
    const struct board_job *jobs; /* rows of the scoreboard */
    size_t job_count;
    json_t *fleet; /* array; NULL: unknown */
    mono_ns now;
    wall_ns wall;
};

/* status_document - a new reference, or NULL: out of memory. */
json_t *status_document(const struct status_view *view);

/* status_leads - does this instance lead, and may it still believe so by its deadline? */
bool status_leads(const struct status_view *view);

#endif
