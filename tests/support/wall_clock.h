/*
 * wall_clock.h - a wall clock that a test can set, in a server or an instance
 * that it starts with that environment. CLOCK_BOOTTIME and timers stay right.
 */
#ifndef PGBATON_TESTS_SUPPORT_WALL_CLOCK_H
#define PGBATON_TESTS_SUPPORT_WALL_CLOCK_H

#include <sys/types.h>

#include "common/clock.h"
#include "tests/support/preload/clock.h"
#include "tests/support/workdir.h"

struct wall_clock {
    volatile struct shared_clock *shared; /* with whoever runs by this clock */
    char preload[160];
    char file[160];
    const char *environment[4]; /* for struct server_options, for struct instance */
};

/* wall_clock_make - it is right at first. name: of its files in the directory. */
void wall_clock_make(struct wall_clock *c, const struct workdir *w, const char *name);

/* wall_clock_set - it is off by that much now. */
void wall_clock_set(struct wall_clock *c, dur_ns offset);

/* wall_clock_stop - in that process it stands still from now on; in all others it goes on. */
void wall_clock_stop(struct wall_clock *c, pid_t pid);

#endif
