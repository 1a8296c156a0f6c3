#include "tests/support/starts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/server.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

/* One echo is one write(2), so lines never mix. */
static const char script[] = "echo \"$PGBATON_JOB $PGBATON_RUN_ID $PGBATON_SCHEDULED_AT "
                             "$PGBATON_ATTEMPT $PGBATON_INSTANCE\" >>\"$1\"\n";

void starts_make(struct starts *s, const struct workdir *w)
{
    (void)snprintf(s->file, sizeof s->file, "%s/starts", w->path);
    (void)snprintf(s->script, sizeof s->script, "%s/starts.sh", w->path);
    (void)snprintf(s->exec, sizeof s->exec, "exec = /bin/sh %s %s\n", s->script, s->file);
    text_write(s->script, script);
    text_write(s->file, "");
}

size_t starts_of(const struct starts *s, const char *instance)
{
    char *text = text_read(s->file);
    char *end = text_format("%s%s\n", instance[0] == '\0' ? "" : " ", instance);
    size_t count = text_count(text, end);

    free(end);
    free(text);
    return count;
}

struct wanted_starts {
    const struct starts *starts;
    const char *instance;
    size_t more_than;
};

static bool are_there(void *ctx)
{
    const struct wanted_starts *w = ctx;

    return starts_of(w->starts, w->instance) > w->more_than;
}

void starts_wait(const struct starts *s, const char *instance, size_t more_than)
{
    struct wanted_starts wanted = {.starts = s, .instance = instance, .more_than = more_than};

    cr_assert(wait_until(are_there, &wanted, WAIT_LIMIT), "%s has not started more than %zu: %s",
              instance, more_than, text_tail(s->file));
}

void no_rows(PGconn *conn, const char *what, const char *sql)
{
    char *all = text_format(
        "SELECT coalesce((SELECT string_agg(x::text, ' ') FROM (SELECT * FROM (%s) y LIMIT 5) x), "
        "'none')",
        sql);
    const char *found = server_scalar(conn, all);

    cr_expect_str_eq(found == NULL ? PQerrorMessage(conn) : found, "none", "%s: %s", what,
                     found == NULL ? PQerrorMessage(conn) : found);
    free(all);
}

void starts_load(const struct starts *s, PGconn *conn)
{
    char *copy = text_format("COPY note FROM '%s' (DELIMITER ' ')", s->file);

    server_do(conn, "SET search_path = pgbaton, pg_catalog, pg_temp");
    server_do(conn, "SET client_min_messages = warning");
    server_do(conn, "DROP TABLE IF EXISTS pg_temp.note CASCADE");
    server_do(conn, "CREATE TEMP TABLE note (job text, id text, at timestamptz, attempt int, "
                    "instance text)");
    server_do(conn, copy);
    server_do(conn, "CREATE TEMP VIEW tick AS SELECT job, id, attempt, outcome, reason, "
                    "generate_series(scheduled_at, coalesce(last_at, scheduled_at), '1 s') AS at "
                    "FROM run WHERE job IN (SELECT DISTINCT job FROM note)");
    free(copy);
}

static void every_tick_has_one_row(PGconn *conn)
{
    no_rows(conn, "ticks with two rows",
            "SELECT job, at, attempt, array_agg(id || ' ' || outcome) FROM tick GROUP BY 1, 2, 3 "
            "HAVING count(*) > 1");
    no_rows(conn, "seconds without a row",
            "SELECT job, second FROM (SELECT job, min(at) AS first, max(at) AS last FROM tick "
            "GROUP BY job) t, generate_series(first, last, '1 s') second WHERE NOT EXISTS (SELECT "
            "FROM tick k WHERE k.job = t.job AND k.at = second AND k.attempt = 1)");
    no_rows(conn, "rows whose count is another",
            "SELECT id, count FROM run WHERE job IN (SELECT job FROM note) AND count <> 1 + "
            "extract(epoch FROM coalesce(last_at, scheduled_at) - scheduled_at)");
    no_rows(conn, "runs that are open",
            "SELECT id, job, at, outcome FROM tick WHERE outcome IN ('claimed', 'running')");
}

static void no_tick_was_started_twice(PGconn *conn)
{
    no_rows(conn, "ticks started twice",
            "SELECT job, at, attempt, array_agg(id || ' ' || instance) FROM note GROUP BY 1, 2, 3 "
            "HAVING count(*) > 1");
    no_rows(conn, "starts without a row",
            "SELECT * FROM note n WHERE NOT EXISTS (SELECT FROM run r WHERE r.id = n.id AND r.job "
            "= n.job AND r.scheduled_at = n.at AND r.attempt = n.attempt AND r.last_at IS NULL)");
    no_rows(conn, "starts of what has no start",
            "SELECT n.* FROM note n JOIN run r USING (id) WHERE r.outcome IN ('queued', "
            "'retrying', 'skipped', 'missed')");
    no_rows(conn, "runs that succeeded and did not start",
            "SELECT id, job, at FROM tick WHERE outcome = 'succeeded' AND id NOT IN (SELECT id "
            "FROM note)");
}

void starts_check_rows(const struct starts *s, PGconn *conn)
{
    starts_load(s, conn);
    cr_expect_str_neq(server_scalar(conn, "SELECT count(*) FROM note"), "0", "nothing was started");
    every_tick_has_one_row(conn);
}

void starts_check(const struct starts *s, PGconn *conn)
{
    starts_check_rows(s, conn);
    no_tick_was_started_twice(conn);
}
