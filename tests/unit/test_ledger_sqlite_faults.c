/* The ledger in a SQLite file when something is wrong: with the term, the file, the disk, the
 * process. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/config_fixture.h"
#include "tests/unit/sqlite_user.h"
#include "worker/database/sqlite_file.h"

TestSuite(ledger_sqlite_faults, .init = config_fixture_up, .fini = config_fixture_down,
          .timeout = 240);

enum { BATCH = 200 };

struct batch {
    struct ledger_claim claims[BATCH];
    struct ledger_change changes[BATCH];
    char ids[BATCH][32];
};

/* Ticks of one second each, in the past; and how all of them end. */
static void make_batch(struct batch *b, unsigned number)
{
    for (unsigned i = 0; i < BATCH; i++) {
        unsigned at = number * BATCH + i;
        (void)snprintf(b->ids[i], sizeof(b->ids[i]), "1.7-%u", at);
        b->claims[i] = (struct ledger_claim){
            .id = b->ids[i],
            .job = "a",
            .scheduled_at = DUR_S((wall_ns)1600000000 + at),
            .attempt = 1,
            .advances = true,
        };
        b->changes[i] = (struct ledger_change){
            .kind = LEDGER_UPDATE,
            .id = b->ids[i],
            .outcome = OUTCOME_SUCCEEDED,
            .ended_at = DUR_S((wall_ns)1600000001 + at),
            .code = 0,
        };
    }
}

static struct ledger_claim a_tick(void)
{
    return (struct ledger_claim){
        .id = "1.7-1", .job = "a", .scheduled_at = DUR_S(1600000000), .attempt = 1};
}

static bool says(const struct sqlite_user *u, const char *words)
{
    return strstr(u->failed, words) != NULL;
}

static void copy_file(const char *from, const char *to)
{
    char command[256];

    (void)snprintf(command, sizeof(command), "cp %s %s", from, to);
    cr_assert_eq(system(command), 0);
}

/* ---- the term ---- */

/* Two leaders on one file: the first has not noticed that another took over. */
Test(ledger_sqlite_faults, a_zombie_claims_and_writes_nothing_after_the_next_term_was_opened)
{
    struct sqlite_user zombies[5];
    struct sqlite_user next;
    const struct ledger_claim claim = a_tick();
    const struct ledger_change change = {
        .kind = LEDGER_UPDATE, .id = "1.7-0", .outcome = OUTCOME_SUCCEEDED, .code = 0};

    for (unsigned i = 0; i < 5; i++) {
        user_elect(&zombies[i], 7, 7); /* the same term, each with a question of its own */
    }
    user_sql("INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, origin)"
             " VALUES ('main', '1.7-0', 'a', 1, 1, 'running', 'schedule')");
    user_elect(&next, 8, 8);
    cr_expect_eq(user_claim(&zombies[0], &claim, 1), HEARD_OVER);
    cr_expect_eq(user_change(&zombies[1], &change), HEARD_OVER);
    cr_expect_eq(user_load(&zombies[2]), HEARD_OVER);
    cr_expect_eq(user_take_requests(&zombies[3]), HEARD_OVER);
    cr_expect_eq(user_prune(&zombies[4], "a"), HEARD_OVER);
    cr_expect_str_eq(user_text("SELECT group_concat(id || outcome) FROM run"), "1.7-0running");
    cr_expect_eq(user_claim_one(&next, &claim), LEDGER_GRANTED);
    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(user_claim(&zombies[i], &claim, 1), HEARD_OVER, "nothing leads back");
        user_close(&zombies[i]);
    }
    user_close(&next);
}

/* Asked, and the next term opened before the loop came to it. */
Test(ledger_sqlite_faults, a_claim_under_way_is_refused_when_the_next_term_comes_first)
{
    struct sqlite_user zombie;
    struct sqlite_user next;
    const struct ledger_claim claim = a_tick();

    user_elect(&zombie, 7, 7);
    ledger_claim(zombie.ledger, &claim, 1);
    user_elect(&next, 8, 8);
    cr_expect_eq(user_wait(&zombie), HEARD_OVER);
    cr_expect_eq(user_number("SELECT count(*) FROM run"), 0);
    user_close(&zombie);
    user_close(&next);
}

Test(ledger_sqlite_faults, the_same_epoch_of_another_incarnation_is_not_ours)
{
    struct sqlite_user one;
    struct sqlite_user two;

    user_elect(&one, 7, 7);
    user_open(&two, 8, "");
    cr_expect_eq(user_begin(&two, 1, 7), HEARD_FAILED);
    cr_expect(says(&two, "epoch 1.7 is not after 1.7"), "%s", two.failed);
    cr_expect_eq(user_load(&one), HEARD_LOADED);
    user_close(&one);
    user_close(&two);
}

Test(ledger_sqlite_faults, epochs_only_go_forward)
{
    struct sqlite_user u;

    user_elect(&u, 7, 7);
    user_close(&u);
    user_open(&u, 8, "");
    cr_expect_eq(user_begin(&u, 1, 6), HEARD_FAILED);
    cr_expect(says(&u, "epoch 1.6 is not after 1.7"), "%s", u.failed);
    cr_expect(says(&u, "ledger.term"), "%s", u.failed);
    cr_expect_not(ledger_is_free(u.ledger));
    cr_expect_eq(user_number("SELECT number FROM election"), 7);
    /* Somebody does as he was told: it goes on by itself, and what was said is not said again. */
    cr_assert_eq(rename("ledger", "away"), 0);
    cr_expect_eq(user_wait(&u), HEARD_READY);
    cr_expect_eq(user_number("SELECT number FROM election"), 6);
    user_close(&u);
    user_open(&u, 9, "");
    cr_expect_eq(user_begin(&u, 2, 1), HEARD_READY, "a later generation starts over");
    cr_expect_str_eq(user_text("SELECT generation || '.' || number || incarnation || instance"
                               " FROM election"),
                     "2.10000000000000009i9");
    user_close(&u);
}

/* ---- the file ---- */

static void loses_its_file(void (*take_away)(void))
{
    struct sqlite_user u;
    const struct ledger_claim claim = a_tick();

    user_elect(&u, 7, 7);
    take_away();
    cr_expect_eq(user_claim(&u, &claim, 1), HEARD_FAILED, "a grant that nobody will read is none");
    cr_expect(says(&u, "deleted, or replaced"), "%s", u.failed);
    cr_expect_not(ledger_is_free(u.ledger));
    cr_expect_eq(user_wait(&u), HEARD_READY, "%s", u.failed);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_str_eq(user_text("SELECT outcome FROM run"), "claimed");
    cr_expect_eq(user_number("SELECT number FROM election"), 7);
    user_close(&u);
}

static void delete_all(void)
{
    cr_assert_eq(unlink("ledger"), 0);
    cr_assert_eq(unlink("ledger-wal"), 0);
    cr_assert_eq(unlink("ledger-shm"), 0);
}

Test(ledger_sqlite_faults, a_file_that_was_deleted_is_noticed_and_made_anew)
{
    loses_its_file(delete_all);
}

static void replace(void)
{
    copy_file("ledger", "copy");
    cr_assert_eq(rename("copy", "ledger"), 0);
}

Test(ledger_sqlite_faults, a_file_that_was_replaced_is_noticed)
{
    loses_its_file(replace);
}

static void delete_log(void)
{
    cr_assert_eq(unlink("ledger-wal"), 0);
}

Test(ledger_sqlite_faults, a_log_that_was_deleted_is_noticed)
{
    loses_its_file(delete_log);
}

static void replace_log(void)
{
    delete_log();
    config_fixture_write("ledger-wal", "");
}

Test(ledger_sqlite_faults, a_log_that_was_replaced_is_noticed)
{
    loses_its_file(replace_log);
}

Test(ledger_sqlite_faults, another_file_that_says_a_later_term_ends_ours)
{
    struct sqlite_user u;
    struct sqlite_user next;
    const struct ledger_claim claim = a_tick();

    user_elect(&u, 7, 7);
    delete_all();
    user_elect(&next, 8, 8);
    cr_expect_eq(user_claim(&u, &claim, 1), HEARD_FAILED);
    cr_expect_eq(user_wait(&u), HEARD_OVER);
    cr_expect_eq(user_claim_one(&next, &claim), LEDGER_GRANTED);
    user_close(&u);
    user_close(&next);
}

Test(ledger_sqlite_faults, a_damaged_file_is_an_error_each_time_and_no_grant)
{
    struct sqlite_user u;
    static char noise[200000];
    const struct ledger_claim claim = a_tick();

    user_elect(&u, 7, 7);
    user_sql("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
             " INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, origin)"
             " SELECT 'main', 'x' || i, 'a', i, 1, 'queued', 'schedule' FROM n");
    user_close(&u); /* all of it is in the file now */
    memset(noise, 0x5a, sizeof(noise));
    int fd = open("ledger", O_WRONLY);
    cr_assert_eq(pwrite(fd, noise, sizeof(noise), 8192), (ssize_t)sizeof(noise));
    (void)close(fd);
    user_open(&u, 8, "");
    cr_expect_eq(user_begin(&u, 1, 8), HEARD_FAILED);
    cr_expect(says(&u, "is damaged"), "%s", u.failed);
    cr_assert_eq(rename("ledger", "away"), 0);
    cr_expect_eq(user_wait(&u), HEARD_READY);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    user_close(&u);
}

/* Requests are no reason not to start what is due; a file that cannot be opened is one. */
Test(ledger_sqlite_faults, a_file_that_stays_away_is_told_though_only_requests_were_asked_for)
{
    struct sqlite_user u;

    user_elect(&u, 7, 7);
    delete_all();
    cr_assert_eq(mkdir("ledger", 0700), 0);
    cr_expect_eq(user_take_requests(&u), HEARD_FAILED);
    cr_expect_eq(user_wait(&u), HEARD_FAILED);
    cr_expect_not(ledger_is_free(u.ledger));
    cr_assert_eq(rmdir("ledger"), 0);
    cr_expect_eq(user_wait(&u), HEARD_READY, "%s", u.failed);
    user_close(&u);
}

/* The file, its log and its copy are not what they were: with the same words both times. */
Test(ledger_sqlite_faults, a_file_that_is_none_any_more_is_told_twice)
{
    struct sqlite_user u;

    user_elect(&u, 7, 7);
    user_sql("PRAGMA wal_checkpoint(TRUNCATE)");
    int fd = open("ledger", O_WRONLY);
    cr_assert_eq(pwrite(fd, "no database", 11, 0), 11);
    (void)close(fd);
    cr_expect_eq(user_take_requests(&u), HEARD_FAILED);
    cr_expect_eq(user_wait(&u), HEARD_FAILED, "of the opening");
    user_close(&u);
}

Test(ledger_sqlite_faults, a_table_that_was_dropped_is_an_error_and_no_grant)
{
    struct sqlite_user u;
    const struct ledger_claim claim = a_tick();

    user_elect(&u, 7, 7);
    user_sql("ALTER TABLE run RENAME TO gone");
    cr_expect_eq(user_claim(&u, &claim, 1), HEARD_FAILED);
    cr_expect(says(&u, "no such table: run"), "%s", u.failed);
    user_sql("ALTER TABLE gone RENAME TO run");
    cr_expect_eq(user_wait(&u), HEARD_READY);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    user_close(&u);
}

Test(ledger_sqlite_faults, no_table_is_made_where_the_configuration_says_so)
{
    struct sqlite_user u;
    struct sqlite_file file;
    char text[SQLITE_FILE_TEXT_MAX];

    user_open(&u, 7, "create_schema = no\n");
    cr_expect_eq(user_begin(&u, 1, 7), HEARD_FAILED);
    cr_expect(says(&u, "pgbaton init-db"), "%s", u.failed);
    cr_expect_eq(access("ledger", F_OK), -1);
    cr_assert_eq(sqlite_file_open("ledger", SQLITE_FILE_CREATE, &file, text, sizeof(text)), 0);
    sqlite_file_close(&file);
    cr_expect_eq(user_wait(&u), HEARD_READY);
    user_close(&u);
}

/* Others hold it for one short transaction: one that does not end is said, and nothing waits. */
Test(ledger_sqlite_faults, a_file_that_somebody_keeps_locked_is_an_error_and_asked_again)
{
    struct sqlite_user u;
    sqlite3 *db;
    const struct ledger_claim claim = a_tick();

    user_elect(&u, 7, 7);
    cr_assert_eq(sqlite3_open("ledger", &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    cr_expect_eq(user_claim(&u, &claim, 1), HEARD_FAILED);
    cr_expect(says(&u, "locked by another process"), "%s", u.failed);
    cr_expect(ledger_is_free(u.ledger), "it may be asked again at once");
    cr_expect_eq(user_load(&u), HEARD_LOADED, "reading does not wait for a writer");
    (void)sqlite3_close(db);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    user_close(&u);
}

/* ---- the disk ---- */

/* A file system of 1 MiB, which is gone with this process. */
static bool enter_small_disk(void)
{
    return mkdir("disk", 0700) == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "disk", "tmpfs", 0, "size=1m") == 0 && chdir("disk") == 0;
}

static void fill_disk(void)
{
    static char zeros[4096];
    int fd = open("filler", O_WRONLY | O_CREAT, 0600);

    cr_assert_geq(fd, 0);
    while (write(fd, zeros, sizeof(zeros)) > 0) {
    }
    cr_assert_eq(errno, ENOSPC);
    (void)close(fd);
}

Test(ledger_sqlite_faults, a_full_disk_is_an_error_and_no_grant_until_there_is_room)
{
    struct sqlite_user u;
    static struct batch batch;
    unsigned granted = 0;

    if (!enter_small_disk()) {
        cr_skip_test("no file system can be mounted here: %s", strerror(errno));
    }
    user_elect(&u, 7, 7);
    fill_disk();
    /* What the log has room for already is granted; then no more. */
    for (enum heard heard = HEARD_CLAIMED; heard == HEARD_CLAIMED; granted++) {
        cr_assert_lt(granted, 1000, "the disk is not full");
        make_batch(&batch, granted);
        heard = user_claim(&u, batch.claims, BATCH);
    }
    granted--;
    cr_expect(says(&u, "disk is full"), "%s", u.failed);
    cr_expect_eq(user_number("SELECT count(*) FROM run"), (long long)granted * BATCH);
    cr_assert_eq(unlink("filler"), 0);
    if (!ledger_is_free(u.ledger)) {
        cr_expect_eq(user_wait(&u), HEARD_READY);
    }
    cr_expect_eq(user_claim(&u, batch.claims, BATCH), HEARD_CLAIMED, "%s", u.failed);
    cr_expect_eq(u.verdicts[BATCH - 1], LEDGER_GRANTED);
    cr_expect_str_eq(user_text("PRAGMA integrity_check"), "ok");
    user_close(&u);
    cr_assert_eq(chdir(".."), 0);
    cr_expect_eq(umount2("disk", MNT_DETACH), 0); /* or the directory could not be removed */
}

/* ---- the process ---- */

Test(ledger_sqlite_faults, may_be_closed_while_it_is_asked_and_before_it_has_begun)
{
    struct sqlite_user u;
    const struct ledger_claim claim = a_tick();

    user_open(&u, 7, "");
    user_close(&u);
    user_open(&u, 7, "");
    ledger_begin(u.ledger, (struct epoch){.generation = 1, .number = 7});
    user_close(&u);
    user_elect(&u, 7, 7);
    ledger_claim(u.ledger, &claim, 1);
    user_close(&u);
    cr_expect_eq(user_number("SELECT count(*) FROM run"), 0);
}

static void claim_and_end(struct sqlite_user *u, unsigned number)
{
    static struct batch batch;
    const struct ledger_write write = {.changes = batch.changes, .change_count = BATCH};

    make_batch(&batch, number);
    cr_assert_eq(user_claim(u, batch.claims, BATCH), HEARD_CLAIMED, "%s", u->failed);
    cr_assert_eq(user_write(u, &write), HEARD_WRITTEN, "%s", u->failed);
}

Test(ledger_sqlite_faults, ten_thousand_claims_are_ten_thousand_rows)
{
    struct sqlite_user u;

    user_elect(&u, 7, 7);
    for (unsigned n = 0; n < 10000 / BATCH; n++) {
        claim_and_end(&u, n);
    }
    cr_expect_eq(user_number("SELECT count(*) FROM run WHERE outcome = 'succeeded'"), 10000);
    cr_expect_eq(user_number("SELECT count(DISTINCT scheduled_at) FROM run"), 10000);
    cr_expect_eq(user_number("SELECT last_tick FROM job_state"), 1600009999LL * 1000000);
    user_close(&u);
}

/* In the middle of whatever it is: some batches are done, one more may be claimed, nothing else. */
static void see_that_it_is_consistent(unsigned round)
{
    long long closed = user_number("SELECT count(*) FROM run WHERE outcome = 'succeeded'");
    long long open = user_number("SELECT count(*) FROM run WHERE outcome = 'claimed'");
    long long all = user_number("SELECT count(*) FROM run");

    cr_expect_str_eq(user_text("PRAGMA integrity_check"), "ok", "round %u", round);
    cr_expect_eq(closed % BATCH, 0, "round %u: %lld are closed", round, closed);
    cr_expect(open == 0 || open == BATCH, "round %u: %lld are open", round, open);
    cr_expect_eq(closed + open, all);
    cr_expect_geq(closed, BATCH, "what was answered is there");
    cr_expect_eq(user_number("SELECT last_tick FROM job_state"), (1600000000LL + all - 1) * 1000000,
                 "round %u: the last tick is that of the last claim", round);
}

/* Claims and ends for ever, and says when the first batch is done. */
_Noreturn static void go_on(int progress)
{
    struct sqlite_user u;

    user_elect(&u, 7, 7);
    for (unsigned n = 0;; n++) {
        claim_and_end(&u, n);
        if (n == 0 && write(progress, "", 1) != 1) {
            _exit(1);
        }
    }
}

Test(ledger_sqlite_faults, a_process_that_is_killed_anywhere_leaves_whole_transactions)
{
    for (unsigned round = 0; round < 15; round++) {
        int progress[2];
        char byte;

        cr_assert_eq(pipe(progress), 0);
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
            (void)close(progress[0]);
            go_on(progress[1]);
        }
        (void)close(progress[1]);
        cr_assert_eq(read(progress[0], &byte, 1), 1);
        (void)usleep(round * 2300); /* any moment will do */
        (void)kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        (void)close(progress[0]);
        struct sqlite_user next;
        user_elect(&next, 8, 8);
        see_that_it_is_consistent(round);
        user_close(&next);
        cr_assert_eq(unlink("ledger"), 0);
    }
}

/* Killed for certain between the claim's answer and the write: the next leader finds the claim. */
Test(ledger_sqlite_faults, what_was_claimed_and_not_written_is_open_for_the_next_leader)
{
    struct sqlite_user next;
    const struct ledger_claim claim = a_tick();
    pid_t pid = fork();

    if (pid == 0) {
        struct sqlite_user u;
        user_elect(&u, 7, 7);
        cr_assert_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
        (void)raise(SIGKILL);
    }
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    user_elect(&next, 8, 8);
    cr_expect_eq(user_load(&next), HEARD_LOADED);
    cr_assert_eq(next.run_count, 1);
    cr_expect_str_eq(next.runs[0].id, "1.7-1");
    cr_expect_eq(next.runs[0].run.outcome, OUTCOME_CLAIMED);
    cr_expect_not(next.runs[0].run.ours);
    cr_expect_eq(user_claim_one(&next, &claim), LEDGER_TAKEN);
    user_close(&next);
}
