/*
 * term_ledger_private.h - a term in the database from the inside: term_ledger.c
 * asks one question after the other, term_opening.c opens the term, with the look
 * at those before it on its heels.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_TERM_LEDGER_PRIVATE_H
#define PGBATON_WORKER_LEADER_TERM_LEDGER_PRIVATE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "common/timer.h"
#include "worker/leader/ledger_connection.h"
#include "worker/leader/retell.h"
#include "worker/leader/term.h"
#include "worker/leader/term_sql.h"

enum {
    SCHEMA_MAX = 160,  /* a quoted identifier of 63 bytes */
    LITERAL_MAX = 300, /* a quoted label */
};

/* In this order. */
enum wish { WISH_PREPARE, WISH_BEGIN, WISH_MARK, WISH_NOTIFY, WISH_STAMP, WISH_JOBS, WISH_COUNT };

struct term_ledger {
    struct term term;
    struct ledger_connection *ledger;
    bool wanted[WISH_COUNT];
    bool creates;  /* the schema is to be created next */
    bool created;  /* it was, or that was tried */
    bool prepared; /* the statements are, in this session */
    bool looks;    /* the term is open, and the answer to the look is on its way */
    bool known;    /* the row as it is stored: the next two */
    struct epoch stored;
    struct server_identity stored_server;
    unsigned changes;        /* of the row by others, between reading and writing it */
    struct retell retell;    /* WISH_JOBS: */
    struct timer jobs_again; /* is wished for again then; armed only after a failure */
    char schema[SCHEMA_MAX];
    char key_text[24];
};

const struct config *term_ledger_config(const struct term_ledger *l);

/* term_ledger_ask - one message without parameters; its answer comes before anything else is asked.
 */
void term_ledger_ask(struct term_ledger *l, const char *sql,
                     void (*on_answer)(void *ctx, PGresult *result));
/* term_ledger_ask_pipelined - the same with one statement: one more may be asked so before its
 * answer. */
void term_ledger_ask_pipelined(struct term_ledger *l, const char *sql,
                               void (*on_answer)(void *ctx, PGresult *result));
/* term_ledger_look - asked behind the opening: its answer counts where that wrote the term. */
void term_ledger_look(struct term_ledger *l);
/* term_ledger_grant - what was wished for is answered; what is wished for next follows by itself.
 */
void term_ledger_grant(struct term_ledger *l, enum wish wish);

/* term_ledger_said - one line of an error; the rest of what libpq makes of it is for a terminal. */
const char *term_ledger_said(const PGresult *result);
uint64_t term_ledger_number(const PGresult *result, int row, int column);

/* term_ledger_sql - all but what the caller must keep: the literals. */
struct term_sql term_ledger_sql(const struct term_ledger *l, char ret_name[LITERAL_MAX],
                                char ret_instance[LITERAL_MAX]);

/* term_opening_prepare - while the heir waits. term_opening_begin - the key is ours: the next step
 * towards the open term. term_opening_failed - it is not open; a printf format says why. */
void term_opening_prepare(struct term_ledger *l);
void term_opening_begin(struct term_ledger *l);
void term_opening_failed(struct term_ledger *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
