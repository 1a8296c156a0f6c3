#include "tests/bench/spawner.h"

#include <criterion/criterion.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* In a spawner: a failure is an exit code. */

static void spawn_or_exit(const struct stamps *stamps)
{
    char *argv[] = {(char *)(uintptr_t)stamps->command, (char *)(uintptr_t)stamps->file, NULL};
    pid_t child;

    if (posix_spawn(&child, stamps->command, NULL, NULL, argv, environ) != 0) {
        _exit(1);
    }
}

/* Those that have ended (WNOHANG), or all, when they have. */
static void reap(int options)
{
    int status;

    while (waitpid(-1, &status, options) > 0) {
        if (status != 0) {
            _exit(1);
        }
    }
}

static void wait_for(int timer, wall_ns at)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = at / DUR_S(1), .tv_nsec = at % DUR_S(1)}};
    uint64_t fired;

    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) != 0 ||
        read(timer, &fired, sizeof fired) != sizeof fired) {
        _exit(1);
    }
}

static pid_t fork_spawner(int *ret_timer)
{
    (void)fflush(NULL);
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0) {
        *ret_timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
        if (*ret_timer == -1) {
            _exit(1);
        }
    }
    return pid;
}

pid_t spawner_seconds(const struct stamps *stamps, size_t count, dur_ns phase)
{
    wall_ns at = clock_wall() / DUR_S(1) * DUR_S(1) + DUR_S(1) + phase;
    int timer = -1;
    pid_t pid = fork_spawner(&timer);

    if (pid == 0) {
        for (size_t i = 0; i < count; i++, at += DUR_S(1)) {
            wait_for(timer, at);
            spawn_or_exit(stamps);
            reap(0);
        }
        _exit(0);
    }
    return pid;
}

pid_t spawner_burst(const struct stamps *stamps, size_t count, wall_ns at)
{
    int timer = -1;
    pid_t pid = fork_spawner(&timer);

    if (pid == 0) {
        wait_for(timer, at);
        for (size_t i = 0; i < count; i++) {
            spawn_or_exit(stamps);
            reap(WNOHANG);
        }
        reap(0);
        _exit(0);
    }
    return pid;
}

void spawner_wait(pid_t spawner)
{
    int status;

    cr_assert_eq(waitpid(spawner, &status, 0), spawner);
    cr_assert_eq(status, 0, "the bare spawner failed");
}
