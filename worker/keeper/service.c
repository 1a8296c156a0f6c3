#include "worker/keeper/service.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"

enum { SIGNALLED = 128 };

/* Where the daemon's database is, and how it gets in. All else is CMD's as it would be without us:
 * its own PGPASSWORD, and the notify socket, with which it may say how it is. */
static bool is_ours(const char *variable)
{
    return strncmp(variable, "PGBATON_DATABASE_", 17) == 0;
}

static void drop_ours(void)
{
    char **to = environ;

    for (char **from = environ; *from != NULL; from++) {
        if (!is_ours(*from)) {
            *to++ = *from;
        }
    }
    *to = NULL;
}

static _Noreturn void become(char **argv, pid_t keeper)
{
    sigset_t none;

    /* A group of its own: what is typed at a terminal reaches it through us, when the jobs have
     * ended. */
    (void)setpgid(0, 0);
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL); /* refused for SIGKILL and SIGSTOP: fine */
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != keeper) {
        _exit(SERVICE_NOT_RUNNABLE); /* it died before prctl() */
    }
    drop_ours();
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvp(argv[0], argv);

    int error = errno;

    log_error("service_not_started", "command=%s error=%s", log_text(argv[0]).is,
              log_text(strerror(error)).is);
    _exit(error == ENOENT ? SERVICE_NOT_FOUND : SERVICE_NOT_RUNNABLE);
}

pid_t service_start(char **argv)
{
    pid_t keeper = getpid();

    (void)fflush(NULL); /* or the child prints our buffers a second time */
    pid_t pid = fork();
    if (pid == -1) {
        return -errno;
    }
    if (pid == 0) {
        become(argv, keeper);
    }
    (void)setpgid(pid, pid); /* whoever is first: then nobody sees it without its group */
    return pid;
}

int service_code(int wait_status)
{
    if (WIFSIGNALED(wait_status)) {
        return SIGNALLED + WTERMSIG(wait_status);
    }
    return WEXITSTATUS(wait_status);
}
