/*
 * stamps.h - when did a command run its first instruction? Each one that is
 * measured is the program `stamp`, which appends what the clock says to one file.
 */
#ifndef PGBATON_TESTS_BENCH_STAMPS_H
#define PGBATON_TESTS_BENCH_STAMPS_H

#include <stddef.h>

#include "common/clock.h"
#include "tests/support/workdir.h"

struct stamps {
    char file[160];
    char command[512]; /* the path of the program; its one argument is the file */
};

void stamps_make(struct stamps *s, const struct workdir *w);

/* stamps_count - how many there are. */
size_t stamps_count(const struct stamps *s);

/* stamps_wait - until there are more than before: when the first of the others ran. Ends the test
 * at the limit. */
mono_ns stamps_wait(const struct stamps *s, size_t before);

/* stamps_beside - those of the same command, in a file of that name in w. */
void stamps_beside(struct stamps *s, const struct workdir *w, const char *name);

/* stamps_wait_count - until there are so many. Ends the test at the limit. */
void stamps_wait_count(const struct stamps *s, size_t count);

/* stamps_read - all but the first `skip`, on the wall clock, earliest first; for free(). */
wall_ns *stamps_read(const struct stamps *s, size_t skip, size_t *ret_count);

#endif
