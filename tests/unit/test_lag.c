#include <criterion/criterion.h>

#include "common/array.h"
#include "supervisor/lag.h"

#define NOW DUR_S(1000000)

struct lag_case {
    const char *title;
    dur_ns after; /* the report before */
    dur_ns late;  /* what is due next; below 0: in the future */
    uint64_t decisions;
    bool follows;
    bool waits;
    enum lag_verdict expected;
};

/* Each is a report of one worker, one after the other. */
static void play(const struct lag_case *cases, size_t count)
{
    struct lag lag = {.due = false};
    mono_ns mono = DUR_S(50);
    wall_ns wall = NOW;

    for (size_t i = 0; i < count; i++) {
        const struct lag_case *c = &cases[i];

        mono += c->after;
        wall += c->after;
        const struct message_progress report = {.next_due = wall - c->late,
                                                .decisions = c->decisions,
                                                .leads = !c->follows,
                                                .waits = c->waits};
        cr_expect_eq(lag_step(&lag, &report, wall, mono), c->expected, "%zu: %s", i, c->title);
    }
}

#define PLAY(cases) play(cases, ARRAY_LEN(cases))

Test(lag, what_is_due_in_the_future_or_just_now_is_no_lag)
{
    static const struct lag_case cases[] = {
        {"due in an hour", DUR_S(1), -DUR_S(3600), 1, .expected = LAG_NONE},
        {"due now", DUR_S(1), 0, 1, .expected = LAG_NONE},
        {"at the limit", DUR_S(1), LAG_SAY_AFTER, 1, .expected = LAG_NONE},
        {"for hours", DUR_S(9000), LAG_SAY_AFTER, 1, .expected = LAG_NONE},
    };
    PLAY(cases);
}

Test(lag, is_said_once_and_so_is_its_end)
{
    static const struct lag_case cases[] = {
        {"in time", DUR_S(1), 0, 1, .expected = LAG_NONE},
        {"late", DUR_S(1), LAG_SAY_AFTER + 1, 1, .expected = LAG_SAY},
        {"still late", DUR_S(1), DUR_S(7), 1, .expected = LAG_NONE},
        {"caught up", DUR_S(1), 0, 2, .expected = LAG_OVER},
        {"in time", DUR_S(1), 0, 3, .expected = LAG_NONE},
        {"late again", DUR_S(1), DUR_S(6), 3, .expected = LAG_SAY},
    };
    PLAY(cases);
}

Test(lag, of_a_worker_that_decides_nothing_ends_with_its_restart)
{
    static const struct lag_case cases[] = {
        {"late", DUR_S(1), DUR_S(6), 7, .expected = LAG_SAY},
        {"just before", LAG_RESTART_AFTER - 1, DUR_S(36), 7, .expected = LAG_NONE},
        {"too long", 1, DUR_S(36), 7, .expected = LAG_RESTART},
        {"and it is still there", DUR_S(1), DUR_S(37), 7, .expected = LAG_RESTART},
    };
    PLAY(cases);
}

Test(lag, of_a_worker_that_decides_something_is_never_a_reason_to_restart_it)
{
    static const struct lag_case cases[] = {
        {"late", DUR_S(1), DUR_S(6), 7, .expected = LAG_SAY},
        {"one decision", LAG_RESTART_AFTER, DUR_S(36), 8, .expected = LAG_NONE},
        {"and another", LAG_RESTART_AFTER, DUR_S(66), 9, .expected = LAG_NONE},
        {"none", LAG_RESTART_AFTER - 1, DUR_S(96), 9, .expected = LAG_NONE},
        {"for too long", 1, DUR_S(96), 9, .expected = LAG_RESTART},
    };
    PLAY(cases);
}

Test(lag, is_none_of_who_does_not_lead_or_waits_for_the_database)
{
    static const struct lag_case cases[] = {
        {"a follower", DUR_S(1), DUR_S(60), 7, .follows = true, .expected = LAG_NONE},
        {"the database is away", DUR_S(60), DUR_S(60), 7, .waits = true, .expected = LAG_NONE},
        {"it is there", DUR_S(60), DUR_S(60), 7, .expected = LAG_SAY},
        {"away again", LAG_RESTART_AFTER - 1, DUR_S(60), 7, .waits = true, .expected = LAG_NONE},
        {"time does not add up", LAG_RESTART_AFTER - 1, DUR_S(60), 7, .expected = LAG_NONE},
        {"but goes on", LAG_RESTART_AFTER, DUR_S(60), 7, .expected = LAG_RESTART},
    };
    PLAY(cases);
}

Test(lag, is_not_over_because_the_database_is_away_or_the_term_has_ended)
{
    static const struct lag_case cases[] = {
        {"late", DUR_S(1), DUR_S(6), 7, .expected = LAG_SAY},
        {"the database is away", DUR_S(1), DUR_S(7), 7, .waits = true, .expected = LAG_NONE},
        {"it is there, and what was due is done", DUR_S(1), 0, 9, .expected = LAG_OVER},
        {"late", DUR_S(1), DUR_S(6), 9, .expected = LAG_SAY},
        {"lost", DUR_S(1), DUR_S(7), 9, .follows = true, .expected = LAG_NONE},
        {"elected", DUR_S(1), 0, 9, .expected = LAG_NONE},
    };
    PLAY(cases);
}

/* A limit of ten seconds is not one of fifteen. */
Test(lag, counts_from_when_something_was_due_and_not_from_when_that_was_said)
{
    static const struct lag_case cases[] = {
        {"nothing due", DUR_S(1), -DUR_S(1), 7, .expected = LAG_NONE},
        {"due", DUR_S(2), DUR_S(1), 7, .expected = LAG_NONE},
        {"late", LAG_RESTART_AFTER - 1, DUR_S(11), 7, .expected = LAG_SAY},
        {"too long", 1, DUR_S(11), 7, .expected = LAG_RESTART},
    };
    PLAY(cases);
}

Test(lag, is_none_where_each_report_finds_something_else_that_has_just_become_due)
{
    static const struct lag_case cases[] = {
        {"due", DUR_S(1), 1, 7, .expected = LAG_NONE},
        {"due again, long afterwards", LAG_RESTART_AFTER, 1, 7, .expected = LAG_NONE},
    };
    PLAY(cases);
}

/* Of a run that has no instant before it is to be dropped, say; and of a worker out of its mind. */
Test(lag, of_what_is_due_since_ever_is_one_too)
{
    struct lag lag = {.due = false};
    const struct message_progress report = {.next_due = INT64_MIN, .decisions = 1, .leads = 1};

    cr_expect_eq(lag_late(&report, NOW), INT64_MAX);
    cr_expect_eq(lag_step(&lag, &report, NOW, 1), LAG_SAY);
    cr_expect_eq(lag_step(&lag, &report, NOW, 1 + LAG_RESTART_AFTER), LAG_RESTART);
}
