/*
 * ledger_connection.h - the ledger's connection: opened with the campaign, so that the
 * grant finds it ready, and opened again, with back-off, when it is lost.
 *
 * Runs in: worker. Logs only that it is lost, and that it is there again.
 */
#ifndef PGBATON_WORKER_LEADER_LEDGER_CONNECTION_H
#define PGBATON_WORKER_LEADER_LEDGER_CONNECTION_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/identity.h"
#include "worker/database/session.h"

struct ledger_connection; /* opaque */

struct ledger_connection_events {
    void (*on_ready)(void *ctx);
    /* An attempt to connect failed, or the connection is lost with whatever was asked on it. It is
     * tried again without being told. */
    void (*on_down)(void *ctx, const char *text);
    void *ctx;
};

/* ledger_connection_open - begin to connect. config must outlive it. NULL: out of memory. */
struct ledger_connection *ledger_connection_open(struct ev_loop *loop, const struct config *config,
                                                 const struct server_address *address,
                                                 const struct server_identity *expect,
                                                 uint64_t seed,
                                                 const struct ledger_connection_events *events);

/* ledger_connection_session - to ask on; NULL while there is none. */
struct session *ledger_connection_session(const struct ledger_connection *l);

/* ledger_connection_hurry - somebody waits: do not sit out the back-off. */
void ledger_connection_hurry(struct ledger_connection *l);

/* ledger_connection_close - takes NULL. Not from inside on_ready, on_down or an answer. */
void ledger_connection_close(struct ledger_connection *l);

#endif
