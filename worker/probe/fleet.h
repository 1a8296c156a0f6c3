/*
 * fleet.h - the monitor's question who else is there, answered.
 *
 * Runs in: probe.
 */
#ifndef PGBATON_WORKER_PROBE_FLEET_H
#define PGBATON_WORKER_PROBE_FLEET_H

#include <jansson.h>
#include <libpq-fe.h>

#include "common/config.h"

/* fleet_sql - the sessions of probes in this database: rows (application_name, pid, since). */
extern const char fleet_sql[];

/* fleet_instances - those rows as the array that message.h describes; sessions of other elections
 * are left out. The caller owns it; NULL: out of memory. */
json_t *fleet_instances(const struct config *cfg, const PGresult *rows);

#endif
