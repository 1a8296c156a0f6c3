/* What is recorded, as `jobs`, `history`, `why` and `output` show it. The rows are put there by
 * hand: what a leader writes is another test's. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(history, .timeout = 180);

static struct fleet fleet;
static struct outcome told;
static PGconn *conn;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

static const char jobs[] = "[job nightly]\nschedule = every 4w\nexec = true\n"
                           "[job hourly]\nschedule = manual\nexec = true\n"
                           "[job idle]\nschedule = manual\nexec = true\n";

/* Their ids are of no term that there can be. Two nights: one at the second attempt, one that is
 * missing altogether; and what else there is. */
static const char rows[] =
    "INSERT INTO pgbaton.run (election, id, job, scheduled_at, attempt, outcome, reason, origin,"
    " parent, generation, number, instance, started_at, ended_at, code) VALUES"
    " ('main', '0.1-1', 'nightly', '2026-11-20 02:00Z', 1, 'failed', 'exit code 3', 'schedule',"
    "  NULL, 1, 1, 'web1', '2026-11-20 02:00:00.012Z', '2026-11-20 02:00:03.212Z', 3),"
    " ('main', '0.1-2', 'nightly', '2026-11-20 02:00Z', 2, 'succeeded', NULL, 'retry',"
    "  '0.1-1', 1, 1, 'web1', '2026-11-20 02:00:13Z', '2026-11-20 02:00:14Z', 0),"
    " ('main', '0.2-1', 'hourly', '2026-11-24 09:00Z', 1, 'skipped', 'overlap', 'schedule',"
    "  NULL, 1, 2, 'web2', NULL, NULL, NULL),"
    " ('main', '0.2-2', 'hourly', '2026-11-24 10:00Z', 1, 'running', NULL, 'trigger',"
    "  NULL, 1, 2, 'web2', '2026-11-24 10:00:00.5Z', NULL, NULL),"
    " ('other', '0.2-3', 'hourly', '2026-11-24 11:00Z', 1, 'succeeded', NULL, 'schedule',"
    "  NULL, 1, 2, 'web9', '2026-11-24 11:00Z', '2026-11-24 11:00Z', 0);"
    "INSERT INTO pgbaton.run (election, id, job, scheduled_at, last_at, count, attempt, outcome,"
    " reason, origin, generation, number, instance) VALUES"
    " ('main', '0.3-1', 'nightly', '2026-11-21 02:00Z', '2026-11-23 02:00Z', 3, 1, 'missed',"
    "  'no leader', 'schedule', 1, 3, 'web3');"
    "INSERT INTO pgbaton.job_state (election, job, paused) VALUES ('main', 'idle', true)"
    " ON CONFLICT (election, job) DO UPDATE SET paused = true";

static void begin(void)
{
    fleet_make(&fleet, 2, NULL);
    fleet_add_jobs(&fleet, NULL, jobs);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
}

static json_t *array_told(void)
{
    json_t *array = told.code == 0 ? json_loads(told.out, 0, NULL) : NULL;

    cr_assert(json_is_array(array), "%d %s%s", told.code, told.out, told.err);
    return array;
}

static const char *text_at(const json_t *array, size_t i, const char *key)
{
    const char *text = json_string_value(json_object_get(json_array_get(array, i), key));

    return text == NULL ? "(none)" : text;
}

/* clang-format off */
static const struct {
    const char *title;
    const char *words[7];
    const char *ids[6]; /* in this order */
} questions[] = {
    {"a job's, newest first",     {"--job", "nightly"},                     {"0.3-1", "0.1-2", "0.1-1"}},
    {"only so many",              {"--job=nightly", "--limit", "2"},        {"0.3-1", "0.1-2"}},
    {"with an outcome",           {"--job", "nightly", "--outcome", "failed"}, {"0.1-1"}},
    {"of no job",                 {"--job", "no such"},                     {NULL}},
    {"missed ones count by their last", {"--job", "nightly", "--since", "2026-11-22T00:00:00Z"}, {"0.3-1"}},
    {"since a time in a zone",    {"--job", "hourly", "--since", "2026-11-24 10:30", "--zone", "Europe/Berlin"}, {"0.2-2"}},
    {"since a length",            {"--job", "nightly", "--since", "500w"},  {"0.3-1", "0.1-2", "0.1-1"}},
    {"not another election's",    {"--job", "hourly"},                      {"0.2-2", "0.2-1"}},
};
/* clang-format on */

Test(history, shows_what_was_asked_for)
{
    begin();
    server_do(conn, rows);

    for (size_t q = 0; q < sizeof questions / sizeof questions[0]; q++) {
        const char *const *w = questions[q].words;
        struct instance *asked = q % 2 == 0 ? A : B; /* whichever it is */
        size_t count = 0;

        instance_command(asked, &told, "history", "--json", w[0], w[1], w[2], w[3], w[4], w[5],
                         NULL);
        json_t *runs = array_told();
        for (; questions[q].ids[count] != NULL; count++) {
            cr_expect_str_eq(text_at(runs, count, "run"), questions[q].ids[count], "%s: %zu",
                             questions[q].title, count);
        }
        cr_expect_eq(json_array_size(runs), count, "%s: %s", questions[q].title, told.out);
        json_decref(runs);
    }
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(history, has_a_line_for_people_and_facts_for_scripts)
{
    begin();
    server_do(conn, rows);

    instance_command(B, &told, "history", "--job", "nightly", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "2026-11-21T02:00:00Z..2026-11-23T02:00:00Z"), "%s",
                       told.out);
    cr_expect_not_null(strstr(told.out, "missed (3)"), "%s", told.out);
    cr_expect_not_null(strstr(told.out, "12ms"), "%s", told.out);
    cr_expect_not_null(strstr(told.out, "3.2s"), "%s", told.out);
    cr_expect_not_null(strstr(told.out, "exit code 3"), "%s", told.out);

    instance_command(B, &told, "history", "--job", "nightly", "--outcome", "failed", "--json",
                     NULL);
    json_t *runs = array_told();
    const json_t *run = json_array_get(runs, 0);
    cr_expect_str_eq(text_at(runs, 0, "scheduled_at"), "2026-11-20T02:00:00.000Z");
    cr_expect_str_eq(text_at(runs, 0, "epoch"), "1.1");
    cr_expect_str_eq(text_at(runs, 0, "instance"), "web1");
    cr_expect_eq(json_integer_value(json_object_get(run, "code")), 3);
    cr_expect_float_eq(json_number_value(json_object_get(run, "duration_seconds")), 3.2, 1e-9);
    cr_expect_float_eq(json_number_value(json_object_get(run, "late_seconds")), 0.012, 1e-9);
    cr_expect(json_is_null(json_object_get(run, "parent")));
    json_decref(runs);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(history, shows_the_terms_of_leadership)
{
    begin();
    instance_command(A, &told, "stop", NULL);
    cr_assert_eq(instance_wait_exit(A), 0);
    instance_wait(B, "elected", "");

    instance_command(B, &told, "history", "--terms", "--json", NULL);
    json_t *terms = array_told();
    cr_assert_eq(json_array_size(terms), 2);
    cr_expect_str_eq(text_at(terms, 0, "epoch"), "1.2");
    cr_expect_str_eq(text_at(terms, 0, "instance"), "b");
    cr_expect_str_eq(text_at(terms, 0, "ended_at"), "(none)");
    cr_expect_str_eq(text_at(terms, 1, "instance"), "a");
    cr_expect_str_eq(text_at(terms, 1, "end_reason"), "stop");
    json_decref(terms);
    instance_command(B, &told, "history", "--terms", "--limit", "1", NULL);
    cr_expect_not_null(strstr(told.out, "1.2"), "%s", told.out);
    cr_expect_null(strstr(told.out, "1.1  "), "%s", told.out); /* a time may end in 1.1 */
    PQfinish(conn);
    fleet_check(&fleet);
}

/* clang-format off */
static const struct {
    const char *job;
    const char *at; /* NULL: the last tick */
    const char *says[4];
} ticks[] = {
    {"nightly", "2026-11-20 02:00", {"tick 2026-11-20T02:00:00Z: succeeded", "attempt 1, run 0.1-1: failed",
                                     "failed after 3.2s: exit code 3", "because run 0.1-1 failed"}},
    {"nightly", "2026-11-20T02:55:00+01:00", {"Instance web1, as leader of epoch 1.1, started it at 2026-11-20T02:00:00.012Z, 12ms after it was due"}},
    {"nightly", NULL,               {"missed", "No instance was leader when it was due", "3 ticks, from 2026-11-21T02:00:00Z to 2026-11-23T02:00:00Z"}},
    {"nightly", "2026-11-22 14:00", {"tick 2026-11-21T02:00:00Z: missed"}},
    {"hourly",  "2026-11-24 09:10", {"skipped", "An earlier run of this job had not ended", "web2, as leader of epoch 1.2,"}},
    {"hourly",  NULL,               {"It is still running", "pgbaton trigger", "Its schedule is 'manual' (UTC)"}},
};
/* clang-format on */

Test(history, why_tells_it_in_sentences)
{
    begin();
    server_do(conn, rows);

    for (size_t i = 0; i < sizeof ticks / sizeof ticks[0]; i++) {
        instance_command(i % 2 == 0 ? B : A, &told, "why", ticks[i].job, ticks[i].at, NULL);
        cr_expect_eq(told.code, 0, "%zu: %s", i, told.err);
        for (size_t k = 0; k < 4 && ticks[i].says[k] != NULL; k++) {
            cr_expect_not_null(strstr(told.out, ticks[i].says[k]), "%zu: '%s' is not in\n%s", i,
                               ticks[i].says[k], told.out);
        }
    }
    instance_command(B, &told, "why", "idle", NULL);
    cr_expect_eq(told.code, 1);
    cr_expect_not_null(strstr(told.err, "no tick of idle is on record"), "%s", told.err);
    instance_command(B, &told, "why", "nightly", "tonight", NULL);
    cr_expect_eq(told.code, 64, "%s", told.err);
    PQfinish(conn);
    fleet_check(&fleet);
}

static json_t *job_called(const json_t *list, const char *name)
{
    size_t i;
    json_t *job;

    json_array_foreach(list, i, job)
    {
        if (strcmp(text_at(list, i, "name"), name) == 0) {
            return job;
        }
    }
    cr_assert(false, "there is no job %s in %s", name, told.out);
    return NULL;
}

Test(history, jobs_shows_every_job_on_every_instance)
{
    begin();
    server_do(conn, rows);

    for (size_t i = 0; i < 2; i++) {
        instance_command(&fleet.member[i], &told, "jobs", "--json", NULL);
        json_t *list = array_told();
        const json_t *nightly = job_called(list, "nightly");
        const json_t *last = json_object_get(nightly, "last");
        const json_t *idle = job_called(list, "idle");

        cr_expect_str_eq(json_string_value(json_object_get(nightly, "schedule")), "every 4w");
        cr_expect_str_eq(json_string_value(json_object_get(nightly, "zone")), "UTC");
        cr_expect_str_eq(json_string_value(json_object_get(last, "outcome")), "missed");
        cr_expect_str_eq(json_string_value(json_object_get(last, "run")), "0.3-1");
        cr_expect(json_is_false(json_object_get(nightly, "paused")));
        cr_expect(json_is_true(json_object_get(idle, "paused")));
        cr_expect(json_is_null(json_object_get(idle, "last")));
        if (i == 1) { /* who leads goes by what its worker runs */
            cr_expect_eq(json_integer_value(json_object_get(job_called(list, "hourly"), "running")),
                         1);
            const char *next = json_string_value(json_object_get(nightly, "next"));
            cr_expect_not_null(strstr(next == NULL ? "" : next, "T00:00:00.000Z"), "%s", told.out);
        }
        json_decref(list);
    }
    server_do(conn,
              "INSERT INTO pgbaton.job_state (election, job, paused) VALUES ('main', '', true)"
              " ON CONFLICT (election, job) DO UPDATE SET paused = true");
    instance_command(B, &told, "jobs", NULL);
    cr_expect_not_null(strstr(told.out, "paused (all jobs)"), "%s", told.out);
    PQfinish(conn);
    fleet_check(&fleet);
}

/* Into a file, because it is bytes: its size, or -1. */
static long output_of(struct instance *i, const char *id, char *ret_bytes, size_t size)
{
    char *file = text_format("%s/output", fleet.dir.path);
    const char *const argv[] = {pgbaton_path(), "output", "-c", i->ini, id, NULL};
    const struct program_spec spec = {.argv = argv, .output = file};

    (void)unlink(file);
    int code = program_run(&spec);
    FILE *from = fopen(file, "r");
    long got = code == 0 && from != NULL ? (long)fread(ret_bytes, 1, size, from) : -1;
    if (from != NULL) {
        (void)fclose(from);
    }
    free(file);
    return got;
}

Test(history, output_is_what_was_printed_byte_by_byte)
{
    static const char both[] = "\x00\xff\x1b[31m\n[... 1000 bytes left out ...]\ntail\x80";
    char bytes[256];

    begin();
    server_do(conn,
              "INSERT INTO pgbaton.run (election, id, job, scheduled_at, attempt, outcome, origin,"
              " output_head, output_tail, output_bytes) VALUES"
              " ('main', '0.1-7', 'hourly', now(), 1, 'succeeded', 'trigger',"
              "  '\\x00ff1b5b33316d', '\\x7461696c80', 1012),"
              " ('main', '0.1-8', 'hourly', now(), 2, 'succeeded', 'trigger', '\\x', NULL, 0)");

    cr_expect_eq(output_of(B, "0.1-7", bytes, sizeof bytes), (long)sizeof both - 1);
    cr_expect_arr_eq(bytes, both, sizeof both - 1);
    cr_expect_eq(output_of(A, "0.1-8", bytes, sizeof bytes), 0);
    instance_command(A, &told, "output", "0.1-8", NULL);
    cr_expect_not_null(strstr(told.err, "printed nothing"), "%s", told.err);
    instance_command(A, &told, "output", "0.1-9", NULL);
    cr_expect_eq(told.code, 1);
    cr_expect_not_null(strstr(told.err, "0.1-9"), "%s", told.err);
    PQfinish(conn);
    fleet_check(&fleet);
}

/* Names and reasons that are meant for a terminal, or for the database. */
Test(history, shows_hostile_text_harmlessly)
{
    static const char evil[] = "x'); DROP TABLE pgbaton.run; --";

    begin();
    server_do(conn, "INSERT INTO pgbaton.run (election, id, job, scheduled_at, attempt, outcome,"
                    " reason, origin, instance) VALUES ('main', '0.1-1', E'a\\x1b]0;b\\x07', now(),"
                    " 1, 'failed', E'\\x1b[2Jgone\\n', 'schedule', E'\\u202e')");

    instance_command(B, &told, "history", "--outcome", "failed", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_null(strchr(told.out, '\x1b'), "%s", told.out);
    cr_expect_not_null(strstr(told.out, "\\x1b[2Jgone"), "%s", told.out);
    instance_command(B, &told, "why", "a\x1b]0;b\x07", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_null(strchr(told.out, '\x1b'), "%s", told.out);
    instance_command(B, &told, "history", "--job", evil, NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    instance_command(B, &told, "why", evil, NULL);
    cr_expect_eq(told.code, 1, "%s", told.err);
    instance_command(B, &told, "output", evil, NULL);
    cr_expect_eq(told.code, 1, "%s", told.err);
    cr_expect_not_null(server_scalar(conn, "SELECT to_regclass('pgbaton.run')"));
    PQfinish(conn);
    fleet_check(&fleet);
}

/* By the plan, not by the clock: a row that is not asked for is not read. */
Test(history, of_100000_runs_reads_no_more_than_it_shows)
{
    begin();
    server_do(conn,
              "INSERT INTO pgbaton.run (election, id, job, scheduled_at, attempt, outcome, origin)"
              " SELECT 'main', '9.9-' || n, 'job ' || n % 1000, now() - n * interval '1 s', 1,"
              " 'succeeded', 'schedule' FROM generate_series(1, 100000) n");
    server_do(conn, "ANALYZE pgbaton.run");

    instance_command(B, &told, "history", "--job", "job 7", "--limit", "3", "--json", NULL);
    json_t *runs = array_told();
    cr_expect_eq(json_array_size(runs), 3);
    cr_expect_str_eq(text_at(runs, 0, "run"), "9.9-7");
    json_decref(runs);
    instance_command(B, &told, "jobs", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    instance_command(B, &told, "why", "job 7", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(history, is_for_the_daemons_own_user)
{
    if (geteuid() != 0) {
        cr_skip_test("only root can be another user");
    }
    begin();
    B->user = "nobody";
    cr_assert_eq(chmod(B->dir, 0777), 0); /* for the files that hold what the command says */
    instance_command(B, &told, "history", NULL);
    cr_expect_eq(told.code, 77, "%d %s%s", told.code, told.out, told.err);
    B->user = NULL;
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(history, without_a_database_the_answer_is_69_and_says_why)
{
    static const char *const commands[] = {"history", "jobs", "trigger"};

    begin();
    PQfinish(conn);
    server_stop(&fleet.pg);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        instance_command(B, &told, commands[i], i == 2 ? "hourly" : NULL, NULL);
        cr_expect_eq(told.code, 69, "%s: %d %s%s", commands[i], told.code, told.out, told.err);
        cr_expect_not_null(strstr(told.err, "database"), "%s: %s", commands[i], told.err);
    }
    server_resume(&fleet.pg);
    fleet_check(&fleet);
}

Test(history, two_who_ask_at_once_are_both_answered)
{
    static struct program asks[8];

    begin();
    server_do(conn, rows);
    for (size_t i = 0; i < 8; i++) {
        const char *const argv[] = {pgbaton_path(), i % 2 == 0 ? "history" : "jobs", "-c",
                                    i % 3 == 0 ? A->ini : B->ini, NULL};

        program_start(&asks[i], &(struct program_spec){.argv = argv});
    }
    for (size_t i = 0; i < 8; i++) {
        cr_expect_eq(program_wait(&asks[i], WAIT_LIMIT), 0, "%zu", i);
    }
    PQfinish(conn);
    fleet_check(&fleet);
}
