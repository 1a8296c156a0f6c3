/*
 * spawner.h - the least that it can take to start a command: processes of their
 * own that look at the clock and call posix_spawn(), and do nothing else.
 */
#ifndef PGBATON_TESTS_BENCH_SPAWNER_H
#define PGBATON_TESTS_BENCH_SPAWNER_H

#include <stddef.h>
#include <sys/types.h>

#include "tests/bench/stamps.h"

/* spawner_seconds - one command at that phase of each of so many seconds, by a timer on the wall
 * clock. The pid, for spawner_wait. */
pid_t spawner_seconds(const struct stamps *stamps, size_t count, dur_ns phase);

/* spawner_burst - so many commands, one after the other, from that instant on. */
pid_t spawner_burst(const struct stamps *stamps, size_t count, wall_ns at);

/* spawner_wait - until all of its commands have ended. Ends the test where one failed. */
void spawner_wait(pid_t spawner);

#endif
