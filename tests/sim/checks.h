/*
 * checks.h - what must hold in every run: no two terms' jobs at once, but for
 * what the promise table of DESIGN.md section 4 names; epochs grow; what is
 * asked to stop stops in time; somebody leads when the faults are over.
 *
 * A violation ends the run, with its seed and its time-line.
 */
#ifndef PGBATON_TESTS_SIM_CHECKS_H
#define PGBATON_TESTS_SIM_CHECKS_H

#include "tests/sim/world.h"

void checks_reset(void);

/* checks_job_started - before it runs: nothing of another term may. */
void checks_job_started(int node, struct epoch epoch);

/* What the table allows begins or ends with these. nobody_fences: supervisor and worker are dead.
 */
void checks_thawed(int node, bool clock_stood);
void checks_process_stopped(int node);
void checks_process_goes_on(int node);
void checks_process_died(int node);
void checks_nobody_fences(int node);
/* checks_key_lost - the server ended the session of the key, for a reason of its own. stuck: one
 * whose backend answered nothing, and nobody was told. */
void checks_key_lost(int conn, bool stuck);
void checks_link_cut(int node);
void checks_link_mended(int node);

/* checks_leader - whose jobs run, and whose the key is; -1: nobody, or they are not the same. */
int checks_leader(void);

/* checks_stopped_in_time - it was asked to stop, and should have been over by then, on its clock.
 */
void checks_stopped_in_time(int node, mono_ns by);

#endif
