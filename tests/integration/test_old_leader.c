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
static struct relay relay;
static PGconn *conn;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* a leads and starts something every second; by: what it reaches the server through, NULL: none. */
static void begin_on(const char *election, const char *more_jobs, struct relay *by)
{
    struct instance_settings settings = {.election = election};

    fleet_make(&fleet, 2, &settings);
    starts_make(&starts, &fleet.dir);
    char *jobs = text_format("[job grid]\nschedule = every 1s\nmissed = all\n%s%s%s", starts.exec,
                             more_jobs, fleet.diary.job);
    settings.job = jobs;
    struct instance_settings all = fleet_settings(&fleet, &settings);
    instance_configure(A, &all);
    instance_configure(B, &all);
    if (by != NULL) {
        relay_start(by, fleet.pg.port);
        fleet_by_relay(&fleet, 0, by, &settings);
    }
    free(jobs);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    server_do(conn, "SET search_path = pgbaton, pg_catalog, pg_temp");
    starts_wait(&starts, "a", 2);
}

static void begin(const char *more_jobs)
{
    begin_on(ELECTION_STEADY, more_jobs, NULL);
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

/* ---- whose lock session has ended at the server, unheard: it trusts its lease ---- */

/* Whatever tells it first that it is over, and however late: nothing of the next term begins before
 * its lease would be. */
#define ELECTION_DEAF                                                                              \
    "retry_interval = 300ms\nheartbeat = 200ms\nstop_grace = 500ms\nloss_grace = 200ms\n"
#define ELECTION_DEAF_SHORT ELECTION_DEAF "lease = 3s\ntakeover_delay = 3s\n"
/* So long that its claims are made many times before it doubts its lease. */
#define ELECTION_DEAF_LONG ELECTION_DEAF "lease = 8s\ntakeover_delay = 8s\n"

/* The server loses a session of a; a is not told. */
static void cut(const char *session)
{
    char *sql = text_format("SELECT client_port FROM pg_stat_activity WHERE %s", session);
    const char *port = server_scalar(conn, sql);

    cr_assert_not_null(port, "there is no session with %s", session);
    relay_set_one(&relay, (unsigned)strtoul(port, NULL, 10), RELAY_LOSE_SERVER);
    free(sql);
}

static void cut_lock_session(void)
{
    char *session = text_format("pid = %d", leader_pid(conn));

    cut(session);
    free(session);
}

/* What is certain in whatever order things happen. Runs that were claimed before may start until it
 * learns that it is over; what is made later is b's. */
static void another_term_is_opened_and_it_claims_nothing_more(void)
{
    /* With takeover_wait, unless the old one was so slow that it had no run claimed just then. */
    instance_wait(B, "elected", "epoch=1.2");
    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    instance_wait(A, "seat_taken", "");
    starts_wait(&starts, "b", 3);
    no_rows(conn, "rows of the old term that came later",
            "SELECT * FROM run WHERE number = 1 AND created_at > " OF_B);
    stop_all_and_check_starts();
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(old_leader, that_was_not_told_of_the_end_of_its_lock_session_claims_nothing_more)
{
    begin_on(ELECTION_DEAF_SHORT, "", &relay);
    instance_mark(A);

    cut_lock_session();

    another_term_is_opened_and_it_claims_nothing_more();
}

/* And its probe cannot say so: the ledger is all that does. */
Test(old_leader, that_has_nothing_but_its_ledger_is_refused_its_next_claim)
{
    begin_on(ELECTION_DEAF_LONG, "", &relay);
    instance_mark(A);

    cut("application_name LIKE 'pgbaton leader %'");
    cut_lock_session();

    instance_wait(A, "lost", "another term was opened");
    another_term_is_opened_and_it_claims_nothing_more();
}
