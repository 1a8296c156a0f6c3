/*
 * What becomes of a run by its job's policies, as the ledger has it afterwards. All cases of the
 * table are jobs of one instance, which is asked twice: before the file "go" is there, for which
 * many of the jobs wait, and after.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/stage.h"
#include "tests/support/text.h"

TestSuite(policies, .timeout = 300);

#define UNTIL_GO "command = while [ ! -e DIR/go ]; do sleep 0.05; done\n"

/* All rows of a job, in their order. */
#define ROWS(job, columns)                                                                         \
    "SELECT " columns " FROM run WHERE job = '" job "' ORDER BY scheduled_at, attempt, id"

#define IS(condition) STAGE_IS(condition)
#define COUNT(condition) STAGE_COUNT(condition)

struct question {
    const char *sql; /* NULL: none */
    const char *answer;
};

/* clang-format off */
static const struct {
    const char *title;
    const char *sections;
    struct question before; /* waited for */
    struct question after;  /* waited for */
    struct question at_end; /* must be so in the end */
} cases[] = {
    {"overlap = skip: while one runs, ticks are skipped",
     "[job skip]\nschedule = every 1s\noverlap = skip\n" UNTIL_GO,
     {IS(COUNT("job = 'skip' AND outcome = 'running'") " = 1 AND "
         COUNT("job = 'skip' AND outcome = 'skipped' AND reason = 'overlap'") " >= 2 AND "
         COUNT("job = 'skip' AND outcome = 'queued'") " = 0"), "yes"},
     {IS(COUNT("job = 'skip' AND outcome = 'succeeded'") " >= 2"), "yes"},
     {STAGE_OVERLAPS("'skip'"), "0"}},
    {"overlap = queue: one waits, the others are skipped",
     "[job queue]\nschedule = every 1s\noverlap = queue\n" UNTIL_GO,
     {IS(COUNT("job = 'queue' AND outcome = 'running'") " = 1 AND "
         COUNT("job = 'queue' AND outcome = 'queued' AND reason = 'overlap'") " = 1 AND "
         COUNT("job = 'queue' AND outcome = 'skipped' AND reason = 'overlap'") " >= 1"), "yes"},
     {IS(COUNT("job = 'queue' AND outcome = 'succeeded'") " >= 3"), "yes"},
     {STAGE_OVERLAPS("'queue'"), "0"}},
    {"overlap = replace: the tick that comes ends the run before it",
     "[job replace]\nschedule = every 1s\noverlap = replace\nexec = sleep 1000\n",
     {IS(COUNT("job = 'replace' AND outcome = 'cancelled' AND reason = 'replaced'"
               " AND code = 143") " >= 2"), "yes"},
     {NULL, NULL},
     {STAGE_OVERLAPS("'replace'"), "0"}},
    {"overlap = allow: they run beside each other",
     "[job allow]\nschedule = every 1s\noverlap = allow\n" UNTIL_GO,
     {IS(COUNT("job = 'allow' AND outcome = 'running'") " >= 3"), "yes"},
     {IS(COUNT("job = 'allow' AND outcome = 'succeeded'") " >= 3"), "yes"},
     {"SELECT " COUNT("job = 'allow' AND outcome IN ('skipped', 'queued')"), "0"}},
    {"overlap: what comes after another job meets it as a tick does",
     "[job often]\nschedule = every 1s\nexec = true\n"
     "[job seldom]\nschedule = after often\n" UNTIL_GO,
     {IS(COUNT("job = 'seldom' AND outcome = 'running'") " = 1 AND "
         COUNT("job = 'seldom' AND outcome = 'skipped' AND reason = 'overlap' AND origin = 'after'"
               " AND parent IS NOT NULL") " >= 2"), "yes"},
     {IS(COUNT("job = 'seldom' AND outcome = 'succeeded'") " >= 2"), "yes"},
     {STAGE_OVERLAPS("'seldom'"), "0"}},
    {"mutex: of two jobs that share it one runs, the other waits",
     "[job holder]\nschedule = @elected\nmutex = one\n" UNTIL_GO
     "[job waiter]\nschedule = every 1s\nmutex = one\nexec = true\n",
     {IS(COUNT("job = 'holder' AND outcome = 'running'") " = 1 AND "
         COUNT("job = 'waiter' AND outcome = 'queued' AND reason = 'mutex'") " = 1"), "yes"},
     {IS(COUNT("job = 'holder' AND outcome = 'succeeded'") " = 1 AND "
         COUNT("job = 'waiter' AND outcome = 'succeeded'") " >= 2"), "yes"},
     {STAGE_OVERLAPS("'holder', 'waiter'"), "0"}},
    {"retries: each attempt has a row, up to the one that succeeds",
     "[job retries]\nschedule = @elected\nretries = 5\nretry_delay = 100ms\n"
     "command = [ $PGBATON_ATTEMPT -ge 3 ] || exit $PGBATON_ATTEMPT\n",
     {ROWS("retries", "attempt, outcome, code, origin"),
      "1 failed 1 schedule; 2 failed 2 retry; 3 succeeded 0 retry"},
     {"SELECT count(*), count(DISTINCT x.scheduled_at) FROM run x JOIN run y ON y.parent = x.id"
      " AND y.attempt = x.attempt + 1 AND y.scheduled_at = x.scheduled_at"
      " AND y.started_at > x.ended_at WHERE x.job = 'retries'", "2 1"},
     {ROWS("retries", "attempt"), "1; 2; 3"}},
    {"retries: there are no more than that",
     "[job in-vain]\nschedule = @elected\nretries = 1\nretry_delay = 100ms\ncommand = exit 4\n",
     {ROWS("in-vain", "attempt, outcome, reason, origin"),
      "1 failed exit code 4 schedule; 2 failed exit code 4 retry"},
     {"SELECT failures FROM job_state WHERE job = 'in-vain'", "1"},
     {ROWS("in-vain", "attempt"), "1; 2"}},
    {"retries: a delay is waited for in the ledger",
     "[job later]\nschedule = @elected\nretries = 1\nretry_delay = 1h\ncommand = exit 4\n",
     {ROWS("later", "attempt, outcome"), "1 failed; 2 retrying"},
     {IS("due_at > created_at") " FROM run WHERE job = 'later' AND attempt = 2", "yes"},
     {ROWS("later", "attempt, outcome"), "1 failed; 2 retrying"}},
    {"timeout: TERM",
     "[job slow]\nschedule = @elected\ntimeout = 300ms\ngrace = 1h\nexec = sleep 1000\n",
     {ROWS("slow", "outcome, reason, code"), "timed_out timeout 143"}},
    {"timeout: KILL, when the grace is over",
     "[job stubborn]\nschedule = @elected\ntimeout = 4s\ngrace = 3s\n"
     "command = trap 'echo term >> DIR/stubborn' TERM; while :; do sleep 0.05; done\n",
     {ROWS("stubborn", "outcome, reason, code"), "timed_out timeout 137"}},
    {"success_codes: others than 0",
     "[job three]\nschedule = @elected\nsuccess_codes = 3,75-78\ncommand = exit 76\n"
     "[job zero]\nschedule = @elected\nsuccess_codes = 3,75-78\ncommand = exit 0\n",
     {ROWS("three", "outcome, code, reason"), "succeeded 76 -"},
     {ROWS("zero", "outcome, code, reason"), "failed 0 exit code 0"}},
    {"record = failures: no row of a success",
     "[job quiet]\nschedule = every 1s\nrecord = failures\ncommand = echo ran >> DIR/quiet\n"
     "[job loud]\nschedule = @elected\nrecord = failures\ncommand = exit 1\n",
     {ROWS("loud", "outcome"), "failed"},
     {IS("last_tick IS NOT NULL") " FROM job_state WHERE job = 'quiet'", "yes"},
     {"SELECT " COUNT("job = 'quiet' AND outcome = 'succeeded'"), "0"}},
    {"after JOB: when it has succeeded",
     "[job mother]\nschedule = @elected\nexec = true\n"
     "[job child]\nschedule = after mother\nexec = true\n"
     "[job grandchild]\nschedule = after child\nexec = true\n",
     {ROWS("child", "attempt, outcome, origin"), "1 succeeded after"},
     {ROWS("grandchild", "attempt, outcome, origin"), "1 succeeded after"},
     {"SELECT x.job, y.job FROM run x JOIN run y ON x.id = y.parent"
      " AND x.scheduled_at = y.scheduled_at AND x.ended_at <= y.started_at"
      " AND y.due_at >= x.started_at"
      " WHERE x.job IN ('mother', 'child') ORDER BY x.job", "child grandchild; mother child"}},
    {"after JOB any: when it has ended, after the last attempt",
     "[job bad]\nschedule = @elected\nretries = 1\nretry_delay = 100ms\ncommand = exit 1\n"
     "[job only-if-good]\nschedule = after bad\nexec = true\n"
     "[job in-any-case]\nschedule = after bad any\nexec = true\n",
     {ROWS("in-any-case", "attempt, outcome, origin"), "1 succeeded after"},
     {"SELECT x.attempt FROM run x JOIN run y ON x.id = y.parent WHERE y.job = 'in-any-case'", "2"},
     {"SELECT " COUNT("job = 'only-if-good'"), "0"}},
    {"manual: not by itself",
     "[job hand]\nschedule = manual\nexec = true\n",
     {NULL, NULL},
     {ROWS("hand", "outcome, origin"), "succeeded trigger"},
     {"SELECT " COUNT("job = 'hand'"), "1"}},
    {"on_failure: once, after the last attempt, with the run's data",
     "[job fails]\nschedule = @elected\nretries = 1\nretry_delay = 100ms\ncommand = exit 7\n"
     "on_failure = echo \"$PGBATON_HOOK $PGBATON_JOB $PGBATON_ATTEMPT $PGBATON_OUTCOME"
     " $PGBATON_EXIT_CODE $PGBATON_REASON; $PGBATON_FAILURES\" >> DIR/fails;"
     " echo $PGBATON_RUN_ID > DIR/fails.id\n"
     "on_success = echo on_success >> DIR/fails\non_recovery = echo on_recovery >> DIR/fails\n",
     {ROWS("fails", "attempt, outcome"), "1 failed; 2 failed"}},
    {"on_recovery: with the first success after a failure; on_success: with each",
     "[job recovers]\nschedule = every 1s\ncommand = [ -e DIR/go ]\n"
     "on_recovery = echo $PGBATON_HOOK >> DIR/recovers\n"
     "on_success = echo $PGBATON_HOOK $PGBATON_OUTCOME $PGBATON_EXIT_CODE >> DIR/recovers\n",
     {IS(COUNT("job = 'recovers' AND outcome = 'failed'") " >= 2 AND failures >= 2")
      " FROM job_state WHERE job = 'recovers'", "yes"},
     {IS(COUNT("job = 'recovers' AND outcome = 'succeeded'") " >= 2 AND failures = 0")
      " FROM job_state WHERE job = 'recovers'", "yes"}},
    {"clean_environment: nothing of the daemon's own",
     "[job dirty]\nschedule = @elected\ncommand = env > DIR/dirty\n"
     "[job clean]\nschedule = @elected\nclean_environment = yes\nenvironment = MINE=too\n"
     "command = env > DIR/clean\n",
     {ROWS("dirty", "outcome"), "succeeded"},
     {ROWS("clean", "outcome"), "succeeded"}},
};
/* clang-format on */

enum { CASES = sizeof cases / sizeof cases[0] };

static char *all_sections(void)
{
    char *all = text_format("%s", "");

    for (size_t i = 0; i < CASES; i++) {
        char *more = text_format("%s%s", all, cases[i].sections);

        free(all);
        all = more;
    }
    return all;
}

static void ask(struct stage *s, const struct question *question)
{
    if (question->sql != NULL) {
        stage_wait(s, question->sql, question->answer);
    }
}

static void check_file(struct stage *s, const char *name, const char *wanted)
{
    char *text = stage_file(s, name);

    cr_expect_str_eq(text, wanted, "%s", name);
    free(text);
}

static void check_hooks(struct stage *s)
{
    stage_wait_file(s, "fails.id", "\n", 1);
    check_file(s, "fails", "on_failure fails 2 failed 7 exit code 7; 1\n");
    char *id = stage_file(s, "fails.id");
    id[strcspn(id, "\n")] = '\0';
    stage_expect(s, "on_failure", "SELECT id FROM run WHERE job = 'fails' AND attempt = 2", id);
    free(id);

    stage_wait_file(s, "recovers", "on_success succeeded 0", 2);
    stage_wait_file(s, "recovers", "on_recovery", 1);
    char *text = stage_file(s, "recovers");
    cr_expect_eq(text_count(text, "on_recovery"), 1, "%s", text);
    free(text);
}

static void check_environments(struct stage *s)
{
    char *dirty = stage_file(s, "dirty");
    char *clean = stage_file(s, "clean");

    cr_expect_not_null(strstr(dirty, "OF_THE_DAEMON=yes\n"), "%s", dirty);
    cr_expect_null(strstr(clean, "OF_THE_DAEMON"), "%s", clean);
    cr_expect_not_null(strstr(clean, "PATH="), "%s", clean);
    cr_expect_not_null(strstr(clean, "MINE=too\n"), "%s", clean);
    cr_expect_not_null(strstr(clean, "PGBATON_JOB=clean\n"), "%s", clean);
    free(dirty);
    free(clean);
}

STAGE_RULE(policies, each_policy_does_what_it_says)
{
    static const char *const environment[] = {"OF_THE_DAEMON=yes", NULL};
    struct outcome told;
    char *sections = all_sections();

    stage_set(s, NULL, sections);
    free(sections);
    s->a.environment = environment;
    stage_start(&s->a);
    for (size_t i = 0; i < CASES; i++) {
        ask(s, &cases[i].before);
    }
    stage_expect(s, "manual", "SELECT count(*) FROM run WHERE job = 'hand'", "0");
    instance_command(&s->a, &told, "trigger", "hand", "--wait", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    stage_touch(s, "go");
    for (size_t i = 0; i < CASES; i++) {
        ask(s, &cases[i].after);
    }
    stage_wait_file(s, "quiet", "ran", 2);
    check_file(s, "stubborn", "term\n");
    check_hooks(s);
    check_environments(s);
    for (size_t i = 0; i < CASES; i++) {
        if (cases[i].at_end.sql != NULL) {
            stage_expect(s, cases[i].title, cases[i].at_end.sql, cases[i].at_end.answer);
        }
    }
    instance_stop(&s->a);
}

/* Others than services count; who waits for it has a row that says so. */
STAGE_RULE(policies, max_running_is_for_all_jobs_together)
{
    stage_set(
        s, "max_running = 2\n",
        "[job service]\nschedule = always\nexec = sleep 1000\n"
        "[job one]\nschedule = @elected\n" UNTIL_GO "[job two]\nschedule = @elected\n" UNTIL_GO
        "[job three]\nschedule = @elected\n" UNTIL_GO "[job four]\nschedule = @elected\n" UNTIL_GO);
    stage_start(&s->a);
    stage_wait(s,
               "SELECT outcome, reason, count(*) FROM run WHERE job <> 'service'"
               " GROUP BY outcome, reason ORDER BY outcome",
               "queued max_running 2; running - 2");
    stage_wait(s, "SELECT outcome FROM run WHERE job = 'service'", "running");
    stage_touch(s, "go");
    stage_wait(s,
               "SELECT outcome, reason, count(*) FROM run WHERE job <> 'service'"
               " GROUP BY outcome, reason",
               "succeeded - 4");
    instance_stop(&s->a);
}
