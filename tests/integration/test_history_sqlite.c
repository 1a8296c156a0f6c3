/* The same commands on a SQLite file, and where there is no ledger at all. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/instance.h"
#include "tests/support/text.h"

TestSuite(history_sqlite, .timeout = 120);

static struct workdir dir;
static struct instance one;
static struct instance two;
static struct outcome told;
static char *path;

static const char jobs[] = "[job hourly]\nschedule = manual\nexec = true\n"
                           "[job daily]\nschedule = every 4w\nexec = true\n";

static void make(const char *dsn)
{
    const struct instance_settings settings = {
        .dsn = dsn, .pgbaton = "log_level = debug\n", .election = ELECTION_CALM, .job = jobs};

    instance_make(&one, &dir, "one", &settings);
    instance_make(&two, &dir, "two", &settings);
}

static void make_sqlite(void)
{
    workdir_make(&dir);
    path = text_format("%s/ledger.db", dir.path);
    char *dsn = text_format("sqlite:%s", path);

    make(dsn);
    free(dsn);
    instance_command(&one, &told, "init-db", NULL);
    cr_assert_eq(told.code, 0, "%s%s", told.out, told.err);
}

/* The one value of the last statement, static; NULL: none. */
static const char *sql(const char *text)
{
    static char value[256];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    const char *found = NULL;
    int rc;

    cr_assert_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 10000);
    cr_assert_eq(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK, "%s",
                 sqlite3_errmsg(db));
    rc = sqlite3_step(statement);
    cr_assert(rc == SQLITE_ROW || rc == SQLITE_DONE, "%s", sqlite3_errmsg(db));
    if (rc == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL) {
        (void)snprintf(value, sizeof value, "%s", (const char *)sqlite3_column_text(statement, 0));
        found = value;
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return found;
}

/* 1795428000 is 2026-11-23T10:00:00Z. */
static void put_runs(void)
{
    sql("INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, reason, origin,"
        " generation, number, instance, started_at, ended_at, code, output_head, output_tail,"
        " output_bytes) VALUES ('main', '1.1-1', 'hourly', 1795428000000000, 1, 'failed',"
        " 'exit code 3', 'schedule', 1, 1, 'web1', 1795428000012000, 1795428003212000, 3,"
        " x'00ff68690a', x'627965', 1008)");
    sql("INSERT INTO run (election, id, job, scheduled_at, last_at, count, attempt, outcome, "
        "reason,"
        " origin) VALUES ('main', '1.2-1', 'daily', 1795428000000000, 1795600800000000, 3, 1,"
        " 'missed', 'no leader', 'schedule')");
}

Test(history_sqlite, shows_what_is_in_the_file)
{
    make_sqlite();
    put_runs();
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");
    instance_start(&two, NULL);
    instance_wait(&two, "seat_taken", "");

    instance_command(&two, &told, "history", "--job", "hourly", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "2026-11-23T10:00:00Z"), "%s", told.out);
    cr_expect_not_null(strstr(told.out, "3.2s"), "%s", told.out);
    instance_command(&two, &told, "history", "--job", "daily", "--since", "2026-11-24 00:00", NULL);
    cr_expect_not_null(strstr(told.out, "missed (3)"), "%s", told.out);
    instance_command(&one, &told, "why", "daily", "2026-11-24 12:00", NULL);
    cr_expect_not_null(strstr(told.out, "No instance was leader"), "%s%s", told.out, told.err);
    instance_command(&two, &told, "output", "1.1-1", "--json", NULL);
    cr_expect_not_null(strstr(told.out, "\"head\":\"AP9oaQo=\""), "%s%s", told.out, told.err);
    instance_command(&two, &told, "jobs", NULL);
    cr_expect_not_null(strstr(told.out, "failed: exit code 3"), "%s%s", told.out, told.err);
    instance_command(&two, &told, "history", "--terms", NULL);
    cr_expect_eq(told.code, 1);
    cr_expect_not_null(strstr(told.err, "no history of terms"), "%s", told.err);
    instance_stop(&two);
    instance_stop(&one);
}

/* Names and reasons that are meant for a terminal, or for the database; and what is no text. */
Test(history_sqlite, shows_hostile_text_harmlessly)
{
    static const char evil[] = "x'); DROP TABLE run; --";
    static const char *const asked[][4] = {
        {"history", "--outcome", "failed", NULL},
        {"why", "a\x1b]0;b\x07", NULL},
        {"history", "--job", evil, NULL},
    };

    make_sqlite();
    sql("INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, reason, origin,"
        " instance, output_head, output_bytes) VALUES ('main', '0.1-1', 'a' || char(27) || ']0;b'"
        " || char(7), 1795428000000000, 1, 'failed', char(27) || '[2Jgone' || char(10, 39, 34),"
        " 'schedule', char(8238), x'1b5b324a00ff', 6)");
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");

    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        instance_command(&one, &told, asked[i][0], asked[i][1], asked[i][2], NULL);
        cr_expect_eq(told.code, 0, "%s: %s", asked[i][0], told.err);
        cr_expect_null(strchr(told.out, '\x1b'), "%s: %s", asked[i][0], told.out);
        cr_expect_eq(strstr(told.out, "\\x1b[2Jgone") != NULL, i < 2, "%s: %s", asked[i][0],
                     told.out);
    }
    instance_command(&one, &told, "output", "0.1-1", "--json", NULL);
    cr_expect_not_null(strstr(told.out, "\"head\":\"G1sySgD/\""), "%s%s", told.out, told.err);
    instance_command(&one, &told, "output", evil, NULL);
    cr_expect_eq(told.code, 1, "%s", told.err);
    cr_expect_str_eq(sql("SELECT count(*) FROM run"), "1");
    instance_stop(&one);
}

/* The file does not wake anybody but the leader that is asked itself. */
Test(history_sqlite, requests_are_put_into_the_file_and_told_the_leader)
{
    make_sqlite();
    instance_start(&one, NULL);
    instance_wait(&one, "role", "role=leader"); /* and so its probe has been told */
    instance_mark(&one);

    instance_command(&one, &told, "trigger", "hourly", "--timeout", "1s", NULL);
    cr_expect_not_null(sql("SELECT id FROM request WHERE kind = 'trigger' AND job = 'hourly'"));
    instance_wait(&one, "requests", "epoch=");
    instance_stop(&one);
}

Test(history_sqlite, requests_are_withdrawn_where_nobody_leads)
{
    make_sqlite();
    char *dsn = text_format("sqlite:%s", path);
    instance_configure(
        &one, &(struct instance_settings){
                  .dsn = dsn, .election = ELECTION_CALM, .jobs = "enabled = no\n", .job = jobs});
    instance_start(&one, NULL);
    instance_wait(&one, "database_up", "");

    instance_command(&one, &told, "trigger", "hourly", "--timeout", "1s", NULL);
    cr_expect_eq(told.code, 69, "%s%s", told.out, told.err);
    cr_expect_not_null(strstr(told.err, "nobody leads; the request was withdrawn"), "%s", told.err);
    cr_expect_str_eq(sql("SELECT done FROM request"), "0");
    cr_expect_null(sql("SELECT 1 FROM request WHERE answered_at IS NULL"));
    instance_stop(&one);
    free(dsn);
}

Test(history_sqlite, without_a_ledger_only_jobs_has_something_to_say)
{
    static const char *const silent[][3] = {
        {"history", NULL}, {"why", "hourly", NULL}, {"output", "1.1-1", NULL}};

    workdir_make(&dir);
    make("none");
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");
    for (size_t i = 0; i < 3; i++) {
        instance_command(&one, &told, silent[i][0], silent[i][1], NULL);
        cr_expect_eq(told.code, 1, "%s: %s", silent[i][0], told.err);
        cr_expect_not_null(strstr(told.err, "there is no ledger"), "%s", told.err);
    }
    instance_command(&one, &told, "jobs", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "every 4w"), "%s", told.out);
    cr_expect_not_null(strstr(told.out, "T00:00:00Z"), "%s", told.out); /* the next */
    instance_command(&one, &told, "trigger", "hourly", "--wait", NULL);
    cr_expect_eq(told.code, 1, "%s", told.err);
    cr_expect_not_null(strstr(told.err, "there is no ledger"), "%s", told.err);
    /* It is the worker that answers. */
    instance_command(&one, &told, "trigger", "no such job", NULL);
    cr_expect_eq(told.code, 1, "%s%s", told.out, told.err);
    instance_wait(&one, "job_command", "no such job");
    instance_stop(&one);
}

Test(history_sqlite, without_an_election_there_is_no_ledger_either)
{
    workdir_make(&dir);
    make("none");
    instance_configure(&one, &(struct instance_settings){.dsn = "host=/nowhere user=nobody",
                                                         .election = "enabled = no\n",
                                                         .job = jobs});
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");
    instance_command(&one, &told, "history", NULL);
    cr_expect_eq(told.code, 1);
    cr_expect_not_null(strstr(told.err, "enabled = no"), "%s", told.err);
    instance_stop(&one);
}
