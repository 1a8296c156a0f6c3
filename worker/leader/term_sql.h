/*
 * term_sql.h - the statements that write and read terms, as text: each is one
 * simple-query message. Runs in: worker. Asks nobody.
 *
 * Two of them are prepared while the heir waits, so that the moment of the
 * grant finds them parsed and planned, and the server's catalog caches warm.
 */
#ifndef PGBATON_WORKER_LEADER_TERM_SQL_H
#define PGBATON_WORKER_LEADER_TERM_SQL_H

#include "common/config.h"
#include "common/identity.h"

enum { TERM_SQL_MAX = 8192 };

struct term_sql {
    const struct config *config;
    const char *schema;   /* quoted, as a name */
    const char *name;     /* of the election, quoted, as a literal */
    const char *instance; /* the same of the label */
    uint64_t incarnation;
};

/*
 * term_sql_prepare - prepare and plan the opening and the look, then read what
 * is stored: the columns of term_sql_read() but the last. Writes nothing.
 */
void term_sql_prepare(const struct term_sql *s, char ret_sql[TERM_SQL_MAX]);

/* The columns of what is stored. */
enum term_sql_column {
    TERM_SQL_GENERATION,
    TERM_SQL_NUMBER,
    TERM_SQL_KEY,
    TERM_SQL_SYSTEM_ID,
    TERM_SQL_TIMELINE,
    TERM_SQL_VERSION, /* of the schema, by its comment; 0: it says none */
    TERM_SQL_STORED_COUNT,
    TERM_SQL_LOCK_SEEN = TERM_SQL_STORED_COUNT, /* 1: the key is held by that backend */
    TERM_SQL_READ_COUNT,
};

/* term_sql_read - make the election's row if there is none, then read it: one row. */
void term_sql_read(const struct term_sql *s, int lock_pid, char ret_sql[TERM_SQL_MAX]);

/*
 * term_sql_open - the prepared opening: commits epoch `next`, but only where
 * the row still says `stored` and the key is held by lock_pid. The answer's
 * number of rows is 1, or 0 where it does not.
 */
void term_sql_open(struct epoch stored, struct epoch next, int lock_pid,
                   struct server_identity server, uint64_t jobs_hash, char ret_sql[TERM_SQL_MAX]);

/* term_sql_look - the prepared look at the terms before that epoch, newest first, at most
 * TERM_SQL_LOOKED_MAX; columns as in on_looked() of term_ledger.c. */
enum { TERM_SQL_LOOKED_MAX = 16 };
void term_sql_look(struct epoch epoch, char ret_sql[TERM_SQL_MAX]);

/* term_sql_mark - close what the terms before that epoch left open. */
void term_sql_mark(const struct term_sql *s, struct epoch epoch, char ret_sql[TERM_SQL_MAX]);

/* term_sql_jobs - the jobs of the term's leader are others by now. */
void term_sql_jobs(const struct term_sql *s, struct epoch epoch, uint64_t jobs_hash,
                   char ret_sql[TERM_SQL_MAX]);

#endif
