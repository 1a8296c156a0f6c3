/* Jobs that cannot be run, and ledgers that cannot be written: what is bad fails by itself, is said
 * once, and nothing is started that was not claimed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/stage.h"
#include "tests/support/text.h"

TestSuite(bad_jobs, .timeout = 300);

#define COUNT(condition) STAGE_COUNT(condition)

/* A job whose every tick is run, however late, and has its row. */
#define GOOD                                                                                       \
    "[job good]\nschedule = every 1s\nmissed = all\noverlap = allow\n"                             \
    "command = echo $PGBATON_RUN_ID >> DIR/started\n"

/* From the first of the job's rows to its last there is one tick in every so many milliseconds. */
static void expect_each_tick_once(struct stage *s, const char *job, int every_ms)
{
    const char *length = s->kind == ON_POSTGRES
                             ? "round(extract(epoch FROM max(coalesce(last_at, scheduled_at)) -"
                               " min(scheduled_at)) * 1000)"
                             : "(max(coalesce(last_at, scheduled_at)) - min(scheduled_at)) / 1000";
    char *sql = text_format("SELECT CASE WHEN sum(count) * %d = %s + %d THEN 'each once'"
                            " ELSE 'not each once' END FROM run WHERE job = '%s' AND attempt = 1",
                            every_ms, length, every_ms, job);

    stage_expect(s, job, sql, "each once");
    free(sql);
}

/* All of its ticks up to the last one that was run; then what waits when the instance is stopped
 * is only what the next one would run. */
static void stop_when_all_succeeded(struct stage *s, const char *job)
{
    char *sql = text_format("SELECT count(*) FROM run WHERE job = '%s' AND outcome <> 'succeeded'"
                            " AND scheduled_at < (SELECT max(scheduled_at) FROM run WHERE"
                            " job = '%s' AND outcome = 'succeeded')",
                            job, job);
    char *after = text_format("SELECT count(*) FROM run WHERE job = '%s' AND"
                              " outcome NOT IN ('succeeded', 'queued')",
                              job);

    stage_wait(s, sql, "0");
    instance_stop(&s->a);
    stage_expect(s, job, after, "0");
    free(after);
    free(sql);
}

static void wait_succeeded(struct stage *s, const char *job, int more)
{
    char *count = text_format(COUNT("job = '%s' AND outcome = 'succeeded'"), job);
    char *now = text_format("SELECT %s", count);
    char *sql = text_format("SELECT CASE WHEN %s >= %d THEN 'yes' ELSE 'no' END", count,
                            atoi(stage_rows(s, now)) + more);

    stage_wait(s, sql, "yes");
    free(sql);
    free(now);
    free(count);
}

/* ---- jobs that cannot be run ---- */

/* clang-format off */
static const struct {
    const char *job;
    const char *lines;
    const char *reason; /* part of it */
} bad[] = {
    {"no-directory", "directory = DIR/no-such-directory\nexec = true\n", "no-such-directory"},
    {"no-program",   "exec = DIR/no-such-program\n",                     "no-such-program"},
    {"no-right",     "exec = DIR/just-a-file\n",                         "just-a-file"},
    {"no-user",      "user = no-such-user\nexec = true\n",               "no-such-user"},
    {"no-file",      "environment_file = DIR/no-such-file\nexec = true\n", "no-such-file"},
};
/* clang-format on */

enum { BAD = sizeof bad / sizeof bad[0] };

STAGE_RULE(bad_jobs, what_cannot_be_started_fails_its_own_run_and_says_why)
{
    char *sections = text_format("%s", GOOD);

    for (size_t i = 0; i < BAD; i++) {
        char *more = text_format("%s[job %s]\nschedule = every 1s\n%s[job after-%s]\n"
                                 "schedule = after %s\nexec = true\n",
                                 sections, bad[i].job, bad[i].lines, bad[i].job, bad[i].job);

        free(sections);
        sections = more;
    }
    stage_set(s, NULL, sections);
    free(sections);
    stage_touch(s, "just-a-file");
    stage_start(&s->a);
    pid_t worker = instance_wait_child(&s->a, "worker", 0);
    for (size_t i = 0; i < BAD; i++) {
        char *sql = text_format(STAGE_IS(COUNT("job = '%s' AND outcome = 'failed' AND reason LIKE"
                                               " '%%%s%%' AND started_at IS NULL") " >= 2"),
                                bad[i].job, bad[i].reason);

        stage_wait(s, sql, "yes");
        free(sql);
    }
    wait_succeeded(s, "good", 2);
    cr_expect_eq(instance_child(&s->a, "worker"), worker);
    stop_when_all_succeeded(s, "good");
    for (size_t i = 0; i < BAD; i++) {
        expect_each_tick_once(s, bad[i].job, 1000);
    }
    expect_each_tick_once(s, "good", 1000);
    stage_expect(s, "what is after them",
                 "SELECT count(*) FROM run WHERE job LIKE 'after%' OR"
                 " (job <> 'good' AND outcome NOT IN ('failed', 'queued', 'missed'))",
                 "0");
}

#define GOOD_OFTEN "[job good]\nschedule = every 250ms\nexec = true\n"

/* Beside it an election and a ledger of its own, with the good job and nothing else: how late a
 * tick is on this machine, at this time. */
static void start_control(struct stage *control, struct stage *s)
{
    struct outcome told;

    *control = (struct stage){.kind = s->kind};
    control->path = text_format("%s/control.db", s->dir.path);
    control->dsn = s->kind == ON_POSTGRES ? text_format("%s", s->dsn)
                                          : text_format("sqlite:%s", control->path);
    const struct instance_settings settings = {.dsn = control->dsn,
                                               .pgbaton = "stop_timeout = 60s\n",
                                               .database = "schema = control\n",
                                               .election = ELECTION_CALM "name = control\n",
                                               .jobs = "missed = all\noverlap = allow\n",
                                               .job = GOOD_OFTEN};

    instance_make(&control->a, &s->dir, "control", &settings);
    instance_command(&control->a, &told, "init-db", NULL);
    cr_assert_eq(told.code, 0, "%s%s", told.out, told.err);
    if (s->kind == ON_POSTGRES) {
        control->conn = server_connect(&s->pg, "control");
        server_do(control->conn, "SET search_path = control");
    }
    stage_start(&control->a);
}

static void end_control(struct stage *control)
{
    instance_stop(&control->a);
    if (control->conn != NULL) {
        PQfinish(control->conn);
    }
    free(control->path);
    free(control->dsn);
}

/* The median of the good job's first ticks from that second on, in milliseconds, when they have
 * ended. */
static long median_late_ms(const struct stage *s, long long second)
{
    enum { TICKS = 21 };
    bool on_postgres = s->kind == ON_POSTGRES;
    const char *late = on_postgres
                           ? "(extract(epoch FROM started_at - scheduled_at) * 1000)::bigint"
                           : "(started_at - scheduled_at) / 1000";
    char *ended = text_format(on_postgres ? "FROM run WHERE job = 'good' AND ended_at IS NOT NULL"
                                            " AND scheduled_at >= to_timestamp(%lld)"
                                          : "FROM run WHERE job = 'good' AND ended_at IS NOT NULL"
                                            " AND scheduled_at >= %lld000000",
                              second);
    char *enough =
        text_format("SELECT CASE WHEN count(*) >= %d THEN 'yes' ELSE 'no' END %s", TICKS, ended);
    char *median = text_format("SELECT late FROM (SELECT %s AS late %s ORDER BY scheduled_at"
                               " LIMIT %d) l ORDER BY late LIMIT 1 OFFSET %d",
                               late, ended, TICKS, TICKS / 2);

    stage_wait(s, enough, "yes");
    long ms = strtol(stage_rows(s, median), NULL, 10);
    free(median);
    free(enough);
    free(ended);
    return ms;
}

/* The same instants on both, so whatever else the machine does delays both: a scheduler that was
 * held up by failures would be late by seconds, and the other one not. */
STAGE_RULE(bad_jobs, many_failures_of_one_neither_delay_another_nor_cost_it_a_tick)
{
    static struct stage control;

    stage_set(s, "missed = all\noverlap = allow\n",
              "[job fails]\nschedule = every 500ms\ncommand = exit 1\n"
              "on_failure = exit 2\n"
              "[job cannot-start]\nschedule = every 500ms\nexec = DIR/no-such-program\n"
              "[job retries]\nschedule = every 500ms\nretries = 2\nretry_delay = 100ms\n"
              "command = exit 1\n" GOOD_OFTEN);
    stage_start(&s->a);
    start_control(&control, s);
    stage_wait(s, "SELECT count(*) FROM job_state WHERE failures >= 10 AND job <> 'good'", "3");
    long long second = clock_wall() / DUR_S(1) + 1;
    long late = median_late_ms(s, second);
    long late_alone = median_late_ms(&control, second);
    cr_expect_leq(late, 4 * late_alone + 2000, "%ld ms late beside failures, %ld ms alone", late,
                  late_alone);
    end_control(&control);
    stop_when_all_succeeded(s, "good");
    expect_each_tick_once(s, "good", 250);
    expect_each_tick_once(s, "fails", 500);
    expect_each_tick_once(s, "cannot-start", 500);
    stage_expect(s, "failures", "SELECT failures FROM job_state WHERE job = 'good'", "0");
}

/* ---- ledgers that cannot be written ---- */

struct fault {
    const char *title;
    void (*begin)(struct stage *s);
    void (*end)(struct stage *s);
};

static void rename_away(struct stage *s)
{
    stage_do(s, "ALTER TABLE run RENAME TO run_that_was");
}

static void rename_back(struct stage *s)
{
    stage_do(s, "ALTER TABLE run_that_was RENAME TO run");
}

static void rename_requests_away(struct stage *s)
{
    stage_do(s, "ALTER TABLE request RENAME TO request_that_was");
}

static void rename_requests_back(struct stage *s)
{
    stage_do(s, "ALTER TABLE request_that_was RENAME TO request");
}

static void rename_states_away(struct stage *s)
{
    stage_do(s, "ALTER TABLE job_state RENAME TO job_state_that_was");
}

static void rename_states_back(struct stage *s)
{
    stage_do(s, "ALTER TABLE job_state_that_was RENAME TO job_state");
}

static void rename_column_away(struct stage *s)
{
    stage_do(s, "ALTER TABLE run RENAME COLUMN outcome TO outcome_that_was");
}

static void rename_column_back(struct stage *s)
{
    stage_do(s, "ALTER TABLE run RENAME COLUMN outcome_that_was TO outcome");
}

static void take_right(struct stage *s)
{
    stage_do(s, "REVOKE INSERT, UPDATE ON run FROM baton");
}

static void give_right(struct stage *s)
{
    stage_do(s, "GRANT INSERT, UPDATE ON run TO baton");
}

/* A setting of the database would hold for new sessions only. */
static void forbid_writing(struct stage *s)
{
    stage_do(s, "ALTER SYSTEM SET default_transaction_read_only = on");
    stage_do(s, "SELECT pg_reload_conf()");
}

static void allow_writing(struct stage *s)
{
    stage_do(s, "SET default_transaction_read_only = off");
    stage_do(s, "ALTER SYSTEM RESET default_transaction_read_only");
    stage_do(s, "SELECT pg_reload_conf()");
}

static size_t started(const struct stage *s)
{
    char *text = stage_file(s, "started");
    size_t count = text_count(text, "\n");

    free(text);
    return count;
}

static bool has_come(void *moment)
{
    return clock_wall() >= *(const wall_ns *)moment;
}

/* Ticks are due by the wall clock: how many pass here decides nothing. */
static void let_ticks_pass(dur_ns length)
{
    wall_ns until = clock_wall() + length;

    cr_assert(wait_until(has_come, &until, WAIT_LIMIT));
}

/* Whatever ran has a row. */
static void expect_all_claimed(struct stage *s)
{
    char *text = stage_file(s, "started");
    size_t runs = 0;

    for (char *id = strtok(text, "\n"); id != NULL; id = strtok(NULL, "\n")) {
        char *sql = text_format("SELECT outcome FROM run WHERE id = '%s' AND job = 'good'", id);

        stage_expect(s, "it ran", sql, "succeeded");
        free(sql);
        runs++;
    }
    cr_expect_gt(runs, 4);
    free(text);
}

/* What the server has refused since it was started: each attempt is one line. In a file nobody
 * counts them. */
static size_t refused(const struct stage *s)
{
    char *text = text_read(s->kind == ON_POSTGRES ? s->pg.log : "");
    size_t count = text_count(text, "ERROR:  ");

    free(text);
    return count;
}

/* The ledger's back-off, of which at least a half is waited; and what has none, because it stops
 * nothing: requests are looked for this often. */
#define AGAIN_LEAST DUR_MS(200)
#define AGAIN_MOST DUR_S(30)
#define REQUESTS_EVERY DUR_S(5)

static size_t attempts_most(dur_ns length)
{
    size_t attempts = 2 + (size_t)(length / REQUESTS_EVERY);
    dur_ns wait = AGAIN_LEAST;

    for (dur_ns at = wait / 2; at <= length; at += wait / 2) {
        attempts++;
        wait = wait * 2 < AGAIN_MOST ? wait * 2 : AGAIN_MOST;
    }
    return attempts;
}

static void expect_few_attempts(const struct stage *s, const char *title, size_t before,
                                dur_ns length)
{
    size_t attempts = refused(s) - before;
    size_t most = attempts_most(length);

    if (s->kind == ON_POSTGRES) {
        cr_expect_geq(attempts, 2, "%s: it is not tried again", title);
        cr_expect_leq(attempts, most, "%s: %zu attempts, and at most %zu fit into %lld ms", title,
                      attempts, most, (long long)(length / DUR_MS(1)));
    }
}

static bool runs_nothing(void *instance)
{
    pid_t below[4];

    return processes_below(instance_child(instance, "worker"), below, 4) == 0;
}

static void bear(struct stage *s, const struct fault *fault)
{
    wait_succeeded(s, "good", 2);
    instance_mark(&s->a);
    size_t refused_before = refused(s);
    mono_ns since = clock_now();
    fault->begin(s);
    instance_wait(&s->a, "ledger_failed", "nothing is started until it works");
    let_ticks_pass(DUR_S(1)); /* what was claimed before has been started */
    cr_assert(wait_until(runs_nothing, &s->a, WAIT_LIMIT), "%s", text_tail(s->a.log));
    size_t before = started(s);
    let_ticks_pass(DUR_S(4));
    cr_expect_eq(started(s), before, "%s: something was started without a claim", fault->title);
    cr_expect_eq(instance_logged(&s->a, "ledger_failed", ""), 1, "%s", fault->title);
    fault->end(s);
    expect_few_attempts(s, fault->title, refused_before, clock_now() - since);
    wait_succeeded(s, "good", 3);
    stage_wait(s,
               STAGE_IS(COUNT("job = 'skips' AND outcome = 'missed' AND reason = 'no ledger'"
                              " AND count >= 2") " >= 1"),
               "yes");
    /* The rows are there before the worker hears of it; and results of runs from before the fault
     * can be all that was written so far, which proves no claim. */
    instance_wait(&s->a, "ledger_works", "");
    cr_expect(instance_leads(&s->a), "%s", fault->title);
    cr_expect_eq(instance_logged(&s->a, "ledger_failed", ""), 1, "%s", fault->title);
    cr_expect_eq(instance_logged(&s->a, "ledger_works", ""), 1, "%s", fault->title);
}

static void bear_in_a_term(struct stage *s, const struct fault *faults, size_t count)
{
    stage_set(s, NULL, GOOD "[job skips]\nschedule = every 1s\nmissed = skip\nexec = true\n");
    stage_start(&s->a);
    for (size_t i = 0; i < count; i++) {
        bear(s, &faults[i]);
    }
    stop_when_all_succeeded(s, "good");
    expect_each_tick_once(s, "good", 1000);
    expect_each_tick_once(s, "skips", 1000);
    expect_all_claimed(s);
}

STAGE_RULE(bad_jobs, without_its_table_nothing_is_started_until_it_is_back)
{
    static const struct fault away = {"renamed", rename_away, rename_back};

    bear_in_a_term(s, &away, 1);
}

Test(bad_jobs, what_forbids_to_write_is_said_once_and_nothing_is_started_meanwhile)
{
    static const struct fault faults[] = {
        {"revoked", take_right, give_right},
        {"read-only", forbid_writing, allow_writing},
    };
    static struct stage stage;

    stage_make(&stage, ON_POSTGRES);
    bear_in_a_term(&stage, faults, 2);
    stage_end(&stage);
}

/* The statements are prepared, and name all of it: the table of requests, too. */
Test(bad_jobs, what_is_changed_under_a_leader_is_said_once_and_nothing_is_started_meanwhile)
{
    static const struct fault faults[] = {
        {"requests renamed", rename_requests_away, rename_requests_back},
        {"states of jobs renamed", rename_states_away, rename_states_back},
        {"a column renamed", rename_column_away, rename_column_back},
    };
    static struct stage stage;

    stage_make(&stage, ON_POSTGRES);
    bear_in_a_term(&stage, faults, 3);
    stage_end(&stage);
}

/* Who asks is not heard meanwhile; what is due does not depend on it. (In PostgreSQL one statement
 * writes all of it, so there it does.) */
Test(bad_jobs, without_the_table_of_requests_the_schedule_goes_on_on_sqlite)
{
    static struct stage stage;
    struct stage *s = &stage;
    struct outcome told;

    stage_make(s, ON_SQLITE);
    stage_set(s, NULL, GOOD);
    stage_start(&s->a);
    wait_succeeded(s, "good", 1);
    rename_requests_away(s);
    instance_wait(&s->a, "requests_not_read", "request");
    wait_succeeded(s, "good", 3);
    rename_requests_back(s);
    instance_command(&s->a, &told, "trigger", "good", "--wait", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    cr_expect_eq(instance_logged(&s->a, "requests_not_read", ""), 1);
    /* What this test writes locks the file for a moment. */
    cr_expect_eq(instance_logged(&s->a, "ledger_failed", ""),
                 instance_logged(&s->a, "ledger_failed", "is locked by another process"));
    instance_stop(&s->a);
    stage_expect(s, "ticks", "SELECT count(*) FROM run WHERE outcome = 'missed'", "0");
    stage_end(s);
}

/* Its rows are gone with it; what was decided is in job_state. */
Test(bad_jobs, a_table_that_was_dropped_and_made_again_is_gone_on_with)
{
    static struct stage s;
    struct outcome told;

    stage_make(&s, ON_POSTGRES);
    stage_set(&s, NULL, GOOD);
    stage_start(&s.a);
    wait_succeeded(&s, "good", 2);
    instance_mark(&s.a);
    stage_do(&s, "DROP TABLE run CASCADE");
    instance_wait(&s.a, "ledger_failed", "");
    instance_command(&s.a, &told, "init-db", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    wait_succeeded(&s, "good", 3);
    cr_expect(instance_leads(&s.a));
    cr_expect_eq(instance_logged(&s.a, "ledger_failed", ""), 1);
    stop_when_all_succeeded(&s, "good");
    expect_each_tick_once(&s, "good", 1000);
    stage_end(&s);
}
