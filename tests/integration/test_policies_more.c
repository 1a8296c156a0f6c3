/* Policies that need more than one term: what is paused stays so, what nobody could run is made up
 * for or recorded, and what was interrupted is run again or not. On both kinds of ledger. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/stage.h"
#include "tests/support/text.h"

TestSuite(policies_more, .timeout = 300);

#define UNTIL_GO "command = while [ ! -e DIR/go ]; do sleep 0.05; done\n"
#define COUNT(condition) STAGE_COUNT(condition)

static struct outcome told;

static void command(struct instance *i, const char *what, const char *job, const char *option)
{
    instance_command(i, &told, what, job, job == NULL ? NULL : option, NULL);
    cr_assert_eq(told.code, 0, "%s %s: %s%s", what, job == NULL ? "" : job, told.out, told.err);
}

/* ---- pause ---- */

static const char two_ticks[] = "[job tick]\nschedule = every 1s\nexec = true\n"
                                "[job other]\nschedule = every 1s\nexec = true\n";

/* Ticks of the job that were made by that term: skipped as paused, or run. */
static void wait_ticks(struct stage *s, const char *job, bool paused, const char *instance,
                       unsigned term)
{
    char *sql =
        text_format(STAGE_IS(COUNT("job = '%s' AND outcome = '%s' AND instance = '%s'"
                                   " AND number = %u AND origin = 'schedule'") " >= 2"),
                    job, paused ? "skipped' AND reason = 'paused" : "succeeded", instance, term);

    stage_wait(s, sql, "yes");
    free(sql);
}

/* Ticks that were run though their tick came after somebody's trigger of the job. */
#define STARTED_AFTER_TRIGGER(job)                                                                 \
    "SELECT count(*) FROM run WHERE job = '" job "' AND origin <> 'trigger' AND started_at IS NOT" \
    " NULL AND scheduled_at > (SELECT max(scheduled_at) FROM run WHERE job = '" job                \
    "' AND origin = 'trigger')"

STAGE_RULE(policies_more, a_paused_job_stays_paused_whoever_leads_until_it_is_resumed)
{
    stage_set(s, NULL, two_ticks);
    stage_start(&s->a);
    wait_ticks(s, "tick", false, "a", 1);
    command(&s->a, "pause", "tick", NULL);
    wait_ticks(s, "tick", true, "a", 1);
    command(&s->a, "trigger", "tick", "--wait");
    stage_expect(s, "a trigger", "SELECT outcome FROM run WHERE origin = 'trigger'", "succeeded");

    instance_stop(&s->a);
    stage_start(&s->a);
    wait_ticks(s, "tick", true, "a", 2);
    wait_ticks(s, "other", false, "a", 2);

    stage_start_heir(&s->b);
    program_kill_tree(&s->a.supervisor);
    instance_wait(&s->b, "elected", "");
    wait_ticks(s, "tick", true, "b", 3);
    wait_ticks(s, "other", false, "b", 3);
    stage_expect(s, "paused", STARTED_AFTER_TRIGGER("tick"), "0");

    command(&s->b, "resume", "tick", NULL);
    wait_ticks(s, "tick", false, "b", 3);
    stage_expect(s, "other", "SELECT count(*) FROM run WHERE job = 'other' AND reason = 'paused'",
                 "0");
    instance_stop(&s->b);
}

STAGE_RULE(policies_more, all_jobs_are_paused_and_resumed_at_once)
{
    stage_set(s, NULL, two_ticks);
    stage_start(&s->a);
    wait_ticks(s, "tick", false, "a", 1);
    command(&s->a, "pause", NULL, NULL);
    wait_ticks(s, "tick", true, "a", 1);
    wait_ticks(s, "other", true, "a", 1);
    command(&s->a, "trigger", "other", "--wait");

    stage_start_heir(&s->b);
    program_kill_tree(&s->a.supervisor);
    instance_wait(&s->b, "elected", "");
    wait_ticks(s, "tick", true, "b", 2);
    wait_ticks(s, "other", true, "b", 2);
    stage_expect(s, "paused", STARTED_AFTER_TRIGGER("other"), "0");
    command(&s->b, "resume", NULL, NULL);
    wait_ticks(s, "tick", false, "b", 2);
    wait_ticks(s, "other", false, "b", 2);
    instance_stop(&s->b);
}

/* ---- missed ticks ---- */

/* As if nobody had led for so long; nobody must lead now. */
static void set_back(struct stage *s, unsigned days)
{
    char *sql =
        s->kind == ON_POSTGRES
            ? text_format("UPDATE job_state SET last_tick = last_tick - interval '%u days'", days)
            : text_format("UPDATE job_state SET last_tick = last_tick - 86400000000 * %u", days);

    stage_do(s, sql);
    free(sql);
}

#define ROWS(job)                                                                                  \
    "SELECT outcome, reason, count, CASE WHEN last_at IS NULL THEN 'one' ELSE 'range' END"         \
    " FROM run WHERE job = '" job "' ORDER BY scheduled_at, attempt"

/* Five ticks in 150 days, wherever the grid is; two of them in the last 60. */
STAGE_RULE(policies_more, missed_ticks_are_run_or_recorded_as_the_policy_says)
{
    stage_set(s, "schedule = every 30d\nexec = true\nmissed_window = 200d\n",
              "[job once]\nmissed = once\n"
              "[job skip]\nmissed = skip\n"
              "[job all]\nmissed = all\n"
              "[job most]\nmissed = all\nmissed_max = 3\n"
              "[job old]\nmissed = once\nmissed_window = 60d\n"
              "[job old-all]\nmissed = all\nmissed_window = 60d\n");
    stage_start(&s->a);
    stage_wait(s, "SELECT count(*) FROM job_state WHERE last_tick IS NOT NULL", "6");
    instance_stop(&s->a);
    stage_expect(s, "no tick yet", "SELECT count(*) FROM run", "0");
    set_back(s, 150);
    stage_start(&s->a);

    stage_wait(s, ROWS("once"), "missed no leader 4 range; succeeded - 1 one");
    stage_wait(s, ROWS("skip"), "missed no leader 5 range");
    stage_wait(s, ROWS("all"),
               "succeeded - 1 one; succeeded - 1 one; succeeded - 1 one; "
               "succeeded - 1 one; succeeded - 1 one");
    stage_wait(s, ROWS("most"),
               "missed limit 2 range; succeeded - 1 one; succeeded - 1 one; "
               "succeeded - 1 one");
    stage_wait(s, ROWS("old"), "missed window 3 range; missed no leader 1 one; succeeded - 1 one");
    stage_wait(s, ROWS("old-all"), "missed window 3 range; succeeded - 1 one; succeeded - 1 one");
    /* Made up for one after the other, the oldest first; a range is from its first to its last. */
    stage_expect(s, "one after the other", STAGE_OVERLAPS("'all'"), "0");
    stage_expect(s, "in their order",
                 "SELECT count(*) FROM run x, run y WHERE x.job = 'all' AND y.job = 'all'"
                 " AND x.scheduled_at < y.scheduled_at AND x.started_at >= y.started_at",
                 "0");
    stage_expect(s, "first and last",
                 "SELECT count(*) FROM run x WHERE job = 'skip' AND scheduled_at ="
                 " (SELECT min(scheduled_at) FROM run WHERE job = 'all') AND last_at ="
                 " (SELECT max(scheduled_at) FROM run WHERE job = 'all')",
                 "1");
    /* What is in the ledger is so far decided: the next leader does not find it missing again. */
    instance_stop(&s->a);
    stage_start_heir(&s->a);
    instance_wait(&s->a, "elected", "");
    command(&s->a, "trigger", "once", "--wait");
    stage_expect(s, "once more", "SELECT count(*) FROM run WHERE origin <> 'trigger'", "18");
    instance_stop(&s->a);
}

/* The same with a leader that really was not there, seconds long. */
STAGE_RULE(policies_more, seconds_that_nobody_led_are_one_row)
{
    stage_set(s, NULL, "[job tick]\nschedule = every 1s\nexec = true\nmissed = skip\n");
    stage_start(&s->a);
    stage_wait(s, STAGE_IS(COUNT("outcome = 'succeeded'") " >= 2"), "yes");
    instance_stop(&s->a);
    set_back(s, 1);
    stage_start(&s->a);
    stage_wait(s, STAGE_IS(COUNT("outcome = 'succeeded' AND number = 2") " >= 2"), "yes");
    stage_expect(s, "one row",
                 "SELECT count(*), min(CASE WHEN count BETWEEN 86390 AND 86500 THEN 'a day' END)"
                 " FROM run WHERE outcome = 'missed' AND reason IN ('no leader', 'window')"
                 " AND count > 10",
                 "1 a day");
    instance_stop(&s->a);
}

STAGE_RULE(policies_more, what_is_new_changed_or_enabled_again_has_no_past)
{
#define THREE(again, changed)                                                                      \
    "[job same]\nmissed = skip\n[job again]\nmissed = skip\n" again                                \
    "[job changed]\nmissed = skip\n" changed

    static const char defaults[] = "schedule = every 30d\nexec = true\nmissed_window = 366d\n";

    stage_set(s, defaults, THREE("", ""));
    stage_start(&s->a);
    stage_wait(s, "SELECT count(*) FROM job_state WHERE last_tick IS NOT NULL", "3");
    instance_stop(&s->a);
    set_back(s, 150);
    stage_set(s, defaults, THREE("enabled = no\n", "schedule = every 25d\n") "[job new]\n");
    stage_start(&s->a);
    stage_wait(s, "SELECT count(*) FROM job_state WHERE last_tick IS NOT NULL", "4");
    stage_wait(s, ROWS("same"), "missed no leader 5 range");
    command(&s->a, "trigger", "new", "--wait");
    stage_expect(s, "the others",
                 "SELECT count(*) FROM run WHERE job <> 'same' AND origin <> 'trigger'", "0");

    instance_stop(&s->a);
    set_back(s, 150);
    stage_set(s, defaults, THREE("", "schedule = every 25d\n") "[job new]\n");
    stage_start(&s->a);
    stage_wait(s, ROWS("changed"), "missed no leader 6 range"); /* it has one now */
    command(&s->a, "trigger", "new", "--wait");
    stage_expect(s, "again", "SELECT count(*) FROM run WHERE job = 'again'", "0");
    instance_stop(&s->a);
}

static void reload(struct stage *s, const char *sections)
{
    stage_set(s, NULL, sections);
    command(&s->a, "reload", NULL, NULL);
}

static void mark(struct stage *s)
{
    command(&s->a, "trigger", "mark", "--wait");
}

static void wait_three_ticks(struct stage *s)
{
    char *sql = text_format(STAGE_IS(COUNT("job = 'clock' AND outcome = 'succeeded'") " >= %d"),
                            atoi(stage_rows(s, "SELECT count(*) FROM run WHERE job = 'clock'"
                                               " AND outcome = 'succeeded'")) +
                                3);

    stage_wait(s, sql, "yes");
    free(sql);
}

/* Ticks of the job that were run, or are missed, before the latest mark. */
#define BEFORE_MARK(job, outcomes)                                                                 \
    "SELECT count(*) FROM run WHERE job = '" job "' AND outcome IN (" outcomes ")"                 \
    " AND scheduled_at < (SELECT max(scheduled_at) FROM run WHERE job = 'mark')"

STAGE_RULE(policies_more, a_reload_that_changes_or_enables_a_job_gives_it_no_past)
{
#define AWAY "[job away]\nmissed = all\noverlap = allow\nexec = true\nschedule = every 1s\n"
#define RELOADED(seldom, off)                                                                      \
    "[job mark]\nschedule = manual\nexec = true\n"                                                 \
    "[job clock]\nschedule = every 1s\nexec = true\n"                                              \
    "[job often]\nmissed = all\noverlap = allow\nexec = true\nschedule = " seldom "\n"             \
    "[job off]\nmissed = all\noverlap = allow\nexec = true\nschedule = every 1s\nenabled = " off   \
    "\n"

    stage_set(s, NULL, RELOADED("every 1000d", "no") AWAY);
    stage_start(&s->a);
    wait_three_ticks(s);
    mark(s);
    reload(s, RELOADED("every 1s", "yes") AWAY);
    stage_wait(s,
               STAGE_IS(COUNT("job = 'often' AND outcome = 'succeeded'") " >= 2 AND " COUNT(
                   "job = 'off' AND outcome = 'succeeded'") " >= 2"),
               "yes");
    stage_expect(s, "no past",
                 "SELECT count(*) FROM run WHERE job IN ('often', 'off') AND scheduled_at <"
                 " (SELECT min(scheduled_at) FROM run WHERE job = 'mark')",
                 "0");

    reload(s, RELOADED("every 1s", "no"));
    mark(s); /* the leader has taken it */
    stage_wait(s, "SELECT count(*) FROM run WHERE job IN ('off', 'away') AND ended_at IS NULL",
               "0");
    char *ran = text_format("%s", stage_rows(s, "SELECT count(*) FROM run WHERE job = 'off' AND"
                                                " outcome = 'succeeded'"));
    char *away = text_format("%s", stage_rows(s, "SELECT count(*) FROM run WHERE job = 'away' AND"
                                                 " outcome = 'succeeded'"));
    wait_three_ticks(s);
    mark(s);
    reload(s, RELOADED("every 1s", "yes") AWAY);
    wait_three_ticks(s);
    stage_expect(s, "nothing is made up for", BEFORE_MARK("off", "'succeeded', 'missed'"), ran);
    stage_expect(s, "nor of what was not there", BEFORE_MARK("away", "'succeeded', 'missed'"),
                 away);
    free(ran);
    free(away);
    instance_stop(&s->a);
}

/* ---- interrupted ---- */

STAGE_RULE(policies_more, what_a_dead_leader_ran_is_interrupted_and_rerun_where_the_job_says_so)
{
    stage_set(s, "schedule = manual\n",
              "[job rerun]\non_interrupt = rerun\n" UNTIL_GO
              "[job skip]\non_interrupt = skip\n" UNTIL_GO
              "[job later]\nschedule = after rerun any\nexec = true\n"
              "[job cleanup]\nschedule = after skip any\nexec = true\n"
              "[job next]\nschedule = after skip\nexec = true\n");
    stage_start(&s->a);
    stage_start_heir(&s->b);
    command(&s->a, "trigger", "rerun", NULL);
    command(&s->a, "trigger", "skip", NULL);
    stage_wait(s, "SELECT count(*) FROM run WHERE outcome = 'running'", "2");
    program_kill_tree(&s->a.supervisor);
    instance_wait(&s->b, "elected", "");

#define RUNS(job)                                                                                  \
    "SELECT attempt, outcome, origin, instance FROM run WHERE job = '" job "' ORDER BY attempt"

    stage_wait(s, RUNS("rerun"), "1 interrupted trigger a; 2 running rerun b");
    stage_wait(s, RUNS("skip"), "1 interrupted trigger a");
    stage_wait(s, RUNS("cleanup"), "1 succeeded after b");
    stage_expect(s, "not yet", "SELECT count(*) FROM run WHERE job = 'later'", "0");
    stage_touch(s, "go");
    stage_wait(s, RUNS("rerun"), "1 interrupted trigger a; 2 succeeded rerun b");
    stage_wait(s, RUNS("later"), "1 succeeded after b");
    stage_expect(s, "skip", RUNS("skip"), "1 interrupted trigger a");
    stage_expect(s, "once", RUNS("cleanup"), "1 succeeded after b");
    stage_expect(s, "no success", "SELECT count(*) FROM run WHERE job = 'next'", "0");
    stage_expect(s, "one instant and one parent",
                 "SELECT count(*) FROM run x JOIN run y ON y.parent = x.id"
                 " AND x.scheduled_at = y.scheduled_at WHERE x.job = 'rerun' AND y.job = 'rerun'",
                 "1");
    instance_stop(&s->b);
}

/* ---- hand-over ---- */

/* Rows that stand for a tick of it, and the ticks from its first to its last. */
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

static void wait_runs_of(struct stage *s, const char *instance, unsigned term)
{
    wait_ticks(s, "each", false, instance, term);
    wait_ticks(s, "often", false, instance, term);
    wait_ticks(s, "plain", false, instance, term);
}

/* While the last run of the one that goes drains, ticks pass that the next one is to run: they wait
 * in the ledger. Of the ticks every 200 ms some are claimed ahead at any time. */
static void wait_left(struct stage *s, const char *instance, const char *job)
{
    char *sql = text_format(STAGE_IS(COUNT("job = '%s' AND outcome = 'queued' AND instance = '%s'"
                                           " AND started_at IS NULL") " >= 2"),
                            job, instance);

    stage_wait(s, sql, "yes");
    free(sql);
}

#define NOT_RUN_YET(job)                                                                           \
    "SELECT count(*) FROM run WHERE job = '" job "' AND outcome <> 'succeeded' AND scheduled_at <" \
    " (SELECT max(scheduled_at) FROM run WHERE job = '" job "' AND outcome = 'succeeded')"
#define RUN_OTHERWISE(job)                                                                         \
    "SELECT count(*) FROM run WHERE job = '" job "' AND outcome NOT IN ('succeeded', 'queued')"

STAGE_RULE(policies_more, a_planned_hand_over_loses_no_tick)
{
    stage_set(s, "schedule = every 1s\nexec = true\n",
              "[job each]\nmissed = all\noverlap = allow\n"
              "[job often]\nschedule = every 200ms\nmissed = all\noverlap = allow\n"
              "[job plain]\n"
              "[job long]\nschedule = @elected\n"
              "command = while [ ! -e DIR/go.$PGBATON_INSTANCE ]; do sleep 0.05; done\n");
    stage_start(&s->a);
    stage_start_heir(&s->b);
    wait_runs_of(s, "a", 1);
    instance_mark(&s->a);
    instance_command(&s->a, &told, "step-down", "--force", "--for", "1s", NULL);
    cr_assert_eq(told.code, 0, "%s", told.err);
    wait_left(s, "a", "each");
    wait_left(s, "a", "often");
    stage_touch(s, "go.a");
    instance_wait(&s->b, "elected", "");
    wait_runs_of(s, "b", 2);

    instance_wait(&s->a, "seat_taken", "");
    instance_mark(&s->a);
    program_signal(&s->b.supervisor, SIGTERM);
    wait_left(s, "b", "each");
    stage_touch(s, "go.b");
    cr_expect_eq(instance_wait_exit(&s->b), 0);
    instance_wait(&s->a, "elected", "");
    wait_runs_of(s, "a", 3);
    stage_wait(s, NOT_RUN_YET("each"), "0");
    stage_wait(s, NOT_RUN_YET("often"), "0");
    instance_stop(&s->a);

    expect_each_tick_once(s, "each", 1000);
    expect_each_tick_once(s, "often", 200);
    expect_each_tick_once(s, "plain", 1000);
    stage_expect(s, "each", RUN_OTHERWISE("each"), "0");
    stage_expect(s, "often", RUN_OTHERWISE("often"), "0");
    stage_expect(s, "long", ROWS("long"),
                 "succeeded - 1 one; succeeded - 1 one; succeeded - 1 one");
}

/* ---- critical ---- */

STAGE_RULE(policies_more, an_instance_that_cannot_keep_a_critical_service_up_leaves_it_to_another)
{
    stage_set(s, NULL,
              "[job service]\nschedule = always\ncritical = yes\n"
              "command = [ $PGBATON_INSTANCE = b ] || exit 3; exec sleep 1000\n"
              "[job hopeless]\nschedule = always\ncommand = exit 4\n");
    stage_start(&s->a);
    stage_start_heir(&s->b);
    cr_expect_eq(instance_wait_exit(&s->a), 1, "%s", text_tail(s->a.log));
    instance_wait(&s->b, "elected", "");
    stage_wait(s, "SELECT instance, outcome FROM run WHERE job = 'service' AND instance = 'b'",
               "b running");
    stage_expect(s, "what a did",
                 STAGE_IS(COUNT("job = 'service' AND instance = 'a' AND outcome = 'failed'"
                                " AND origin = 'service' AND code = 3") " >= 5"),
                 "yes");
    /* One that is not critical is started again and again. */
    stage_wait(s, STAGE_IS(COUNT("job = 'hopeless' AND instance = 'b'") " >= 6"), "yes");
    cr_expect(instance_leads(&s->b));
    instance_stop(&s->b);
}
