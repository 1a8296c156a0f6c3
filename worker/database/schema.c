#include "worker/database/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 63 }; /* NAMEDATALEN - 1 */

/*
 * $S stands for the quoted name of the schema. One simple-query message is one
 * transaction: all of it, or nothing.
 *
 * The advisory lock, in the two-integer form, keeps two creators apart (IF NOT
 * EXISTS does not: both may see nothing, and one then fails); it ends with the
 * transaction. The numbers spell "pgba" and "tons".
 *
 * CREATE SCHEMA IF NOT EXISTS asks for the right to create before it looks, so
 * a schema that a DBA made for us is looked for first.
 */
/* clang-format off */
static const char create_sql[] =
    "DO $pgbaton_do$ BEGIN\n"
    "    PERFORM pg_catalog.pg_advisory_xact_lock(1885823585, 1953459827);\n"
    "    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace\n"
    "                   WHERE nspname = $L) THEN\n"
    "        CREATE SCHEMA $S;\n"
    "    END IF;\n"
    "END $pgbaton_do$;\n"
    "\n"
    "-- One row an election. Whoever opens a term updates it; whoever claims or asserts takes it FOR SHARE.\n"
    "CREATE TABLE IF NOT EXISTS $S.election (\n"
    "    name        text PRIMARY KEY,\n"
    "    key         bigint NOT NULL,\n"
    "    generation  bigint NOT NULL DEFAULT 0,\n"
    "    number      bigint NOT NULL DEFAULT 0,\n"
    "    incarnation text,\n"
    "    instance    text,\n"
    "    system_id   text,\n"
    "    timeline    integer,\n"
    "    jobs_hash   text\n"
    ");\n"
    "\n"
    "-- The history of leadership.\n"
    "CREATE TABLE IF NOT EXISTS $S.term (\n"
    "    election      text NOT NULL,\n"
    "    generation    bigint NOT NULL,\n"
    "    number        bigint NOT NULL,\n"
    "    incarnation   text NOT NULL,\n"
    "    instance      text NOT NULL,\n"
    "    backend_pid   integer NOT NULL,\n"
    "    backend_start timestamptz,\n"
    "    system_id     text,\n"
    "    timeline      integer,\n"
    "    lease_ms      bigint NOT NULL,\n"
    "    heartbeat_ms  bigint NOT NULL,\n"
    "    loss_grace_ms bigint NOT NULL,\n"
    "    started_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),\n"
    "    ended_at      timestamptz,\n"
    "    ended_as      text,\n"
    "    end_reason    text,\n"
    "    PRIMARY KEY (election, generation, number)\n"
    ");\n"
    "\n"
    "-- Who leads, by the last term of each election; holds_key says whether its session is still there.\n"
    "CREATE OR REPLACE VIEW $S.leader AS\n"
    "    SELECT t.election, t.generation || '.' || t.number AS epoch, t.instance, t.incarnation,\n"
    "           t.backend_pid, t.backend_start, t.started_at,\n"
    "           EXISTS (SELECT FROM pg_catalog.pg_locks l\n"
    "                   WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted\n"
    "                     AND l.pid = t.backend_pid\n"
    "                     AND l.database = (SELECT oid FROM pg_catalog.pg_database\n"
    "                                       WHERE datname = pg_catalog.current_database())\n"
    "                     AND l.classid::bigint = (e.key >> 32) & 4294967295\n"
    "                     AND l.objid::bigint = e.key & 4294967295) AS holds_key\n"
    "    FROM $S.election e\n"
    "    JOIN $S.term t ON t.election = e.name AND t.generation = e.generation AND t.number = e.number\n"
    "    WHERE t.ended_at IS NULL;\n"
    "\n"
    "-- assert_leader('main/1.7'): holds that epoch until the caller's transaction ends, or raises PB001.\n"
    "-- The term is looked at by a later statement than the one that takes the row, so that it is seen\n"
    "-- as it is after the wait for the row.\n"
    "CREATE OR REPLACE FUNCTION $S.assert_leader(who text) RETURNS void\n"
    "    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $pgbaton_fn$\n"
    "DECLARE\n"
    "    part text[] := regexp_match(who, '^(.+)/(\\d{1,18})\\.(\\d{1,18})$');\n"
    "BEGIN\n"
    "    IF part IS NULL THEN\n"
    "        RAISE EXCEPTION '\"%\" does not name an epoch, such as main/1.7', who USING ERRCODE = 'PB001';\n"
    "    END IF;\n"
    "    PERFORM FROM $S.election e\n"
    "        WHERE e.name = part[1] AND e.generation = part[2]::bigint AND e.number = part[3]::bigint\n"
    "        FOR SHARE;\n"
    "    IF NOT FOUND THEN\n"
    "        RAISE EXCEPTION 'epoch % is over', who USING ERRCODE = 'PB001';\n"
    "    END IF;\n"
    "    PERFORM FROM $S.term t\n"
    "        WHERE t.election = part[1] AND t.generation = part[2]::bigint\n"
    "          AND t.number = part[3]::bigint AND t.ended_at IS NULL;\n"
    "    IF NOT FOUND THEN\n"
    "        RAISE EXCEPTION 'epoch % is over', who USING ERRCODE = 'PB001';\n"
    "    END IF;\n"
    "END $pgbaton_fn$;\n"
    "REVOKE ALL ON FUNCTION $S.assert_leader(text) FROM PUBLIC;\n"
    "\n"
    "COMMENT ON SCHEMA $S IS 'pgbaton schema 1';\n";

static const char grant_sql[] =
    "GRANT USAGE ON SCHEMA $S TO $R;\n"
    "GRANT SELECT, INSERT, UPDATE ON $S.election TO $R;\n"
    "GRANT SELECT, INSERT, UPDATE, DELETE ON $S.term TO $R;\n"
    "GRANT SELECT ON $S.leader TO $R;\n"
    "GRANT EXECUTE ON FUNCTION $S.assert_leader(text) TO $R;\n";
/* clang-format on */

_Static_assert(SCHEMA_VERSION == 1, "the comment on the schema says so too");

/* NAME in marks, each mark inside doubled. */
static int quote(const char *name, char mark, char *ret_quoted, size_t size)
{
    size_t used = 0;

    if (strlen(name) * 2 + 3 > size) {
        return -ERANGE;
    }
    ret_quoted[used++] = mark;
    for (const char *c = name; *c != '\0'; c++) {
        ret_quoted[used++] = *c;
        if (*c == mark) {
            ret_quoted[used++] = mark;
        }
    }
    ret_quoted[used++] = mark;
    ret_quoted[used] = '\0';
    return 0;
}

static int quote_name(const char *name, char *ret_name, size_t size)
{
    if (*name == '\0' || strlen(name) > NAME_BYTES_MAX) {
        return -ERANGE;
    }
    return quote(name, '"', ret_name, size);
}

int schema_quote(const struct config *cfg, char *ret_name, size_t size)
{
    return quote_name(cfg->database.schema, ret_name, size);
}

int schema_quote_literal(const char *text, char *ret_literal, size_t size)
{
    return quote(text, '\'', ret_literal, size);
}

/* Writes sql with $S, $L (the schema as a literal) and $R filled in. Other dollars stay. */
static char *fill_in(const char *sql, const char *schema, const char *literal, const char *role)
{
    char *filled = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&filled, &size);

    if (to == NULL) {
        return NULL;
    }
    for (const char *c = sql; *c != '\0'; c++) {
        const char *value = NULL;

        if (*c == '$') {
            value = c[1] == 'S' ? schema : c[1] == 'L' ? literal : c[1] == 'R' ? role : NULL;
        }
        if (value != NULL) {
            (void)fputs(value, to);
            c++;
        } else {
            (void)fputc(*c, to);
        }
    }
    if (fclose(to) != 0) {
        free(filled);
        return NULL;
    }
    return filled;
}

char *schema_create_sql(const struct config *cfg)
{
    char schema[2 * NAME_BYTES_MAX + 3];
    char literal[2 * sizeof(schema) + 3];

    if (schema_quote(cfg, schema, sizeof(schema)) < 0 ||
        quote(cfg->database.schema, '\'', literal, sizeof(literal)) < 0) {
        return NULL;
    }
    return fill_in(create_sql, schema, literal, "");
}

char *schema_grant_sql(const struct config *cfg, const char *role)
{
    char schema[2 * NAME_BYTES_MAX + 3];
    char quoted[2 * NAME_BYTES_MAX + 3];

    if (schema_quote(cfg, schema, sizeof(schema)) < 0 ||
        quote_name(role, quoted, sizeof(quoted)) < 0) {
        return NULL;
    }
    return fill_in(grant_sql, schema, "", quoted);
}
