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

static bool is_secret(const char *variable)
{
    return strncmp(variable, "PGPASSWORD=", 11) == 0 ||
           strncmp(variable, "PGBATON_DATABASE_", 17) == 0 ||
           strncmp(variable, "NOTIFY_SOCKET=", 14) == 0;
}

static void drop_secrets(void)
{
    char **to = environ;

    for (char **from = environ; *from != NULL; from++) {
        if (!is_secret(*from)) {
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
    drop_secrets();
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
