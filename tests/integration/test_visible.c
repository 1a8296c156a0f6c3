/* What a DBA and an operator see: DESIGN.md section 9, and trial 8 of section 10. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(visible, .timeout = 120);

static struct fleet fleet;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

static bool heir_waits(void *conn)
{
    const char *waits = server_scalar(
        conn, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
              " AND wait_event = 'advisory' AND application_name LIKE 'pgbaton lock %'");
    return waits != NULL && strcmp(waits, "1") == 0;
}

/* With a wait in one long statement this fails: it would hold a snapshot all the time. */
Test(visible, a_waiting_heir_does_not_block_create_index_concurrently)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "dba");
    server_do(conn, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    server_do(conn, "SET lock_timeout = '30s'");

    for (int i = 0; i < 5; i++) {
        cr_assert(wait_until(heir_waits, conn, WAIT_LIMIT));
        server_do(conn, "CREATE INDEX CONCURRENTLY t_n ON t (n)");
        server_do(conn, "DROP INDEX CONCURRENTLY t_n");
    }
    PQfinish(conn);
    fleet_check(&fleet);
}

/* The ledger has it that the service runs: the last thing that it is told of the leader's. */
static bool service_is_recorded(void *conn)
{
    const char *runs =
        server_scalar(conn, "SELECT count(*) FROM pgbaton.run WHERE outcome = 'running'");

    return runs != NULL && strcmp(runs, "0") != 0;
}

static bool no_transaction_for_long(PGconn *conn)
{
    static const char next[] = "SELECT pg_snapshot_xmax(pg_current_snapshot())";
    char *before = text_format("%s", server_scalar(conn, next));

    /* many slices of the heir's later */
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 150);
    bool same = strcmp(server_scalar(conn, next), before) == 0;
    free(before);
    return same;
}

Test(visible, waiting_writes_nothing_into_the_log_of_the_server_and_uses_no_transaction)
{
    const struct instance_settings plain = {.jobs = ""};

    fleet_make(&fleet, 2, &plain);
    *strstr(fleet.diary.job, "[job tick]") = '\0'; /* its ticks would be recorded */
    fleet_add_jobs(&fleet, &plain, "");
    server_reload(&fleet.pg, "log_min_duration_statement = 20s\nlog_min_messages = warning\n");
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "dba");
    cr_assert(wait_until(service_is_recorded, conn, WAIT_LIMIT));
    char *early = text_read(fleet.pg.log); /* with the first election, which finds no tables */
    size_t begin = strlen(early);
    bool unused = false;

    /* In its sixth second a leader looks for old rows, which uses some: one window is without. */
    for (int i = 0; i < 3 && !unused; i++) {
        unused = no_transaction_for_long(conn);
    }
    cr_expect(unused, "a transaction id was used");
    char *all = text_read(fleet.pg.log);
    const char *log = all + begin;
    cr_expect_null(strstr(log, "still waiting"), "%s", log);
    cr_expect_null(strstr(log, "duration:"), "%s", log);
    cr_expect_null(strstr(log, "deadlock"), "%s", log);
    cr_expect_null(strstr(log, "ERROR"), "%s", log);
    free(all);
    free(early);
    PQfinish(conn);
    fleet_check(&fleet);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *names; /* as LIKE */
    const char *count;
} sessions[] = {
    {"the leader's probe",                   "pgbaton leader % main a",   "1"},
    {"the leader's ledger",                  "pgbaton ledger % main a",   "1"},
    {"the heir's probe",                     "pgbaton heir % main b",     "1"},
    {"the follower's probe",                 "pgbaton follower % main c", "1"},
    {"the lock sessions of leader and heir", "pgbaton lock % main %",     "2"},
};
/* clang-format on */

struct count_wanted {
    PGconn *conn;
    const char *names;
    const char *count;
};

static bool has_sessions(void *ctx)
{
    const struct count_wanted *w = ctx;
    char *sql = text_format(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%s'", w->names);
    const char *count = server_scalar(w->conn, sql);

    free(sql);
    return count != NULL && strcmp(count, w->count) == 0;
}

Test(visible, sessions_say_what_they_are)
{
    fleet_make(&fleet, 3, NULL);
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "dba");

    for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++) {
        struct count_wanted wanted = {
            .conn = conn, .names = sessions[i].names, .count = sessions[i].count};
        cr_expect(wait_until(has_sessions, &wanted, WAIT_LIMIT), "%s", sessions[i].title);
    }
    /* Three for leader and heir, one for a follower */
    struct count_wanted all = {.conn = conn, .names = "pgbaton %", .count = "7"};
    cr_expect(wait_until(has_sessions, &all, WAIT_LIMIT));
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(visible, every_change_of_leadership_is_in_the_log_with_instance_epoch_and_reason)
{
    fleet_make(&fleet, 2, &(struct instance_settings){.jobs = "grace = 300ms\n"});
    fleet_begin(&fleet);
    instance_stop(A);
    instance_wait(B, "elected", "epoch=1.2");

    cr_expect_eq(instance_logged(A, "elected", "epoch=1.1"), 1);
    cr_expect_eq(instance_logged(A, "released", "reason=stop"), 1);
    cr_expect_eq(instance_logged(A, "released", "epoch=1.1"), 1);
    cr_expect_eq(instance_logged(A, "elected", "instance=a"), 1);
    cr_expect_eq(instance_logged(B, "seat_taken", ""), 1);
    char *log = text_read(A->log);
    char level[16];
    char role[32];
    cr_expect_eq(sscanf(log, "%*4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ %15s %31s", level, role), 2, "%s",
                 log);
    cr_expect_eq(role[strlen(role) - 1], ':');
    free(log);
    fleet_check(&fleet);
}

static void expect_no_secret(const char *where, const char *text)
{
    cr_expect_null(strstr(text, SERVER_PASSWORD), "the password is in %s:\n%s", where, text);
}

Test(visible, passwords_are_nowhere)
{
    static struct outcome told;
    pid_t below[64];
    fleet_make(&fleet, 2, &(struct instance_settings){.pgbaton = "log_level = debug\n"});
    fleet_begin(&fleet);

    instance_command(A, &told, "status", "--json", NULL);
    expect_no_secret("status", told.out);
    instance_command(A, &told, "check", "--print", NULL);
    expect_no_secret("check", told.out);
    size_t count = processes_below(A->supervisor.guard, below, 64);
    for (size_t i = 0; i < count; i++) {
        expect_no_secret("ps", process_title(below[i]));
    }
    server_stop(&fleet.pg);
    instance_wait(A, "lost", "");
    instance_wait(B, "database_down", "");
    instance_command(A, &told, "status", NULL);
    expect_no_secret("status", told.out);
    server_resume(&fleet.pg);
    (void)instances_wait_leader(fleet.member, 2);
    for (size_t i = 0; i < fleet.count; i++) {
        char *log = text_read(fleet.member[i].log);
        expect_no_secret("the log", log);
        free(log);
    }
    fleet_check(&fleet);
}

Test(visible, titles_say_what_each_process_is)
{
    static const char *const roles[] = {"supervisor", "probe", "worker", "monitor"};
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        (void)instance_wait_child(A, roles[i], 0);
    }
    (void)instance_wait_child(A, "1.1", 0); /* the leader worker's epoch */
    fleet_check(&fleet);
}
