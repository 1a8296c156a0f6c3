#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/offspring.h"

TestSuite(offspring, .timeout = 120);

static pid_t idler(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)pause();
        _exit(0);
    }
    return pid;
}

static void end(pid_t pid)
{
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(offspring, none_is_left_when_all_are_kept_or_gone)
{
    struct pid_set keep = {.pids = NULL};

    cr_expect_eq(offspring_left(&keep), 0, "none at all");
    pid_t helper = idler();
    cr_expect_eq(offspring_left(&keep), 1, "one that nobody keeps");
    cr_assert_eq(pid_set_add(&keep, helper), 0);
    cr_expect_eq(offspring_left(&keep), 0, "one that is kept");
    pid_t job = idler();
    cr_expect_eq(offspring_left(&keep), 1, "one beside it");
    cr_assert_eq(kill(job, SIGKILL), 0);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)job, &info, WEXITED | WNOWAIT), 0);
    cr_expect_eq(offspring_left(&keep), 1, "a dead one counts until it is taken away");
    cr_assert_eq(waitpid(job, NULL, 0), job);
    cr_expect_eq(offspring_left(&keep), 0);
    end(helper);
    pid_set_release(&keep);
}

/* Each generation forks the next and ends at once: a look through /proc can miss all of them. */
static void flee(pid_t test)
{
    (void)setsid();
    while (kill(test, 0) == 0 && fork() == 0) { /* not longer than the test lives */
        (void)setsid();
    }
    _exit(0);
}

static void take_dead(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

Test(offspring, one_that_forks_and_ends_as_fast_as_it_can_is_seen_and_killed)
{
    struct pid_set keep = {.pids = NULL};
    struct process_sweep sweep;
    mono_ns limit = clock_now() + DUR_S(100);
    pid_t helper = idler();

    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    cr_assert_eq(pid_set_add(&keep, helper), 0);
    pid_t test = getpid();
    pid_t first = fork();
    if (first == 0) {
        flee(test);
    }
    cr_assert_eq(waitpid(first, NULL, 0), first);
    for (int i = 0; i < 100; i++) {
        take_dead();
        cr_assert_eq(offspring_left(&keep), 1, "look %d missed it", i);
    }
    do {
        cr_assert(clock_now() < limit, "it was not met");
        cr_assert_eq(process_sweep_children(&keep, &sweep), 0);
        take_dead();
    } while (offspring_left(&keep) != 0);
    cr_expect_eq(process_sweep_children(&keep, &sweep), 0);
    cr_expect_eq(sweep.seen, 0);
    end(helper);
    pid_set_release(&keep);
}

Test(offspring, are_listed_with_the_dead_and_of_any_process)
{
    struct pid_set children = {0};
    struct pid_set theirs = {0};
    pid_t one = idler();
    pid_t other = idler();

    if (!offspring_is_listed()) {
        cr_skip_test("this kernel has no lists of children");
    }
    cr_assert_eq(offspring_of(getpid(), &children), 0);
    cr_expect_eq(children.count, 2);
    cr_expect(pid_set_has(&children, one));
    cr_expect(pid_set_has(&children, other));
    cr_assert_eq(offspring_of(one, &theirs), 0);
    cr_expect_eq(theirs.count, 0);
    cr_assert_eq(kill(one, SIGKILL), 0);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)one, &info, WEXITED | WNOWAIT), 0);
    pid_set_release(&children);
    cr_assert_eq(offspring_of(getpid(), &children), 0);
    cr_expect(pid_set_has(&children, one), "a dead one is listed until it is taken away");
    cr_assert_eq(waitpid(one, NULL, 0), one);
    cr_expect_eq(offspring_of(one, &theirs), -ESRCH);
    pid_set_release(&children);
    pid_set_release(&theirs);
    end(other);
}
