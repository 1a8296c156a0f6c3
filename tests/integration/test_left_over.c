/* Rows that a leader has left to be run, when nobody took over for long. On both kinds of ledger.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/stage.h"
#include "tests/support/text.h"

TestSuite(left_over, .timeout = 180);

#define MINUTE 60
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* As a draining leader leaves it; nobody must lead now. */
static void leave(struct stage *s, const char *job, const char *origin, unsigned seconds_ago)
{
    static unsigned number;
    char *at = s->kind == ON_POSTGRES
                   ? text_format("clock_timestamp() - interval '%u seconds'", seconds_ago)
                   : text_format("(strftime('%%s', 'now') - %u) * 1000000", seconds_ago);
    char *sql =
        text_format("INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, reason, "
                    "origin, generation, number) VALUES ('main', 'left-%u', '%s', %s, 1, 'queued', "
                    "'hand-over', '%s', 1, 1)",
                    ++number, job, at, origin);

    stage_do(s, sql);
    free(sql);
    free(at);
}

/* Of what was left, the oldest first. */
#define LEFT(job)                                                                                  \
    "SELECT outcome, reason FROM run WHERE id LIKE 'left-%' AND job = '" job                       \
    "' ORDER BY scheduled_at"

STAGE_RULE(left_over, a_job_says_what_becomes_of_ticks_that_nobody_took_over)
{
    stage_set(s, "schedule = every 30d\nexec = true\nmissed_window = 200d\n",
              "[job skip]\nmissed = skip\n"
              "[job once]\nmissed = once\n"
              "[job all]\nmissed = all\n"
              "[job old]\nmissed = all\nmissed_window = 60s\n"
              "[job hand]\nschedule = manual\nmissed = skip\n"
              "[job hello]\nschedule = @elected\n");
    stage_start(&s->a);
    stage_wait(s, "SELECT count(*) FROM job_state WHERE last_tick IS NOT NULL", "4");
    instance_stop(&s->a);
    leave(s, "skip", "schedule", HOUR);
    leave(s, "skip", "schedule", 0); /* from leader to leader */
    leave(s, "once", "schedule", 31 * DAY);
    leave(s, "once", "schedule", HOUR);
    leave(s, "all", "schedule", 31 * DAY);
    leave(s, "all", "schedule", HOUR);
    leave(s, "old", "schedule", HOUR);
    leave(s, "hand", "trigger", 2 * DAY); /* somebody's wish is no tick */
    leave(s, "hello", "schedule", HOUR);  /* once a term, and that one is over */
    leave(s, "hello", "trigger", MINUTE);
    leave(s, "gone", "schedule", 2 * HOUR);
    leave(s, "gone", "schedule", MINUTE);
    stage_start(&s->a);

    stage_wait(s, LEFT("skip"), "missed no leader; succeeded -");
    stage_wait(s, LEFT("once"), "missed no leader; succeeded -");
    stage_wait(s, LEFT("all"), "succeeded -; succeeded -");
    stage_wait(s, LEFT("old"), "missed window");
    stage_wait(s, LEFT("hand"), "succeeded -");
    stage_wait(s, LEFT("hello"), "cancelled its term has ended; succeeded -");
    /* In a fleet of two versions the next leader may have the job; but not for ever. */
    stage_wait(s, LEFT("gone"), "cancelled removed; queued hand-over");
    instance_stop(&s->a);
}

/* By its old schedule, its ticks were due; by the new one nothing was. */
STAGE_RULE(left_over, a_tick_of_another_schedule_is_not_run)
{
    stage_set(s, NULL, "[job a]\nschedule = every 30d\nexec = true\n");
    stage_start(&s->a);
    stage_wait(s, "SELECT count(*) FROM job_state WHERE last_tick IS NOT NULL", "1");
    instance_stop(&s->a);
    leave(s, "a", "schedule", 1);
    stage_set(s, NULL, "[job a]\nschedule = every 31d\nexec = true\n");
    stage_start(&s->a);

    stage_wait(s, LEFT("a"), "cancelled removed");
    instance_stop(&s->a);
}

/* The next leader has its own start of it, when its own term ends. */
STAGE_RULE(left_over, a_released_job_that_failed_is_not_tried_again_in_the_next_term)
{
    static const char byes[] =
        "SELECT attempt, outcome, instance FROM run WHERE job = 'bye' ORDER BY scheduled_at";
    struct outcome told;

    stage_set(s, NULL,
              "[job hello]\nschedule = @elected\nexec = true\n"
              "[job bye]\nschedule = @released\nexec = false\nretries = 1\nretry_delay = 1s\n");
    stage_start(&s->a);
    stage_start_heir(&s->b);
    instance_command(&s->a, &told, "step-down", "--force", "--for", "1d", NULL);
    cr_assert_eq(told.code, 0, "%s", told.err);
    instance_wait(&s->b, "elected", "");
    stage_wait(s, "SELECT outcome FROM run WHERE job = 'hello' AND instance = 'b'", "succeeded");
    stage_expect(s, "it was a's", byes, "1 failed a");
    instance_stop(&s->b);
    stage_expect(s, "and b's", byes, "1 failed a; 1 failed b");
    instance_stop(&s->a);
}
