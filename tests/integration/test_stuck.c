/*
 * Somebody must lead, whatever holds key, seat or row: DESIGN.md section 4
 * ("Somebody must lead"), section 5, and trials 2 and 5 of section 10.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/long_test.h"
#include "tests/support/text.h"

TestSuite(stuck, .timeout = 180);

static struct fleet fleet;
static PGconn *dba;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

#define KEY_SQL "(x'12345678ABCDEF00'::bigint)"
#define SEAT_SQL "(x'12345678'::int, x'ABCDEF00'::int)"

/* What takes some leases does not take long, and a busy machine keeps them all the same. */
#define LEASE DUR_S(4)
static const struct instance_settings short_lease = {
    .election = "retry_interval = 300ms\nlease = 4s\nheartbeat = 100ms\nstop_grace = 400ms\n"
                "loss_grace = 100ms\ntakeover_delay = 500ms\nbackoff_max = 1s\n",
    .jobs = "grace = 300ms\n",
};

static PGconn *connect_as_baton(void)
{
    PGconn *conn = PQconnectdb(server_conninfo(&fleet.pg, SERVER_UNIX));

    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    return conn;
}

static void begin(size_t count)
{
    fleet_make(&fleet, count, &short_lease);
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");
}

static void finish(void)
{
    PQfinish(dba);
    fleet_check(&fleet);
}

/* ---- the holder of the key ---- */

/* Its timer cannot fire and no signal ends it: it is named, and ended as soon as it runs again. */
Test(stuck, a_leaders_backend_that_is_stopped_is_named_and_ended_when_it_can_be)
{
    begin(2);
    int backend = leader_pid(dba);
    (void)backend_wait_waiting(dba);

    cr_assert_eq(kill(backend, SIGSTOP), 0);
    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    instance_wait(B, "session_stays", "was=leader");
    cr_expect_eq(instance_logged(B, "seat_lost", ""), 0, "%s", text_tail(B->log));
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    cr_expect_eq(leader_pid(dba), backend);
    cr_assert_eq(kill(backend, SIGCONT), 0);

    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 5);
    finish();
}

/* What a leader's session would be if the server's clock had been set back: it is idle, and no
 * timer ends it. */
static PGconn *become_a_leader_without_a_lease(void)
{
    PGconn *ghost = connect_as_baton();

    cr_assert_str_eq(server_scalar(ghost, "SELECT pg_try_advisory_lock" KEY_SQL), "t");
    server_do(ghost, "BEGIN; UPDATE pgbaton.election SET number = number + 1, "
                     "incarnation = '00000000000000aa', instance = 'ghost'; "
                     "INSERT INTO pgbaton.term (election, generation, number, incarnation, "
                     "instance, backend_pid, backend_start, system_id, timeline, lease_ms, "
                     "heartbeat_ms, loss_grace_ms) SELECT name, generation, number, incarnation, "
                     "instance, pg_backend_pid(), (SELECT backend_start FROM pg_stat_activity "
                     "WHERE pid = pg_backend_pid()), system_id, timeline, 4000, 100, 100 FROM "
                     "pgbaton.election; COMMIT");
    return ghost;
}

static void ghost_is_ended(const char *poll)
{
    begin(2);
    instance_stop(B);
    instance_stop(A);
    struct instance_settings settings = short_lease;
    char *election = text_format("%s%s", settings.election, poll);
    settings.election = election;
    settings = fleet_settings(&fleet, &settings);
    instance_configure(B, &settings);
    free(election);
    mono_ns began = clock_now();
    PGconn *ghost = become_a_leader_without_a_lease();

    instance_start(B, NULL);
    instance_wait(B, "session_ended", "was=leader");

    cr_expect_geq(clock_now() - began, 2 * LEASE, "too early: that is no evidence yet");
    backend_wait_gone(dba, PQbackendPID(ghost));
    instance_wait(B, "elected", "epoch=1.3");
    diary_wait(&fleet.diary, "b", 5);
    PQfinish(ghost);
    finish();
}

Test(stuck, a_leader_that_no_timer_ends_is_ended_by_the_heir_after_two_leases)
{
    ghost_is_ended("");
}

Test(stuck, a_leader_that_no_timer_ends_is_ended_where_the_key_is_polled)
{
    LONG_TEST();
    ghost_is_ended("mode = poll\n");
}

/* ---- the holder of the seat ---- */

struct patience {
    int pid;
};

static bool has_the_seat_no_more(void *ctx)
{
    const struct patience *p = ctx;
    const char *pid = server_scalar(dba, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND "
                                         "granted AND objsubid = 2");

    return pid == NULL || (int)strtol(pid, NULL, 10) != p->pid;
}

Test(stuck, a_holder_of_the_seat_that_no_timer_ends_is_ended_only_if_it_is_of_our_role)
{
    LONG_TEST();
    fleet_make(&fleet, 2, &short_lease);
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    dba = server_connect(&fleet.pg, "dba");
    PGconn *other = server_connect(&fleet.pg, "superuser");
    struct patience patience = {.pid = PQbackendPID(other)};
    server_do(dba, "GRANT pg_read_all_stats TO baton"); /* it can see that the other one is idle */
    server_do(other, "SELECT pg_advisory_lock" SEAT_SQL);
    instance_start(B, NULL);
    instance_wait(B, "database_up", "");
    cr_expect(wait_never(has_the_seat_no_more, &patience, 3 * LEASE), "%s", text_tail(B->log));
    cr_expect_eq(instance_logged(B, "session_stays", ""), 0, "it did not even try");
    PGconn *ours = connect_as_baton();
    server_do(other, "SELECT pg_advisory_unlock" SEAT_SQL);
    server_do(ours, "SELECT pg_advisory_lock" SEAT_SQL);

    backend_wait_gone(dba, PQbackendPID(ours));
    instance_wait(B, "seat_taken", "");
    PQfinish(ours);
    PQfinish(other);
    finish();
}

/* A heir that listened would have its server's timer suspended by what it does not read. By a UNIX
 * socket: over TCP, tcp_user_timeout would end the session as well. */
Test(stuck, a_stopped_heir_loses_the_seat_though_it_is_flooded_with_notifications)
{
    fleet_make(&fleet, 3, &short_lease);
    struct instance_settings by_unix = short_lease;
    by_unix.dsn = server_conninfo(&fleet.pg, SERVER_UNIX);
    by_unix = fleet_settings(&fleet, &by_unix);
    instance_configure(B, &by_unix);
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");
    (void)backend_wait_waiting(dba);
    program_signal_tree(&B->supervisor, SIGSTOP);
    server_do(dba, "SELECT count(pg_notify('pgbaton', repeat('x', 7000) || i)) FROM "
                   "generate_series(1, 4000) AS i"); /* more than the sockets hold */

    instance_wait(C, "seat_taken", "");
    /* The server's timer did it: nobody had to find out, two leases later. */
    cr_expect_eq(instance_logged(A, "session_ended", ""), 0, "%s", text_tail(A->log));
    cr_expect_eq(instance_logged(C, "session_ended", ""), 0, "%s", text_tail(C->log));
    program_kill_tree(&A->supervisor);
    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 5);
    instance_mark(B);
    program_signal_tree(&B->supervisor, SIGCONT);
    instance_wait(B, "seat_taken", "");
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    finish();
}

/* ---- the election's row ---- */

static bool nobody_holds_the_key(void *ctx)
{
    (void)ctx;
    return leader_pid(dba) == 0;
}

/* Trial 2: what can block is never on the lock session, so that nothing suspends its timer. */
Test(stuck, of_one_that_is_stopped_while_its_term_is_blocked_the_key_comes_free)
{
    begin(2);
    PGconn *holder = server_connect(&fleet.pg, "holder");
    (void)backend_wait_waiting(dba);
    election_row_hold(holder); /* as a superuser, whom no probe may end */
    program_kill_tree(&A->supervisor);
    instance_wait(B, "term_blocked", "");

    program_signal_tree(&B->supervisor, SIGSTOP);
    cr_expect(wait_until(nobody_holds_the_key, NULL, WAIT_LIMIT));
    program_signal_tree(&B->supervisor, SIGCONT);

    server_do(holder, "ROLLBACK");
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 5);
    PQfinish(holder);
    finish();
}

static void expect_over(PGconn *conn, const char *epoch)
{
    char *sql = text_format("SELECT pgbaton.assert_leader('main/%s')", epoch);
    PGresult *result = PQexec(conn, sql);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    cr_expect_str_eq(state == NULL ? "" : state, "PB001", "%s", PQresultErrorMessage(result));
    PQclear(result);
    free(sql);
}

/* Trial 5: what was asserted is true until the transaction ends. */
Test(stuck, a_transaction_that_asserted_its_leader_ends_before_the_next_term_opens)
{
    begin(2);
    PGconn *job = connect_as_baton();
    server_do(job, "CREATE TABLE work (done_at timestamptz)");
    (void)backend_wait_waiting(dba);
    server_do(job, "BEGIN; SELECT pgbaton.assert_leader('main/1.1')");

    program_kill_tree(&A->supervisor);
    instance_wait(B, "term_blocked", "");
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    server_do(job, "INSERT INTO work VALUES (clock_timestamp()); COMMIT");

    instance_wait(B, "elected", "epoch=1.2");
    cr_expect_str_eq(server_scalar(dba, "SELECT max(done_at) < (SELECT max(started_at) FROM "
                                        "pgbaton.term) FROM work"),
                     "t");
    expect_over(job, "1.1");
    cr_expect_eq(instance_logged(B, "session_ended", ""), 0, "%s", text_tail(B->log));
    diary_wait(&fleet.diary, "b", 5);
    PQfinish(job);
    finish();
}

Test(stuck, a_transaction_that_asserted_its_leader_for_ever_is_ended_when_that_lease_is_over)
{
    begin(2);
    PGconn *job = connect_as_baton();
    server_do(job, "CREATE TABLE work (done_at timestamptz)");
    (void)backend_wait_waiting(dba);
    server_do(job, "BEGIN; SELECT pgbaton.assert_leader('main/1.1'); "
                   "INSERT INTO work VALUES (clock_timestamp())");

    mono_ns killed = clock_now();
    program_kill_tree(&A->supervisor);
    backend_wait_gone(dba, PQbackendPID(job));

    cr_expect_geq(clock_now() - killed, LEASE, "ended while its lease might have gone on");
    instance_wait(B, "session_ended", "was=blocker");
    instance_wait(B, "elected", "epoch=1.2");
    cr_expect_str_eq(server_scalar(dba, "SELECT count(*) FROM work"), "0");
    diary_wait(&fleet.diary, "b", 5);
    PQfinish(job);
    finish();
}
