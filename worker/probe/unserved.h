/*
 * unserved.h - PURE: are there jobs of ours that nobody runs, because the leader
 * has another set?
 *
 * While a new version is rolled out this is so for a moment in every fleet: it
 * counts only when each look of a minute has seen it. While no leader is seen
 * whose jobs are known, nothing is known, and what was said stays.
 *
 * Used by the probe.
 */
#ifndef PGBATON_WORKER_PROBE_UNSERVED_H
#define PGBATON_WORKER_PROBE_UNSERVED_H

#include <stdbool.h>

#include "common/clock.h"

#define UNSERVED_AFTER DUR_S(60)

/* What one look says. */
enum unserved_sight {
    UNSERVED_UNKNOWN, /* nobody leads, or whoever does has not said which jobs it has */
    UNSERVED_NONE,    /* the leader has the jobs that we have, or we are it, or have none */
    UNSERVED_SOME,
};

/* All zero: nothing was seen. */
struct unserved {
    bool said;
    bool differs;  /* in the look before this one */
    mono_ns since; /* and in all since this one */
};

/* unserved_look - one more look, at `now`; UNSERVED_UNKNOWN also where none can be had. True: there
 * are such jobs. */
bool unserved_look(struct unserved *u, enum unserved_sight seen, mono_ns now);

#endif
