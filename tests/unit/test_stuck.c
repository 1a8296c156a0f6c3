#include <criterion/criterion.h>

#include "worker/probe/stuck.h"

#define LEASE DUR_S(15)

static const struct stuck_sight holder = {
    .pid = 42,
    .backend_start = "2026-11-24 04:00:00.1+00",
    .state_change = "2026-11-24 04:00:01.5+00",
};

/* clang-format off */
static const struct {
    const char *title;
    struct stuck_sight second; /* what the second look sees, after .later */
    dur_ns later;
    bool stuck;
} cases[] = {
    {"unchanged for two leases is stuck",
        {42, "2026-11-24 04:00:00.1+00", "2026-11-24 04:00:01.5+00"}, 2 * LEASE, true},
    {"unchanged for less is not",
        {42, "2026-11-24 04:00:00.1+00", "2026-11-24 04:00:01.5+00"}, 2 * LEASE - 1, false},
    {"one heartbeat is enough to be alive",
        {42, "2026-11-24 04:00:00.1+00", "2026-11-24 04:00:02.5+00"}, 2 * LEASE, false},
    {"a heartbeat at a time before the last one, by a clock that was set back, counts too",
        {42, "2026-11-24 04:00:00.1+00", "2026-11-24 03:00:00.0+00"}, 2 * LEASE, false},
    {"another backend with the same pid is another holder",
        {42, "2026-11-24 05:00:00.0+00", "2026-11-24 04:00:01.5+00"}, 2 * LEASE, false},
    {"another pid is another holder",
        {43, "2026-11-24 04:00:00.1+00", "2026-11-24 04:00:01.5+00"}, 2 * LEASE, false},
    {"a state that may not be seen is no evidence",
        {42, "2026-11-24 04:00:00.1+00", ""}, 2 * LEASE, false},
    {"nor is a start that may not be seen",
        {42, "", "2026-11-24 04:00:01.5+00"}, 2 * LEASE, false},
    {"nobody is not stuck",
        {0, "", ""}, 2 * LEASE, false},
};
/* clang-format on */

Test(stuck, by_two_looks)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stuck_watch watch = {0};
        mono_ns now = DUR_S(1000);

        cr_assert_not(stuck_look(&watch, &holder, LEASE, now));
        cr_expect(stuck_look(&watch, &cases[i].second, LEASE, now + cases[i].later) ==
                      cases[i].stuck,
                  "%s", cases[i].title);
    }
}

Test(stuck, blindness_twice_is_no_evidence_either)
{
    struct stuck_watch watch = {0};
    struct stuck_sight blind = {.pid = 42};

    cr_expect_not(stuck_look(&watch, &blind, LEASE, 0));
    cr_expect_not(stuck_look(&watch, &blind, LEASE, 10 * LEASE));
}

Test(stuck, is_not_ended_at_every_look)
{
    struct stuck_watch watch = {0};

    (void)stuck_look(&watch, &holder, LEASE, 0);
    cr_expect(stuck_look(&watch, &holder, LEASE, 2 * LEASE));
    cr_expect_not(stuck_look(&watch, &holder, LEASE, 2 * LEASE + DUR_S(5)));
    cr_expect(stuck_look(&watch, &holder, LEASE, 4 * LEASE));
}

Test(stuck, leaders_are_ended_by_the_heir_and_where_there_is_none_by_who_wants_to_lead)
{
    cr_expect(stuck_may_end_leader(true, false, true));
    cr_expect_not(stuck_may_end_leader(false, false, true), "a follower beside an heir");
    cr_expect(stuck_may_end_leader(false, true, true), "mode = poll has no heir");
    cr_expect_not(stuck_may_end_leader(false, true, false), "the leader, or one without jobs");
}

Test(stuck, blockers_may_stay_until_the_lease_before_is_over)
{
    struct stuck_opening opening = {0};

    cr_expect_not(stuck_opening_due(&opening, 7, LEASE, DUR_S(1)));
    cr_expect_not(stuck_opening_due(&opening, 7, LEASE, DUR_S(1) + LEASE - 1));
    cr_expect(stuck_opening_due(&opening, 7, LEASE, DUR_S(1) + LEASE));
    cr_expect_not(stuck_opening_due(&opening, 8, LEASE, DUR_S(1) + LEASE), "another opening");
}

Test(stuck, blockers_after_a_clean_end_need_no_wait)
{
    struct stuck_opening opening = {0};

    cr_expect(stuck_opening_due(&opening, 7, 0, DUR_S(1)));
}

Test(stuck, the_end_of_a_session_is_not_waited_for_so_long_that_the_seat_is_lost)
{
    cr_expect_eq(stuck_end_within(DUR_S(15)), DUR_S(1));
    cr_expect_eq(stuck_end_within(DUR_MS(1500)), DUR_MS(375));
}
