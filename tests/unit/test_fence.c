#include <criterion/criterion.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "supervisor/fence.h"

#define LIMIT DUR_S(20)

static uint64_t reaped;

static void be_subreaper(void)
{
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

TestSuite(fence, .init = be_subreaper, .timeout = 60);

static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0) {
        reaped++;
    }
}

/* As the supervisor does it; returns the number of passes, or -1 if it is never over. */
static int fence_until_over(const struct pid_set *keep)
{
    const struct timespec pause = {.tv_nsec = DUR_MS(1)};
    mono_ns until = clock_now() + LIMIT;
    struct fence f;

    fence_init(&f);
    fence_begin(&f, clock_now());
    for (int passes = 1; clock_now() < until; passes++) {
        reap();
        if (fence_pass(&f, keep, reaped, clock_now())) {
            cr_expect_not(f.active);
            cr_expect_eq(f.next_at, MONO_NEVER);
            return passes;
        }
        (void)nanosleep(&pause, NULL);
    }
    return -1;
}

static pid_t spawn(void (*what)(void))
{
    int ready[2];
    char byte;

    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ready[0]);
        (void)write(ready[1], "x", 1);
        (void)close(ready[1]);
        what();
        _exit(0);
    }
    (void)close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return pid;
}

static void sleep_on(void)
{
    for (;;) {
        (void)pause();
    }
}

/* Its own session, deaf, and its parent gone: what a daemon of a job would be. */
static void escape(void)
{
    for (int i = 0; i < 3; i++) {
        if (fork() == 0) {
            (void)setsid();
            (void)signal(SIGTERM, SIG_IGN);
            if (fork() == 0) {
                sleep_on();
            }
            _exit(0);
        }
    }
    sleep_on();
}

static int jobs_line[2]; /* its end of file: the last of the jobs is dead */

static void run_jobs(void)
{
    for (int i = 0; i < 2; i++) {
        if (fork() == 0) {
            if (i == 0) {
                (void)setsid();
            }
            (void)signal(SIGTERM, SIG_IGN);
            (void)write(jobs_line[1], "x", 1);
            sleep_on();
        }
    }
    (void)close(jobs_line[1]);
    sleep_on();
}

/* Forks and ends as fast as it can: whoever is looked at is gone already. */
static void run_away(void)
{
    for (;;) {
        pid_t pid = fork();

        if (pid > 0) {
            _exit(0);
        }
    }
}

Test(fence, is_over_at_once_where_there_is_nothing)
{
    const struct pid_set nobody = {0};

    cr_expect_eq(fence_until_over(&nobody), 1);
}

/* Whoever forks and ends while /proc is being read is in none of the looks, and who reaps too
 * seldom sees no death either: neither is a proof. */
Test(fence, is_not_over_while_one_that_runs_away_lives)
{
    const struct pid_set nobody = {0};
    mono_ns until = clock_now() + DUR_S(2);
    unsigned looks = 0;

    (void)spawn(run_away);
    while (clock_now() < until) {
        struct fence f;

        fence_init(&f);
        fence_begin(&f, clock_now());
        f.reaped = 7; /* as if the pass before had counted the same */
        bool over = fence_pass(&f, &nobody, 7, clock_now());
        bool gone = waitpid(-1, NULL, WNOHANG) == -1;
        cr_assert(!over || gone, "over after %u looks, and a child is there", looks);
        looks++;
        if (gone) {
            break;
        }
    }
    fence_until_over(&nobody);
}

Test(fence, says_what_refuses_only_after_it_had_time)
{
    struct fence f;

    fence_init(&f);
    cr_expect_eq(fence_unkillable(&f, DUR_S(9)), 0);
    fence_begin(&f, DUR_S(10));
    f.seen = 3;
    cr_expect_eq(fence_unkillable(&f, DUR_S(10) + DUR_MS(500)), 0);
    cr_expect_eq(fence_unkillable(&f, DUR_S(11)), 3);
}

Test(fence, kills_what_escaped_by_setsid)
{
    const struct pid_set nobody = {0};

    (void)spawn(escape);
    cr_expect_gt(fence_until_over(&nobody), 0);
    reap();
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
}

Test(fence, catches_one_that_runs_away_by_forking)
{
    const struct pid_set nobody = {0};

    (void)spawn(run_away);
    cr_expect_gt(fence_until_over(&nobody), 0);
    reap();
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
}

Test(fence, leaves_the_child_table_alone)
{
    struct pid_set keep = {0};
    pid_t kept = spawn(sleep_on);

    (void)spawn(sleep_on);
    cr_assert_eq(pid_set_add(&keep, kept), 0);
    cr_expect_gt(fence_until_over(&keep), 0);
    cr_expect_eq(kill(kept, 0), 0, "it was killed");
    cr_expect_eq(kill(kept, SIGKILL), 0);
    cr_expect_eq(waitpid(kept, NULL, 0), kept);
    pid_set_release(&keep);
}

/* A worker in the kernel's hands: it has SIGKILL, and lives. */
Test(fence, the_jobs_of_a_worker_that_does_not_die_do_not_wait_for_its_death)
{
    char byte;

    cr_assert_eq(pipe(jobs_line), 0);
    pid_t worker = spawn(run_jobs);
    (void)close(jobs_line[1]);
    cr_assert_eq(read(jobs_line[0], &byte, 1), 1);
    cr_assert_eq(read(jobs_line[0], &byte, 1), 1);

    fence_kill_below(worker);

    cr_expect_eq(read(jobs_line[0], &byte, 1), 0, "a job lives");
    cr_expect_eq(waitpid(worker, NULL, WNOHANG), 0, "the worker itself was killed here");
    cr_expect_eq(kill(worker, SIGKILL), 0);
    cr_expect_eq(waitpid(worker, NULL, 0), worker);
}
