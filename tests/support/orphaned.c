#include "tests/support/orphaned.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t parent;

pid_t orphaned_make(void)
{
    int line[2];
    pid_t pid;

    cr_assert_eq(pipe(line), 0);
    parent = fork();
    cr_assert_neq(parent, -1);
    if (parent == 0) {
        pid = fork();
        if (pid == 0) {
            (void)alarm(300);
            (void)pause();
            _exit(0);
        }
        (void)write(line[1], &pid, sizeof(pid));
        _exit(0);
    }
    cr_assert_eq(read(line[0], &pid, sizeof(pid)), (ssize_t)sizeof(pid));
    (void)close(line[0]);
    (void)close(line[1]);
    return pid;
}

void orphaned_end(pid_t pid)
{
    cr_assert_eq(waitpid(parent, NULL, 0), parent);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}
