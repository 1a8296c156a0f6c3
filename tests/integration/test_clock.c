/*
 * Wall clocks that are wrong. The server's timeouts run on its own (DESIGN.md section 4): stepped
 * forward it may end a lease too early, stepped back too late. An instance whose own clock is wrong
 * does not lead (section 6).
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"
#include "tests/support/wall_clock.h"

TestSuite(clock, .timeout = 120);

static struct workdir own;
static struct wall_clock wrong;
static struct fleet fleet;
static struct relay relay;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

#define AN_HOUR DUR_S(3600)

static const struct instance_settings steady = {.election = ELECTION_STEADY};

/* a leads, b is the heir, the rest follow; the server runs by the clock that can be set. */
static void with_clock_of_server(size_t count)
{
    workdir_make(&own);
    wall_clock_make(&wrong, &own, "clock");
    fleet_make_on(&fleet, count, &steady,
                  &(struct server_options){.environment = wrong.environment});
}

/* The member at that place runs by the clock that can be set. */
static void with_clock_of_instance(size_t count, size_t place)
{
    workdir_make(&own);
    wall_clock_make(&wrong, &own, "clock");
    fleet_make(&fleet, count, NULL);
    fleet.member[place].environment = wrong.environment;
}

/* "": whoever leads. */
static void writes_on(const char *name)
{
    size_t before = diary_lines(&fleet.diary, name);

    diary_wait(&fleet.diary, name, before + 20);
}

static void goes_on(const struct instance *leader)
{
    writes_on(leader->name);
}

static void clock_of_server_says(dur_ns offset)
{
    PGconn *conn = server_connect(&fleet.pg, "test");
    const char *seconds =
        server_scalar(conn, "SELECT extract(epoch FROM clock_timestamp())::bigint");
    int64_t off = strtoll(seconds, NULL, 10) - clock_wall() / DUR_S(1) - offset / DUR_S(1);

    cr_assert(off >= -5 && off <= 5, "the clock of the server was not set: off by %lld s",
              (long long)off);
    PQfinish(conn);
}

/* ---- the server's ---- */

static bool has_compared_clocks(void *instance)
{
    json_t *status = instance_status(instance);
    bool has =
        json_is_number(json_object_get(json_object_get(status, "database"), "clock_offset_ms"));

    json_decref(status);
    return has;
}

/* Only who has seen the clock of the server right knows afterwards that it is not its own that was
 * set. */
static void wait_clocks_compared(void)
{
    for (size_t i = 0; i < fleet.count; i++) {
        cr_assert(wait_until(has_compared_clocks, &fleet.member[i], WAIT_LIMIT));
    }
}

/* Somebody leads for two leases and more, and when the leader dies, the next one does. */
static void is_sound_after_a_step(dur_ns step)
{
    with_clock_of_server(3);
    fleet_begin(&fleet);
    wait_clocks_compared();

    wall_clock_set(&wrong, step);
    clock_of_server_says(step);

    /* The one that led may have lost its lease to the step. */
    diary_wait_for(&fleet.diary, "", DUR_S(13));
    instance_wait(A, "server_clock_wrong", "");
    struct instance *leader = instances_wait_leader(fleet.member, fleet.count);
    program_kill_tree(&leader->supervisor);
    struct instance *next = instances_wait_leader(fleet.member, fleet.count);
    cr_expect_neq(next, leader);
    writes_on("");
    fleet_check(&fleet);
}

/* It may end the lease of whoever is not heard between the step and the next alarm: then another
 * one leads. */
Test(clock, of_the_server_that_is_stepped_forward_by_a_minute_makes_no_two_leaders)
{
    is_sound_after_a_step(DUR_S(60));
}

Test(clock, of_the_server_that_is_stepped_back_by_an_hour_ends_no_term)
{
    is_sound_after_a_step(-AN_HOUR);
    cr_expect_eq(diary_terms(&fleet.diary), 2);
}

/* The server has armed its timers for moments that are now an hour away: that of the leader's
 * lease, and that of the slice in which the heir waits. Another one may become the heir for that.
 */
Test(clock, of_the_server_that_is_stepped_back_while_the_leader_is_cut_off_does_not_stop_the_fleet)
{
    with_clock_of_server(3);
    relay_start(&relay, fleet.pg.port);
    fleet_by_relay(&fleet, 0, &relay, &steady);
    fleet_begin(&fleet);
    wait_clocks_compared();

    relay_set(&relay, RELAY_STALL);
    wall_clock_set(&wrong, -AN_HOUR);

    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    goes_on(instances_wait_leader(B, 2));
    relay_stop(&relay);
    fleet_check(&fleet);
}

/* Without the two leases' rule the seat is taken for an hour: but where the server takes its last
 * heartbeat after the step, for a lease only. So who ended the session is not asked. */
Test(clock, of_the_server_that_is_stepped_back_while_the_heir_is_cut_off_does_not_keep_its_seat)
{
    with_clock_of_server(3);
    relay_start(&relay, fleet.pg.port);
    fleet_by_relay(&fleet, 1, &relay, &steady);
    fleet_begin(&fleet);
    wait_clocks_compared();

    relay_set(&relay, RELAY_STALL);
    wall_clock_set(&wrong, -AN_HOUR);

    instance_wait(C, "seat_taken", "");
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    program_kill_tree(&A->supervisor);
    instance_wait(C, "elected", "");
    goes_on(C);
    relay_stop(&relay);
    fleet_check(&fleet);
}

/* ---- an instance's ---- */

Test(clock, of_an_instance_that_is_wrong_keeps_it_from_the_seat)
{
    with_clock_of_instance(2, 0);
    wall_clock_set(&wrong, DUR_S(10));

    instance_start(A, NULL);
    instance_wait(A, "clock_wrong", "");
    instance_start(B, NULL);
    instance_wait(B, "elected", "");
    goes_on(B);
    cr_expect_eq(instance_logged(A, "seat_taken", ""), 0, "%s", text_tail(A->log));

    wall_clock_set(&wrong, 0);
    instance_wait(A, "clock_right", "");
    instance_wait(A, "seat_taken", "");
    cr_expect_eq(diary_lines(&fleet.diary, "a"), 0);
    fleet_check(&fleet);
}

static void goes_wrong_under_the_leader(dur_ns offset)
{
    with_clock_of_instance(2, 0);
    fleet_begin(&fleet);

    wall_clock_set(&wrong, offset);

    instance_wait(A, "clock_wrong", "");
    instance_wait(A, "released", "reason=clock");
    instance_wait(B, "elected", "");
    goes_on(B);
    cr_expect_eq(instance_logged(B, "takeover_wait", ""), 0, "it waited after a clean end");

    instance_mark(A);
    wall_clock_set(&wrong, 0);
    instance_wait(A, "seat_taken", "");
    fleet_check(&fleet);
}

Test(clock, of_a_leader_that_goes_ahead_ends_its_term_cleanly)
{
    goes_wrong_under_the_leader(DUR_S(10));
}

Test(clock, of_a_leader_that_falls_behind_ends_its_term_cleanly)
{
    goes_wrong_under_the_leader(-DUR_S(10));
}

Test(clock, of_a_heir_that_goes_wrong_gives_its_seat_to_another)
{
    with_clock_of_instance(3, 1);
    fleet_begin(&fleet);

    wall_clock_set(&wrong, AN_HOUR);

    instance_wait(B, "seat_lost", "reason=clock");
    instance_wait(C, "seat_taken", "");
    instance_stop(A);
    instance_wait(C, "elected", "");
    goes_on(C);
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    fleet_check(&fleet);
}
