/*
 * The opening of a term in the database. While the heir waits, everything is got ready: the
 * statements are planned, and the row that the present leader's term has left is known. Then the
 * grant costs one statement, which writes nothing if that row is another one by then; it is read
 * anew in that case, and the statement tried again. The look at the terms before is on its way
 * behind it, in a transaction of its own: it sees what this one has committed, and all that others
 * had before it got the row's lock.
 */
#include "worker/leader/term_ledger_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/database/schema.h"

/* While we hold the key nobody else should change the row at all. */
enum { CHANGES_MAX = 10 };

static bool has_state(const PGresult *result, const char *state)
{
    const char *got = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return got != NULL && strcmp(got, state) == 0;
}

void term_opening_failed(struct term_ledger *l, const char *format, ...)
{
    char text[REASON_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    term_ledger_grant(l, WISH_BEGIN);
    l->term.events.on_failed(l->term.events.ctx, text);
}

/* Somebody's transaction holds the row: say so, and try the next slice. */
static void blocked(struct term_ledger *l)
{
    int pid = session_backend_pid(ledger_connection_session(l->ledger));

    l->term.events.on_blocked(l->term.events.ctx, pid);
}

static void on_created(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;
    ExecStatusType status = PQresultStatus(result);

    if (has_state(result, "55P03")) { /* somebody else creates it, or uses what is to be changed */
        l->created = false;
        blocked(l);
        return;
    }
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        term_opening_failed(l,
                            "the schema %s cannot be created, or brought to version %d (run "
                            "`pgbaton init-db` as a role that may): %s",
                            l->schema, SCHEMA_VERSION, term_ledger_said(result));
        return;
    }
    log_info("schema_created", "schema=%s version=%d",
             log_text(term_ledger_config(l)->database.schema).is, SCHEMA_VERSION);
}

static void create_schema(struct term_ledger *l)
{
    char *sql = schema_create_sql(term_ledger_config(l));

    l->creates = false;
    l->created = true;
    if (sql == NULL) {
        term_opening_failed(l, "out of memory");
        return;
    }
    term_ledger_ask(l, sql, on_created);
    free(sql);
}

/* No table, no schema, or no column: an earlier version made it. */
static bool has_no_schema(const PGresult *result)
{
    return has_state(result, "42P01") || has_state(result, "3F000") || has_state(result, "42703");
}

static void opening_refused(struct term_ledger *l, const PGresult *result)
{
    if (has_state(result, "55P03")) {
        blocked(l);
    } else if (has_no_schema(result) && term_ledger_config(l)->database.create_schema &&
               !l->created) {
        l->creates = true; /* in its turn: behind the opening another question is outstanding */
    } else if (has_no_schema(result)) {
        term_opening_failed(
            l,
            "the tables of schema %s are missing or of another version: run `pgbaton init-db`: %s",
            l->schema, term_ledger_said(result));
    } else if (has_state(result, "42501")) {
        term_opening_failed(l, "not permitted (`pgbaton init-db --print` lists the rights): %s",
                            term_ledger_said(result));
    } else {
        term_opening_failed(l, "%s", term_ledger_said(result));
    }
}

/* False: no epoch can come after what is stored. */
static bool remember_stored(struct term_ledger *l, const PGresult *row)
{
    struct epoch stored;

    if (!takeover_read_number(PQgetvalue(row, 0, TERM_SQL_GENERATION), &stored.generation) ||
        !takeover_read_number(PQgetvalue(row, 0, TERM_SQL_NUMBER), &stored.number) ||
        !takeover_can_follow(stored)) {
        return false;
    }
    l->known = true;
    l->stored = stored;
    l->stored_server = (struct server_identity){
        .system_id = term_ledger_number(row, 0, TERM_SQL_SYSTEM_ID),
        .timeline = (uint32_t)term_ledger_number(row, 0, TERM_SQL_TIMELINE),
    };
    return true;
}

static bool has_row(const PGresult *result, int columns)
{
    return PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
           PQnfields(result) == columns;
}

static bool is_of_a_later_version(const PGresult *row)
{
    return strtoul(PQgetvalue(row, 0, TERM_SQL_VERSION), NULL, 10) > SCHEMA_VERSION;
}

/* Before the grant a failure is no matter: then it is tried again, and told. */
static void on_prepared(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    term_ledger_grant(l, WISH_PREPARE);
    l->prepared = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (has_row(result, TERM_SQL_STORED_COUNT) && !is_of_a_later_version(result)) {
        (void)remember_stored(l, result);
    }
    if (!l->prepared && l->wanted[WISH_BEGIN]) {
        opening_refused(l, result);
    }
}

void term_opening_prepare(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char instance[LITERAL_MAX];
    char sql[TERM_SQL_MAX];
    const struct term_sql about = term_ledger_sql(l, name, instance);

    l->known = false;
    term_sql_prepare(&about, sql);
    term_ledger_ask(l, sql, on_prepared);
}

static void on_read(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    if (!has_row(result, TERM_SQL_READ_COUNT)) {
        opening_refused(l, result);
        return;
    }
    if (is_of_a_later_version(result)) {
        term_opening_failed(l,
                            "the schema %s is of version %s, and this pgbaton knows them up to %d: "
                            "a later version of pgbaton uses it, upgrade this one",
                            l->schema, PQgetvalue(result, 0, TERM_SQL_VERSION), SCHEMA_VERSION);
        return;
    }
    if (strcmp(PQgetvalue(result, 0, TERM_SQL_KEY), l->key_text) != 0) {
        term_opening_failed(
            l,
            "election '%s' has the key %s in this database, and %s here: two services share "
            "the name; give this one another [election] name, or that key",
            term_ledger_config(l)->election.name, PQgetvalue(result, 0, TERM_SQL_KEY), l->key_text);
        return;
    }
    if (term_ledger_number(result, 0, TERM_SQL_LOCK_SEEN) != 1) {
        term_opening_failed(
            l,
            "the ledger's connection does not see the key held by backend %d: that session has "
            "ended, or this connection leads to another server",
            l->term.lock_pid);
        return;
    }
    if (!remember_stored(l, result)) {
        term_opening_failed(
            l, "election '%s' has the epoch %s.%s, after which none can come: somebody wrote it",
            term_ledger_config(l)->election.name, PQgetvalue(result, 0, TERM_SQL_GENERATION),
            PQgetvalue(result, 0, TERM_SQL_NUMBER));
        return;
    }
}

static void read_row(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char instance[LITERAL_MAX];
    char sql[TERM_SQL_MAX];
    const struct term_sql about = term_ledger_sql(l, name, instance);

    term_sql_read(&about, l->term.lock_pid, sql);
    term_ledger_ask(l, sql, on_read);
}

static void on_committed(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        opening_refused(l, result);
        return;
    }
    if (strcmp(PQcmdTuples(result), "1") != 0) { /* it is not as we knew it: nothing was written */
        if (++l->changes == CHANGES_MAX) {
            term_opening_failed(
                l, "the row of election '%s' was changed by others each time that it was read",
                term_ledger_config(l)->election.name);
            return;
        }
        l->known = false;
        return;
    }
    term_ledger_grant(l, WISH_BEGIN);
    l->looks = true;
    l->term.events.on_opened(l->term.events.ctx, l->term.epoch);
}

static void write_term(struct term_ledger *l)
{
    char sql[TERM_SQL_MAX];

    l->term.epoch = term_next(&l->term, l->stored, l->stored_server);
    term_sql_open(l->stored, l->term.epoch, l->term.lock_pid, l->term.options.server,
                  l->term.jobs_hash, sql);
    term_ledger_ask_pipelined(l, sql, on_committed);
    term_ledger_look(l);
}

void term_opening_begin(struct term_ledger *l)
{
    if (l->creates) {
        create_schema(l);
    } else if (!l->prepared) {
        term_opening_prepare(l);
    } else if (!l->known) {
        read_row(l);
    } else {
        write_term(l);
    }
}
