/*
 * sqlite_statement.h - one statement of SQLite's, made once and used again.
 *
 *     struct statement s = statement_of(db, &kept[READ], "SELECT a FROM t WHERE b = ?1");
 *     statement_text(&s, 1, "b");
 *     while (statement_next(&s)) { ... sqlite3_column_int64(s.handle, 0) ... }
 *     rc = statement_end(&s);
 *
 * What fails is remembered instead of being checked at each call: the calls that
 * follow do nothing, and statement_end() says it.
 *
 * Runs in: whoever has a SQLite file open. Never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_SQLITE_STATEMENT_H
#define PGBATON_WORKER_DATABASE_SQLITE_STATEMENT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"

struct statement {
    sqlite3_stmt *handle; /* the keeper's */
    int rc;               /* SQLITE_OK, or what went wrong */
};

/* statement_of - the one that is kept in *kept (sqlite3_finalize at the end), made where it is
 * NULL. */
struct statement statement_of(sqlite3 *db, sqlite3_stmt **kept, const char *sql);

/* The values of ?1, ?2, ...: texts and bytes must live until statement_end(); NULL stays NULL. */
void statement_text(struct statement *s, int parameter, const char *text);
void statement_bytes(struct statement *s, int parameter, const void *bytes, size_t length);
void statement_number(struct statement *s, int parameter, sqlite3_int64 number);
void statement_nothing(struct statement *s, int parameter);
/* A moment has microseconds, rounded down; statement_moment_if: NULL where it is 0, not known. */
void statement_moment(struct statement *s, int parameter, wall_ns moment);
void statement_moment_if(struct statement *s, int parameter, wall_ns moment);

/* statement_next - is there another row? */
bool statement_next(struct statement *s);

/* statement_end - SQLITE_OK, or the first thing that went wrong; ready to be used again. */
int statement_end(struct statement *s);

/* statement_run - carry it out to its end, and end it. */
int statement_run(struct statement *s);

/* Of the row: "" where it is NULL; 0 where it is. Texts live until the next row. */
const char *statement_read_text(const struct statement *s, int column);
wall_ns statement_read_moment(const struct statement *s, int column);

#endif
