/*
 * census.h - who of an earlier term is still alive when a new one begins?
 *
 * The diary shows what writes. A process that is stopped, or has nothing to say,
 * is found by this: the first job of every term looks through /proc for processes
 * of this test's jobs that carry another epoch in their environment, which they
 * keep whatever they do to their parents, groups and sessions.
 */
#ifndef PGBATON_TESTS_SUPPORT_CENSUS_H
#define PGBATON_TESTS_SUPPORT_CENSUS_H

#include <stddef.h>

#include "tests/support/workdir.h"

struct census {
    char file[128];
    char script[128];
    char jobs[192]; /* lines for the section [jobs] */
    char job[512];  /* a section for the INI file: put it before all others */
};

void census_make(struct census *c, const struct workdir *w);

/* census_check - waits until so many terms have looked. Ends the test if one of them found
 * anybody. */
void census_check(const struct census *c, size_t terms);

#endif
