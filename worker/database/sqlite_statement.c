#include "worker/database/sqlite_statement.h"

#include <limits.h>

struct statement statement_of(sqlite3 *db, sqlite3_stmt **kept, const char *sql)
{
    struct statement s = {.rc = SQLITE_OK};

    if (*kept == NULL) {
        s.rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL);
    }
    s.handle = *kept;
    return s;
}

static void remember(struct statement *s, int rc)
{
    if (s->rc == SQLITE_OK) {
        s->rc = rc;
    }
}

void statement_text(struct statement *s, int parameter, const char *text)
{
    if (s->rc == SQLITE_OK) {
        remember(s, sqlite3_bind_text(s->handle, parameter, text, -1, SQLITE_STATIC));
    }
}

void statement_bytes(struct statement *s, int parameter, const void *bytes, size_t length)
{
    if (length == 0) {
        statement_nothing(s, parameter);
    } else if (length > INT_MAX) {
        remember(s, SQLITE_TOOBIG);
    } else if (s->rc == SQLITE_OK) {
        remember(s, sqlite3_bind_blob(s->handle, parameter, bytes, (int)length, SQLITE_STATIC));
    }
}

void statement_number(struct statement *s, int parameter, sqlite3_int64 number)
{
    if (s->rc == SQLITE_OK) {
        remember(s, sqlite3_bind_int64(s->handle, parameter, number));
    }
}

void statement_nothing(struct statement *s, int parameter)
{
    if (s->rc == SQLITE_OK) {
        remember(s, sqlite3_bind_null(s->handle, parameter));
    }
}

void statement_moment(struct statement *s, int parameter, wall_ns moment)
{
    wall_ns whole = moment / DUR_US(1);

    statement_number(s, parameter, moment % DUR_US(1) < 0 ? whole - 1 : whole);
}

void statement_moment_if(struct statement *s, int parameter, wall_ns moment)
{
    if (moment == 0) {
        statement_nothing(s, parameter);
    } else {
        statement_moment(s, parameter, moment);
    }
}

bool statement_next(struct statement *s)
{
    if (s->rc != SQLITE_OK) {
        return false;
    }
    int rc = sqlite3_step(s->handle);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        s->rc = rc;
    }
    return rc == SQLITE_ROW;
}

int statement_end(struct statement *s)
{
    if (s->handle != NULL) {
        (void)sqlite3_reset(s->handle); /* says again what the last step said */
        (void)sqlite3_clear_bindings(s->handle);
    }
    return s->rc;
}

int statement_run(struct statement *s)
{
    while (statement_next(s)) {
    }
    return statement_end(s);
}

const char *statement_read_text(const struct statement *s, int column)
{
    const unsigned char *text = sqlite3_column_text(s->handle, column);

    return text == NULL ? "" : (const char *)text;
}

/* Beyond what we can count, which nobody but somebody's own hand writes, is as far as we can. */
wall_ns statement_read_moment(const struct statement *s, int column)
{
    sqlite3_int64 micros = sqlite3_column_int64(s->handle, column);

    if (micros > WALL_NEVER / DUR_US(1)) {
        return WALL_NEVER;
    }
    if (micros < -(WALL_NEVER / DUR_US(1))) {
        return -WALL_NEVER;
    }
    return micros * DUR_US(1);
}
