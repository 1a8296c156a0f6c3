/*
 * fleet_query.h - who else is there: asked of the probe, over the channel that monitor and probe
 * share.
 *
 * The answer is for people. It is waited for FLEET_QUERY_WITHIN and no longer; one
 * that is younger than FLEET_QUERY_FRESH is used again, so that however many ask for
 * the status, the database is asked once a second.
 *
 * Runs in: monitor. Never blocks.
 */
#ifndef PGBATON_WORKER_MONITOR_FLEET_QUERY_H
#define PGBATON_WORKER_MONITOR_FLEET_QUERY_H

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/timer.h"

#define FLEET_QUERY_WITHIN DUR_S(2)
#define FLEET_QUERY_FRESH DUR_S(1)
enum { FLEET_QUERY_SIZE_MAX = 1024 * 1024 }; /* bytes of the probe's answer */

struct fleet_query {
    struct ev_loop *loop;
    struct channel probe; /* fd -1: no probe to ask */
    ev_io io;
    struct timer limit;
    bool asking;
    uint64_t request;  /* number of the question that is outstanding, or of the last one */
    json_t *instances; /* what came last: a JSON array; NULL: unknown */
    mono_ns asked_at;  /* when that was asked for; 0: never */
    void (*on_known)(void *ctx); /* the answer is there, or there will be none */
    void *ctx;
};

/* fleet_query_init - 0 or a negative errno. The struct must not move afterwards. */
int fleet_query_init(struct fleet_query *f, struct ev_loop *loop, void (*on_known)(void *ctx),
                     void *ctx);
void fleet_query_release(struct fleet_query *f);

/* fleet_query_set_probe - the descriptor that came with PEER; taken over. What was asked of the
 * probe before is answered with unknown. */
void fleet_query_set_probe(struct fleet_query *f, int fd);

/* fleet_query_ask - true: instances is good now (NULL: unknown). false: on_known will be called. */
bool fleet_query_ask(struct fleet_query *f);

#endif
