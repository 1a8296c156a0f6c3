/*
 * ledger_postgres_private.h - the ledger in the database from the inside:
 * ledger_postgres.c asks one question at a time and hands on what was said,
 * ledger_postgres_claim.c, _write.c and _read.c put the questions and
 * understand the answers, ledger_postgres_sql.c has the statements.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_LEDGER_POSTGRES_PRIVATE_H
#define PGBATON_WORKER_LEADER_LEDGER_POSTGRES_PRIVATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "worker/database/session.h"
#include "worker/database/sql_array.h"
#include "worker/leader/ledger.h"
#include "worker/leader/ledger_connection.h"

/* What a question of ours is about. */
enum ledger_matter {
    MATTER_LOAD,
    MATTER_CLAIM,
    MATTER_CLAIMED, /* which of these are ours? After a claim that was not granted as a whole */
    MATTER_WRITE,
    MATTER_REQUESTS,
    MATTER_PRUNE,
    MATTER_PRUNE_AGED,
    MATTER_COUNT,
    MATTER_NONE = MATTER_COUNT,
};

/* The parameters of a statement, until it is answered. */
struct ledger_parameters {
    int count;
    struct sql_array arrays[SESSION_PARAMETERS_MAX];
};

/* Claims by id, so that an answer finds its claim. */
struct claim_place {
    const char *id;
    size_t at; /* in the caller's array */
};

/* What was claimed, and what is known of it. */
struct ledger_claimed {
    const struct ledger_claim *claims; /* the caller's */
    size_t count;
    struct claim_place *places;    /* count of them, in the order of their ids; owned */
    enum ledger_verdict *verdicts; /* count of them; owned */
    wall_ns database_clock;
};

struct ledger_postgres {
    struct ledger ledger;
    struct ledger_connection *connection;
    bool begun;
    bool told_ready;           /* on_ready was called since the connection was lost last */
    bool prepared;             /* the statements are, in this session */
    bool outdated;             /* they are with limits that were changed since */
    dur_ns prepared_skew;      /* max_clock_skew as it stands in them */
    bool prepared_early;       /* that was tried in this session, before the term */
    bool prepared_anew;        /* for the present question, which found them gone */
    bool ascii_only;           /* the database cannot keep every character */
    enum ledger_matter matter; /* what is asked, or is to be; NONE: free */
    bool asking;               /* something is under way */
    bool unbuilt;              /* its parameters could not be: it fails soon */
    ev_timer soon;             /* what is to be told from the loop: a failure, or on_ready */
    struct ledger_parameters parameters;
    struct ledger_claimed claim;
    struct ledger_write write; /* the arrays are the caller's */
};

/* In ledger_postgres.c. ledger_postgres_failed - the question is over: tell, and be free. */
void ledger_postgres_failed(struct ledger_postgres *p, const char *text);
/* ledger_postgres_done - free again; before the answer is told. */
void ledger_postgres_done(struct ledger_postgres *p);
/* ledger_postgres_ask - this matter is next, with the parameters as they are. */
void ledger_postgres_ask(struct ledger_postgres *p, enum ledger_matter matter);

/* Each builds the parameters of its question, anew if there are any; 0 or -ENOMEM. */
int ledger_claim_build(struct ledger_postgres *p);
int ledger_write_build(struct ledger_postgres *p);
void ledger_claim_release(struct ledger_claimed *claim);

/* Each understands an answer of the right status, and tells. */
void ledger_claim_answered(struct ledger_postgres *p, const PGresult *result);
void ledger_claimed_answered(struct ledger_postgres *p, const PGresult *result);
void ledger_load_answered(struct ledger_postgres *p, const PGresult *result);
void ledger_requests_answered(struct ledger_postgres *p, const PGresult *result);

/* ledger_postgres_is_over - the first column of the first row says how often the election's row is
 * ours: true where it is not, and that was told. */
bool ledger_postgres_is_over(struct ledger_postgres *p, const PGresult *result);

/* ledger_parameters_release - forget them. ledger_parameters_add - one more, of that type.
 * ledger_parameters_finish - they are complete; 0 or -ENOMEM. */
void ledger_parameters_release(struct ledger_parameters *parameters);
struct sql_array *ledger_parameters_add(struct ledger_parameters *parameters, enum sql_type type);
int ledger_parameters_finish(struct ledger_parameters *parameters);
/* ledger_parameters_begin - none but the term's epoch, which all statements begin with. */
void ledger_parameters_begin(struct ledger_postgres *p);

/* A moment as the statements have it: microseconds, rounded down. 0 stands for none, as null. */
int64_t ledger_micros(wall_ns moment);
void ledger_add_moment(struct sql_array *a, wall_ns moment);
/* A schedule's hash: 16 hexadecimal digits. */
void ledger_add_hash(struct sql_array *a, uint64_t hash);
wall_ns ledger_moment(const PGresult *result, int row, int column);

/* ledger_postgres_prepare_sql - one simple-query message that prepares all the statements in a
 * session; anew, if we lead. Owned by the caller; NULL: out of memory. */
char *ledger_postgres_prepare_sql(const struct ledger_postgres *p, PGconn *connection);
/* ledger_postgres_simple_sql - MATTER_LOAD, the first question of a term, or MATTER_REQUESTS as
 * text. */
enum { LEDGER_SIMPLE_SQL_MAX = 160 };
void ledger_postgres_simple_sql(const struct ledger_postgres *p,
                                char ret_sql[LEDGER_SIMPLE_SQL_MAX]);
/* ledger_postgres_statement - the name of the statement of any other matter. */
const char *ledger_postgres_statement(enum ledger_matter matter);

#endif
