/*
 * queue.h - what will happen, by its moment; of the same moment, in the order
 * in which it was scheduled.
 */
#ifndef PGBATON_TESTS_SIM_QUEUE_H
#define PGBATON_TESTS_SIM_QUEUE_H

#include "tests/sim/world.h"

void queue_reset(void);
/* queue_push - copied; its order is set. */
void queue_push(const struct happening *h);
bool queue_pop(struct happening *ret);
/* queue_peek_at - of the next; MONO_NEVER: nothing. */
mono_ns queue_peek_at(void);

/* world_run_until - let everything happen that is due by then. */
void world_run_until(mono_ns until);

#endif
