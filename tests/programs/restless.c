/*
 * restless - a job that runs away: chains of processes, each of which leaves its
 * group and session, forks its successor and ends, as fast as it can. None of them
 * has a pid for long, none is in the group of the job. They write into the diary.
 *
 *   usage: restless DIARY CHAINS
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define WRITE_EVERY DUR_MS(20)
/* Should nobody ever catch them: longer than any test. */
#define LIVES_FOR DUR_S(150)

static void hop_on(int diary, const char *line)
{
    mono_ns end = clock_now() + LIVES_FOR;
    mono_ns write_at = 0; /* handed on with the memory */

    while (clock_now() < end) {
        pid_t next = fork();

        if (next != 0) { /* where there is no room for one more process, nobody needs this one */
            _exit(0);
        }
        (void)setsid();
        if (clock_now() >= write_at) {
            write_at = clock_now() + WRITE_EVERY;
            if (write(diary, line, strlen(line)) < 0) {
                _exit(1);
            }
        }
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *instance = getenv("PGBATON_INSTANCE");
    const char *epoch = getenv("PGBATON_EPOCH");
    char line[128];

    if (argc != 3 || instance == NULL || epoch == NULL) {
        return 64;
    }
    int diary = open(argv[1], O_WRONLY | O_APPEND | O_CLOEXEC);
    if (diary == -1) {
        return 66;
    }
    (void)snprintf(line, sizeof(line), "%s %s restless\n", instance, epoch);
    for (long chains = strtol(argv[2], NULL, 10); chains > 0; chains--) {
        if (fork() == 0) {
            hop_on(diary, line);
        }
    }
    (void)pause(); /* the job itself does nothing but run */
    return 0;
}
