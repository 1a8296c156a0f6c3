#include "common/process_tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/orphaned.h"
#include "tests/support/wait.h"

static void set_up(void)
{
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

/* Whatever a failed test left. */
static void tear_down(void)
{
    struct pid_set nothing = {0};
    struct process_sweep sweep;

    do {
        cr_assert_eq(process_sweep_children(&nothing, &sweep), 0);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    } while (sweep.seen > 0);
}

TestSuite(process_tree, .init = set_up, .fini = tear_down, .timeout = 120);

/* Does nothing until it is killed; should everything else fail it goes by itself. */
_Noreturn static void idle(void)
{
    (void)alarm(300);
    for (;;) {
        (void)pause();
    }
}

/* A process that does nothing until it is killed; detached: in a session of its own. */
static pid_t fork_sleeper(bool detached)
{
    pid_t pid = fork();

    cr_assert_neq(pid, -1);
    if (pid == 0) {
        if (detached) {
            (void)setsid();
        }
        idle();
    }
    return pid;
}

static bool is_gone(void *ctx)
{
    const pid_t *pid = ctx;

    return kill(*pid, 0) == -1 && errno == ESRCH;
}

static bool has_ended(void *ctx) /* to be reaped yet */
{
    const pid_t *pid = ctx;
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)*pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == *pid;
}

struct sweeping {
    const struct pid_set *keep;
    struct process_sweep last;
};

/* One pass and the reaping after it: is everything gone? */
static bool is_swept(void *ctx)
{
    struct sweeping *s = ctx;

    cr_assert_eq(process_sweep_children(s->keep, &s->last), 0);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    return s->last.seen == 0;
}

static void sweep_all(void)
{
    struct pid_set nothing = {0};
    struct sweeping s = {.keep = &nothing};

    cr_assert(wait_until(is_swept, &s, WAIT_LIMIT), "%u are left", s.last.seen);
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1);
    cr_expect_eq(errno, ECHILD);
}

Test(process_tree, a_set_holds_a_pid_once)
{
    struct pid_set set = {0};

    cr_expect_not(pid_set_has(&set, 1));
    for (pid_t pid = 1; pid <= 100; pid++) {
        cr_assert_eq(pid_set_add(&set, pid), 0);
        cr_assert_eq(pid_set_add(&set, pid), 0);
    }
    cr_expect_eq(set.count, 100);
    cr_expect(pid_set_has(&set, 100));
    cr_expect_not(pid_set_has(&set, 101));
    pid_set_release(&set);
    cr_expect_eq(set.count, 0);
    pid_set_release(&set);
    pid_set_release(NULL);
}

Test(process_tree, proc_is_ours)
{
    cr_expect(process_tree_available());
}

Test(process_tree, nobody_has_no_descendants)
{
    struct pid_set set;
    struct process_sweep sweep;
    struct pid_set nothing = {0};

    cr_assert_eq(process_descendants(getpid(), &set), 0);
    cr_expect_eq(set.count, 0);
    pid_set_release(&set);
    cr_assert_eq(process_sweep_children(&nothing, &sweep), 0);
    cr_expect_eq(sweep.seen, 0);
    cr_expect_eq(sweep.example, 0);
}

/* A child with a child with a child; the pid of the last comes back through the pipe. */
static pid_t fork_chain(int depth, int report)
{
    pid_t pid = fork();

    cr_assert_neq(pid, -1);
    if (pid == 0) {
        pid_t self = getpid();

        if (depth > 1) {
            (void)fork_chain(depth - 1, report);
        } else {
            (void)!write(report, &self, sizeof(self));
        }
        idle();
    }
    return pid;
}

Test(process_tree, descendants_come_children_first)
{
    struct pid_set set;
    int report[2];
    pid_t last;

    cr_assert_eq(pipe(report), 0);
    pid_t first = fork_chain(3, report[1]);

    cr_assert_eq(read(report[0], &last, sizeof(last)), (ssize_t)sizeof(last));
    cr_assert_eq(process_descendants(getpid(), &set), 0);
    cr_assert_eq(set.count, 3);
    cr_expect_eq(set.pids[0], first);
    cr_expect_eq(set.pids[2], last);
    pid_set_release(&set);
    cr_assert_eq(process_descendants(first, &set), 0);
    cr_expect_eq(set.count, 2, "the root itself is not among them");
    pid_set_release(&set);
    sweep_all();
}

/* A worker that hangs reaps nobody. */
Test(process_tree, the_dead_are_not_among_the_living_below)
{
    struct pid_set set;
    int report[2];
    pid_t living;

    cr_assert_eq(pipe(report), 0);
    pid_t first = fork();
    if (first == 0) {
        siginfo_t info;
        pid_t dead = fork();

        if (dead == 0) {
            _exit(0);
        }
        (void)waitid(P_PID, (id_t)dead, &info, WEXITED | WNOWAIT);
        (void)fork_chain(1, report[1]);
        idle();
    }
    cr_assert_eq(read(report[0], &living, sizeof(living)), (ssize_t)sizeof(living));
    cr_assert_eq(process_descendants(first, &set), 0);
    cr_expect_eq(set.count, 2);
    pid_set_release(&set);
    cr_assert_eq(process_living_below(first, &set), 0);
    cr_assert_eq(set.count, 1);
    cr_expect_eq(set.pids[0], living);
    pid_set_release(&set);
    sweep_all();
}

/* The name of a process is what it likes, and it likes to be mistaken for the next fields. */
Test(process_tree, a_name_full_of_parentheses_confuses_nobody)
{
    int ready[2];
    pid_t pid;
    struct pid_set set;

    cr_assert_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_NAME, ") Z 1 (\n) Z 1 1");
        (void)!write(ready[1], "x", 1);
        idle();
    }
    char byte;

    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(process_descendants(getpid(), &set), 0);
    cr_expect(pid_set_has(&set, pid));
    pid_set_release(&set);
    sweep_all();
    cr_expect(is_gone(&pid));
}

Test(process_tree, what_is_kept_and_what_is_below_it_lives)
{
    struct pid_set keep = {0};
    struct pid_set below = {0};
    int report[2];
    pid_t last;

    cr_assert_eq(pipe(report), 0);
    pid_t kept = fork_chain(2, report[1]);

    cr_assert_eq(read(report[0], &last, sizeof(last)), (ssize_t)sizeof(last));
    pid_t other = fork_sleeper(false);

    cr_assert_eq(pid_set_add(&keep, kept), 0);
    struct sweeping s = {.keep = &keep};

    cr_assert(wait_until(is_swept, &s, WAIT_LIMIT));
    cr_expect(is_gone(&other));
    cr_assert_eq(process_descendants(getpid(), &below), 0);
    cr_expect_eq(below.count, 2);
    cr_expect_not(is_gone(&last));
    pid_set_release(&below);
    pid_set_release(&keep);
    sweep_all();
}

/* The usual way to become a daemon: the middle one ends, the session is another. */
Test(process_tree, a_daemon_of_a_job_is_met)
{
    int report[2];
    pid_t daemon_pid;

    cr_assert_eq(pipe(report), 0);
    pid_t middle = fork();

    if (middle == 0) {
        (void)setsid();
        pid_t pid = fork_sleeper(true);

        (void)!write(report[1], &pid, sizeof(pid));
        _exit(0);
    }
    cr_assert_eq(read(report[0], &daemon_pid, sizeof(daemon_pid)), (ssize_t)sizeof(daemon_pid));
    cr_assert_eq(waitpid(middle, NULL, 0), middle);
    sweep_all();
    cr_expect(is_gone(&daemon_pid));
}

/* As systemd's ProcSubset=pid does: what is no process is not there. */
Test(process_tree, is_swept_where_proc_has_only_processes)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, "subset=pid") != 0) {
        cr_skip_test("no /proc of our own can be mounted here: %s", strerror(errno));
    }
    cr_assert_neq(access("/proc/loadavg", F_OK), 0);
    pid_t middle = fork();

    if (middle == 0) {
        (void)fork_sleeper(true);
        idle();
    }
    (void)fork_sleeper(false);
    sweep_all();
}

/* Forks and exits as fast as it can: no pid of it lives longer than a moment. It does not go on for
 * ever, should this test be cut short. */
_Noreturn static void run_away(void)
{
    for (int i = 0; i < 100000; i++) {
        pid_t pid = fork();

        if (pid > 0) {
            break;
        }
        (void)setsid();
    }
    _exit(0);
}

Test(process_tree, a_process_that_runs_away_from_its_pid_is_caught)
{
    for (int i = 0; i < 3; i++) {
        if (fork() == 0) {
            run_away();
        }
    }
    sweep_all();
}

/* Four children each, four generations: the tree grows while it is killed. */
_Noreturn static void multiply(void)
{
    int generations = 4;

    for (int i = 0; i < 4 && generations > 0; i++) {
        if (fork() == 0) {
            generations--;
            i = -1;
        }
    }
    idle();
}

Test(process_tree, a_tree_that_grows_is_felled)
{
    if (fork() == 0) {
        multiply();
    }
    sweep_all();
}

static void *sleep_on(void *unused)
{
    (void)unused;
    for (;;) {
        (void)pause();
    }
    return NULL;
}

/* It is a zombie by its state, and its threads do what they like. */
Test(process_tree, a_process_without_its_main_thread_still_lives)
{
    int report[2];
    char byte;
    pid_t pid;

    cr_assert_eq(pipe2(report, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        pthread_t thread;

        (void)pthread_create(&thread, NULL, sleep_on, NULL);
        (void)!write(report[1], "x", 1);
        pthread_exit(NULL);
    }
    cr_assert_eq(read(report[0], &byte, 1), 1);
    struct pid_set nothing = {0};
    struct process_sweep sweep;

    /* Before and after its main thread has ended alike. */
    cr_assert_eq(process_sweep_children(&nothing, &sweep), 0);
    cr_expect_eq(sweep.seen, 1);
    cr_expect_eq(sweep.example, pid);
    cr_assert(wait_until(has_ended, &pid, WAIT_LIMIT));
    sweep_all();
}

Test(process_tree, a_process_is_as_old_as_it_is)
{
    mono_ns before = clock_now() - DUR_MS(20);
    pid_t pid = fork_sleeper(false);

    cr_expect(process_is_younger(pid, before));
    cr_expect_not(process_is_younger(pid, clock_now() + DUR_MS(20)));
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    cr_expect_not(process_is_younger(pid, before), "it is gone");
}

Test(process_tree, of_a_process_that_cannot_be_read_nothing_is_known)
{
    struct rlimit usual;
    mono_ns before = clock_now() - DUR_MS(20);
    pid_t pid = fork_sleeper(false);

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, usual.rlim_max}), 0);
    bool younger = process_is_younger(pid, before);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
    cr_expect_not(younger);
    cr_expect(process_is_younger(pid, before), "it can be read again");
}

Test(process_tree, a_zombie_does_not_count_but_is_listed)
{
    struct pid_set nothing = {0};
    struct pid_set set;
    struct process_sweep sweep;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    cr_assert(wait_until(has_ended, &pid, WAIT_LIMIT));
    cr_assert_eq(process_sweep_children(&nothing, &sweep), 0);
    cr_expect_eq(sweep.seen, 0);
    cr_assert_eq(process_descendants(getpid(), &set), 0);
    cr_expect(pid_set_has(&set, pid));
    cr_expect_eq(process_signal(pid, SIGKILL, NULL), -ESRCH);
    pid_set_release(&set);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(process_tree, signals_what_is_ours)
{
    pid_t pid = fork_sleeper(false);
    struct pid_set nothing = {0};
    int status;

    cr_assert_eq(process_signal(pid, SIGTERM, &nothing), 0, "a child of this process");
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    cr_expect_eq(process_signal(pid, SIGTERM, &nothing), -ESRCH, "it is gone");
}

Test(process_tree, does_not_signal_what_has_another_parent)
{
    struct pid_set tree = {0};
    int report[2];
    pid_t grandchild;

    cr_assert_eq(pipe(report), 0);
    pid_t child = fork_chain(2, report[1]);

    cr_assert_eq(read(report[0], &grandchild, sizeof(grandchild)), (ssize_t)sizeof(grandchild));
    cr_expect_eq(process_signal(grandchild, SIGKILL, &tree), -ESRCH);
    cr_expect_not(is_gone(&grandchild));
    cr_expect_eq(process_signal(grandchild, SIGCONT, NULL), 0, "no condition");
    cr_assert_eq(pid_set_add(&tree, child), 0);
    cr_expect_eq(process_signal(grandchild, SIGKILL, &tree), 0, "its parent is of the tree");
    pid_set_release(&tree);
    sweep_all();
}

Test(process_tree, pid_zero_is_a_bug, .signal = SIGABRT)
{
    (void)process_signal(0, SIGCONT, NULL);
}

/* As an ordinary user, with a child that has become somebody else. */
Test(process_tree, one_that_cannot_be_killed_is_named)
{
    struct pid_set nothing = {0};
    struct process_sweep sweep;
    int ready[2];
    char byte;

    if (getuid() != 0) {
        cr_skip_test("needs root to have a child of another user");
    }
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();

    if (pid == 0) {
        (void)!setresuid(65533, 65533, 65533);
        (void)!write(ready[1], "x", 1);
        idle();
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(seteuid(65534), 0);
    int rc = process_sweep_children(&nothing, &sweep);

    cr_assert_eq(seteuid(0), 0);
    cr_expect_eq(rc, 0);
    cr_expect_eq(sweep.seen, 1);
    cr_expect_eq(sweep.refused, 1);
    cr_expect_eq(sweep.example, pid);
    sweep_all();
}

/* Whoever looks but once (the keeper, the start) would leave it out for good. */
Test(process_tree, one_that_loses_its_parent_meanwhile_is_a_descendant)
{
    for (int i = 0; i < ORPHANED_TRIES; i++) {
        struct pid_set below = {0};
        pid_t pid = orphaned_make();

        cr_assert_eq(process_descendants(getpid(), &below), 0);
        cr_assert(pid_set_has(&below, pid), "try %d", i);
        pid_set_release(&below);
        orphaned_end(pid);
    }
}
