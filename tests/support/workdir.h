/*
 * workdir.h - a directory of a test's own, removed when the test has ended,
 * however it ended: a janitor process watches the test and cleans up.
 */
#ifndef PGBATON_TESTS_SUPPORT_WORKDIR_H
#define PGBATON_TESTS_SUPPORT_WORKDIR_H

struct workdir {
    char path[96];
};

/* workdir_make - below $TMPDIR or /tmp; others may pass through it (the server runs as another
 * user). With PGBATON_TEST_KEEP in the environment it is kept, and its name printed. */
void workdir_make(struct workdir *w);

/*
 * workdir_of_run - the directory that all tests of this run share, and *ret_lock
 * the lock on it, which the caller closes. Removed when the run is over.
 */
void workdir_of_run(struct workdir *w, int *ret_lock);

#endif
