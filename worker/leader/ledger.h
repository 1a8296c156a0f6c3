/*
 * ledger.h - the ledger's connection: opened with the campaign, so that the
 * grant finds it ready, and opened again, with back-off, when it is lost.
 *
 * Runs in: worker. Logs only that it is lost, and that it is there again.
 */
#ifndef PGBATON_WORKER_LEADER_LEDGER_H
#define PGBATON_WORKER_LEADER_LEDGER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/identity.h"
#include "worker/database/session.h"

struct ledger; /* opaque */

struct ledger_events {
    void (*on_ready)(void *ctx);
    /* An attempt to connect failed, or the connection is lost with whatever was asked on it. It is
     * tried again without being told. */
    void (*on_down)(void *ctx, const char *text);
    void *ctx;
};

/* ledger_open - begin to connect. config must outlive it. NULL: out of memory. */
struct ledger *ledger_open(struct ev_loop *loop, const struct config *config,
                           const struct server_address *address,
                           const struct server_identity *expect, uint64_t seed,
                           const struct ledger_events *events);

/* ledger_session - to ask on; NULL while there is none. */
struct session *ledger_session(const struct ledger *l);

/* ledger_hurry - somebody waits: do not sit out the back-off. */
void ledger_hurry(struct ledger *l);

/* ledger_close - takes NULL. Not from inside on_ready, on_down or an answer. */
void ledger_close(struct ledger *l);

#endif
