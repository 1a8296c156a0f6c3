/*
 * wait.h - a test never sleeps for "long enough": it waits for a fact, with a
 * limit that is far above what a loaded machine needs, and so is never tuned.
 */
#ifndef PGBATON_TESTS_SUPPORT_WAIT_H
#define PGBATON_TESTS_SUPPORT_WAIT_H

#include <stdbool.h>

#include "common/clock.h"

/* Nothing in these tests takes longer than this, on any machine. */
#define WAIT_LIMIT DUR_S(40)

/* wait_until - look every 10 ms whether it holds; false if it still does not after that length. */
bool wait_until(bool (*holds)(void *ctx), void *ctx, dur_ns within);

/* wait_never - the opposite: true if it did not hold even once in that length. Only for what must
 * not happen: the length is then how long we look, and never decides a passing test. */
bool wait_never(bool (*holds)(void *ctx), void *ctx, dur_ns length);

#endif
