/*
 * session.h - one connection to PostgreSQL, on the loop, checked and pinned
 * before it is used (DESIGN.md section 3, "The session").
 *
 * Opens asynchronously: tries the candidate addresses in turn, each at most
 * connect_timeout, and resolves a name only when its turn comes; compares PQbackendPID() with
 * pg_backend_pid() before any SET, so that a pooler is refused; refuses a server in recovery and
 * versions below 14; pins every setting that could end, block or change the session, in one
 * statement, and reads back what matters. Only then it is ready.
 *
 * Every connection has a notice receiver that keeps SQLSTATE and text: the
 * server's farewell is a notice, not a result.
 *
 * Runs in: probe and worker. Only the probe resolves names; the worker gives
 * an address, and libpq has nothing to resolve. Never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_SESSION_H
#define PGBATON_WORKER_DATABASE_SESSION_H

#include <ev.h>
#include <libpq-fe.h>
#include <stdbool.h>

#include "common/config.h"
#include "common/identity.h"

enum { SESSION_PARAMETERS_MAX = 48 };
enum session_purpose { SESSION_PROBE, SESSION_LOCK, SESSION_LEDGER };

enum session_failure {
    SESSION_CONNECT_FAILED, /* nobody answered, or the server said no (text has all of it) */
    SESSION_REFUSED, /* it answered, but must not be used: pooler, standby, version, settings */
    SESSION_ENDED,   /* it was ready, and is gone: end of file, error, time limit, farewell */
};

struct session; /* opaque; owned by whoever opened it, freed by session_close() */

struct session_events {
    void (*on_ready)(void *ctx);
    /* Called once, never from inside a session_…() call. The session stays
     * allocated, holds its socket until session_close(), and does nothing more. */
    void (*on_failed)(void *ctx, enum session_failure why, const char *text);
    void (*on_notify)(void *ctx, const char *channel, const char *payload); /* may be NULL */
    void (*on_resolve)(void *ctx); /* a name is resolved now, which may block; may be NULL */
    void *ctx;
};

struct session_options {
    const struct config *config; /* must outlive the session, until that is retired */
    enum session_purpose purpose;
    const char *role;                     /* in application_name: "follower", "lock", "ledger" */
    const struct server_address *address; /* NULL: the candidates of the dsn */
    dur_ns lock_timeout; /* LOCK: the slice; else 0 for the default of the purpose */
    /* What the address must turn out to be; all zero: anything. Another system or timeline is
     * refused. */
    struct server_identity expect;
};

/* session_open - begin. NULL: out of memory. The result comes by on_ready or on_failed. */
struct session *session_open(struct ev_loop *loop, const struct session_options *options,
                             const struct session_events *events);

/* What a ready session knows. */
struct server_address session_address(const struct session *s);
struct server_identity session_identity(const struct session *s);
int session_backend_pid(const struct session *s);
int session_server_version(const struct session *s); /* 150018 */
dur_ns session_slice(
    const struct session *s);                  /* min(80 % of deadlock_timeout, 800 ms, 80 % of
                                                  log_min_duration_statement) as read when it became ready */
PGconn *session_connection(struct session *s); /* NULL after a failure */

/*
 * session_ask - send one statement (or, without parameters, several in one
 * simple-query message) and call on_answer once with the last result, which
 * stays the session's. One question at a time: asserts that none is
 * outstanding. An error of the server is an answer too (PQresultStatus says):
 * on_failed comes only when the session is lost. limit: an answer that takes
 * longer ends the session (on_failed).
 */
void session_ask(struct session *s, const char *sql, int count, const char *const *values,
                 dur_ns limit, void (*on_answer)(void *ctx, PGresult *result), void *ctx);
/* session_ask_prepared - the same with a statement that was prepared in this session; its
 * parameters are in the binary format where their lengths are given. They may go once this returns.
 */
void session_ask_prepared(struct session *s, const char *statement, int count,
                          const char *const *values, const int *lengths, dur_ns limit,
                          void (*on_answer)(void *ctx, PGresult *result), void *ctx);
/* session_ask_within - session_ask() for one statement that the server ends by itself after that
 * time; the limit of the statements after it is what it was. */
void session_ask_within(struct session *s, dur_ns statement_limit, const char *sql, int count,
                        const char *const *values, dur_ns limit,
                        void (*on_answer)(void *ctx, PGresult *result), void *ctx);
/*
 * session_ask_pipelined - session_ask() for one statement without parameters, which may be asked
 * while one other that was asked so is not answered yet. The server carries them out one after the
 * other without waiting for us in between, each in a transaction of its own, whatever becomes of
 * the one before. The limit counts from the answer to that.
 */
void session_ask_pipelined(struct session *s, const char *sql, dur_ns limit,
                           void (*on_answer)(void *ctx, PGresult *result), void *ctx);
bool session_is_asking(const struct session *s);

/*
 * session_heartbeat - a bare Sync as the question: it takes no snapshot and is in no log, but
 * the server hears it. on_answer gets a result of status PGRES_PIPELINE_SYNC. For the probe's
 * seat; the lock session, once taken over, sends its own.
 */
void session_heartbeat(struct session *s, dur_ns limit,
                       void (*on_answer)(void *ctx, PGresult *result), void *ctx);

/*
 * session_take_over - for the lock session: the session stops watching the
 * socket and the caller reads from session_connection() itself (pipeline mode).
 */
void session_take_over(struct session *s);

/* session_last_notice - SQLSTATE and text of the last notice since the last answer ("" if none). */
const char *session_last_notice(const struct session *s);

/* session_set_role - change the ROLE word of application_name: text for a SET, to be sent with
 * session_ask. */
struct session_name {
    char is[64];
};
struct session_name session_application_name(const struct config *cfg, const char *role);

/* session_close - close the connection and free. Takes NULL. Sends Terminate; never waits. */
void session_close(struct session *s);

/*
 * session_retire - session_close(), a tenth of a second from now, where the session is ready and
 * nothing is outstanding on it: the end of a backend takes several milliseconds of the server's
 * time, which the next leader is to have first. Nothing is reported of it any more. Not for a
 * session that may hold what others wait for. session_close_retired - all that were retired, now.
 */
void session_retire(struct session *s);
void session_close_retired(void);

#endif
