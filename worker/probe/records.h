/*
 * records.h - rows of the ledger as JSON, the same from either kind of database.
 *
 * Both hand out what they have as text; the type of a column says what it becomes. A fact that is
 * not known is null and not absent.
 *
 * Runs in: probe.
 */
#ifndef PGBATON_WORKER_PROBE_RECORDS_H
#define PGBATON_WORKER_PROBE_RECORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum record_type {
    RECORD_TEXT,
    RECORD_INTEGER,
    RECORD_BOOLEAN, /* "t" or "1", or anything else for false */
    RECORD_MOMENT,  /* microseconds since 1970; becomes RFC 3339 in UTC */
    RECORD_LENGTH,  /* microseconds; becomes a number of seconds */
    RECORD_BYTES,   /* becomes base64 */
};

struct record_column {
    const char *name; /* the key of the object */
    enum record_type type;
    const char *sql; /* the same for both kinds of database: worker/probe/history.h */
};

/* record_value - a new reference; NULL: out of memory. text: NULL where the column is null; for
 * BYTES size bytes, for the others up to the NUL. */
json_t *record_value(enum record_type type, const char *text, size_t size);

/* What a row is made of. */
struct record {
    const struct record_column *columns;
    size_t count;
    bool encoded; /* bytes come as base64 already */
};

/* record_row - one object; cell gives the text of a column. NULL: out of memory. */
json_t *record_row(const struct record *record,
                   const char *(*cell)(void *ctx, size_t column, size_t *ret_size), void *ctx);

#endif
