/*
 * fleet.h - the monitor's question who else is there, answered: a JSON array in a memfd.
 *
 * Runs in: probe.
 */
#ifndef PGBATON_WORKER_PROBE_FLEET_H
#define PGBATON_WORKER_PROBE_FLEET_H

#include <jansson.h>
#include <libpq-fe.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/config.h"

/* fleet_sql - the sessions of probes in this database: rows (application_name, pid, since). */
extern const char fleet_sql[];

/* fleet_instances - those rows as the array that message.h describes; sessions of other elections
 * are left out. The caller owns it; NULL: out of memory. */
json_t *fleet_instances(const struct config *cfg, const PGresult *rows);

/* fleet_reply - send it; NULL: unknown, no descriptor. Takes the reference over. What cannot be
 * sent is dropped: the monitor waits no longer than it wants to. */
void fleet_reply(struct channel *monitor, uint64_t request, json_t *instances);

#endif
