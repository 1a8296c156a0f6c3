/*
 * The network between an instance and its server, on whichever of them it fails: a heir, a
 * follower, a leader that still waits, everybody at once. What a leader at work does when it is cut
 * off is in test_lease.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/long_test.h"
#include "tests/support/text.h"

TestSuite(network, .timeout = 120);

static struct fleet fleet;
static struct relay relay;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

static const struct instance_settings steady = {.election = ELECTION_STEADY};

/* A takeover that waits for as long as a lease lasts. */
#define ELECTION_PATIENT                                                                           \
    "retry_interval = 300ms\nlease = 8s\nheartbeat = 200ms\nstop_grace = 3s\nloss_grace = 200ms\n" \
    "takeover_delay = 8s\n"
static const struct instance_settings patient = {.election = ELECTION_PATIENT};

/* a leads, b is the heir, c follows; the one at that place is behind the relay. */
static void three_with_relay(size_t place, const struct instance_settings *settings)
{
    fleet_make(&fleet, 3, settings);
    relay_start(&relay, fleet.pg.port);
    fleet_by_relay(&fleet, place, &relay, settings);
    fleet_begin(&fleet);
}

static void goes_on(const struct instance *leader)
{
    size_t before = diary_lines(&fleet.diary, leader->name);

    diary_wait(&fleet.diary, leader->name, before + 20);
}

/* ---- the heir ---- */

/* Another one gets the seat, and leads when it comes to that; the term in office does not feel it.
 */
static void cut_the_heir(enum relay_state how)
{
    three_with_relay(1, &steady);

    relay_set(&relay, how);

    instance_wait(C, "seat_taken", "");
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    program_kill_tree(&A->supervisor);
    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 20);
    cr_expect_eq(instance_logged(B, "elected", ""), 0, "%s", text_tail(B->log));

    instance_mark(B);
    relay_set(&relay, RELAY_PASS);
    instance_wait(B, "seat_taken", "");
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(network, a_heir_that_cannot_be_heard_loses_its_seat_to_another)
{
    cut_the_heir(RELAY_STALL_UP);
}

Test(network, a_heir_that_cannot_hear_loses_its_seat_to_another)
{
    cut_the_heir(RELAY_STALL_DOWN);
}

Test(network, a_heir_whose_side_was_reset_loses_its_seat_to_another)
{
    LONG_TEST();
    cut_the_heir(RELAY_RESET_INSTANCE);
}

/*
 * The slice that is with the server when the cable is pulled gets the key, if the leader dies in
 * that moment; the heir never hears of it. The server takes the key back after a lease.
 */
static void pull_the_cable_of_heir_and_kill_leader(enum relay_state how)
{
    three_with_relay(1, &steady);

    relay_set(&relay, how);
    program_kill_tree(&A->supervisor);

    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 20);
    cr_expect_eq(instance_logged(B, "elected", ""), 0, "%s", text_tail(B->log));
    cr_expect_eq(diary_lines(&fleet.diary, "b"), 0);
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(network, a_key_granted_to_a_heir_that_is_cut_off_is_given_to_another)
{
    LONG_TEST();
    pull_the_cable_of_heir_and_kill_leader(RELAY_STALL);
}

Test(network, a_key_granted_to_a_heir_that_cannot_hear_it_is_given_to_another)
{
    pull_the_cable_of_heir_and_kill_leader(RELAY_STALL_DOWN);
}

/* ---- a follower ---- */

static void cut_the_follower(enum relay_state how)
{
    instance_mark(C);
    relay_set(&relay, how);
    instance_wait(C, "database_down", "");
    goes_on(A);
    instance_mark(C);
    relay_set(&relay, RELAY_PASS);
    instance_wait(C, "database_up", "");
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    cr_expect_eq(instance_logged(B, "seat_lost", ""), 0, "%s", text_tail(B->log));
}

/* And it is a sound one: it becomes the heir, and leads. */
static void the_follower_takes_over(void)
{
    instance_stop(B);
    instance_wait(C, "seat_taken", "");
    instance_stop(A);
    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 10);
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(network, a_follower_that_is_cut_off_says_so_and_nobody_else_notices)
{
    three_with_relay(2, &steady);

    cut_the_follower(RELAY_RESET_SERVER);

    the_follower_takes_over();
}

Test(network, a_follower_that_is_cut_off_in_any_way_says_so_and_nobody_else_notices)
{
    LONG_TEST();
    three_with_relay(2, &steady);

    cut_the_follower(RELAY_STALL);
    cut_the_follower(RELAY_STALL_UP);
    cut_the_follower(RELAY_STALL_DOWN);
    cut_the_follower(RELAY_RESET_INSTANCE);

    the_follower_takes_over();
}

/* ---- a leader that waits for the jobs of the term before ---- */

static void cut_in_the_wait(enum relay_state how)
{
    three_with_relay(1, &patient);
    program_kill_tree(&A->supervisor);
    instance_wait(B, "takeover_wait", "");

    relay_set(&relay, how);

    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 20);
    cr_expect_eq(diary_lines(&fleet.diary, "b"), 0, "a job began after the key was gone:\n%s",
                 text_tail(B->log));
    cr_expect(wait_until(instance_term_ended, B, WAIT_LIMIT), "%s", text_tail(B->log));

    instance_mark(B);
    relay_set(&relay, RELAY_PASS);
    instance_wait(B, "seat_taken", "");
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(network, a_leader_that_is_cut_off_while_it_waits_never_starts_a_job)
{
    LONG_TEST();
    cut_in_the_wait(RELAY_STALL);
}

Test(network, a_leader_that_cannot_hear_while_it_waits_never_starts_a_job)
{
    cut_in_the_wait(RELAY_STALL_DOWN);
}

Test(network, a_leader_that_is_reset_while_it_waits_never_starts_a_job)
{
    cut_in_the_wait(RELAY_RESET);
}

/* ---- what the server's reset does when it is lost on the way ---- */

/* The next heartbeat is answered by a reset: by then the heir is elected, and waits takeover_delay.
 */
Test(network, a_session_that_ended_unheard_is_missed_at_the_next_heartbeat)
{
    three_with_relay(0, &patient);

    relay_set(&relay, RELAY_RESET_SERVER);

    instance_wait(A, "lost", "reason=session_ended");
    instance_wait(B, "takeover_wait", "");
    diary_wait(&fleet.diary, "b", 20);
    relay_stop(&relay);
    fleet_check(&fleet);
}

/* It trusts its lease, and the key is long another's: takeover_delay = lease is what covers that.
 */
Test(network, a_leader_that_is_cut_off_when_its_session_ends_is_covered_by_a_delay_of_a_lease)
{
    three_with_relay(0, &patient);

    relay_set(&relay, RELAY_LOSE_SERVER);

    instance_wait(B, "takeover_wait", "");
    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    diary_wait(&fleet.diary, "b", 20);
    relay_stop(&relay);
    fleet_check(&fleet);
}

/* ---- a slow line ---- */

/* Half a second each way: a connection takes ten times that, and a heartbeat a second. */
static const struct instance_settings slow = {
    .database = "connect_timeout = 20s\n",
    .election = "retry_interval = 300ms\nlease = 10s\nheartbeat = 500ms\nstop_grace = 500ms\n"
                "loss_grace = 200ms\ntakeover_delay = 1s\n"};

static bool somebody_was_fenced(void *ctx)
{
    size_t ends = 0;

    (void)ctx;
    for (size_t i = 0; i < fleet.count; i++) {
        ends += instance_logged(&fleet.member[i], "lost", "");
        ends += instance_logged(&fleet.member[i], "fenced", "");
        ends += instance_logged(&fleet.member[i], "seat_lost", "");
    }
    return ends > 0;
}

static void all_behind_the_relay(size_t count)
{
    fleet_make(&fleet, count, &slow);
    relay_start(&relay, fleet.pg.port);
    for (size_t i = 0; i < fleet.count; i++) {
        fleet_by_relay(&fleet, i, &relay, &slow);
    }
}

Test(network, a_line_that_becomes_slow_ends_no_term_and_carries_a_takeover)
{
    all_behind_the_relay(2);
    fleet_begin(&fleet);

    relay_set(&relay, RELAY_DELAY);
    cr_expect(wait_never(somebody_was_fenced, NULL, DUR_S(11)), "%s", text_tail(A->log));
    goes_on(A);
    cr_expect_eq(diary_terms(&fleet.diary), 1);

    program_kill_tree(&A->supervisor);
    instance_wait(B, "elected", "");
    goes_on(B);
    cr_expect_not(somebody_was_fenced(NULL), "%s", text_tail(B->log));
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(network, a_line_that_is_slow_from_the_beginning_carries_elections_releases_and_takeovers)
{
    LONG_TEST();
    all_behind_the_relay(3);
    relay_set(&relay, RELAY_DELAY);
    fleet_begin(&fleet);

    goes_on(A);
    instance_stop(A);
    instance_wait(B, "elected", "");
    goes_on(B);
    instance_wait(C, "seat_taken", "");
    program_kill_tree(&B->supervisor);
    instance_wait(C, "elected", "");
    goes_on(C);
    cr_expect_not(somebody_was_fenced(NULL));
    cr_expect_eq(diary_terms(&fleet.diary), 3);
    relay_stop(&relay);
    fleet_check(&fleet);
}
