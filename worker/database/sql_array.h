/*
 * sql_array.h - an array as a parameter of a statement, in the server's binary
 * format: nothing in it needs to be quoted, and no length is looked for.
 *
 * Values are appended one after the other; when memory runs out the array says
 * so at the end. A text that is no UTF-8, or has characters that the database
 * cannot keep, would have the whole statement refused: bytes that are none are
 * replaced by '?', and on demand every character that is not ASCII.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_DATABASE_SQL_ARRAY_H
#define PGBATON_WORKER_DATABASE_SQL_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are the types' own, the same in every PostgreSQL. */
enum sql_type { SQL_BOOL = 16, SQL_BYTEA = 17, SQL_INT8 = 20, SQL_INT4 = 23, SQL_TEXT = 25 };

struct sql_array {
    enum sql_type type;
    char *bytes; /* header included; owned */
    size_t used;
    size_t size;
    uint32_t count;
    bool has_null;
    bool failed; /* out of memory, or too large */
};

void sql_array_init(struct sql_array *a, enum sql_type type);
void sql_array_release(struct sql_array *a);

void sql_array_add_null(struct sql_array *a);
void sql_array_add_text(struct sql_array *a, const char *text, bool ascii_only); /* NULL: null */
void sql_array_add_bytes(struct sql_array *a, const char *bytes, size_t length);
void sql_array_add_int4(struct sql_array *a, int32_t value);
void sql_array_add_int8(struct sql_array *a, int64_t value);
void sql_array_add_bool(struct sql_array *a, bool value);

/* sql_array_finish - write the header: bytes and used are the parameter now. 0 or -ENOMEM. */
int sql_array_finish(struct sql_array *a);

#endif
