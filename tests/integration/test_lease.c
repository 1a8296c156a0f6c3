/* A leader that hangs, is cut off or loses its session: DESIGN.md section 4. No two terms' jobs may
 * overlap. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/relay.h"
#include "tests/support/text.h"

TestSuite(lease, .timeout = 120);

static struct fleet fleet;
static struct relay relay;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

static const struct instance_settings short_lease = {.election = ELECTION_SHORT};

/* a reaches the server through the relay, everybody else directly. */
static void fleet_with_relay(size_t count)
{
    fleet_make(&fleet, count, &short_lease);
    relay_start(&relay, fleet.pg.port);
    fleet_by_relay(&fleet, 0, &relay, &short_lease);
    fleet_begin(&fleet);
}

Test(lease, is_renewed_for_as_long_as_nothing_happens)
{
    fleet_make(&fleet, 2, &(struct instance_settings){.election = ELECTION_STEADY});
    fleet_begin(&fleet);

    cr_expect(wait_never(instance_term_ended, A, DUR_S(13)), "%s",
              text_tail(A->log)); /* two leases of 6 s, and more */

    cr_expect_eq(diary_terms(&fleet.diary), 1);
    fleet_check(&fleet);
}

Test(lease, a_stopped_worker_is_fenced_by_its_supervisor)
{
    fleet_make(&fleet, 2, &short_lease);
    fleet_begin(&fleet);
    pid_t worker = instance_wait_child(A, "worker", 0);
    PGconn *conn = server_connect(&fleet.pg, "test");
    pid_t backend = leader_pid(conn);

    cr_assert_eq(kill(worker, SIGSTOP), 0);
    cr_assert_eq(kill(backend, SIGSTOP), 0); /* or on a busy machine it frees the key first */
    instance_wait(A, "fenced", "reason=worker_hung");
    cr_assert_eq(kill(backend, SIGCONT), 0);

    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 20);
    cr_expect_not(process_lives(worker));
    PQfinish(conn);
    fleet_check(&fleet);
}

/* Here nothing of a can act: the server's idle_session_timeout frees the key. What a's jobs do
 * after its waking and before its first heartbeat is not covered (DESIGN.md section 4), so the
 * diary is not checked. */
Test(lease, of_a_stopped_instance_ends_by_the_server)
{
    fleet_make(&fleet, 2, &short_lease);
    fleet_begin(&fleet);

    program_signal_tree(&A->supervisor, SIGSTOP);
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 0);
    instance_mark(A);
    program_signal_tree(&A->supervisor, SIGCONT);

    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    instance_wait(A, "seat_taken", "");
    size_t before = diary_lines(&fleet.diary, "a");
    size_t others = diary_lines(&fleet.diary, "b");
    diary_wait(&fleet.diary, "b", others + 20);
    cr_expect_eq(diary_lines(&fleet.diary, "a"), before, "a job of the old leader lives on");
    poller_check(&fleet.poller);
}

/* By the socket alone: neither the lease nor a look of the witness is near. */
Test(lease, a_session_that_the_server_ends_is_noticed_at_once)
{
    fleet_make(&fleet, 2,
               &(struct instance_settings){
                   .election = "retry_interval = 20s\nlease = 30s\nheartbeat = 1s\n"});
    PGconn *conn = server_connect(&fleet.pg, "test");
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    (void)backend_wait(conn, "pgbaton leader % a", 0); /* it has given the seat back */
    instance_start(B, NULL);
    (void)backend_wait_waiting(conn);
    diary_wait(&fleet.diary, "a", 10);

    backend_terminate(conn, leader_pid(conn));

    instance_wait(A, "job_stopping", "reason=lost");
    instance_wait(B, "elected", "");
    /* b's term makes the witness look: on a loaded machine that ends the wait for the jobs. */
    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    diary_wait(&fleet.diary, "b", 20);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(lease, a_restart_of_the_server_ends_the_term_and_somebody_leads_again)
{
    fleet_make(&fleet, 3, &short_lease);
    fleet_begin(&fleet);

    server_stop(&fleet.pg);
    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    server_resume(&fleet.pg);

    for (size_t i = 0; i < fleet.count; i++) {
        cr_expect(process_lives(fleet.member[i].supervisor.pid));
    }
    struct instance *leader = instances_wait_leader(fleet.member, 3);
    size_t before = diary_lines(&fleet.diary, leader->name);
    diary_wait(&fleet.diary, leader->name, before + 10);
    fleet_check(&fleet);
}

Test(lease, a_crash_of_the_server_ends_the_term_and_somebody_leads_again)
{
    fleet_make(&fleet, 3, &short_lease);
    fleet_begin(&fleet);

    server_crash(&fleet.pg);
    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    server_resume(&fleet.pg);

    struct instance *leader = instances_wait_leader(fleet.member, 3);
    size_t before = diary_lines(&fleet.diary, leader->name);
    diary_wait(&fleet.diary, leader->name, before + 10);
    fleet_check(&fleet);
}

static const struct {
    const char *title;
    enum relay_state state;
} cuts[] = {
    {"the cable is pulled", RELAY_STALL},
    {"what the leader says does not arrive", RELAY_STALL_UP},
    {"what the server says does not arrive", RELAY_STALL_DOWN},
    {"the leader's side is reset, and the server is not told", RELAY_RESET_INSTANCE},
    {"both sides are reset", RELAY_RESET},
};

static void cut(size_t row)
{
    fleet_with_relay(2);

    relay_set(&relay, cuts[row].state);

    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s:\n%s", cuts[row].title,
              text_tail(A->log));
    instance_wait(B, "elected", "");
    cr_expect_eq(instance_logged(B, "session_ended", "was=leader"), 0,
                 "it took two leases, and the heir to do it:\n%s", text_tail(B->log));
    diary_wait(&fleet.diary, "b", 20);

    /* When the cable is back, a is a sound follower. */
    instance_mark(A);
    relay_set(&relay, RELAY_PASS);
    instance_wait(A, "seat_taken", "");
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(lease, of_a_leader_whose_cable_is_pulled_ends)
{
    cut(0);
}

Test(lease, of_a_leader_that_cannot_be_heard_ends)
{
    cut(1);
}

Test(lease, of_a_leader_that_cannot_hear_ends)
{
    cut(2);
}

Test(lease, of_a_leader_whose_side_was_reset_ends)
{
    cut(3);
}

Test(lease, of_a_leader_whose_connection_was_reset_ends)
{
    cut(4);
}

static bool nobody_holds_the_key(void *conn)
{
    return leader_pid(conn) == 0;
}

/* Nobody else is there to take the key: that the server lets go of it must not depend on a heir. */
Test(lease, of_a_lonely_leader_is_ended_by_the_server_and_won_again)
{
    fleet_with_relay(1);
    PGconn *conn = server_connect(&fleet.pg, "test");

    relay_set(&relay, RELAY_STALL);
    cr_expect(wait_until(nobody_holds_the_key, conn, WAIT_LIMIT));
    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    instance_mark(A);
    relay_set(&relay, RELAY_PASS);

    instance_wait(A, "elected", "");
    size_t before = diary_lines(&fleet.diary, "a");
    diary_wait(&fleet.diary, "a", before + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 2);
    PQfinish(conn);
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(lease, a_heir_whose_cable_is_pulled_gives_its_seat_to_another)
{
    fleet_make(&fleet, 3, &short_lease);
    relay_start(&relay, fleet.pg.port);
    fleet_by_relay(&fleet, 1, &relay, &short_lease);
    fleet_begin(&fleet);

    relay_set(&relay, RELAY_STALL);

    instance_wait(&fleet.member[2], "seat_taken", "");
    instance_stop(A);
    instance_wait(&fleet.member[2], "elected", "");
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(lease, a_probe_that_is_killed_does_not_end_the_term)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);
    pid_t probe = instance_wait_child(A, "probe", 0);

    cr_assert_eq(kill(probe, SIGKILL), 0);

    (void)instance_wait_child(A, "probe", probe);
    size_t before = diary_lines(&fleet.diary, "a");
    diary_wait(&fleet.diary, "a", before + 20);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    fleet_check(&fleet);
}

Test(lease, a_monitor_that_is_killed_does_not_end_the_term)
{
    static struct outcome told;
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);
    pid_t monitor = instance_wait_child(A, "monitor", 0);

    cr_assert_eq(kill(monitor, SIGKILL), 0);

    (void)instance_wait_child(A, "monitor", monitor);
    size_t before = diary_lines(&fleet.diary, "a");
    diary_wait(&fleet.diary, "a", before + 20);
    instance_command(A, &told, "status", "--is-leader", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    fleet_check(&fleet);
}
