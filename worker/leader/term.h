/*
 * term.h - the record of a term: opened after the grant, looked at together
 * with the terms before it, stamped at its end. Kept in the database
 * (term_ledger.c), in PATH.term (term_file.c), or nowhere (term_none.c).
 *
 * Opened for one campaign, closed after it. Runs in: worker. Events come from
 * the loop, never from inside a term_…() call, and must not close the term.
 */
#ifndef PGBATON_WORKER_LEADER_TERM_H
#define PGBATON_WORKER_LEADER_TERM_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/identity.h"
#include "worker/leader/takeover.h"

struct ledger;

struct term_options {
    const struct config *config; /* must outlive the term */
    struct ledger *ledger; /* must outlive the term, which uses its connection, if it has one */
    struct server_identity server; /* what it must be; since term_begin(), what it is */
    struct epoch seen;             /* the latest that this instance has seen; 0.0: none */
    uint64_t incarnation;
    uint64_t jobs_hash; /* config_jobs_hash() of the jobs that are to run */
};

struct term_events {
    void (*on_opened)(void *ctx, struct epoch epoch); /* committed */
    /* It is not open, or nobody can tell. text says why, and what would help. */
    void (*on_failed)(void *ctx, const char *text);
    /* Other transactions hold the election's row; it goes on being tried. */
    void (*on_blocked)(void *ctx, int ledger_pid);
    /* After on_opened: what do the terms before ask for? Read by a statement after the commit;
     * where that cannot be had, the answer is one full lease. */
    void (*on_looked)(void *ctx, struct takeover takeover);
    void (*on_stamped)(void *ctx); /* or it cannot be */
    void *ctx;
};

struct term;
struct term_kind {
    void (*begin)(struct term *t);
    void (*announce)(struct term *t);
    void (*stamp)(struct term *t);
    void (*jobs)(struct term *t);  /* NULL: there is nobody to tell */
    void (*close)(struct term *t); /* frees t */
};

/* The part that all kinds have in common, first in their own struct. */
struct term {
    const struct term_kind *kind;
    struct term_events events;
    struct ev_loop *loop;
    struct term_options options;
    int lock_pid;       /* since term_begin() */
    struct epoch epoch; /* since on_opened */
    uint64_t jobs_hash; /* config_jobs_hash() of the jobs that run */
    const char *ended_as;
    const char *end_reason;
    bool key_held;  /* since term_stamp() */
    bool tail_lost; /* since term_next() */
};

/* term_open - get ready. NULL: out of memory. */
struct term *term_open(struct ev_loop *loop, const struct term_options *options,
                       const struct term_events *events);

/* term_begin - the key was granted to this backend (0: none) of that server: write the next term,
 * and look at those before it. */
void term_begin(struct term *t, int lock_pid, struct server_identity server);

/* term_announce - close what the terms before left open, tell the followers; failures are only
 * logged. */
void term_announce(struct term *t);

/* term_stamp - write the end: ended_as "released" or "lost", end_reason a word; both are not
 * copied. key_held: the key is still ours, so no later term can be open. */
void term_stamp(struct term *t, const char *ended_as, const char *end_reason, bool key_held);

/* term_jobs - the leader has other jobs now, of this hash: let the followers know. A failure is
 * only logged, and it is tried again. */
void term_jobs(struct term *t, uint64_t hash);

void term_close(struct term *t); /* takes NULL */

/* term_next - for the kinds: the epoch to open after the one that is stored, which a server of that
 * identity opened, and after all that this instance has seen. */
struct epoch term_next(struct term *t, struct epoch stored, struct server_identity stored_server);

/* term_rules - how the configuration says to wait. */
struct takeover_rules term_rules(const struct term *t);

/* The kinds, for term_open() alone. */
struct term *term_ledger_new(void);
struct term *term_file_new(void);
struct term *term_none_new(void);
void term_ledger_start(struct term *t);
void term_file_start(struct term *t);
void term_none_start(struct term *t);

#endif
