/*
 * starts.h - what was started, as the jobs themselves say it, beside what the
 * ledger says: for jobs that are due every second.
 *
 * Each start is a line: job, run, instant, attempt, instance.
 */
#ifndef PGBATON_TESTS_SUPPORT_STARTS_H
#define PGBATON_TESTS_SUPPORT_STARTS_H

#include <libpq-fe.h>
#include <stddef.h>

#include "tests/support/workdir.h"

struct starts {
    char file[128];
    char script[128];
    char exec[300]; /* a line for the section of such a job */
};

void starts_make(struct starts *s, const struct workdir *w);

/* starts_of - how many that instance has written ("" for any); starts_wait - until there are more
 * than that. */
size_t starts_of(const struct starts *s, const char *instance);
void starts_wait(const struct starts *s, const char *instance, size_t more_than);

/* starts_load - what was written is the table note (job, id, at, attempt, instance) of that
 * session, and each tick of their jobs is a row of the view tick, missed ones too. Anew each time.
 */
void starts_load(const struct starts *s, PGconn *conn);

/* starts_check_rows - load, and: every second has one row, alone or in a range. */
void starts_check_rows(const struct starts *s, PGconn *conn);

/* starts_check - load, and: every second has its row, alone or in a range; no tick was started
 * twice; nothing was started without a row. When no instance runs any more. */
void starts_check(const struct starts *s, PGconn *conn);

/* no_rows - what that query finds is a failure of the test. */
void no_rows(PGconn *conn, const char *what, const char *sql);

#endif
