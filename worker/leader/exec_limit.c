#include "worker/leader/exec_limit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/control.h"
#include "common/duration.h"
#include "common/process_tree.h"

/* Once it is to be killed: what forks meanwhile is met by the next look. */
#define KILL_AGAIN DUR_MS(20)
#define KILLING_ENDS DUR_S(5)

static const int watched[] = {SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT};

struct watch {
    const struct config_job *job;
    pid_t child;
    bool ended;
    int status;
};

static void signal_all(int signal_number)
{
    struct pid_set all = {.pids = NULL};

    if (process_descendants(getpid(), &all) == 0) {
        for (size_t i = 0; i < all.count; i++) {
            (void)process_signal(all.pids[i], signal_number, &all);
            (void)process_signal(all.pids[i], SIGCONT, &all); /* a stopped one takes no notice */
        }
    }
    pid_set_release(&all);
}

/* Orphans of the job come to us, too: only what became of the job itself counts. */
static void take_dead(struct watch *w)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == w->child) {
            w->ended = true;
            w->status = status;
        }
    }
}

/* What is typed at the terminal reaches the job as well; what somebody sent to us does not. */
static void take_signal(struct watch *w, const siginfo_t *info)
{
    if (info->si_signo == SIGCHLD) {
        take_dead(w);
    } else if (info->si_code != SI_KERNEL && !w->ended) {
        (void)kill(w->child, info->si_signo); /* our child, not reaped: its pid is its own */
    }
}

/* Until the job has ended: true; or false at that moment. */
static bool wait_until_ended(struct watch *w, mono_ns until)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
        (void)sigaddset(&set, watched[i]);
    }
    for (;;) {
        mono_ns left = until - clock_now();
        siginfo_t info;

        if (w->ended || left <= 0) {
            return w->ended;
        }
        struct timespec limit = {.tv_sec = left / DUR_S(1), .tv_nsec = left % DUR_S(1)};

        if (sigtimedwait(&set, &info, &limit) > 0) {
            take_signal(w, &info);
        }
    }
}

static void end_it(struct watch *w)
{
    mono_ns give_up;
    struct process_sweep sweep = {.seen = 1};

    (void)fprintf(stderr, "pgbaton exec: job %s: ended after its timeout of %s\n", w->job->name,
                  duration_text(w->job->timeout).is);
    signal_all(SIGTERM);
    (void)wait_until_ended(w, clock_now() + w->job->grace);
    give_up = clock_now() + KILLING_ENDS;
    while (clock_now() < give_up && process_sweep_children(NULL, &sweep) == 0 &&
           (sweep.seen > 0 || !w->ended)) {
        struct timespec pause = {.tv_nsec = KILL_AGAIN};

        (void)nanosleep(&pause, NULL);
        take_dead(w);
    }
}

static int exit_code_of(const struct watch *w)
{
    if (!w->ended) {
        return EXIT_CODE_FAILED;
    }
    return WIFEXITED(w->status) ? WEXITSTATUS(w->status) : 128 + WTERMSIG(w->status);
}

static _Noreturn void watch(struct watch *w)
{
    bool in_time = wait_until_ended(w, clock_now() + w->job->timeout);

    if (!in_time) {
        end_it(w);
    }
    int code = exit_code_of(w);

    /* A job that ends well when it is told to has not done its work. */
    exit(!in_time && code == EXIT_CODE_DONE ? EXIT_CODE_FAILED : code);
}

int exec_limit(const struct config_job *job, char *reterr, size_t size)
{
    struct watch w = {.job = job};
    sigset_t set;
    sigset_t before;

    if (job->timeout == 0) {
        return 0;
    }
    (void)fflush(NULL);
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
        (void)sigaddset(&set, watched[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, &before);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    w.child = fork();
    if (w.child == -1) {
        int error = errno;

        (void)snprintf(reterr, size, "cannot make a process: %s", strerror(error));
        return -error;
    }
    if (w.child > 0) {
        watch(&w);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return 0;
}
