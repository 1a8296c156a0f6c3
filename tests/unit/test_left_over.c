/* What becomes of a run that the term before has left to be run. */
#include "worker/leader/left_over.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/array.h"
#include "worker/leader/scheduler.h"

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

Test(left_over, missed_ticks_are_made_up_for_one_after_the_other_where_runs_may_overlap)
{
    /* clang-format off */
    static const struct {
        const char *title;
        enum job_overlap overlap;
        enum job_missed missed;
        struct left_over run;
        bool made_up;
    } rows[] = {
        {"one that was in line", OVERLAP_ALLOW, MISSED_ALL,
            {.is_tick = true, .overlaps = true, .scheduled_at = LATE(DUR_S(600))}, true},
        {"it was let in by another rule", OVERLAP_ALLOW, MISSED_ONCE,
            {.is_tick = true, .overlaps = true, .scheduled_at = LATE(1)}, true},
        {"the first of the line", OVERLAP_ALLOW, MISSED_ALL,
            {.is_tick = true, .scheduled_at = LATE(DUR_S(600))}, true},
        {"handed over, and nobody took it", OVERLAP_ALLOW, MISSED_ALL,
            {.is_tick = true, .handed_over = true, .scheduled_at = LATE(SCHEDULER_LATE + 1)}, true},
        {"handed over from leader to leader", OVERLAP_ALLOW, MISSED_ALL,
            {.is_tick = true, .handed_over = true, .scheduled_at = LATE(SCHEDULER_LATE)}, false},
        {"one is made up for, not all", OVERLAP_ALLOW, MISSED_ONCE,
            {.is_tick = true, .handed_over = true, .scheduled_at = LATE(DUR_S(600))}, false},
        {"what was asked for is not missed", OVERLAP_ALLOW, MISSED_ALL,
            {.overlaps = true, .scheduled_at = LATE(DUR_S(600))}, false},
        {"where none overlap there is one line", OVERLAP_QUEUE, MISSED_ALL,
            {.is_tick = true, .overlaps = true, .scheduled_at = LATE(DUR_S(600))}, false},
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct left_over_rules rules = {.overlap = rows[i].overlap,
                                              .missed = rows[i].missed,
                                              .window = WINDOW,
                                              .prompt = PROMPT};
        struct left_over_end end = left_over_decide(&rules, &rows[i].run, NOW);

        cr_expect(end.runs, "%s", rows[i].title);
        cr_expect_eq(end.made_up, rows[i].made_up, "%s", rows[i].title);
    }
}
