/*
 * clock.h - what a test and the processes that run by its clock share: a file.
 */
#ifndef PGBATON_TESTS_SUPPORT_PRELOAD_CLOCK_H
#define PGBATON_TESTS_SUPPORT_PRELOAD_CLOCK_H

#include <stdint.h>

struct shared_clock {
    int64_t offset;      /* nanoseconds, of everybody's wall clock */
    int64_t stopped_at;  /* what the wall clock of that process says for ever */
    int64_t stopped_pid; /* written last; 0: nobody's stands still */
};

#endif
