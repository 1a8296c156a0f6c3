/*
 * The ledger's connection alone fails under a leader whose lock session is sound: it goes on
 * leading, and starts nothing that is not claimed (DESIGN.md sections 4 and 6).
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/starts.h"
#include "tests/support/text.h"

TestSuite(ledger_cut, .timeout = 180);

static struct fleet fleet;
static struct starts starts;
static struct relay relay;
static PGconn *conn;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* a leads, by the relay, and starts something every second. */
static void begin(void)
{
    struct instance_settings settings = {.election = ELECTION_CALM};

    fleet_make(&fleet, 2, &settings);
    starts_make(&starts, &fleet.dir);
    char *jobs = text_format("[job grid]\nschedule = every 1s\nmissed = all\n%s"
                             "[job skips]\nschedule = every 1s\nmissed = skip\nexec = true\n%s",
                             starts.exec, fleet.diary.job);
    settings.job = jobs;
    struct instance_settings all = fleet_settings(&fleet, &settings);
    instance_configure(B, &all);
    relay_start(&relay, fleet.pg.port);
    fleet_by_relay(&fleet, 0, &relay, &settings);
    free(jobs);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    server_do(conn, "SET search_path = pgbaton, pg_catalog, pg_temp");
    (void)backend_wait(conn, "pgbaton leader % a", 0);
    starts_wait(&starts, "a", 2);
}

static unsigned port_of(int pid)
{
    char *sql = text_format("SELECT client_port FROM pg_stat_activity WHERE pid = %d", pid);
    const char *port = server_scalar(conn, sql);

    cr_assert_not_null(port, "there is no session %d", pid);
    free(sql);
    return (unsigned)strtoul(port, NULL, 10);
}

/* New connections do not come through, or it would only be made again at once. */
static void cut_the_ledger(enum relay_state state)
{
    unsigned ledger = port_of(backend_of(conn, "pgbaton ledger % a"));
    unsigned probe = port_of(backend_of(conn, "pgbaton leader % a"));
    unsigned lock = port_of(leader_pid(conn));

    relay_set(&relay, RELAY_STALL);
    relay_set_one(&relay, lock, RELAY_PASS);
    relay_set_one(&relay, probe, RELAY_PASS);
    relay_set_one(&relay, ledger, state);
}

static bool is_missed(void *ctx)
{
    (void)ctx;
    return server_scalar(conn, "SELECT 1 FROM run WHERE job = 'skips' AND outcome = 'missed'"
                               " AND reason = 'no ledger' LIMIT 1") != NULL;
}

static void expect_the_same_term(void)
{
    cr_expect_eq(instance_logged(A, "role", ""), 0, "%s", text_tail(A->log));
    cr_expect_eq(instance_logged(B, "role", ""), 0, "%s", text_tail(B->log));
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    no_rows(conn, "another term, or the end of it",
            "SELECT * FROM term WHERE number <> 1 OR ended_at IS NOT NULL");
}

/* What was claimed before may still be started: that has its row. */
static void goes_on_without_a_ledger(enum relay_state state)
{
    begin();
    instance_mark(A);
    instance_mark(B);

    cut_the_ledger(state);
    instance_wait(A, "ledger_failed", "nothing is started until it works");
    /* Its service lives, for some seconds that each have a tick. */
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 300);
    starts_load(&starts, conn);
    no_rows(conn, "starts that nobody claimed",
            "SELECT * FROM note WHERE id NOT IN (SELECT id FROM run)");
    expect_the_same_term();

    size_t before = starts_of(&starts, "a");
    relay_set(&relay, RELAY_PASS);
    instance_wait(A, "ledger_works", "");
    starts_wait(&starts, "a", before + 3);
    cr_expect(wait_until(is_missed, NULL, WAIT_LIMIT), "the policy did not decide");
    expect_the_same_term();
    cr_expect_eq(instance_logged(A, "ledger_failed", ""), 1, "%s", text_tail(A->log));
    cr_expect_eq(instance_logged(A, "ledger_works", ""), 1, "%s", text_tail(A->log));
    instance_stop(A);
    instance_wait(B, "elected", "reason=clean");
    instance_stop(B);
    starts_check(&starts, conn);
    PQfinish(conn);
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(ledger_cut, a_leader_whose_ledger_is_not_answered_leads_on_and_starts_nothing_unclaimed)
{
    goes_on_without_a_ledger(RELAY_STALL);
}

/* Its claims are committed, and it does not hear of it. */
Test(ledger_cut, a_leader_that_cannot_hear_its_ledger_leads_on_and_starts_nothing_unclaimed)
{
    goes_on_without_a_ledger(RELAY_STALL_DOWN);
}

static bool is_later(void *ctx)
{
    (void)ctx;
    return server_scalar(conn, "SELECT 1 FROM since"
                               " WHERE at < clock_timestamp() - interval '3 s'") != NULL;
}

/* Less than what is taken for a failure. What was due meanwhile is late all the same. */
Test(ledger_cut, of_what_is_due_while_the_ledger_says_nothing_the_policies_decide)
{
    begin();
    server_do(conn, "CREATE TABLE since AS SELECT clock_timestamp() AS at");
    instance_mark(A);
    instance_mark(B);

    cut_the_ledger(RELAY_STALL);
    instance_wait(A, "ledger_silent", "nothing is started until it answers");
    server_do(conn, "UPDATE since SET at = clock_timestamp()");
    cr_assert(wait_until(is_later, NULL, WAIT_LIMIT));
    size_t before = starts_of(&starts, "a");
    relay_set(&relay, RELAY_PASS);
    starts_wait(&starts, "a", before + 3);
    cr_expect(wait_until(is_missed, NULL, WAIT_LIMIT), "the policy did not decide");
    expect_the_same_term();
    instance_stop(A);
    instance_wait(B, "elected", "reason=clean");
    instance_stop(B);
    /* Claimed in time, in a machine that may be slow: but not when the ledger was there again. */
    no_rows(conn, "late ones that were not to be made up for",
            "SELECT id, scheduled_at, started_at FROM run, since WHERE job = 'skips' "
            "AND scheduled_at < at - interval '1 s' AND started_at > at + interval '3 s'");
    starts_check(&starts, conn);
    PQfinish(conn);
    relay_stop(&relay);
    fleet_check(&fleet);
}

Test(ledger_cut, a_leader_whose_ledger_is_reset_leads_on_and_starts_nothing_unclaimed)
{
    goes_on_without_a_ledger(RELAY_RESET);
}
