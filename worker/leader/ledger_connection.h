/*
 * ledger_connection.h - the ledger's connection: opened with the campaign, so that the
 * grant finds it ready, and opened again, with back-off, when it is lost.
 *
 * Two ask on it, one question at a time (but those that are pipelined): when an answer has been
 * handled and nothing is outstanding, the
 * next is the term's if it has one, and else the runs'. The backend of a session
 * that was lost is ended before the next session is asked anything, so that
 * nothing that was asked of it is carried out later.
 *
 * Runs in: worker. Logs only that it is lost, that it is there again, and that
 * such a backend was ended.
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

/* Who asks, in the order in which they may. */
enum ledger_asker { LEDGER_ASKER_TERM, LEDGER_ASKER_RUNS, LEDGER_ASKER_COUNT };

struct ledger_connection_events {
    void (*on_ready)(void *ctx); /* a new session: nothing is prepared in it. on_turn follows. */
    /* Nothing is outstanding: ask what is wanted next, or nothing. */
    void (*on_turn)(void *ctx);
    /* An attempt to connect failed, or the connection is lost with whatever was asked on it. It is
     * tried again without being told. */
    void (*on_down)(void *ctx, const char *text);
    void *ctx;
};

struct ledger_question {
    const char *sql;
    bool prepared;  /* sql is the name of a statement that was prepared in this session */
    bool pipelined; /* without parameters: another such question may be asked before its answer */
    int count;      /* of its parameters; without any, sql may be several statements */
    const char *const *values;
    const int *lengths; /* NULL: the parameters are text; else binary. Prepared ones only. */
    void (*on_answer)(void *ctx, PGresult *result);
};

/* ledger_connection_open - begin to connect. config must outlive it. NULL: out of memory. */
struct ledger_connection *ledger_connection_open(struct ev_loop *loop, const struct config *config,
                                                 const struct server_address *address,
                                                 const struct server_identity *expect,
                                                 uint64_t seed);

/* ledger_connection_attach - from now on this one is told, and may ask. on_ready comes at once
 * where it is ready already. ledger_connection_detach - an answer that is outstanding is dropped.
 */
void ledger_connection_attach(struct ledger_connection *c, enum ledger_asker who,
                              const struct ledger_connection_events *events);
void ledger_connection_detach(struct ledger_connection *c, enum ledger_asker who);

/* ledger_connection_session - NULL while there is none. */
struct session *ledger_connection_session(const struct ledger_connection *c);

/* ledger_connection_proceed - somebody wants something: whose turn is it? Nothing happens while a
 * question is outstanding, or an answer is handled: then it follows. */
void ledger_connection_proceed(struct ledger_connection *c);

/* ledger_connection_ask - only in on_turn, or from the handler of an answer to go on with the same;
 * nothing else may be outstanding, but one that is pipelined before one that is. The question, and
 * what it points to, may go once this returns. */
void ledger_connection_ask(struct ledger_connection *c, enum ledger_asker who,
                           const struct ledger_question *question);

/* ledger_connection_hurry - somebody waits: do not sit out the back-off. */
void ledger_connection_hurry(struct ledger_connection *c);

/* ledger_connection_close - takes NULL. Not from inside an event or an answer. */
void ledger_connection_close(struct ledger_connection *c);

#endif
