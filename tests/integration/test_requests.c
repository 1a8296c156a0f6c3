/* What is asked of the leader by any instance: trigger, cancel, pause, resume. In most of these the
 * leader's worker is stopped, so that it is the test that answers. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(requests, .timeout = 180);

static struct fleet fleet;
static struct outcome told;
static PGconn *conn;
static pid_t worker;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* A worker that is stopped for a moment is not missed yet. */
static const struct instance_settings settings = {.pgbaton = "log_level = debug\n"};
static const char jobs[] = "[job hourly]\nschedule = manual\nexec = true\n";

static void begin_with(const char *sections)
{
    fleet_make(&fleet, 2, &settings);
    fleet_add_jobs(&fleet, &settings, sections);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    worker = instance_wait_child(A, "worker", 0);
}

static void begin(void)
{
    begin_with(jobs);
}

static void end(void)
{
    PQfinish(conn);
    fleet_check(&fleet);
}

static void stop_worker(void)
{
    cr_assert_eq(kill(worker, SIGSTOP), 0);
}

static void continue_worker(void)
{
    cr_assert_eq(kill(worker, SIGCONT), 0);
}

/* A command that goes on while the test does. */
struct talk {
    struct program program;
    char *out;
    char *err;
};

static void talk(struct talk *t, struct instance *i, const char *const *words)
{
    const char *argv[12] = {pgbaton_path()};
    static unsigned count;
    size_t n = 1;

    t->out = text_format("%s/talk.%u.out", fleet.dir.path, ++count);
    t->err = text_format("%s/talk.%u.err", fleet.dir.path, count);
    argv[n++] = *words++;
    argv[n++] = "-c";
    argv[n++] = i->ini;
    while (*words != NULL) {
        argv[n++] = *words++;
    }
    program_start(&t->program,
                  &(struct program_spec){.argv = argv, .output = t->out, .errors = t->err});
}

/* Its exit code; what it said is in told. */
static int talk_ends(struct talk *t)
{
    told.code = program_wait(&t->program, WAIT_LIMIT);
    char *out = text_read(t->out);
    char *err = text_read(t->err);

    (void)snprintf(told.out, sizeof told.out, "%s", out);
    (void)snprintf(told.err, sizeof told.err, "%s", err);
    free(out);
    free(err);
    free(t->out);
    free(t->err);
    return told.code;
}

static bool request_is_there(void *ctx)
{
    return server_scalar(conn, ctx) != NULL;
}

static void wait_request(const char *kind, const char *job)
{
    char *sql = text_format("SELECT id FROM pgbaton.request WHERE election = 'main' AND kind = '%s'"
                            " AND job = '%s' AND answered_at IS NULL",
                            kind, job);

    cr_assert(wait_until(request_is_there, sql, WAIT_LIMIT), "no request to %s %s", kind, job);
    free(sql);
}

static void answer(const char *job, bool done, const char *run, const char *text)
{
    char *sql = text_format("UPDATE pgbaton.request SET answered_at = clock_timestamp(), done = %s,"
                            " run_id = %s, answer = '%s' WHERE job = '%s' AND answered_at IS NULL",
                            done ? "true" : "false", run, text, job);

    server_do(conn, sql);
    free(sql);
}

static const char *const trigger[] = {"trigger", "hourly", NULL};
static const char *const trigger_wait[] = {"trigger", "hourly", "--wait", NULL};

/* By the supervisor's line: the probe has told it, and it tells its worker. */
Test(requests, from_any_instance_wake_the_leader)
{
    for (size_t i = 0; i < 2; i++) {
        struct talk t;

        if (i == 0) {
            begin();
        }
        stop_worker();
        instance_mark(A);
        talk(&t, &fleet.member[i], trigger);
        instance_wait(A, "requests", "epoch=1.1");
        wait_request("trigger", "hourly");
        cr_expect_eq(instance_logged(B, "requests", ""), 0, "b does not lead");
        answer("hourly", true, "'1.1-77'", "it is started");
        continue_worker();
        cr_expect_eq(talk_ends(&t), 0, "%s", told.err);
        cr_expect_str_eq(told.out, "1.1-77\n");
    }
    cr_expect_not_null(server_scalar(
        conn, "SELECT 1 FROM pgbaton.request WHERE requested_by LIKE 'uid % at b' LIMIT 1"));
    end();
}

Test(requests, that_are_refused_say_why)
{
    struct talk t;

    begin();
    stop_worker();
    talk(&t, B, trigger);
    wait_request("trigger", "hourly");
    answer("hourly", false, "NULL", "the leader has no such job");
    cr_expect_eq(talk_ends(&t), 1);
    cr_expect_not_null(strstr(told.err, "the leader has no such job"), "%s", told.err);
    cr_expect_str_eq(told.out, "");
    continue_worker();
    end();
}

/* Whoever asks for JSON reads JSON, whatever came of it. */
Test(requests, that_are_refused_are_one_json_object)
{
    static const char *const off = "[job off]\nschedule = manual\nenabled = no\nexec = true\n";

    begin_with(off);
    for (size_t i = 0; i < 2; i++) {
        json_error_t error;

        instance_command(B, &told, "trigger", "off", "--json", i == 0 ? NULL : "--wait", NULL);
        cr_expect_eq(told.code, 1, "%s", told.out);
        json_t *said = json_loads(told.out, JSON_REJECT_DUPLICATES, &error);
        cr_assert_not_null(said, "%s: %s%s", error.text, told.out, told.err);
        cr_expect(json_is_false(json_object_get(said, "done")), "%s", told.out);
        cr_expect_not_null(json_string_value(json_object_get(said, "text")), "%s", told.out);
        json_decref(said);
    }
    end();
}

Test(requests, to_pause_all_jobs_and_to_resume_and_cancel_one)
{
    static const char *const all[][4] = {
        {"pause", NULL}, {"resume", "hourly", NULL}, {"cancel", "hourly", NULL}};

    begin();
    stop_worker();
    for (size_t i = 0; i < 3; i++) {
        struct talk t;
        const char *job = i == 0 ? "" : "hourly";

        talk(&t, B, all[i]);
        wait_request(all[i][0], job);
        answer(job, true, "NULL", "it is so");
        cr_expect_eq(talk_ends(&t), 0, "%s", told.err);
        cr_expect_not_null(strstr(told.out, "it is so"), "%s", told.out);
        cr_expect_not_null(strstr(told.out, "by the leader, a"), "%s", told.out);
    }
    continue_worker();
    end();
}

Test(requests, that_nobody_answers_are_withdrawn)
{
    begin();
    stop_worker();
    instance_command(B, &told, "trigger", "hourly", "--timeout", "1s", NULL);
    cr_expect_eq(told.code, 69, "%s", told.err);
    cr_expect_not_null(strstr(told.err, "withdrawn"), "%s", told.err);
    cr_expect_str_eq(server_scalar(conn, "SELECT done::text || ' ' || answer FROM pgbaton.request"),
                     "false withdrawn: nobody answered in time");
    continue_worker();
    end();
}

Test(requests, are_withdrawn_by_an_interrupt)
{
    struct talk t;

    begin();
    stop_worker();
    talk(&t, B, trigger);
    wait_request("trigger", "hourly");
    program_signal(&t.program, SIGINT);
    cr_expect_eq(talk_ends(&t), 130, "%s", told.err);
    cr_expect_not_null(strstr(told.err, "withdrawn"), "%s", told.err);
    cr_expect_null(server_scalar(conn, "SELECT 1 FROM pgbaton.request WHERE answered_at IS NULL"));
    continue_worker();
    end();
}

static void put_run(const char *id, int attempt, const char *outcome, const char *parent)
{
    char *sql = text_format(
        "INSERT INTO pgbaton.run (election, id, job, scheduled_at, attempt, outcome, origin,"
        " parent) VALUES ('main', '%s', 'hourly', '2026-11-24 10:00:00.123456Z', %d, '%s', '%s',"
        " %s)",
        id, attempt, outcome, parent == NULL ? "trigger" : "retry",
        parent == NULL ? "NULL" : parent);

    server_do(conn, sql);
    free(sql);
}

static void end_run(const char *id, const char *outcome)
{
    char *sql = text_format("UPDATE pgbaton.run SET outcome = '%s', reason = 'so it was',"
                            " started_at = scheduled_at, ended_at = clock_timestamp()"
                            " WHERE id = '%s'",
                            outcome, id);

    server_do(conn, sql);
    free(sql);
}

/* It waits for the run, and where that fails and is tried again for the last attempt. */
static void wait_with_jobs(struct talk *t, const char *sections)
{
    begin_with(sections);
    stop_worker();
    put_run("9.9-1", 1, "running", NULL);
    talk(t, B, trigger_wait);
    wait_request("trigger", "hourly");
    answer("hourly", true, "'9.9-1'", "it is started");
    continue_worker();
}

static void wait_with(struct talk *t)
{
    wait_with_jobs(t, jobs);
}

Test(requests, trigger_wait_ends_with_the_run_that_succeeds)
{
    struct talk t;

    wait_with(&t);
    cr_expect_eq(program_wait(&t.program, DUR_S(1)), -1, "it does not wait");
    end_run("9.9-1", "succeeded");
    cr_expect_eq(talk_ends(&t), 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "9.9-1\nsucceeded"), "%s", told.out);
    end();
}

Test(requests, trigger_wait_ends_with_the_last_attempt_of_a_run_that_fails)
{
    struct talk t;

    wait_with(&t);
    server_do(conn, "BEGIN");
    end_run("9.9-1", "failed");
    put_run("9.9-2", 2, "retrying", "'9.9-1'");
    server_do(conn, "COMMIT");
    cr_expect_eq(program_wait(&t.program, DUR_S(1)), -1, "it does not wait for the next attempt");
    end_run("9.9-2", "timed_out");
    cr_expect_eq(talk_ends(&t), 1, "%s", told.out);
    cr_expect_not_null(strstr(told.err, "timed_out"), "%s", told.err);
    cr_expect_not_null(strstr(told.err, "so it was"), "%s", told.err);
    end();
}

static bool has_said_its_run(void *ctx)
{
    const struct talk *t = ctx;
    char *out = text_read(t->out);
    bool said = strstr(out, "9.9-1\n") != NULL;

    free(out);
    return said;
}

Test(requests, trigger_wait_leaves_the_run_alone_when_interrupted)
{
    struct talk t;

    wait_with(&t);
    cr_assert(wait_until(has_said_its_run, &t, WAIT_LIMIT));
    program_signal(&t.program, SIGINT);
    cr_expect_eq(talk_ends(&t), 130, "%s", told.err);
    cr_expect_not_null(strstr(told.err, "the run goes on"), "%s", told.err);
    cr_expect_str_eq(server_scalar(conn, "SELECT outcome FROM pgbaton.run WHERE id = '9.9-1'"),
                     "running");
    end();
}

Test(requests, trigger_wait_has_a_limit_where_one_is_given)
{
    static const char *const words[] = {"trigger", "hourly", "--wait", "--timeout", "6s", NULL};
    struct talk t;

    begin();
    stop_worker();
    put_run("9.9-1", 1, "running", NULL);
    talk(&t, B, words);
    wait_request("trigger", "hourly");
    answer("hourly", true, "'9.9-1'", "it is started");
    cr_expect_eq(talk_ends(&t), 75, "%s", told.err);
    cr_expect_not_null(strstr(told.err, "has not ended in time"), "%s", told.err);
    continue_worker();
    end();
}

Test(requests, trigger_wait_knows_a_success_that_is_not_kept)
{
    static const char quiet[] = "[job quiet]\nschedule = manual\nrecord = failures\nexec = true\n";

    fleet_make(&fleet, 2, &settings);
    fleet_add_jobs(&fleet, &settings, quiet);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    instance_command(B, &told, "trigger", "quiet", "--wait", "--json", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "\"outcome\":\"succeeded\""), "%s%s", told.out, told.err);
    cr_expect_not_null(strstr(told.out, "\"run\":\"1."), "%s", told.out);
    instance_command(B, &told, "why", "quiet", NULL);
    cr_expect_eq(told.code, 1, "%s", told.out);
    cr_expect_not_null(strstr(told.err, "record = failures"), "%s", told.err);
    instance_command(B, &told, "history", "--job", "nosuch", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_str_empty(told.out, "not a table of nothing");
    cr_expect_not_null(strstr(told.err, "no run of 'nosuch' is on record, and it is no job of"),
                       "%s", told.err);
    instance_command(B, &told, "history", "--job", "quiet", "--json", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_str_eq(told.err, "pgbaton: no run of 'quiet' is on record\n");
    instance_command(B, &told, "history", "--job", "quiet", "--outcome", "failed", NULL);
    cr_expect_str_eq(told.err, "pgbaton: no such run of 'quiet' is on record\n");
    end();
}

/* A lock for longer than a question may take: that the run cannot be read says nothing about it. */
static void wait_while_the_ledger_is_locked(const char *sections)
{
    struct talk t;

    wait_with_jobs(&t, sections);
    instance_mark(B);
    server_do(conn, "BEGIN");
    server_do(conn, "LOCK TABLE pgbaton.run IN ACCESS EXCLUSIVE MODE");
    instance_wait(B, "query_failed", "lock timeout");
    cr_expect_eq(program_wait(&t.program, DUR_MS(500)), -1, "it does not wait");
    server_do(conn, "COMMIT");
    cr_expect_eq(program_wait(&t.program, DUR_S(1)), -1, "it does not wait any longer");
    end_run("9.9-1", "failed");
    cr_expect_eq(talk_ends(&t), 1, "%s", told.out);
    cr_expect_str_eq(told.out, "9.9-1\n");
    cr_expect_eq(strncmp(told.err, "failed", 6), 0, "%s", told.err);
    cr_expect_not_null(strstr(told.err, "so it was"), "%s", told.err);
    end();
}

Test(requests, trigger_wait_outlasts_a_ledger_that_cannot_be_read)
{
    wait_while_the_ledger_is_locked(jobs);
}

Test(requests, trigger_wait_does_not_take_it_for_a_success_that_is_not_kept)
{
    wait_while_the_ledger_is_locked(
        "[job hourly]\nschedule = manual\nrecord = failures\nexec = true\n");
}

Test(requests, trigger_wait_says_that_a_run_is_not_on_record_any_more)
{
    struct talk t;

    wait_with(&t);
    cr_expect_eq(program_wait(&t.program, DUR_S(1)), -1);
    server_do(conn, "DELETE FROM pgbaton.run WHERE id = '9.9-1'");
    cr_expect_eq(talk_ends(&t), 1, "%s", told.out);
    cr_expect_not_null(strstr(told.err, "not on record any more"), "%s", told.err);
    end();
}

/* The probe of the heir holds the seat, and has to go on renewing it. */
Test(requests, and_questions_do_not_cost_the_seat)
{
    begin();
    instance_mark(B);
    stop_worker();
    for (size_t i = 0; i < 10; i++) {
        instance_command(B, &told, "jobs", NULL);
        cr_expect_eq(told.code, 0, "%s", told.err);
        instance_command(B, &told, "pause", "hourly", "--timeout", "100ms", NULL);
        cr_expect_eq(told.code, 69, "%s", told.err);
    }
    continue_worker();
    cr_expect_eq(instance_logged(B, "seat_lost", ""), 0);
    cr_expect_eq(instance_logged(A, "lost", ""), 0);
    end();
}

/* Anybody may notify. A worker that does not read for a moment must not be taken for hung because
 * of it. */
Test(requests, a_flood_of_notifications_becomes_few_messages)
{
    begin();
    stop_worker();
    instance_mark(A);
    server_do(conn, "DO $$ BEGIN FOR i IN 1..1000 LOOP "
                    "PERFORM pg_notify('pgbaton', 'request main'); COMMIT; END LOOP; END $$");
    continue_worker();
    instance_wait(A, "requests", "epoch=1.1");
    instance_command(B, &told, "jobs", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_lt(instance_logged(A, "requests", "epoch=1.1"), 250);
    cr_expect(process_lives(worker));
    cr_expect(instance_leads(A));
    end();
}

/* clang-format off */
static const struct {
    const char *title;
    const char *words[5];
    const char *says;
} wrong[] = {
    {"no job to trigger",         {"trigger"},                            "the name of a job"},
    {"an empty name",             {"pause", ""},                          "there is no job"},
    {"a name that is no text",    {"pause", "\xff\xfe"},                  "there is no job"},
    {"two jobs",                  {"cancel", "hourly", "b"},              "'b'"},
    {"pause does not wait",       {"pause", "hourly", "--wait"},          "--wait"},
    {"a limit that is none",      {"trigger", "hourly", "--timeout=soon"}, "soon"},
    {"a value for a flag",        {"trigger", "hourly", "--wait=yes"},    "--wait=yes"},
    {"history of too many",       {"history", "--limit", "10001"},        "10001"},
    {"an outcome that is none",   {"history", "--outcome", "good"},       "succeeded"},
    {"a time that is none",       {"history", "--since", "yesterday"},    "such as"},
    {"output of nothing",         {"output"},                             "the id of a run"},
    {"why of nothing",            {"why"},                                "the name of a job"},
    {"jobs takes no word",        {"jobs", "hourly"},                     "hourly"},
    {"terms have no job",         {"history", "--terms", "--job", "a"},   "--terms"},
};
/* clang-format on */

Test(requests, what_makes_no_sense_is_refused_before_anybody_is_asked)
{
    fleet_make(&fleet, 1, NULL);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const *w = wrong[i].words;

        instance_command(A, &told, w[0], w[1], w[1] == NULL ? NULL : w[2],
                         w[1] == NULL || w[2] == NULL ? NULL : w[3], NULL);
        cr_expect_eq(told.code, 64, "%s: %d %s%s", wrong[i].title, told.code, told.out, told.err);
        cr_expect_not_null(strstr(told.err, wrong[i].says), "%s: %s", wrong[i].title, told.err);
    }
}
