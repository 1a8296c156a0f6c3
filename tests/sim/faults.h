/*
 * faults.h - what breaks, and when it is whole again: drawn from the seed.
 */
#ifndef PGBATON_TESTS_SIM_FAULTS_H
#define PGBATON_TESTS_SIM_FAULTS_H

#include "tests/sim/world.h"

/* faults_begin - something breaks every now and then, until then (true time). */
void faults_begin(mono_ns until);
/* faults_end - everything is whole again, and every instance runs or is about to. */
void faults_end(void);

/* faults_keep_alive - instances that have ended are started again, as a service manager does. */
void faults_keep_alive(bool on);

#endif
