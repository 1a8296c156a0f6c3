/*
 * schedule_pick.h - PURE: a stable choice made from a job's name, the same on every instance, every
 * day and in every version: for H, ~ and jitter.
 */
#ifndef PGBATON_COMMON_SCHEDULE_PICK_H
#define PGBATON_COMMON_SCHEDULE_PICK_H

#include <stdint.h>

/* schedule_pick - one of the numbers below count (at least 1). what keeps the choices for one job
 * apart: a field of its schedule, its jitter. */
uint64_t schedule_pick(const char *job, uint64_t what, uint64_t count);

#endif
