#include "worker/database/lease.h"

#include <criterion/criterion.h>

static const struct lease_terms terms = {
    .lease = DUR_S(10),
    .heartbeat = DUR_S(1),
    .stop_grace = DUR_S(3),
    .margin = DUR_MS(500),
    .kill_margin = DUR_MS(250),
};

/* Every test begins at this moment; seconds below are counted from it. */
#define START DUR_S(1000)
#define AT(seconds) (START + DUR_MS((seconds)*1000))

static struct lease begun(void)
{
    struct lease l;

    lease_begin(&l, &terms, START);
    return l;
}

/* One heartbeat sent at 0 s and acknowledged at 0.1 s: D = 9.5 s. */
static struct lease held(void)
{
    struct lease l = begun();

    lease_sent(&l, START);
    cr_assert(lease_acknowledged(&l, AT(0.1)));
    return l;
}

/* clang-format off */
static const struct {
    const char *title;
    mono_ns now;
    enum lease_phase phase;
} phases[] = {
    {"held right after the acknowledgement",        AT(0.1),   LEASE_HELD},
    {"held until just before D - stop_grace",       AT(6.499), LEASE_HELD},
    {"jobs are stopped at D - stop_grace",          AT(6.5),   LEASE_STOPPING},
    {"and still stopping before D - kill_margin",   AT(9.249), LEASE_STOPPING},
    {"jobs are killed at D - kill_margin",          AT(9.25),  LEASE_KILLING},
    {"and the sockets stay open before D",          AT(9.499), LEASE_KILLING},
    {"over at D",                                   AT(9.5),   LEASE_OVER},
    {"a look that comes hours late sees the end",   AT(9999),  LEASE_OVER},
};
/* clang-format on */

Test(lease, phases_follow_the_deadline)
{
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        struct lease l = held();
        enum lease_phase got = lease_look(&l, phases[i].now);

        cr_expect(got == phases[i].phase, "%s: %d", phases[i].title, (int)got);
    }
}

Test(lease, deadline_counts_from_the_sending_of_what_was_acknowledged)
{
    struct lease l = begun();

    cr_expect(l.deadline == MONO_NEVER, "no D before the first answer");
    lease_sent(&l, AT(0));
    lease_sent(&l, AT(1));
    lease_sent(&l, AT(2));
    cr_expect(lease_acknowledged(&l, AT(2.5)));
    cr_expect(l.deadline == AT(9.5), "answers come in the order of sending");
    cr_expect(lease_acknowledged(&l, AT(2.6)));
    cr_expect(l.deadline == AT(10.5));
    cr_expect_eq(l.outstanding, 1);
}

Test(lease, an_answer_to_nothing_is_not_from_our_peer)
{
    struct lease l = held();

    cr_expect_not(lease_acknowledged(&l, AT(0.2)));
    cr_expect(l.deadline == AT(9.5));
}

Test(lease, an_answer_after_stopping_began_renews_nothing)
{
    struct lease l = held();

    lease_sent(&l, AT(1));
    cr_expect_eq(lease_look(&l, AT(6.6)), LEASE_STOPPING);
    cr_expect(lease_acknowledged(&l, AT(6.7)), "it is an answer all the same");
    cr_expect(l.deadline == AT(9.5));
    cr_expect_eq(lease_look(&l, AT(6.7)), LEASE_STOPPING);
}

Test(lease, an_answer_read_after_a_pause_does_not_undo_the_pause)
{
    struct lease l = held();

    lease_sent(&l, AT(1));
    /* Stopped from 1 s to 7 s: the answer waited in the socket, and nobody looked before it. */
    cr_expect(lease_acknowledged(&l, AT(7)));
    cr_expect_eq(l.phase, LEASE_STOPPING);
    cr_expect(l.deadline == AT(9.5));
}

Test(lease, one_that_was_never_proven_is_over_after_a_lease_less_margin)
{
    struct lease l = begun();

    lease_sent(&l, AT(0));
    cr_expect_eq(lease_look(&l, AT(9.499)), LEASE_UNPROVEN);
    cr_expect_eq(lease_look(&l, AT(9.5)), LEASE_OVER);
    cr_expect(lease_acknowledged(&l, AT(9.6)));
    cr_expect_eq(lease_look(&l, AT(9.6)), LEASE_OVER, "nothing leads back");
}

Test(lease, a_first_answer_that_is_too_old_is_not_held)
{
    struct lease l = begun();

    lease_sent(&l, AT(0));
    cr_expect(lease_acknowledged(&l, AT(7)));
    cr_expect_eq(l.phase, LEASE_STOPPING);
}

Test(lease, heartbeats_are_due_one_interval_after_the_last_without_catching_up)
{
    struct lease l = begun();

    cr_expect(lease_send_due(&l, START), "the first at once");
    lease_sent(&l, START);
    cr_expect_not(lease_send_due(&l, AT(0.999)));
    cr_expect(lease_send_due(&l, AT(1)));
    lease_sent(&l, AT(4.2));
    cr_expect_not(lease_send_due(&l, AT(4.3)), "a late one is not followed by a burst");
    cr_expect(l.next_send == AT(5.2));
}

Test(lease, no_heartbeat_after_it_is_lost)
{
    struct lease l = held();

    (void)lease_look(&l, AT(6.5));
    cr_expect_not(lease_send_due(&l, AT(6.5)));
    cr_expect_eq(lease_wake_at(&l), AT(9.25), "only the next phase is waited for");
}

Test(lease, sending_ends_when_too_many_are_unanswered)
{
    struct lease_terms dense = terms;
    struct lease l;

    dense.heartbeat = DUR_MS(50);
    lease_begin(&l, &dense, START);
    for (int i = 0; i < LEASE_OUTSTANDING_MAX; i++) {
        cr_assert(lease_send_due(&l, START + i * dense.heartbeat));
        lease_sent(&l, START + i * dense.heartbeat);
    }
    cr_expect_not(lease_send_due(&l, AT(9)));
    cr_expect_eq(lease_wake_at(&l), AT(9.5));
}

Test(lease, wakes_for_whichever_comes_first)
{
    struct lease l = begun();

    cr_expect_eq(lease_wake_at(&l), START);
    lease_sent(&l, START);
    cr_expect_eq(lease_wake_at(&l), AT(1));
    cr_expect(lease_acknowledged(&l, AT(0.1)));
    lease_sent(&l, AT(6));
    cr_expect_eq(lease_wake_at(&l), AT(6.5), "D - stop_grace is before the next heartbeat");
    (void)lease_look(&l, AT(6.5));
    (void)lease_look(&l, AT(9.3));
    cr_expect_eq(lease_wake_at(&l), AT(9.5));
    (void)lease_look(&l, AT(9.5));
    cr_expect(lease_wake_at(&l) == MONO_NEVER);
}
