/* An election on a SQLite file's lock, and none at all: DESIGN.md section 7. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/instance.h"
#include "tests/support/observer.h"
#include "tests/support/text.h"

TestSuite(without_postgres, .timeout = 120);

enum { MEMBERS = 3 };

static struct workdir dir;
static struct diary diary;
static struct instance member[MEMBERS];
static struct outcome told;

#define A (&member[0])
#define B (&member[1])
#define C (&member[2])

static void make(const char *dsn, const char *election)
{
    static const char *const names[MEMBERS] = {"a", "b", "c"};

    workdir_make(&dir);
    diary_make(&diary, &dir);
    char *full =
        strcmp(dsn, "none") == 0 ? text_format("none") : text_format("sqlite:%s/%s", dir.path, dsn);
    for (size_t i = 0; i < MEMBERS; i++) {
        instance_make(
            &member[i], &dir, names[i],
            &(struct instance_settings){.dsn = full, .election = election, .job = diary.job});
    }
    free(full);
}

static void begin(size_t count)
{
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    for (size_t i = 1; i < count; i++) {
        instance_start(&member[i], NULL);
        if (i == 1) {
            instance_wait(B, "seat_taken", "");
        }
    }
    diary_wait(&diary, "a", 10);
}

Test(without_postgres, sqlite_elects_one_and_the_heir_takes_over)
{
    make("ledger.db", ELECTION_CALM);
    begin(3);

    program_kill_tree(&A->supervisor);

    instance_wait(B, "elected", "");
    diary_wait(&diary, "b", 10);
    instance_wait(C, "seat_taken", "");
    diary_check(&diary);
    cr_expect_eq(diary_terms(&diary), 2);
}

Test(without_postgres, sqlite_releases_gracefully)
{
    make("ledger.db", ELECTION_CALM);
    begin(2);

    instance_stop(A);

    instance_wait(B, "elected", "");
    diary_wait(&diary, "b", 10);
    cr_expect_eq(instance_logged(B, "takeover_wait", ""), 0);
    diary_check(&diary);
}

Test(without_postgres, sqlite_fences_a_worker_that_was_killed)
{
    make("ledger.db", ELECTION_CALM);
    begin(2);
    pid_t worker = instance_wait_child(A, "worker", 0);

    cr_assert_eq(kill(worker, SIGKILL), 0);

    instance_wait(B, "elected", "");
    diary_wait(&diary, "b", 20);
    diary_check(&diary);
}

static bool runs_jobs(void *instance)
{
    const struct instance *i = instance;

    return diary_lines(&diary, i->name) > 0;
}

/* There is no lease here: a stopped instance holds the lock for as long as it is stopped, and
 * status says so. */
Test(without_postgres, sqlite_has_no_lease_and_says_so)
{
    make("ledger.db", ELECTION_CALM);
    begin(2);

    instance_command(A, &told, "status", NULL);
    cr_expect_not_null(strstr(told.out, "no lease"), "%s", told.out);
    program_signal_tree(&A->supervisor, SIGSTOP);
    cr_expect(wait_never(runs_jobs, B, DUR_S(2)));
    program_signal_tree(&A->supervisor, SIGCONT);
    diary_check(&diary);
}

/* The child of the heir's worker that waits for the lock. */
static pid_t waiter_of(struct instance *i)
{
    pid_t below[16];
    pid_t worker = instance_wait_child(i, "worker", 0);

    return processes_below(worker, below, 16) > 0 ? below[0] : 0;
}

static bool has_waiter(void *instance)
{
    return waiter_of(instance) != 0;
}

/* If it ends in any way but 0 the description may hold the lock: every copy is closed, and it
 * starts anew. */
Test(without_postgres, a_sqlite_heir_whose_waiter_was_killed_still_takes_over)
{
    make("ledger.db", ELECTION_CALM);
    begin(2);
    cr_assert(wait_until(has_waiter, B, WAIT_LIMIT), "the heir has no waiter:\n%s",
              text_tail(B->log));

    pid_t waiter = waiter_of(B);
    (void)kill(waiter, SIGSTOP);
    (void)kill(waiter, SIGKILL);
    instance_stop(A);

    instance_wait(B, "elected", "");
    diary_wait(&diary, "b", 10);
    diary_check(&diary);
}

/* A waiter that is stopped in the instant of the grant holds the lock, and nobody knows. */
Test(without_postgres, a_sqlite_waiter_that_is_stopped_and_then_killed_does_not_keep_the_lock)
{
    make("ledger.db", ELECTION_CALM);
    begin(2);
    cr_assert(wait_until(has_waiter, B, WAIT_LIMIT), "the heir has no waiter:\n%s",
              text_tail(B->log));

    pid_t waiter = waiter_of(B);
    cr_assert_eq(kill(waiter, SIGSTOP), 0);
    instance_stop(A);
    (void)kill(waiter, SIGKILL);

    instance_wait(B, "elected", "");
    diary_wait(&diary, "b", 10);
    diary_check(&diary);
}

Test(without_postgres, sqlite_in_poll_mode)
{
    make("ledger.db", ELECTION_CALM "mode = poll\n");
    for (size_t i = 0; i < MEMBERS; i++) {
        instance_start(&member[i], NULL);
    }
    struct instance *leader = instances_wait_leader(member, MEMBERS);
    diary_wait(&diary, leader->name, 10);

    program_kill_tree(&leader->supervisor);

    struct instance *next = instances_wait_leader(member, MEMBERS);
    diary_wait(&diary, next->name, 10);
    cr_expect_neq(next, leader);
    diary_check(&diary);
}

Test(without_postgres, none_runs_the_jobs_at_once_on_every_instance_and_warns)
{
    make("none", "");
    instance_start(A, NULL);
    instance_start(B, NULL);

    diary_wait(&diary, "a", 5);
    diary_wait(&diary, "b", 5);
    instance_wait(A, "no_election", "");
    instance_command(A, &told, "status", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "every such instance runs the jobs"), "%s", told.out);
    instance_stop(A);
    instance_stop(B);
}

Test(without_postgres, a_disabled_election_is_none_whatever_the_dsn)
{
    make("ledger.db", "enabled = no\n");
    instance_start(A, NULL);
    instance_start(B, NULL);

    diary_wait(&diary, "a", 5);
    diary_wait(&diary, "b", 5);
    instance_wait(A, "no_election", "");
    instance_stop(A);
    instance_stop(B);
}

Test(without_postgres, without_jobs_no_instance_seeks_to_lead)
{
    make("ledger.db", ELECTION_CALM);
    char *dsn = text_format("sqlite:%s/ledger.db", dir.path);
    instance_configure(
        A, &(struct instance_settings){
               .dsn = dsn, .election = ELECTION_CALM, .jobs = "enabled = no\n", .job = diary.job});
    free(dsn);
    instance_start(A, NULL);
    (void)instance_wait_child(A, "monitor", 0);
    instance_start(B, NULL);

    instance_wait(B, "elected", "");
    diary_wait(&diary, "b", 5);
    cr_expect_eq(instance_logged(A, "seat_taken", ""), 0);
    cr_expect_eq(diary_lines(&diary, "a"), 0);
    instance_stop(A);
    instance_stop(B);
}

/* As a daemon that somebody starts with nothing open. */
Test(without_postgres, an_instance_that_was_given_no_descriptors_writes_its_log_where_it_should)
{
    make("none", NULL);
    char *log = text_format("log_file = %s\n", A->log);
    instance_configure(
        A, &(struct instance_settings){.dsn = "none", .pgbaton = log, .job = diary.job});
    program_start(&A->supervisor,
                  &(struct program_spec){
                      .argv = (const char *[]){"sh", "-c", "exec \"$0\" run -c \"$1\" <&- >&- 2>&-",
                                               pgbaton_path(), A->ini, NULL}});
    instance_wait(A, "elected", "");
    diary_wait(&diary, "a", 5);

    char *file = text_format("%s/pgbaton.pid", A->run_dir);
    char *text = text_read(file);
    char *wanted = text_format("%d\n", (int)A->supervisor.pid);
    cr_expect_str_eq(text, wanted);
    free(wanted);
    free(text);
    free(file);
    free(log);
    instance_stop(A);
}
