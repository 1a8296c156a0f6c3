/* The ledger in a PostgreSQL of the test's own. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ledger_fixture.h"
#include "tests/support/text.h"
#include "worker/database/schema.h"

static void set_up(struct ledger_fixture *f)
{
    const struct config cfg = {.database = {.schema = "pgbaton"}};
    char *sql = schema_create_sql(&cfg);
    char *grants = schema_grant_sql(&cfg, "baton");

    server_start(&f->server, &f->dir, "server", NULL);
    f->admin = server_connect(&f->server, "fixture");
    server_do(f->admin, sql);
    server_do(f->admin, grants);
    server_do(f->admin, "SET search_path = pgbaton");
    free(sql);
    free(grants);
    (void)snprintf(f->dsn, sizeof(f->dsn), "host=%s port=%u dbname=%s user=baton", f->server.dir,
                   f->server.port, SERVER_DATABASE);
    (void)snprintf(f->address.host, sizeof(f->address.host), "%s", f->server.dir);
    (void)snprintf(f->address.port, sizeof(f->address.port), "%u", f->server.port);
}

static void tear_down(struct ledger_fixture *f)
{
    PQfinish(f->admin);
    server_stop(&f->server);
}

static void open_term(struct ledger_fixture *f, struct epoch epoch, uint64_t incarnation)
{
    char *sql = text_format("INSERT INTO election (name, key, generation, number, incarnation) "
                            "VALUES ('main', 1, %" PRIu64 ", %" PRIu64 ", '%016" PRIx64 "') "
                            "ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, "
                            "number = excluded.number, incarnation = excluded.incarnation",
                            epoch.generation, epoch.number, incarnation);

    server_do(f->admin, sql);
    free(sql);
}

static const char *scalar(struct ledger_fixture *f, const char *sql)
{
    static char value[65536];
    PGresult *result = PQexec(f->admin, sql);
    ExecStatusType status = PQresultStatus(result);
    bool some = status == PGRES_TUPLES_OK && PQntuples(result) > 0 && !PQgetisnull(result, 0, 0);

    cr_assert(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, "%s: %s", sql,
              PQresultErrorMessage(result));
    if (some) {
        (void)snprintf(value, sizeof(value), "%s", PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    return some ? value : NULL;
}

/* Returns when they are gone: one that was only asked to end may still get, and give, its answer.
 */
static void cut(struct ledger_fixture *f)
{
    (void)scalar(f, "SELECT count(pg_terminate_backend(pid, 40000)) FROM pg_stat_activity "
                    "WHERE application_name LIKE 'pgbaton ledger %'");
}

/* As where the disk is full: the statement fails, the session goes on. */
static void refuse_writes(struct ledger_fixture *f, bool refuse)
{
    server_do(f->admin, refuse
                            ? "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                              "RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$; "
                              "CREATE TRIGGER no BEFORE INSERT OR UPDATE OR DELETE ON run "
                              "EXECUTE FUNCTION no()"
                            : "DROP FUNCTION no() CASCADE");
}

const struct ledger_backend ledger_backend_postgres = {
    .set_up = set_up,
    .tear_down = tear_down,
    .open_term = open_term,
    .scalar = scalar,
    .cut = cut,
    .refuse_writes = refuse_writes,
    .micros = {"(extract(epoch FROM ", ") * 1000000)::bigint"},
    .hex = {"encode(", ", 'hex')"},
    .is_true = "t",
};
