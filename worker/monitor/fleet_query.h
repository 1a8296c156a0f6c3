/*
 * fleet_query.h - who else is there: asked of the probe.
 *
 * The answer is for people. It is waited for FLEET_QUERY_WITHIN and no longer; one
 * that is younger than FLEET_QUERY_FRESH is used again, so that however many ask for
 * the status, the database is asked once a second.
 *
 * Runs in: monitor. Never blocks.
 */
#ifndef PGBATON_WORKER_MONITOR_FLEET_QUERY_H
#define PGBATON_WORKER_MONITOR_FLEET_QUERY_H

#include <jansson.h>
#include <stdbool.h>

#include "worker/monitor/queries.h"

#define FLEET_QUERY_WITHIN DUR_S(2)
#define FLEET_QUERY_FRESH DUR_S(1)

struct fleet_query {
    struct queries *queries;
    bool asking;
    json_t *instances;           /* what came last: a JSON array; NULL: unknown */
    mono_ns asked_at;            /* when that was asked for; 0: never */
    void (*on_known)(void *ctx); /* the answer is there, or there will be none */
    void *ctx;
};

void fleet_query_init(struct fleet_query *f, struct queries *queries, void (*on_known)(void *ctx),
                      void *ctx);
void fleet_query_release(struct fleet_query *f);

/* fleet_query_ask - true: instances is good now (NULL: unknown). false: on_known will be called. */
bool fleet_query_ask(struct fleet_query *f);

#endif
