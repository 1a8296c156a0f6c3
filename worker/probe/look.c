#include "worker/probe/look.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/database/schema.h"

enum { SUB_KEY = 1, SUB_SEAT = 2 }; /* objsubid: one bigint, two integers */

enum column {
    COLUMN_SUB,
    COLUMN_PID,
    COLUMN_APPLICATION,
    COLUMN_BACKEND_START,
    COLUMN_STATE_CHANGE,
    COLUMN_OWN_ROLE,
    COLUMN_CLOCK, /* microseconds */
    COLUMN_READABLE,
    COLUMN_GENERATION, /* from here on with_term only */
    COLUMN_NUMBER,
    COLUMN_INCARNATION,
    COLUMN_INSTANCE,
    COLUMN_TERM_PID,
    COLUMN_TERM_START,
    COLUMN_LEASE_MS,
    COLUMN_ENDED,
    COLUMN_JOBS,
    COLUMN_COUNT,
};

/* The catalogs are asked, not to_regclass(): that raises an error where the schema may not be used.
 */
#define READABLE_SQL                                                                               \
    "(SELECT count(*) = 2 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "          \
    "WHERE n.nspname = %s AND c.relname IN ('election', 'term') "                                  \
    "AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))"

static const char term_columns[] =
    ", t.generation, t.number, t.incarnation, t.instance, t.backend_pid, t.backend_start::text, "
    "t.lease_ms, t.ended_at IS NOT NULL, e.jobs_hash";

int look_sql(const struct config *cfg, bool with_term, char *ret_sql, size_t size)
{
    char schema[160];
    char literal[160];
    char readable[512] = "true";
    char joins[768] = "";
    uint64_t key = (uint64_t)cfg->election.key;
    int length;

    if (schema_quote(cfg, schema, sizeof(schema)) < 0 ||
        schema_quote_literal(with_term ? cfg->election.name : cfg->database.schema, literal,
                             sizeof(literal)) < 0) {
        return -ERANGE;
    }
    if (with_term) {
        (void)snprintf(
            joins, sizeof(joins),
            " LEFT JOIN %s.election e ON e.name = %s LEFT JOIN %s.term t ON "
            "t.election = e.name AND t.generation = e.generation AND t.number = e.number",
            schema, literal, schema);
    } else {
        (void)snprintf(readable, sizeof(readable), READABLE_SQL, literal);
    }
    /* The two rows on the left are always there, and so the clock is. */
    length = snprintf(
        ret_sql, size,
        "SELECT s.sub, l.pid, a.application_name, a.backend_start::text, a.state_change::text, "
        "a.usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user), "
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %s%s "
        "FROM (VALUES (%d), (%d)) AS s(sub) "
        "LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = s.sub "
        "AND l.classid = %u::oid AND l.objid = %u::oid "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "LEFT JOIN pg_stat_activity a ON a.pid = l.pid%s",
        readable, with_term ? term_columns : "", SUB_KEY, SUB_SEAT, (unsigned)(key >> 32),
        (unsigned)(key & UINT32_MAX), joins);
    return length < 0 || (size_t)length >= size ? -ERANGE : 0;
}

static int integer(const PGresult *rows, int row, enum column column)
{
    return (int)strtol(PQgetvalue(rows, row, (int)column), NULL, 10);
}

static void copy(const PGresult *rows, int row, enum column column, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%s", PQgetvalue(rows, row, (int)column));
}

static bool is_true(const PGresult *rows, int row, enum column column)
{
    return strcmp(PQgetvalue(rows, row, (int)column), "t") == 0;
}

/* Shared holders of the key are several rows: the first one is shown. */
static void read_holder(const PGresult *rows, int row, struct look_holder *holder)
{
    if (holder->session.pid != 0 || PQgetisnull(rows, row, COLUMN_PID)) {
        return;
    }
    holder->session.pid = integer(rows, row, COLUMN_PID);
    copy(rows, row, COLUMN_APPLICATION, holder->application, sizeof(holder->application));
    copy(rows, row, COLUMN_BACKEND_START, holder->session.backend_start,
         sizeof(holder->session.backend_start));
    copy(rows, row, COLUMN_STATE_CHANGE, holder->session.state_change,
         sizeof(holder->session.state_change));
    holder->own_role = is_true(rows, row, COLUMN_OWN_ROLE);
}

static void read_term(const PGresult *rows, struct look_term *term)
{
    if (PQgetisnull(rows, 0, COLUMN_NUMBER)) {
        return;
    }
    term->known = true;
    term->epoch.generation = strtoull(PQgetvalue(rows, 0, COLUMN_GENERATION), NULL, 10);
    term->epoch.number = strtoull(PQgetvalue(rows, 0, COLUMN_NUMBER), NULL, 10);
    term->incarnation = strtoull(PQgetvalue(rows, 0, COLUMN_INCARNATION), NULL, 16);
    copy(rows, 0, COLUMN_INSTANCE, term->instance, sizeof(term->instance));
    term->backend_pid = integer(rows, 0, COLUMN_TERM_PID);
    copy(rows, 0, COLUMN_TERM_START, term->backend_start, sizeof(term->backend_start));
    term->lease = DUR_MS(strtoll(PQgetvalue(rows, 0, COLUMN_LEASE_MS), NULL, 10));
    term->ended = is_true(rows, 0, COLUMN_ENDED);
    term->jobs_hash = strtoull(PQgetvalue(rows, 0, COLUMN_JOBS), NULL, 16);
}

bool look_read(const PGresult *rows, bool with_term, int witness_pid, struct look *ret_look)
{
    struct look look = {0};
    int columns = with_term ? COLUMN_COUNT : COLUMN_GENERATION;

    if (PQresultStatus(rows) != PGRES_TUPLES_OK || PQntuples(rows) < 2 ||
        PQnfields(rows) != columns) {
        return false;
    }
    look.database_clock = DUR_US(strtoll(PQgetvalue(rows, 0, COLUMN_CLOCK), NULL, 10));
    look.schema_readable = is_true(rows, 0, COLUMN_READABLE);
    for (int row = 0; row < PQntuples(rows); row++) {
        bool key = integer(rows, row, COLUMN_SUB) == SUB_KEY;

        read_holder(rows, row, key ? &look.key : &look.seat);
        look.witness_holds |=
            key && witness_pid > 0 && integer(rows, row, COLUMN_PID) == witness_pid;
    }
    if (with_term) {
        read_term(rows, &look.term);
    }
    *ret_look = look;
    return true;
}

bool look_is_of_term(const struct look_term *term, const struct stuck_sight *holder)
{
    return term->known && holder->pid > 0 && term->backend_pid == holder->pid &&
           term->backend_start[0] != '\0' &&
           strcmp(term->backend_start, holder->backend_start) == 0;
}

bool look_is_holder(const struct look_term *term, const struct stuck_sight *holder)
{
    return !term->ended && look_is_of_term(term, holder);
}

enum holder_kind look_kind(const struct look *look, uint64_t incarnation, int lock_pid)
{
    static const char ours[] = "pgbaton lock ";
    const struct stuck_sight *holder = &look->key.session;

    if (holder->pid == 0) {
        return HOLDER_NOBODY;
    }
    if (lock_pid > 0 && look->witness_holds) {
        return HOLDER_OURS;
    }
    if (look_is_holder(&look->term, holder)) {
        return look->term.incarnation == incarnation ? HOLDER_OURS : HOLDER_PGBATON;
    }
    /* Granted a moment ago and its term not open yet, or a table that we may not read. */
    if (strncmp(look->key.application, ours, sizeof(ours) - 1) == 0) {
        return HOLDER_PGBATON;
    }
    return HOLDER_FOREIGN;
}

enum unserved_sight look_unserved(const struct look *look, enum holder_kind kind,
                                  uint64_t jobs_hash)
{
    if (kind == HOLDER_OURS) {
        return UNSERVED_NONE;
    }
    if (kind != HOLDER_PGBATON || !look_is_holder(&look->term, &look->key.session)) {
        return UNSERVED_UNKNOWN;
    }
    return jobs_hash == 0 || look->term.jobs_hash == jobs_hash ? UNSERVED_NONE : UNSERVED_SOME;
}
