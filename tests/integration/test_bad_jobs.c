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

/* They are facts that are looked at, not how late a tick is: each has its row, and was run. */
STAGE_RULE(bad_jobs, many_failures_of_one_cost_another_no_tick)
{
    stage_set(s, "missed = all\noverlap = allow\n",
              "[job fails]\nschedule = every 250ms\ncommand = exit 1\n"
              "on_failure = exit 2\n"
              "[job cannot-start]\nschedule = every 250ms\nexec = DIR/no-such-program\n"
              "[job retries]\nschedule = every 250ms\nretries = 3\nretry_delay = 100ms\n"
              "command = exit 1\n"
              "[job good]\nschedule = every 250ms\nexec = true\n");
    stage_start(&s->a);
    stage_wait(s, "SELECT count(*) FROM job_state WHERE failures >= 10 AND job <> 'good'", "3");
    wait_succeeded(s, "good", 10);
    stop_when_all_succeeded(s, "good");
    expect_each_tick_once(s, "good", 250);
    expect_each_tick_once(s, "fails", 250);
    expect_each_tick_once(s, "cannot-start", 250);
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

static void bear(struct stage *s, const struct fault *fault)
{
    wait_succeeded(s, "good", 2);
    instance_mark(&s->a);
    fault->begin(s);
    instance_wait(&s->a, "ledger_failed", "nothing is started until it works");
    let_ticks_pass(DUR_S(1)); /* what was claimed before has been started */
    size_t before = started(s);
    let_ticks_pass(DUR_S(4));
    cr_expect_eq(started(s), before, "%s: something was started without a claim", fault->title);
    cr_expect_eq(instance_logged(&s->a, "ledger_failed", ""), 1, "%s", fault->title);
    fault->end(s);
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
        {"requests renamed", rename_requests_away, rename_requests_back},
    };
    static struct stage stage;

    stage_make(&stage, ON_POSTGRES);
    bear_in_a_term(&stage, faults, 2);
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
    cr_expect_eq(instance_logged(&s->a, "ledger_failed", ""), 0);
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
