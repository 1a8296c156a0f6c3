/* What becomes of a run that the term before has left to be run. */
#include "worker/leader/left_over.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/array.h"

#define NOW DUR_S(1000000)
#define LATE(by) (NOW - (by))
#define PROMPT DUR_S(25)
#define WINDOW DUR_S(3600)

/* clang-format off */
static const struct {
    const char *title;
    enum job_missed missed;
    struct left_over run;
    bool runs;
    enum outcome outcome;
    const char *reason;
} cases[] = {
    {"a planned hand-over loses no tick", MISSED_SKIP,
        {.is_tick = true, .handed_over = true, .scheduled_at = LATE(PROMPT)}, true, 0, NULL},
    {"nor the ticks before the last", MISSED_ONCE,
        {.is_tick = true, .handed_over = true, .later_due = true, .scheduled_at = LATE(DUR_S(10))}, true, 0, NULL},
    {"where nobody took over, skip skips", MISSED_SKIP,
        {.is_tick = true, .handed_over = true, .scheduled_at = LATE(PROMPT + 1)}, false, OUTCOME_MISSED, "no leader"},
    {"once runs the last one", MISSED_ONCE,
        {.is_tick = true, .handed_over = true, .scheduled_at = LATE(DUR_S(600))}, true, 0, NULL},
    {"and not those before it", MISSED_ONCE,
        {.is_tick = true, .handed_over = true, .later_due = true, .scheduled_at = LATE(DUR_S(600))}, false, OUTCOME_MISSED, "no leader"},
    {"all runs all", MISSED_ALL,
        {.is_tick = true, .handed_over = true, .later_due = true, .scheduled_at = LATE(DUR_S(600))}, true, 0, NULL},
    {"but none that is too old", MISSED_ALL,
        {.is_tick = true, .handed_over = true, .scheduled_at = LATE(WINDOW + 1)}, false, OUTCOME_MISSED, "window"},
    {"nor does once", MISSED_ONCE,
        {.is_tick = true, .handed_over = true, .scheduled_at = LATE(WINDOW + 1)}, false, OUTCOME_MISSED, "window"},
    {"what waits for another run goes on waiting", MISSED_SKIP,
        {.is_tick = true, .scheduled_at = LATE(2 * WINDOW)}, true, 0, NULL},
    {"what somebody has asked for is run", MISSED_SKIP,
        {.handed_over = true, .scheduled_at = LATE(2 * WINDOW)}, true, 0, NULL},
    {"a tick of a schedule that is no more is none", MISSED_ALL,
        {.is_tick = true, .handed_over = true, .rescheduled = true, .scheduled_at = LATE(1)}, false, OUTCOME_CANCELLED, "removed"},
    {"whatever it waited for", MISSED_ALL,
        {.is_tick = true, .rescheduled = true, .scheduled_at = LATE(1)}, false, OUTCOME_CANCELLED, "removed"},
    {"what was asked for outlives a schedule", MISSED_ALL,
        {.rescheduled = true, .scheduled_at = LATE(1)}, true, 0, NULL},
    {"what belongs to its term ends with it", MISSED_ALL,
        {.of_term = true, .scheduled_at = LATE(1)}, false, OUTCOME_CANCELLED, "its term has ended"},
    {"handed over or not", MISSED_ALL,
        {.of_term = true, .handed_over = true, .scheduled_at = LATE(1)}, false, OUTCOME_CANCELLED, "its term has ended"},
};
/* clang-format on */

Test(left_over, is_run_or_closed_with_a_reason)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct left_over_rules rules = {
            .missed = cases[i].missed, .window = WINDOW, .prompt = PROMPT};
        struct left_over_end end = left_over_decide(&rules, &cases[i].run, NOW);

        cr_expect_eq(end.runs, cases[i].runs, "%s", cases[i].title);
        if (!cases[i].runs) {
            cr_expect_eq(end.outcome, cases[i].outcome, "%s", cases[i].title);
            cr_expect_str_eq(end.reason, cases[i].reason, "%s", cases[i].title);
        }
    }
}

/* In a fleet of two versions the next leader may have the job. */
Test(left_over, of_a_job_that_nobody_has_waits_for_a_while)
{
    cr_expect_not(left_over_is_gone(LATE(LEFT_OVER_JOB_GONE), NOW));
    cr_expect(left_over_is_gone(LATE(LEFT_OVER_JOB_GONE + 1), NOW));
}
