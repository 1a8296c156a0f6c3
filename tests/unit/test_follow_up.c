#include "worker/leader/follow_up.h"

#include <criterion/criterion.h>

#include "common/array.h"

Test(follow_up, outcomes)
{
    /* clang-format off */
    static const struct {
        enum stop_reason why;
        enum run_end end;
        enum run_origin origin;
        enum outcome outcome;
    } cases[] = {
        {STOP_NOT,       RUN_END_SUCCEEDED, ORIGIN_SCHEDULE, OUTCOME_SUCCEEDED},
        {STOP_NOT,       RUN_END_FAILED,    ORIGIN_SCHEDULE, OUTCOME_FAILED},
        {STOP_NOT,       RUN_END_SUCCEEDED, ORIGIN_SERVICE,  OUTCOME_SUCCEEDED},
        {STOP_TIMEOUT,   RUN_END_SUCCEEDED, ORIGIN_SCHEDULE, OUTCOME_TIMED_OUT},
        {STOP_TIMEOUT,   RUN_END_FAILED,    ORIGIN_SERVICE,  OUTCOME_TIMED_OUT},
        {STOP_DRAIN,     RUN_END_SUCCEEDED, ORIGIN_SCHEDULE, OUTCOME_INTERRUPTED},
        {STOP_DRAIN,     RUN_END_SUCCEEDED, ORIGIN_SERVICE,  OUTCOME_CANCELLED},
        {STOP_LOST,      RUN_END_SUCCEEDED, ORIGIN_SCHEDULE, OUTCOME_INTERRUPTED},
        {STOP_LOST,      RUN_END_FAILED,    ORIGIN_SERVICE,  OUTCOME_INTERRUPTED},
        {STOP_CHANGED,   RUN_END_SUCCEEDED, ORIGIN_SERVICE,  OUTCOME_CANCELLED},
        {STOP_REMOVED,   RUN_END_SUCCEEDED, ORIGIN_SCHEDULE, OUTCOME_CANCELLED},
        {STOP_REPLACED,  RUN_END_FAILED,    ORIGIN_SCHEDULE, OUTCOME_CANCELLED},
        {STOP_CANCELLED, RUN_END_FAILED,    ORIGIN_TRIGGER,  OUTCOME_CANCELLED},
        {STOP_PAUSED,    RUN_END_FAILED,    ORIGIN_SERVICE,  OUTCOME_CANCELLED},
        {STOP_NOT,       RUN_END_COMMITTED, ORIGIN_SCHEDULE, OUTCOME_SUCCEEDED},
        {STOP_TIMEOUT,   RUN_END_COMMITTED, ORIGIN_RETRY,    OUTCOME_SUCCEEDED},
        {STOP_DRAIN,     RUN_END_COMMITTED, ORIGIN_SERVICE,  OUTCOME_SUCCEEDED},
        {STOP_LOST,      RUN_END_COMMITTED, ORIGIN_SCHEDULE, OUTCOME_SUCCEEDED},
        {STOP_CANCELLED, RUN_END_COMMITTED, ORIGIN_TRIGGER,  OUTCOME_SUCCEEDED},
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_expect_eq(follow_up_outcome(cases[i].why, cases[i].end, cases[i].origin),
                     cases[i].outcome, "%s, row %zu", stop_reason_name(cases[i].why), i);
    }
}

Test(follow_up, decisions)
{
    /* clang-format off */
    static const struct {
        const char *title;
        unsigned retries;
        enum job_interrupt on_interrupt;
        enum outcome outcome;
        unsigned attempt;
        enum run_origin origin;
        bool retried;
        bool rerun;
    } cases[] = {
        {"success ends it",                2, INTERRUPT_RERUN, OUTCOME_SUCCEEDED,   1, ORIGIN_SCHEDULE, false, false},
        {"no retries",                     0, INTERRUPT_RERUN, OUTCOME_FAILED,      1, ORIGIN_SCHEDULE, false, false},
        {"the first retry",                2, INTERRUPT_SKIP,  OUTCOME_FAILED,      1, ORIGIN_SCHEDULE, true,  false},
        {"the last retry",                 2, INTERRUPT_SKIP,  OUTCOME_FAILED,      2, ORIGIN_RETRY,    true,  false},
        {"that was the last",              2, INTERRUPT_SKIP,  OUTCOME_FAILED,      3, ORIGIN_RETRY,    false, false},
        {"a timeout is a failure",         1, INTERRUPT_SKIP,  OUTCOME_TIMED_OUT,   1, ORIGIN_TRIGGER,  true,  false},
        {"whoever cancels means it",       9, INTERRUPT_RERUN, OUTCOME_CANCELLED,   1, ORIGIN_SCHEDULE, false, false},
        {"nothing ran",                    9, INTERRUPT_RERUN, OUTCOME_SKIPPED,     1, ORIGIN_SCHEDULE, false, false},
        {"an interruption is no failure",  9, INTERRUPT_SKIP,  OUTCOME_INTERRUPTED, 1, ORIGIN_SCHEDULE, false, false},
        {"run again",                      0, INTERRUPT_RERUN, OUTCOME_INTERRUPTED, 1, ORIGIN_SCHEDULE, false, true},
        {"run again, an attempt of many",  0, INTERRUPT_RERUN, OUTCOME_INTERRUPTED, OUTCOME_RERUN_ATTEMPTS - 1, ORIGIN_RERUN, false, true},
        {"not for ever",                   0, INTERRUPT_RERUN, OUTCOME_INTERRUPTED, OUTCOME_RERUN_ATTEMPTS, ORIGIN_RERUN, false, false},
        {"a service has its restarts",     9, INTERRUPT_RERUN, OUTCOME_FAILED,      1, ORIGIN_SERVICE,  false, false},
        {"a service, interrupted",         9, INTERRUPT_RERUN, OUTCOME_INTERRUPTED, 1, ORIGIN_SERVICE,  false, false},
    };
    /* clang-format on */
    struct prng random;

    prng_seed(&random, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct scheduler_policy policy = {.retries = cases[i].retries,
                                                .retry_delay = DUR_S(10),
                                                .on_interrupt = cases[i].on_interrupt};
        struct follow_up got =
            follow_up_decide(&policy, cases[i].outcome, cases[i].attempt, cases[i].origin, &random);

        cr_expect_eq(got.outcome, cases[i].outcome, "%s", cases[i].title);
        cr_expect_eq(got.retries, cases[i].retried, "%s", cases[i].title);
        cr_expect_eq(got.reruns, cases[i].rerun, "%s", cases[i].title);
        cr_expect_eq(got.is_last, !cases[i].retried && !cases[i].rerun, "%s", cases[i].title);
        cr_expect_eq(got.delay > 0, cases[i].retried, "%s", cases[i].title);
    }
}

Test(follow_up, delays_double_vary_and_end)
{
    /* clang-format off */
    static const struct {
        dur_ns first;
        unsigned attempt;
        dur_ns delay;
    } cases[] = {
        {DUR_S(10),              1,    DUR_S(10)},
        {DUR_S(10),              2,    DUR_S(20)},
        {DUR_S(10),              5,    DUR_S(160)},
        {DUR_S(10),              1000, FOLLOW_UP_DELAY_MOST},
        {FOLLOW_UP_DELAY_MOST,   1,    FOLLOW_UP_DELAY_MOST},
        {DUR_S(7 * 24 * 3600),   3,    FOLLOW_UP_DELAY_MOST},
        {0,                      1000, 0},
    };
    /* clang-format on */
    struct prng random;

    prng_seed(&random, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct scheduler_policy policy = {.retries = 2000, .retry_delay = cases[i].first};
        dur_ns least = INT64_MAX;
        dur_ns most = 0;

        for (int n = 0; n < 1000; n++) {
            dur_ns delay = follow_up_decide(&policy, OUTCOME_FAILED, cases[i].attempt,
                                            ORIGIN_SCHEDULE, &random)
                               .delay;

            least = delay < least ? delay : least;
            most = delay > most ? delay : most;
        }
        cr_expect(least >= cases[i].delay / 100 * (100 - FOLLOW_UP_JITTER), "row %zu", i);
        cr_expect(most <= cases[i].delay / 100 * (100 + FOLLOW_UP_JITTER), "row %zu", i);
        cr_expect(cases[i].delay == 0 || most > least, "row %zu: all the same", i);
    }
}

Test(follow_up, elected_and_released_jobs_belong_to_their_term_unless_somebody_asks_for_them)
{
    /* clang-format off */
    static const struct {
        enum schedule_kind kind;
        enum run_origin origin;
        bool of_term;
    } cases[] = {
        {SCHEDULE_ELECTED,  ORIGIN_SCHEDULE, true},
        {SCHEDULE_RELEASED, ORIGIN_SCHEDULE, true},
        {SCHEDULE_ELECTED,  ORIGIN_RETRY,    true},
        {SCHEDULE_RELEASED, ORIGIN_RETRY,    true},
        {SCHEDULE_ELECTED,  ORIGIN_RERUN,    true},
        {SCHEDULE_ELECTED,  ORIGIN_TRIGGER,  false},
        {SCHEDULE_RELEASED, ORIGIN_TRIGGER,  false},
        {SCHEDULE_EVERY,    ORIGIN_SCHEDULE, false},
        {SCHEDULE_MANUAL,   ORIGIN_RETRY,    false},
        {SCHEDULE_AFTER,    ORIGIN_RERUN,    false},
        {SCHEDULE_ALWAYS,   ORIGIN_SERVICE,  false},
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_expect_eq(follow_up_is_of_term(cases[i].kind, cases[i].origin), cases[i].of_term,
                     "row %zu", i);
    }
}
