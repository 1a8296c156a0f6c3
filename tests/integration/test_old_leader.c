/*
 * Who was the leader and does not know that it is over: the ledger is what stops it (DESIGN.md
 * section 6, trial 5 of section 10).
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/starts.h"
#include "tests/support/text.h"

TestSuite(old_leader, .timeout = 180);

static struct fleet fleet;
static struct starts starts;
static PGconn *conn;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* a leads and starts something every second. */
static void begin(const char *more_jobs)
{
    static const struct instance_settings settings = {.election = ELECTION_SHORT};

    fleet_make(&fleet, 2, &settings);
    starts_make(&starts, &fleet.dir);
    char *jobs =
        text_format("[job grid]\nschedule = every 1s\nmissed = all\n%s%s", starts.exec, more_jobs);
    fleet_add_jobs(&fleet, &settings, jobs);
    free(jobs);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    server_do(conn, "SET search_path = pgbaton, pg_catalog, pg_temp");
    starts_wait(&starts, "a", 2);
}

static void stop_all_and_check_starts(void)
{
    for (size_t i = 0; i < fleet.count; i++) {
        instance_stop(&fleet.member[i]);
    }
    starts_check(&starts, conn);
    PQfinish(conn);
}

/* The claim is made by hand, as a's would be, and its commit is slow. */
Test(old_leader, whose_claim_is_in_flight_keeps_the_next_term_waiting_and_its_run_is_seen_there)
{
    begin("[job slow]\nschedule = manual\non_interrupt = rerun\nexec = true\n");
    PGconn *old = server_connect(&fleet.pg, "old");

    election_row_hold(old);
    server_do(old, "INSERT INTO pgbaton.run (election, id, job, scheduled_at, attempt, outcome, "
                   "origin, generation, number, incarnation, instance) SELECT name, '1.1-slow', "
                   "'slow', date_trunc('second', clock_timestamp()), 1, 'claimed', 'trigger', "
                   "generation, number, incarnation, 'a' FROM pgbaton.election");
    program_kill_tree(&A->supervisor);
    instance_wait(B, "term_blocked", "");
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    cr_expect_str_eq(server_scalar(conn, "SELECT max(number) FROM term"), "1");
    server_do(old, "COMMIT");

    instance_wait(B, "elected", "epoch=1.2");
    instance_wait(B, "job_interrupted", "run=1.1-slow epoch=1.1");
    instance_wait(B, "job_ended", "job=slow");
    starts_wait(&starts, "b", 2);
    instance_stop(B);
    cr_expect_str_eq(server_scalar(conn, "SELECT outcome FROM run WHERE id = '1.1-slow'"),
                     "interrupted");
    cr_expect_str_eq(
        server_scalar(conn, "SELECT string_agg(attempt || ' ' || origin || ' ' || outcome, ', ') "
                            "FROM run WHERE job = 'slow' AND parent = '1.1-slow'"),
        "2 rerun succeeded");
    starts_check(&starts, conn);
    PQfinish(old);
    PQfinish(conn);
    fleet_check(&fleet);
}

/* Its lease is good, its session holds the key, its heartbeats are answered: only the row is
 * another one. */
Test(old_leader, whose_row_is_anothers_is_refused_its_next_claim_and_stands_down)
{
    begin("");
    instance_mark(A);
    char *refused =
        text_format("SELECT * FROM run WHERE number = 1 AND created_at > '%s'",
                    server_scalar(conn, "UPDATE election SET number = number + 1, incarnation = "
                                        "'f00000000000000f' RETURNING clock_timestamp()"));

    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    cr_expect_geq(instance_logged(A, "lost", "another term was opened"), 1, "%s",
                  text_tail(A->log));
    struct instance *next = instances_wait_leader(fleet.member, fleet.count);
    instance_wait(next, "elected", "epoch=1.3");
    starts_wait(&starts, next->name, starts_of(&starts, next->name) + 3);
    no_rows(conn, "claims of the old term that came later", refused);
    no_rows(conn, "rows of a term that nobody opened", "SELECT * FROM run WHERE number = 2");
    free(refused);
    stop_all_and_check_starts();
    fleet_check(&fleet);
}

/* The moment from which b's term counts. */
#define OF_B "(SELECT started_at FROM term WHERE number = 2)"

Test(old_leader, that_was_stopped_beyond_its_lease_starts_nothing_when_it_goes_on)
{
    begin("");
    program_signal_tree(&A->supervisor, SIGSTOP);
    instance_mark(A);
    instance_wait(B, "elected", "epoch=1.2");
    starts_wait(&starts, "b", 2);
    program_signal_tree(&A->supervisor, SIGCONT);

    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    instance_wait(A, "seat_taken", "");
    starts_wait(&starts, "b", starts_of(&starts, "b") + 3);
    cr_expect_eq(instance_logged(A, "job_started", ""), 0, "%s", text_tail(A->log));
    no_rows(conn, "rows of the old term that came later",
            "SELECT * FROM run WHERE number = 1 AND (created_at > " OF_B " OR started_at > " OF_B
            ")");
    stop_all_and_check_starts();
    /* Not the diary: see the lease's test of a stopped instance. */
    poller_check(&fleet.poller);
}
