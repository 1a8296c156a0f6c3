/*
 * A server that is going down, has crashed, or takes no writes: DESIGN.md
 * sections 3 to 5. (Fast and immediate stops are in test_lease.c, one that is
 * down at the start in test_refused.c.)
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/names.h"
#include "tests/support/text.h"

TestSuite(server, .timeout = 180);

static struct fleet fleet;
static PGconn *dba;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

static const struct instance_settings quick = {
    .election = ELECTION_CALM "backoff_max = 1s\n",
    .jobs = "grace = 300ms\n", /* the diary's stray process ignores TERM */
};

static void configure(struct instance *i, const char *dsn)
{
    struct instance_settings settings = quick;

    settings.dsn = dsn;
    settings = fleet_settings(&fleet, &settings);
    instance_configure(i, &settings);
}

/* A smart stop waits for every client: ours stay for as long as they run. The term is not touched,
 * a heir has all that it needs to take over, and the server stops when the instances do. */
Test(server, that_is_asked_to_stop_when_all_have_gone_keeps_its_leader_until_then)
{
    fleet_make(&fleet, 3, &quick);
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    diary_wait(&fleet.diary, "a", 5);
    dba = server_connect(&fleet.pg, "dba");
    instance_start(B, NULL);
    (void)backend_wait(dba, "pgbaton ledger % b", 0);
    (void)backend_wait_waiting(dba);

    program_signal(&fleet.pg.postmaster, SIGTERM);
    instance_start(C, NULL);
    instance_wait(C, "database_down", "shutting down");
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10);
    cr_expect_eq(instance_logged(A, "lost", ""), 0, "%s", text_tail(A->log));
    program_kill_tree(&A->supervisor);
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 5);

    instance_stop(B);
    cr_expect_eq(instance_logged(B, "released", "reason=stop"), 1);
    cr_expect_str_eq(
        server_scalar(dba, "SELECT ended_as FROM pgbaton.term ORDER BY number DESC LIMIT 1"),
        "released");
    PQfinish(dba);
    fleet_check(&fleet); /* the poller, too, is a client */
    cr_expect_eq(program_wait(&fleet.pg.postmaster, WAIT_LIMIT), 0, "%s", text_tail(fleet.pg.log));
    instance_stop(C);
}

/* The server then ends all sessions and recovers by itself. */
Test(server, one_of_whose_backends_is_killed_has_a_leader_again)
{
    fleet_make(&fleet, 3, &quick);
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");

    cr_assert_eq(kill(leader_pid(dba), SIGKILL), 0); /* without a farewell */
    PQfinish(dba);

    cr_assert(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    for (size_t i = 0; i < fleet.count; i++) {
        cr_expect(process_lives(fleet.member[i].supervisor.pid));
    }
    struct instance *leader = instances_wait_leader(fleet.member, 3);
    diary_wait(&fleet.diary, leader->name, diary_lines(&fleet.diary, leader->name) + 5);
    dba = server_connect(&fleet.pg, "dba");
    (void)backend_wait_waiting(dba);
    PQfinish(dba);
    fleet_check(&fleet);
}

Test(server, that_takes_no_writes_of_one_instance_is_left_to_another)
{
    fleet_make(&fleet, 3, &quick);
    dba = server_connect(&fleet.pg, "dba");
    server_do(dba, "CREATE ROLE reader LOGIN; GRANT baton TO reader; "
                   "ALTER ROLE reader SET default_transaction_read_only = on");
    char *dsn = text_format("host=%s port=%u user=reader dbname=app", fleet.pg.dir, fleet.pg.port);
    configure(B, dsn);
    fleet_begin(&fleet);
    (void)backend_wait_waiting(dba);

    instance_stop(A);

    instance_wait(B, "term_failed", "read-only");
    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 5);
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    PQfinish(dba);
    free(dsn);
    fleet_check(&fleet);
}

/* ---- a full disk ---- */

/* A disk of one megabyte, which only the server of this test sees. */
static char *small_disk(void)
{
    char *dir = text_format("%s/small", fleet.dir.path);

    cr_assert_eq(mkdir(dir, 0777), 0);
    const struct passwd *account = getpwnam(server_user());
    cr_assert_not_null(account);
    char *options = text_format("size=1m,mode=0700,uid=%u,gid=%u", (unsigned)account->pw_uid,
                                (unsigned)account->pw_gid);
    cr_assert_eq(mount("tmpfs", dir, "tmpfs", 0, options), 0, "%s", strerror(errno));
    free(options);
    return dir;
}

static char *fill(const char *dir)
{
    static const char block[4096];
    char *path = text_format("%s/filler", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    cr_assert_eq(errno, ENOSPC);
    (void)close(fd);
    return path;
}

/* Until the table's last page is full as well. */
static void fill_table(void)
{
    for (int i = 0; i < 1000; i++) {
        char *sql = text_format(
            "INSERT INTO pgbaton.term (election, generation, number, incarnation, instance, "
            "backend_pid, lease_ms, heartbeat_ms, loss_grace_ms) "
            "VALUES ('filler', 1, %d, '', '', 1, 1, 1, 1)",
            i);
        PGresult *result = PQexec(dba, sql);
        bool full = PQresultStatus(result) != PGRES_COMMAND_OK;

        PQclear(result);
        free(sql);
        if (full) {
            return;
        }
    }
    cr_assert_fail("the disk does not become full");
}

static size_t term_failures(void)
{
    return instance_logged(A, "term_failed", "No space left on device") +
           instance_logged(B, "term_failed", "No space left on device");
}

static bool both_failed(void *ctx)
{
    (void)ctx;
    return instance_logged(A, "term_failed", "No space left on device") > 0 &&
           instance_logged(B, "term_failed", "No space left on device") > 0;
}

Test(server, whose_disk_is_full_has_no_leader_until_there_is_space)
{
    if (!world_enter()) {
        cr_skip_test("no disk of our own: unshare(2) and mount(2) are not permitted here");
    }
    fleet_make(&fleet, 2, &quick);
    char *dir = small_disk();
    fleet_begin(&fleet);
    dba = server_connect(&fleet.pg, "dba");
    char *sql = text_format("CREATE TABLESPACE small LOCATION '%s'", dir);
    server_do(dba, sql);
    server_do(dba, "ALTER TABLE pgbaton.term SET TABLESPACE small");
    char *filler = fill(dir);
    fill_table();
    (void)backend_wait_waiting(dba);

    /* Leading needs no space, and letting go does not either. */
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 5);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    static struct outcome told;
    instance_command(A, &told, "step-down", "--for", "100ms", "--force", NULL);
    instance_wait(A, "released", "");
    /* Each tries, fails, and leaves it to the other one. */
    cr_expect(wait_until(both_failed, NULL, WAIT_LIMIT), "%s\n%s", text_tail(A->log),
              text_tail(B->log));
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    cr_expect_gt(term_failures(), 1);

    cr_assert_eq(unlink(filler), 0);
    instance_mark(A);
    struct instance *leader = instances_wait_leader(fleet.member, 2);
    diary_wait(&fleet.diary, leader->name, diary_lines(&fleet.diary, leader->name) + 5);
    cr_expect_str_eq(server_scalar(dba, "SELECT count(*) FROM pgbaton.term WHERE election = 'main' "
                                        "AND number > 2"),
                     "0", "an attempt that failed left a term behind");
    PQfinish(dba);
    free(filler);
    free(sql);
    free(dir);
    fleet_check(&fleet);
}
