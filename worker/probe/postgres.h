/*
 * postgres.h - the probe over PostgreSQL: one session, one question at a time.
 *
 * What is to be asked is a set of wants; whenever the session is idle the most
 * urgent one is sent. Private to probe_postgres.c and its helpers.
 *
 * Runs in: probe.
 */
#ifndef PGBATON_WORKER_PROBE_POSTGRES_H
#define PGBATON_WORKER_PROBE_POSTGRES_H

#include <stdbool.h>

#include "worker/database/lease.h"
#include "worker/database/session.h"
#include "worker/probe/look.h"
#include "worker/probe/probe.h"
#include "worker/probe/questions.h"
#include "worker/probe/records.h"
#include "worker/probe/stuck.h"

/* The most urgent first. */
enum want {
    WANT_FENCE,     /* stamp the end of our dead worker's term */
    WANT_GIVE,      /* give the seat back */
    WANT_TAKE,      /* ask for the seat */
    WANT_HEARTBEAT, /* of the seat */
    WANT_LISTEN,    /* hear of new terms, and be a session without a lease again */
    WANT_END,       /* end the session of pg->ending */
    WANT_BLOCKERS,  /* who blocks the ledger? */
    WANT_LOOK,
    WANT_NAME,   /* show our role */
    WANT_NOTIFY, /* wake the leader: there is a request */
    WANT_QUERY,  /* of the monitor */
    WANT_COUNT,
};
_Static_assert(WANT_COUNT <= 32, "the set of wants is one word");

enum { ENDINGS_MAX = 16 };

/* A session that is to be ended, and why. */
struct ending {
    int pid;
    char backend_start[STUCK_TEXT_MAX]; /* of a stuck holder; "": a blocker of .blocked */
    int blocked;                        /* pid of the ledger */
    const char *what;                   /* "leader", "heir", "blocker" */
    char application[64];
};

struct shell {
    struct probe *probe;
    struct session *session; /* NULL: not connected */
    bool ready;
    unsigned wants;
    enum want asking; /* valid while the session is asking */
    mono_ns asked_at;
    bool look_has_term; /* how the look that is under way was asked */

    bool leased; /* the server ends this session when it hears nothing for a lease */
    struct lease lease;
    bool slice_warned;

    bool schema_readable;
    bool
        term_failed; /* in this session: then it is tried again with the next look, and no sooner */
    struct look last;
    struct stuck_watch key_watch;
    struct stuck_watch seat_watch;
    struct stuck_opening opening;
    int blocked; /* WANT_BLOCKERS: pid of the ledger */
    struct ending endings[ENDINGS_MAX];
    size_t ending_count;

    struct session_name name; /* as the server shows it */
    struct message_fenced fenced;
    struct questions questions; /* of the monitor; the first one is being asked */
    struct record record;       /* what a row of its answer has */
    json_t *rows;               /* the pages that came so far; NULL: none */
};

/* postgres_want - ask that as soon as the session is idle. */
void postgres_want(struct shell *pg, enum want want);

/* postgres_lost - the session must not be used any more: close it and say why. */
void postgres_lost(struct shell *pg, enum end_reason reason, bool refused, const char *text);

/* In evict.c: sessions that keep the fleet from having a leader. */
void evict_stuck(struct shell *pg, const struct look *look, bool polls, mono_ns now);
void evict_blockers(struct shell *pg, int ledger_pid);
void evict_ask_blockers(struct shell *pg);
void evict_on_blockers(struct shell *pg, PGresult *result);
void evict_ask_end(struct shell *pg);
void evict_on_end(struct shell *pg, PGresult *result);

/* In query_postgres.c: what the monitor asks. */
void query_put(struct shell *pg, const struct message_query *query);
void query_drop_all(struct shell *pg); /* the database does not answer any more */
void query_ask(struct shell *pg);
void query_on_answer(struct shell *pg, PGresult *result);
void query_ask_notify(struct shell *pg);
void query_on_notify(struct shell *pg, PGresult *result);

/* postgres_ask - send the question of the present want. count and values as in session_ask(). */
void postgres_ask(struct shell *pg, const char *sql, int count, const char *const *values,
                  dur_ns limit);

/* postgres_ask_for_people - the same with one statement that nothing of the election waits for: it
 * may not cost the seat. */
void postgres_ask_for_people(struct shell *pg, const char *sql, int count,
                             const char *const *values);

/* The server ends a statement of the probe after 5 s: a silence of more than that is not the
 * server's. */
#define POSTGRES_LIMIT DUR_S(7)

#endif
