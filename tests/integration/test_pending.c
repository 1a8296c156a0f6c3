/* What is to follow a run and is not begun when its leader dies: it is in the ledger, and the next
 * leader runs it, once. On both kinds of ledger. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/stage.h"
#include "tests/support/text.h"

TestSuite(pending, .timeout = 180);

static struct outcome told;

/* Who ran what, as the jobs say it themselves. */
#define SAYS "echo $PGBATON_JOB $PGBATON_ATTEMPT $PGBATON_INSTANCE >> DIR/ran"
#define MARK "[job mark]\nexec = true\n"

static void trigger(struct instance *i, const char *job, const char *option)
{
    instance_command(i, &told, "trigger", job, option, NULL);
    cr_assert_eq(told.code, 0, "%s: %s%s", job, told.out, told.err);
}

static void kill_the_leader(struct stage *s)
{
    program_kill_tree(&s->a.supervisor);
    instance_wait(&s->b, "elected", "");
}

/* When b has gone too, a leads again: it finds nothing to do. */
static void expect_it_ran(struct stage *s, const char *wanted)
{
    instance_stop(&s->b);
    stage_start(&s->a);
    trigger(&s->a, "mark", "--wait");
    instance_stop(&s->a);
    char *ran = stage_file(s, "ran");
    cr_expect_str_eq(ran, wanted);
    free(ran);
    stage_expect(s, "open runs", "SELECT count(*) FROM run WHERE ended_at IS NULL", "0");
}

#define ATTEMPTS                                                                                   \
    "SELECT attempt, outcome, origin, instance FROM run WHERE job = 'again' ORDER BY attempt"

/* The delay is as long as a loaded machine may take to kill a. */
STAGE_RULE(pending, an_attempt_that_a_dead_leader_was_to_make_is_made_once_by_the_next)
{
    stage_set(s, "schedule = manual\n",
              "[job again]\nretries = 1\nretry_delay = 8s\n"
              "command = " SAYS "; [ $PGBATON_ATTEMPT -ge 2 ]\n" MARK);
    stage_start(&s->a);
    stage_start_heir(&s->b);
    trigger(&s->a, "again", NULL);
    stage_wait(s, ATTEMPTS, "1 failed trigger a; 2 retrying retry a");
    kill_the_leader(s);

    stage_wait(s, ATTEMPTS, "1 failed trigger a; 2 succeeded retry b");
    stage_expect(s, "not before it was due, and of the same instant and parent",
                 "SELECT count(*) FROM run x JOIN run y ON y.parent = x.id AND y.scheduled_at = "
                 "x.scheduled_at AND y.started_at >= y.due_at AND y.due_at > x.ended_at",
                 "1");
    expect_it_ran(s, "again 1 a\nagain 2 b\n");
}

#define AFTERS                                                                                     \
    "SELECT job, outcome, reason, origin, instance FROM run WHERE job IN ('child', 'grandchild')"  \
    " ORDER BY job"

/* It waits for the mutex, which dies with a. */
STAGE_RULE(pending, a_job_that_was_to_run_after_another_is_run_once_by_the_next)
{
    stage_set(s, "schedule = manual\n",
              "[job holder]\nmutex = one\nexec = sleep 1000\n"
              "[job mother]\ncommand = " SAYS "\n"
              "[job child]\nschedule = after mother\nmutex = one\ncommand = " SAYS "\n"
              "[job grandchild]\nschedule = after child\ncommand = " SAYS "\n" MARK);
    stage_start(&s->a);
    stage_start_heir(&s->b);
    trigger(&s->a, "holder", NULL);
    stage_wait(s, "SELECT outcome FROM run WHERE job = 'holder'", "running");
    trigger(&s->a, "mother", NULL);
    stage_wait(s, AFTERS, "child queued mutex after a");
    kill_the_leader(s);

    stage_wait(s, AFTERS, "child succeeded - after b; grandchild succeeded - after b");
    stage_expect(s, "what died with a", "SELECT outcome FROM run WHERE job = 'holder'",
                 "interrupted");
    stage_expect(s, "each of its parent's instant",
                 "SELECT x.job, y.job FROM run x JOIN run y ON y.parent = x.id"
                 " AND y.scheduled_at = x.scheduled_at ORDER BY x.job",
                 "child grandchild; mother child");
    expect_it_ran(s, "mother 1 a\nchild 1 b\ngrandchild 1 b\n");
}
