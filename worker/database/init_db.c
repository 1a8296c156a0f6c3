#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/control.h"
#include "supervisor/cli/commands.h"
#include "worker/database/connect.h"
#include "worker/database/init_db.h"
#include "worker/database/schema.h"

enum { ROLE_MAX = 64, VERSION_LEAST = 140000 };

struct init_options {
    bool print;
    const char *role; /* whom to grant the rights; NULL: the role of the dsn */
};

/* No password is in it: connect.h sees to that. */
static int complain(enum exit_code code, const char *text)
{
    char line[CONNECT_TEXT_MAX];

    connect_one_line(text, line, sizeof(line));
    (void)fprintf(stderr, "pgbaton init-db: %s\n", line);
    return (int)code;
}

static bool read_options(struct command_line *line, struct init_options *ret_options)
{
    struct init_options options = {0};

    for (int i = 0; i < line->argc; i++) {
        if (strcmp(line->argv[i], "--print") == 0) {
            options.print = true;
        } else if (strcmp(line->argv[i], "--role") == 0 && i + 1 < line->argc) {
            options.role = line->argv[++i];
        } else {
            bool alone = strcmp(line->argv[i], "--role") == 0;

            (void)usage_error("init-db", alone ? "wants a value for" : "does not know",
                              line->argv[i]);
            return false;
        }
        if (options.role != NULL && options.role[0] == '\0') {
            (void)usage_error("init-db", "the name of the role is empty", NULL);
            return false;
        }
    }
    *ret_options = options;
    return true;
}

/* Run by psql, each statement is a transaction of its own unless it is told otherwise. */
static void print_sql(const struct config *cfg, const char *create, const char *grants)
{
    (void)printf(
        "-- The tables of pgbaton, version %d, in schema %s. Running it again changes nothing.\n"
        "BEGIN;\nSET LOCAL client_min_messages = warning;\n\n%s\n",
        SCHEMA_VERSION, cfg->database.schema, create);
    (void)printf(
        "-- What the daemon needs besides CONNECT on the database. Nothing needs a superuser.\n"
        "%sCOMMIT;\n\n",
        grants);
    (void)printf(
        "-- Optional: anybody who can connect can take an advisory lock, and so can keep every "
        "instance\n"
        "-- from leading. Revoking the functions from PUBLIC prevents that. Before you do: "
        "migration\n"
        "-- tools (Flyway, Rails, Prisma and others) and job queues use them too and would then "
        "fail, and\n"
        "-- a superuser must do it, in this database, after each upgrade anew.\n"
        "--   REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_try_advisory_lock(bigint),\n"
        "--       pg_advisory_xact_lock(bigint), pg_try_advisory_xact_lock(bigint),\n"
        "--       pg_advisory_lock(integer, integer), pg_try_advisory_lock(integer, integer),\n"
        "--       pg_advisory_xact_lock(integer, integer), pg_try_advisory_xact_lock(integer, "
        "integer),\n"
        "--       pg_advisory_lock_shared(bigint), pg_try_advisory_lock_shared(bigint),\n"
        "--       pg_advisory_xact_lock_shared(bigint), pg_try_advisory_xact_lock_shared(bigint),\n"
        "--       pg_advisory_lock_shared(integer, integer), pg_try_advisory_lock_shared(integer, "
        "integer),\n"
        "--       pg_advisory_xact_lock_shared(integer, integer),\n"
        "--       pg_try_advisory_xact_lock_shared(integer, integer) FROM PUBLIC;\n"
        "-- and then grant to the daemon's role what it uses:\n"
        "--   GRANT EXECUTE ON FUNCTION pg_try_advisory_lock(bigint), "
        "pg_advisory_xact_lock(bigint),\n"
        "--       pg_try_advisory_lock(integer, integer), pg_advisory_xact_lock(integer, integer) "
        "TO ...;\n");
}

static int complain_of(const PGresult *result)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *said = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (code != NULL && strcmp(code, "42501") == 0) {
        (void)complain(EXIT_CODE_NOT_PERMITTED, said == NULL ? "not permitted" : said);
        (void)fprintf(stderr, "`pgbaton init-db --print` writes the SQL for a DBA to run\n");
        return EXIT_CODE_NOT_PERMITTED;
    }
    return complain(EXIT_CODE_FAILED, said == NULL ? PQresultErrorMessage(result) : said);
}

static int run_sql(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    int code = EXIT_CODE_DONE;

    if (PQstatus(conn) != CONNECTION_OK) {
        code = complain(EXIT_CODE_UNAVAILABLE, PQerrorMessage(conn));
    } else if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
        code = complain_of(result);
    }
    PQclear(result);
    return code;
}

/* A schema that a later version made is left as it is. */
static int check_server(PGconn *conn, const struct config *cfg)
{
    const char *values[] = {cfg->database.schema};
    int code = EXIT_CODE_DONE;
    unsigned version = 0;

    if (PQserverVersion(conn) < VERSION_LEAST) {
        return complain(EXIT_CODE_FAILED, "PostgreSQL 14 is the oldest that is supported");
    }
    PGresult *result =
        PQexecParams(conn,
                     "SELECT (SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM "
                     "pg_catalog.pg_namespace WHERE nspname = $1)",
                     1, NULL, values, NULL, NULL, 0);

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        code = complain_of(result);
    } else if (sscanf(PQgetvalue(result, 0, 0), "pgbaton schema %u", &version) == 1 &&
               version > SCHEMA_VERSION) {
        code = complain(EXIT_CODE_FAILED, "the schema was made by a later version of pgbaton");
    }
    PQclear(result);
    return code;
}

static int create(const struct config *cfg, const char *sql, const char *grants)
{
    char text[CONNECT_TEXT_MAX];
    PGconn *conn = connect_wait(cfg, "pgbaton init-db", text, sizeof(text));
    int code;

    if (conn == NULL) {
        return complain(EXIT_CODE_UNAVAILABLE, text);
    }
    /* "already exists, skipping" is what running it again is for. */
    code = run_sql(conn, "SET client_min_messages = warning");
    if (code == EXIT_CODE_DONE) {
        code = check_server(conn, cfg);
    }
    if (code == EXIT_CODE_DONE) {
        code = run_sql(conn, sql);
    }
    if (code == EXIT_CODE_DONE && grants != NULL) {
        code = run_sql(conn, grants);
    }
    if (code == EXIT_CODE_DONE) {
        (void)printf("schema %s is ready (version %d)\n", cfg->database.schema, SCHEMA_VERSION);
    }
    PQfinish(conn);
    return code;
}

static int init_db(const struct config *cfg, const struct init_options *options)
{
    char role[ROLE_MAX] = "";
    char text[CONNECT_TEXT_MAX] = "";
    int code;

    if (options->role == NULL && connect_user(cfg, role, sizeof(role), text, sizeof(text)) < 0) {
        return complain(EXIT_CODE_CONFIG, text);
    }
    char *sql = schema_create_sql(cfg);
    char *grants = schema_grant_sql(cfg, options->role != NULL ? options->role : role);

    if (sql == NULL || grants == NULL) {
        code = complain(EXIT_CODE_CONFIG, "the name of the schema or of the role is too long");
    } else if (options->print) {
        print_sql(cfg, sql, grants);
        code = EXIT_CODE_DONE;
    } else {
        /* The role of the dsn becomes the owner and needs no grants. */
        code = create(cfg, sql, options->role != NULL ? grants : NULL);
    }
    free(sql);
    free(grants);
    return code;
}

static int init_database(const struct config *cfg, const struct init_options *options)
{
    switch (cfg->database.kind) {
    case DATABASE_POSTGRES:
        return init_db(cfg, options);
    case DATABASE_SQLITE:
        if (options->print || options->role != NULL) {
            return complain(EXIT_CODE_USAGE, "--print and --role are for PostgreSQL: a SQLite "
                                             "file has no roles, and is made by this command");
        }
        return init_sqlite(cfg);
    case DATABASE_NONE:
        break;
    }
    return complain(EXIT_CODE_CONFIG, "the dsn of this configuration is none: no table is needed");
}

int command_init_db(struct command_line *line)
{
    struct init_options options;
    int code;

    if (!read_options(line, &options)) {
        return EXIT_CODE_USAGE;
    }
    struct config *cfg = cli_load(line);

    if (cfg == NULL) {
        return EXIT_CODE_CONFIG;
    }
    code = init_database(cfg, &options);
    config_free(cfg);
    return code;
}
