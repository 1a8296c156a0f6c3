/* The heir: its wait inside the database, its grant, and the opening of its term; and what of the
 * leader's heartbeats a DBA sees. DESIGN.md sections 3 to 5. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(heir, .timeout = 120);

static struct fleet fleet;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

static const struct instance_settings steady = {.election = ELECTION_STEADY};
/* What is given up after some of them is given up soon, and a busy machine keeps it all the same.
 */
static const struct instance_settings brief_lease = {
    .election = "retry_interval = 300ms\nlease = 4s\nheartbeat = 100ms\nstop_grace = 400ms\n"
                "loss_grace = 100ms\ntakeover_delay = 500ms\n"};

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        count++;
    }
    return count;
}

struct silence {
    PGconn *conn;
    char sql[256];
};

/* Whatever is not plain idle there would suspend the server's idle timer, and with it the lease. */
static bool lock_session_is_busy(void *ctx)
{
    const struct silence *s = ctx;
    const char *busy = server_scalar(s->conn, s->sql);

    return busy == NULL || strcmp(busy, "0") != 0;
}

Test(heir, once_it_leads_its_lock_session_is_never_but_idle)
{
    struct silence s;

    fleet_make(&fleet, 1, &steady);
    fleet_begin(&fleet);
    s.conn = server_connect(&fleet.pg, "dba");
    (void)snprintf(s.sql, sizeof(s.sql),
                   "SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND (state <> 'idle' OR "
                   "xact_start IS NOT NULL OR backend_xmin IS NOT NULL)",
                   leader_pid(s.conn));
    cr_expect(wait_never(lock_session_is_busy, &s, DUR_S(2)));
    PQfinish(s.conn);
    fleet_check(&fleet);
}

static bool wrote_much(void *ctx)
{
    (void)ctx;
    return diary_lines(&fleet.diary, "a") > 100; /* many heartbeats later */
}

Test(heir, heartbeats_are_in_no_log_whatever_is_logged)
{
    /* Another term's session would be set up while all is logged. */
    fleet_make(&fleet, 1,
               &(struct instance_settings){
                   .election = "retry_interval = 300ms\nlease = 90s\nheartbeat = 100ms\n"});
    fleet_begin(&fleet);
    server_reload(&fleet.pg, "log_statement = all\nlog_duration = on\nlog_min_duration_statement "
                             "= 0\nlog_parser_stats = on\n");
    PGconn *conn = server_connect(&fleet.pg, "dba");
    char marker[64];
    char *early = text_read(fleet.pg.log);
    size_t begin = strlen(early);

    cr_assert(wait_until(wrote_much, NULL, WAIT_LIMIT));
    (void)snprintf(marker, sizeof(marker), "[%d] pgbaton lock", leader_pid(conn));
    char *log = text_read(fleet.pg.log);
    cr_expect_eq(count_of(log + begin, marker), 0, "%s", log + begin);
    cr_expect_gt(count_of(log + begin, "statement:"), 0, "nothing is logged at all");
    free(log);
    free(early);
    PQfinish(conn);
    fleet_check(&fleet);
}

static bool key_is_free(void *conn)
{
    return leader_pid(conn) == 0;
}

static int session_of_heir(PGconn *conn)
{
    const char *pid =
        server_scalar(conn, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND "
                            "application_name LIKE 'pgbaton lock %'");

    return pid == NULL ? 0 : atoi(pid);
}

static bool heir_waits(void *conn)
{
    return session_of_heir(conn) > 0;
}

struct of_key {
    PGconn *conn;
    int pid;
};

static bool has_key(void *ctx)
{
    const struct of_key *k = ctx;

    return leader_pid(k->conn) == k->pid;
}

/* Its supervisor misses the answers, and ends it. */
Test(heir, whose_worker_is_stopped_is_fenced_though_the_key_was_granted_to_it)
{
    fleet_make(&fleet, 2, &steady);
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "dba");

    cr_assert(wait_until(heir_waits, conn, WAIT_LIMIT));
    int granted = session_of_heir(conn);
    cr_assert_eq(kill(instance_wait_child(B, "worker", 0), SIGSTOP), 0);
    program_signal_tree(&A->supervisor, SIGKILL);
    instance_wait(B, "elected", "");
    cr_expect_neq(leader_pid(conn), granted);
    diary_wait(&fleet.diary, "b", 10);
    PQfinish(conn);
    fleet_check(&fleet);
}

/*
 * Nothing of b can act: its supervisor would kill the worker. It is granted the
 * key in its sleep, the server takes it back after a lease, and b must not
 * believe the grant that it then reads.
 */
Test(heir, a_grant_that_is_read_a_lease_late_is_not_believed)
{
    fleet_make(&fleet, 2, &steady);
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "dba");
    struct of_key key = {.conn = conn};

    /* Stopped while a slice is with the server, or else it never asks for the key again. */
    do {
        program_signal_tree(&B->supervisor, SIGCONT);
        cr_assert(wait_until(heir_waits, conn, WAIT_LIMIT));
        key.pid = session_of_heir(conn);
        program_signal_tree(&B->supervisor, SIGSTOP);
    } while (!heir_waits(conn));
    program_signal_tree(&A->supervisor, SIGKILL);
    if (!wait_until(has_key, &key, DUR_S(1))) {
        cr_skip_test("the slice ended in the moment between its look and the leader's end");
    }
    cr_assert(wait_until(key_is_free, conn, WAIT_LIMIT));
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    instance_mark(B);
    program_signal_tree(&B->supervisor, SIGCONT);
    instance_wait(B, "elected", "");
    cr_expect_neq(leader_pid(conn), key.pid, "with a session of its own: the other one is over");
    diary_wait(&fleet.diary, "b", 10);
    PQfinish(conn);
    poller_check(&fleet.poller);
}

/* The probe read the server's limits when it connected, long before it took the seat. */
Test(heir, waits_in_slices_that_are_as_short_as_the_server_says_now)
{
    fleet_make(&fleet, 2, NULL);
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    PGconn *conn = server_connect(&fleet.pg, "dba");
    instance_start(B, NULL);
    cr_assert(wait_until(heir_waits, conn, WAIT_LIMIT));
    pid_t worker = instance_wait_child(B, "worker", 0);
    int session = backend_wait_waiting(conn);

    server_reload(&fleet.pg, "deadlock_timeout = 200ms\n");
    cr_assert_eq(kill(worker, SIGKILL), 0); /* the same probe, another campaign */
    (void)instance_wait_child(B, "worker", worker);
    backend_wait_gone(conn, session); /* its last slice may have begun under the new limit */
    cr_assert(wait_until(heir_waits, conn, WAIT_LIMIT));
    char *early = text_read(fleet.pg.log);
    size_t begin = strlen(early);
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 60);
    char *log = text_read(fleet.pg.log);
    cr_expect_eq(count_of(log + begin, "still waiting"), 0, "%s", log + begin);
    free(log);
    free(early);
    PQfinish(conn);
    instance_stop(B);
    instance_stop(A);
}

/* A superuser's transaction, which no probe may end. */
Test(heir, a_term_that_others_keep_from_being_opened_is_given_up)
{
    fleet_make(&fleet, 1, &brief_lease);
    fleet_begin(&fleet);
    instance_stop(A);
    PGconn *conn = server_connect(&fleet.pg, "dba");
    server_do(conn, "BEGIN");
    (void)server_scalar(conn, "SELECT generation FROM pgbaton.election FOR SHARE");

    instance_mark(A);
    instance_start(A, NULL);
    instance_wait(A, "term_blocked", "");
    instance_wait(A, "session_stays", "was=blocker"); /* named, each time */
    instance_wait(A, "term_failed", "it took too long");
    PGconn *other = server_connect(&fleet.pg, "dba");
    cr_expect(wait_until(key_is_free, other, WAIT_LIMIT));
    server_do(conn, "ROLLBACK");
    instance_wait(A, "elected", "epoch=1.2");
    cr_expect_eq(instance_logged(A, "elected", "reason=clean"), 1, "it never was a term");
    instance_check_log(A);
    PQfinish(other);
    PQfinish(conn);
}

/* Somebody wrote into our tables: no crash, one sentence. */
static bool says_that_it_failed(void *ctx)
{
    (void)ctx;
    return instance_is_warned(A, "term_failed");
}

static bool says_no_more_of_it(void *ctx)
{
    (void)ctx;
    return instance_leads(A) && !instance_is_warned(A, "term_failed");
}

Test(heir, an_epoch_that_nobody_counted_up_to_is_named)
{
    fleet_make(&fleet, 1, &steady);
    fleet_begin(&fleet);
    instance_stop(A);
    PGconn *conn = server_connect(&fleet.pg, "dba");
    server_do(conn, "UPDATE pgbaton.election SET number = -1");

    instance_mark(A);
    instance_start(A, NULL);
    instance_wait(A, "term_failed", "after which none can come");
    cr_expect(wait_until(says_that_it_failed, NULL, WAIT_LIMIT), "status does not tell");
    cr_expect_eq(instance_logged(A, "child_exited", ""), 0, "the worker lives");
    server_do(conn, "UPDATE pgbaton.election SET number = 7");
    instance_wait(A, "elected", "epoch=1.8");
    cr_expect(wait_until(says_no_more_of_it, NULL, WAIT_LIMIT), "it leads");
    PQfinish(conn);
}

/* What a table that is large does, and only to the heir's probe. */
static const char slow_for_the_heir[] =
    "ALTER TABLE pgbaton.run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
    "CREATE POLICY slow ON pgbaton.run USING (CASE WHEN current_setting('application_name') LIKE "
    "'pgbaton heir %' THEN pg_sleep(20) IS NOT NULL ELSE true END)";

Test(heir, whose_session_is_asked_what_takes_long_keeps_its_seat)
{
    static struct outcome told;

    fleet_make(&fleet, 2,
               &(struct instance_settings){.election = "retry_interval = 300ms\nlease = 9s\n"
                                                       "heartbeat = 200ms\nstop_grace = 1s\n"});
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "dba");
    server_do(conn, slow_for_the_heir);
    instance_wait(B, "seat_taken", "");
    (void)backend_wait(conn, "pgbaton heir % b", 0);
    instance_mark(B);

    instance_command(B, &told, "history", NULL);

    cr_expect_neq(told.code, 0, "%s", told.out);
    cr_expect_not_null(strstr(told.err, "statement timeout"), "%s", told.err);
    /* And the next question has an answer: the session is as it was. */
    server_do(conn, "DROP POLICY slow ON pgbaton.run; ALTER TABLE pgbaton.run DISABLE ROW LEVEL "
                    "SECURITY, NO FORCE ROW LEVEL SECURITY");
    instance_command(B, &told, "history", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    cr_expect_eq(instance_logged(B, "seat_lost", ""), 0, "%s", text_tail(B->log));
    cr_expect_eq(instance_logged(B, "seat_taken", ""), 0, "%s", text_tail(B->log));
    PQfinish(conn);
    fleet_check(&fleet);
}
