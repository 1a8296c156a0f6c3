/* What is asked of a real leader by way of another instance, and what it does about it. On both
 * kinds of ledger. (test_requests.c has what becomes of those who ask.) */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/stage.h"
#include "tests/support/text.h"

TestSuite(asked, .timeout = 180);

static struct outcome told;

static void ask(struct instance *i, const char *what, const char *job, const char *option)
{
    instance_command(i, &told, what, job, option, NULL);
    cr_assert_eq(told.code, 0, "%s %s: %s%s", what, job, told.out, told.err);
}

/* ---- cancel ---- */

static const char deaf_and_other[] =
    "[job deaf]\noverlap = queue\ngrace = 500ms\n"
    "command = trap '' TERM; echo $$ >> DIR/started; setsid sh -c 'trap \"\" TERM; echo $$ >> "
    "DIR/grandchild; while :; do sleep 0.05; done' & while :; do sleep 0.05; done\n"
    "[job other]\nexec = sleep 1000\n";

/* By the order in which they were asked for. */
#define RUNS(job)                                                                                  \
    "SELECT outcome, reason, code FROM run WHERE job = '" job "' ORDER BY scheduled_at"

struct started {
    const struct stage *stage;
    const char *file;
};

static pid_t first_pid(const struct started *s)
{
    char *text = stage_file(s->stage, s->file);
    pid_t pid = (pid_t)strtol(text, NULL, 10);

    free(text);
    cr_assert(pid > 0, "nobody has written %s", s->file);
    return pid;
}

static bool is_gone(void *started)
{
    return !process_lives(first_pid(started));
}

/* TERM alone would leave both of them, and the group's end the grandchild. */
STAGE_RULE(asked, cancel_ends_the_run_with_all_that_it_started_and_drops_the_one_that_waits)
{
    struct started child = {.stage = s, .file = "started"};
    struct started grandchild = {.stage = s, .file = "grandchild"};

    stage_set(s, "schedule = manual\n", deaf_and_other);
    stage_start(&s->a);
    stage_start_heir(&s->b);
    ask(&s->b, "trigger", "deaf", NULL);
    stage_wait_file(s, "grandchild", "\n", 1);
    ask(&s->b, "trigger", "deaf", NULL);
    ask(&s->b, "trigger", "other", NULL);
    stage_wait(s, RUNS("deaf"), "running - -; queued overlap -");
    stage_wait(s, RUNS("other"), "running - -");
    cr_assert(!is_gone(&child) && !is_gone(&grandchild));

    ask(&s->b, "cancel", "deaf", NULL);
    cr_expect_not_null(strstr(told.out, "2 runs are stopped"), "%s", told.out);
    stage_wait(s, RUNS("deaf"), "cancelled cancelled 137; cancelled cancelled -");
    cr_expect(wait_until(is_gone, &child, WAIT_LIMIT));
    cr_expect(wait_until(is_gone, &grandchild, WAIT_LIMIT));
    stage_expect(s, "no other job", RUNS("other"), "running - -");

    /* The job itself is sound. */
    ask(&s->b, "trigger", "deaf", NULL);
    stage_wait_file(s, "grandchild", "\n", 2);
    char *started = stage_file(s, "started");
    cr_expect_eq(text_count(started, "\n"), 2, "what waited was started: %s", started);
    free(started);
    ask(&s->b, "cancel", "deaf", NULL);
    cr_expect_not_null(strstr(told.out, "1 run is stopped"), "%s", told.out);
    stage_wait(s, "SELECT count(*) FROM run WHERE job = 'deaf' AND outcome = 'cancelled'", "3");
    ask(&s->b, "cancel", "other", NULL);
    stage_wait(s, RUNS("other"), "cancelled cancelled 143");
    instance_stop(&s->b);
    instance_stop(&s->a);
}

/* ---- who hears of it ---- */

/* Those that were not put there by a command, and what came of them. */
#define BY_HAND                                                                                    \
    "SELECT q.kind, CASE WHEN q.done THEN 'done' ELSE 'refused' END, r.outcome, r.origin,"         \
    " r.instance FROM request q LEFT JOIN run r ON r.id = q.run_id"                                \
    " WHERE q.requested_by IS NULL AND q.answered_at IS NOT NULL ORDER BY q.id"

#define TWO_ROWS                                                                                   \
    "INSERT INTO request (election, kind, job)"                                                    \
    " VALUES ('main', 'trigger', 'hourly'), ('main', 'pause', 'no such job')"
#define DONE_AND_REFUSED "trigger done succeeded trigger a; pause refused - - -"

/* The leader is woken, where the ledger can do that, and looks for itself now and then: a row is
 * all that it takes. */
STAGE_RULE(asked, whoever_is_asked_the_leader_does_it_and_a_row_that_nobody_told_it_of_too)
{
    static const char *const debug[] = {"PGBATON_PGBATON_LOG_LEVEL=debug", NULL};

    stage_set(s, "schedule = manual\n", "[job hourly]\nexec = true\n");
    s->a.environment = debug;
    stage_start(&s->a);
    stage_start_heir(&s->b);

    ask(&s->b, "trigger", "hourly", "--wait");
    stage_expect(s, "by a, not by b", "SELECT outcome, origin, instance, number FROM run",
                 "succeeded trigger a 1");
    stage_expect(s, "who asked", "SELECT count(*) FROM request WHERE requested_by LIKE '% at b'",
                 "1");
    ask(&s->b, "pause", "hourly", NULL);
    ask(&s->b, "resume", "hourly", NULL);
    if (s->kind == ON_POSTGRES) {
        instance_wait(&s->a, "requests", "epoch=1.1"); /* it was woken */
    }

    /* An INSERT tells nobody. Twice: it goes on looking. */
    stage_do(s, TWO_ROWS);
    stage_wait(s, BY_HAND, DONE_AND_REFUSED);
    stage_do(s, TWO_ROWS);
    stage_wait(s, BY_HAND, DONE_AND_REFUSED "; " DONE_AND_REFUSED);
    instance_stop(&s->b);
    instance_stop(&s->a);
}
