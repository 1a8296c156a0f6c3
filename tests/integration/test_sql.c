/*
 * SQL jobs: a process and a connection of their own, fenced by the epoch, cancelled in the server.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(sql, .timeout = 180);

static struct fleet fleet;
static PGconn *dba;
static struct outcome told;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* One instance that leads, with these jobs beside the diary's; before that the table t is made, and
 * this is done. */
static void begin_after(const char *sql, const char *jobs)
{
    fleet_make(&fleet, 1, NULL);
    dba = server_connect(&fleet.pg, "dba");
    server_do(dba, "CREATE TABLE t (a int PRIMARY KEY); GRANT ALL ON t TO baton");
    server_do(dba, sql);
    fleet_add_jobs(&fleet, NULL, jobs);
    fleet_begin(&fleet);
}

static void begin(const char *jobs)
{
    begin_after("SELECT 1", jobs);
}

static void finish(void)
{
    PQfinish(dba);
    fleet_check(&fleet);
}

/* A fact of the database, asked again and again. */
static bool is_true(void *sql)
{
    const char *value = server_scalar(dba, sql);

    return value != NULL && strcmp(value, "t") == 0;
}

static void wait_for_fact(const char *sql)
{
    cr_assert(wait_until(is_true, (void *)(uintptr_t)sql, WAIT_LIMIT), "%s\n%s", sql,
              text_tail(A->log));
}

#define SLEEPS                                                                                     \
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)%' AND state = "   \
    "'active' AND pid <> pg_backend_pid()"
#define SLEEPS_NO_MORE                                                                             \
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)%' AND pid <> "    \
    "pg_backend_pid()"

/* What the ledger has of that job's run; what it printed is less than output_limit. */
static void expect_kept(const char *job, const char *fact)
{
    char *sql =
        text_format("SELECT result, reason, convert_from(output_head || coalesce(output_tail, ''), "
                    "'UTF8') AS printed FROM pgbaton.run WHERE job = '%s'",
                    job);
    char *is = text_format("SELECT %s FROM (%s) r", fact, sql);
    char *all = text_format("SELECT r::text FROM (%s) r", sql);
    bool holds = is_true(is);

    cr_expect(holds, "%s: %s, but it is %s", job, fact, server_scalar(dba, all));
    free(all);
    free(is);
    free(sql);
}

Test(sql, rows_notices_and_errors_are_what_it_prints)
{
    begin("[job rows]\nschedule = @elected\n"
          "sql = INSERT INTO t VALUES (1), (2); SELECT a, NULL, 'x' || a FROM t ORDER BY a;\n"
          "    DO $$ BEGIN RAISE NOTICE 'a word'; END $$\n"
          "[job bad]\nschedule = @elected\nsql = INSERT INTO t VALUES (7), (7)\n"
          "[job many]\nschedule = @elected\nsql = SELECT g FROM generate_series(1, 1005) g\n");

    instance_wait(A, "output", "job=rows stream=stdout text=\"1||x1\"");
    instance_wait(A, "output", "job=rows stream=stdout text=\"2||x2\"");
    instance_wait(A, "output", "job=rows stream=stderr text=\"NOTICE:  a word\"");
    instance_wait(A, "job_ended", "job=rows");
    instance_wait_text(A, "duplicate key value violates unique constraint");
    instance_wait(A, "job_ended", "job=bad");
    instance_wait(A, "output", "5 more rows are not shown");
    instance_wait(A, "job_ended", "job=many");
    cr_expect_eq(instance_logged(A, "output", "job=many stream=stdout"), 1000);
    cr_expect_eq(instance_logged(A, "job_ended", "outcome=failed"), 1, "one of the three");
    cr_expect_str_eq(server_scalar(dba, "SELECT count(*) FROM t"), "2",
                     "all of a failed one is undone");
    wait_for_fact("SELECT count(*) = 3 FROM pgbaton.run WHERE job IN ('rows', 'bad', 'many') AND "
                  "ended_at IS NOT NULL");
    expect_kept("rows", "result = 'DO' AND reason IS NULL");
    expect_kept("rows", "strpos(printed, E'1||x1\n2||x2\n') > 0");
    expect_kept("rows", "strpos(printed, E'NOTICE:  a word\n') > 0");
    expect_kept("bad", "result IS NULL AND reason LIKE '23505 duplicate key value violates%'");
    expect_kept("bad", "strpos(printed, 'DETAIL:  Key (a)=(7) already exists') > 0");
    expect_kept("many", "result = 'SELECT 1005' AND reason IS NULL");
    expect_kept("many", "strpos(printed, E'\n1000\n') > 0 AND strpos(printed, '1001') = 0");
    finish();
}

Test(sql, it_runs_in_the_term_and_as_the_role_that_is_asked_for)
{
    begin_after("CREATE ROLE worker; GRANT worker TO baton; "
                "ALTER ROLE baton SET statement_timeout = '3s'; "
                "ALTER ROLE baton SET search_path = public, extra; "
                "CREATE TABLE seen (who text, login text, t text, app text, path text); "
                "ALTER TABLE seen OWNER TO worker",
                "[job who]\nschedule = @elected\nsql_role = worker\n"
                "sql = INSERT INTO seen SELECT current_user, session_user,\n"
                "    current_setting('statement_timeout'), current_setting('application_name'),\n"
                "    current_setting('search_path')\n"
                "[job lone]\nschedule = every 300ms\nsql_role = worker\nsql_transaction = no\n"
                "sql = VACUUM seen;\n");
    wait_for_fact("SELECT count(*) = 1 FROM seen");
    cr_expect_str_eq(server_scalar(dba, "SELECT who || ' ' || login || ' ' || t FROM seen"),
                     "worker baton 0");
    cr_expect_str_eq(server_scalar(dba, "SELECT path FROM seen"), "public, extra");
    cr_expect_not_null(strstr(server_scalar(dba, "SELECT app FROM seen"), "pgbaton job "));
    wait_for_fact("SELECT vacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'seen'");
    finish();
}

Test(sql, a_timeout_cancels_the_statement_in_the_server)
{
    begin("[job slow]\nschedule = @elected\ntimeout = 2s\ngrace = 30s\nsql = INSERT INTO t "
          "VALUES (1); SELECT pg_sleep(1000)\n");

    instance_wait(A, "job_started", "job=slow");
    instance_wait(A, "job_ended", "outcome=timed_out");
    cr_expect_eq(instance_logged(A, "job_ended", "code=143"), 1, "TERM was enough: %s",
                 text_tail(A->log));
    wait_for_fact(SLEEPS_NO_MORE);
    cr_expect_str_eq(server_scalar(dba, "SELECT count(*) FROM t"), "0");
    finish();
}

/* The server is told to cancel it, and does all of it nevertheless: it is not to be done again. */
Test(sql, what_was_committed_has_succeeded_though_it_was_cancelled)
{
    begin("[job slow]\nschedule = @elected\ngrace = 60s\nsql_transaction = no\n"
          "sql = DO $$ BEGIN PERFORM pg_sleep(1000);\n"
          "    EXCEPTION WHEN query_canceled THEN INSERT INTO t VALUES (1); END $$\n");
    wait_for_fact("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    instance_command(A, &told, "cancel", "slow", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);

    instance_wait(A, "job_ended", "job=slow");
    cr_expect_eq(instance_logged(A, "job_ended", "outcome=succeeded reason=cancelled"), 1, "%s",
                 text_tail(A->log));
    wait_for_fact("SELECT count(*) = 1 FROM pgbaton.run WHERE job = 'slow' AND ended_at IS NOT "
                  "NULL");
    cr_expect_str_eq(server_scalar(dba, "SELECT string_agg(outcome, ' ') FROM pgbaton.run WHERE "
                                        "job = 'slow'"),
                     "succeeded");
    cr_expect_str_eq(server_scalar(dba, "SELECT count(*) FROM t"), "1");
    finish();
}

Test(sql, of_a_commit_without_an_answer_it_is_said_that_nothing_is_known)
{
    begin_after("CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(1000); RETURN NULL; END $$; "
                "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION late()",
                "[job slow]\nschedule = @elected\nsql = INSERT INTO t VALUES (1)\n");

    wait_for_fact("SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event "
                  "= 'PgSleep'");
    server_do(dba, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT' "
                   "AND wait_event = 'PgSleep'");
    instance_wait(A, "job_ended", "outcome=failed");
    wait_for_fact("SELECT count(*) = 1 FROM pgbaton.run WHERE job = 'slow' AND ended_at IS NOT "
                  "NULL");
    expect_kept("slow", "reason LIKE 'it is not known whether it was committed: %'");
    finish();
}

/* The server itself looks whether its client is there. */
Test(sql, the_statement_of_a_process_that_was_killed_is_ended_too)
{
    begin("[job slow]\nschedule = @elected\nsql = SELECT pg_sleep(1000)\n");

    wait_for_fact(SLEEPS);
    pid_t process = instance_child(A, "sql job slow");
    cr_assert_gt(process, 0);
    cr_assert_eq(kill(process, SIGKILL), 0);
    wait_for_fact(SLEEPS_NO_MORE);
    instance_wait(A, "job_ended", "code=137");
    finish();
}

/* It begins anew where this instance is elected again, so it is this backend that must be gone. */
Test(sql, the_loss_of_leadership_cancels_the_statement)
{
    begin("[job slow]\nschedule = @elected\nsql = SELECT pg_sleep(1000)\nsql_transaction = no\n");

    wait_for_fact(SLEEPS);
    char *gone = text_format("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %s",
                             server_scalar(dba, "SELECT pid FROM pg_stat_activity WHERE query LIKE "
                                                "'%pg_sleep(1000)%' AND pid <> pg_backend_pid()"));
    server_do(dba, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND "
                   "objsubid = 1 AND granted");
    instance_wait(A, "lost", "");
    wait_for_fact(gone);
    free(gone);
    finish();
}

#define COUNTERS "SELECT runs.last_value || '/' || lone_runs.last_value FROM runs, lone_runs"

static bool two_are_over(void *ctx)
{
    (void)ctx;
    return instance_logged(A, "job_ended", "code=74 outcome=failed") >= 2;
}

/* While it is being asserted, the term ends: as a leader's term does that is late. */
Test(sql, an_epoch_that_is_over_runs_nothing)
{
    begin_after("CREATE SEQUENCE runs; CREATE SEQUENCE lone_runs; "
                "GRANT ALL ON runs, lone_runs TO baton",
                "[job both]\nschedule = every 300ms\nsql = SELECT nextval('runs')\n"
                "[job alone]\nschedule = every 300ms\nsql = SELECT nextval('lone_runs')\n"
                "sql_transaction = no\n");
    wait_for_fact("SELECT runs.is_called AND lone_runs.is_called FROM runs, lone_runs");
    PGconn *other = server_connect(&fleet.pg, "other");
    server_do(other, "BEGIN; LOCK TABLE pgbaton.term IN ACCESS EXCLUSIVE MODE");
    wait_for_fact("SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                  "query LIKE '%assert_leader%'");
    char *before = text_format("%s", server_scalar(dba, COUNTERS));
    server_do(other, "UPDATE pgbaton.term SET ended_at = clock_timestamp(); COMMIT");
    PQfinish(other);

    cr_expect(wait_until(two_are_over, NULL, WAIT_LIMIT), "%s", text_tail(A->log));
    instance_wait_text(A, "epoch main/1.1 is over");
    cr_expect_str_eq(server_scalar(dba, COUNTERS), before);
    free(before);
    finish();
}

Test(sql, what_would_leave_the_transaction_or_wait_for_ever_fails)
{
    begin("[job ends]\nschedule = manual\nsql = INSERT INTO t VALUES (1); COMMIT; SELECT 1\n"
          "[job in]\nschedule = manual\nsql = COPY t FROM STDIN\n"
          "[job out]\nschedule = manual\nsql = COPY t TO STDOUT\n"
          "[job lone]\nschedule = manual\nsql = VACUUM t\n"
          "[job norole]\nschedule = manual\nsql = SELECT 1\nsql_role = nobody\"\n"
          "[job empty]\nschedule = manual\nsql = /* nothing */\n"
          "[job update]\nschedule = manual\nsql = INSERT INTO t VALUES (8), (9); UPDATE t SET a = "
          "a\n");
    static const struct {
        const char *job;
        int code;
        const char *says;
    } cases[] = {
        {"ends", 1, "the statements ended the transaction that they are in"},
        {"in", 1, "COPY from and to the client is not possible in a job"},
        {"out", 1, "COPY from and to the client is not possible in a job"},
        {"lone", 1, "25001 VACUUM cannot run inside a transaction block"},
        {"norole", 1, "role \"nobody\"\" does not exist"},
        {"empty", 0, "no leadership was asserted"},
        {"update", 0, "job update: UPDATE 3 (no leadership was asserted)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        instance_command(A, &told, "exec", cases[i].job, NULL);
        cr_expect_eq(told.code, cases[i].code, "%s: %d %s", cases[i].job, told.code, told.err);
        cr_expect_not_null(strstr(told.err, cases[i].says), "%s: %s", cases[i].job, told.err);
    }
    finish();
}

static char *file_of(pid_t process, const char *name)
{
    char path[64];
    static char text[65536];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)process, name);

    FILE *from = fopen(path, "r");

    cr_assert_not_null(from, "%s", path);
    size_t length = fread(text, 1, sizeof(text) - 1, from);
    cr_assert_eq(fclose(from), 0);
    for (size_t i = 0; i < length; i++) {
        text[i] = text[i] == '\0' ? '\n' : text[i];
    }
    text[length] = '\0';
    return text;
}

/* How many of its descriptors are of that kind. */
static unsigned descriptors(pid_t process, const char *kind)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++) {
        char path[64];
        char target[256] = "";

        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)process, fd);
        count += readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, kind) != NULL;
    }
    return count;
}

Test(sql, it_has_a_connection_of_its_own_and_nothing_of_the_workers)
{
    begin("[job slow]\nschedule = @elected\nsql = SELECT pg_sleep(1000)\n");
    wait_for_fact(SLEEPS);
    pid_t process = instance_child(A, "sql job slow");

    cr_assert_gt(process, 0);
    cr_expect_eq(descriptors(process, "socket:"), 1);
    cr_expect_eq(descriptors(process, "memfd:"), 0, "its order is read, and closed");
    cr_expect_eq(descriptors(process, "pipe:"), 3, "output, errors, report");
    cr_expect_eq(descriptors(process, ""), 6, "and input, and signals");
    finish();
}

Test(sql, neither_password_nor_statements_are_in_its_arguments_or_environment)
{
    static const char *const files[] = {"cmdline", "environ"};

    begin("[job slow]\nschedule = @elected\nsql = SELECT pg_sleep(1000), 'not-to-be-seen'\n");
    wait_for_fact(SLEEPS);
    pid_t process = instance_child(A, "sql job slow");

    cr_assert_gt(process, 0);
    for (size_t i = 0; i < 2; i++) {
        const char *text = file_of(process, files[i]);

        cr_expect_null(strstr(text, SERVER_PASSWORD), "%s", text);
        cr_expect_null(strstr(text, "not-to-be-seen"), "%s", text);
        cr_expect_null(strstr(text, "PGBATON_DATABASE"), "%s", text);
    }
    finish();
}
