#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/leader/cgroup.h"

TestSuite(cgroup, .timeout = 60);

static struct cgroup test_cgroup;

/* A cgroup of the test's own, where the machine lets us make one. */
static void make_own(void)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char path[200];
    char kill_file[300];

    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/pgbaton-test-%d", roots[i], (int)getpid());
        if (mkdir(path, 0755) == -1) {
            continue;
        }
        (void)snprintf(kill_file, sizeof(kill_file), "%s/cgroup.kill", path);
        if (access(kill_file, W_OK) == 0) {
            cgroup_use(&test_cgroup, path);
            return;
        }
        (void)rmdir(path);
    }
    cr_skip_test("no cgroup can be made here");
}

Test(cgroup, without_one_everything_says_so)
{
    struct cgroup none = {.path = ""};

    cr_expect_not(cgroup_is_delegated(&none));
    cr_expect_eq(cgroup_make(&none, 1), -ENOTSUP);
    cr_expect_eq(cgroup_kill(&none, 1), -ENOTSUP);
    cr_expect_eq(cgroup_remove(&none, 1), -ENOTSUP);
    cgroup_sweep(&none);
}

Test(cgroup, a_run_is_killed_with_all_that_it_forked)
{
    make_own();
    int procs = cgroup_make(&test_cgroup, 7);
    cr_assert(procs >= 0, "%s", strerror(-procs));
    pid_t pid = fork();
    if (pid == 0) {
        ssize_t entered = write(procs, "0", 1);

        (void)setsid();
        (void)fork();
        (void)pause();
        _exit(entered == 1 ? 0 : 1);
    }
    /* The child may not have entered yet: what is killed is what is in there. */
    int status;
    do {
        cr_assert_eq(cgroup_kill(&test_cgroup, 7), 0);
    } while (waitpid(pid, &status, WNOHANG) == 0);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    (void)close(procs);
    int rc;
    do { /* the grandchild is taken away by whoever it was left to */
        rc = cgroup_remove(&test_cgroup, 7);
    } while (rc == -EBUSY);
    cr_expect_eq(rc, 0);
    cr_expect_eq(cgroup_remove(&test_cgroup, 7), -ENOENT);
    (void)rmdir(test_cgroup.path);
}

Test(cgroup, what_dead_workers_left_is_removed)
{
    make_own();
    (void)close(cgroup_make(&test_cgroup, 1));
    (void)close(cgroup_make(&test_cgroup, 2));
    cgroup_sweep(&test_cgroup);
    cr_expect_eq(cgroup_remove(&test_cgroup, 1), -ENOENT);
    cr_expect_eq(rmdir(test_cgroup.path), 0);
}
