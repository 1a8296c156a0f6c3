/*
 * session_private.h - a session from the inside: shared by session.c, which connects and
 * asks, and session_setup.c, which decides whether the server may be used.
 *
 * Runs in: probe and worker.
 */
#ifndef PGBATON_WORKER_DATABASE_SESSION_PRIVATE_H
#define PGBATON_WORKER_DATABASE_SESSION_PRIVATE_H

#include <stdbool.h>

#include "common/timer.h"
#include "worker/database/address.h"
#include "worker/database/connect.h"
#include "worker/database/session.h"

enum session_state {
    STATE_BEGINNING,   /* the hosts are not known yet; the timer is due at once */
    STATE_CONNECTING,  /* libpq works on the candidate */
    STATE_CHECKING,    /* is it the server itself, and a primary? Nothing was changed in it yet */
    STATE_PINNING,     /* the settings are on their way, and read back */
    STATE_IDENTIFYING, /* which cluster is it? */
    STATE_READY,
    STATE_TAKEN_OVER, /* somebody else reads from the socket */
    STATE_FAILED,     /* on_failed is due, or was called */
    STATE_RETIRED,    /* its owner has let it go; the timer closes it */
};

struct question {
    void (*on_answer)(void *ctx, PGresult *result); /* NULL: none is outstanding */
    void *ctx;
    PGresult *result; /* what came so far */
    bool pipelined;   /* its end is the answer to a Sync, not the first NULL */
    dur_ns limit;
};

struct session {
    struct ev_loop *loop;
    const struct config *config;
    enum session_purpose purpose;
    dur_ns lock_timeout;
    struct server_identity expect;
    struct session_name name;
    struct session_events events;

    enum session_state state;
    PGconn *conn; /* NULL between candidates */
    ev_io io;
    struct timer timer; /* the time limit of what is under way; in FAILED: on_failed is due */
    struct address_list names;
    size_t next_name;               /* the first one that was not resolved yet */
    struct address_list candidates; /* the addresses of the name before it */
    size_t at;                      /* the candidate that is tried, or in use */
    struct question question;
    struct question behind; /* asked before the answer to question: pipelined, both */
    unsigned identity_try;

    bool all_refused; /* no candidate merely failed to connect */
    enum session_failure failure;
    char text[CONNECT_TEXT_MAX];
    char notice[CONNECT_TEXT_MAX];

    struct server_identity identity;
    dur_ns slice;

    unsigned
        callbacks; /* how deep we are in our own watchers: session_close() waits for their end */
    bool closed;
    struct session *next_retired; /* in RETIRED */
};

/* session_set_up - connected: check the server, pin the settings, identify it; ends with
 * session_is_set_up() or one of the two below. */
void session_set_up(struct session *s);

/* In session.c. A question of the set-up may be several statements in one message; it is under the
 * candidate's own time limit. */
void session_set_up_ask(struct session *s, const char *sql,
                        void (*on_answer)(void *ctx, PGresult *result));
void session_is_set_up(struct session *s);
/* session_question_sent - s->question, or the one behind it, was given to libpq; 0: libpq did not
 * take it, and the connection is lost. */
void session_question_sent(struct session *s, int sent);
void session_candidate_failed(struct session *s, const char *text);
void session_candidate_refused(struct session *s, const char *text); /* it must not be used */

/* session_forget_retired - it is closed. */
void session_forget_retired(const struct session *s);

#endif
