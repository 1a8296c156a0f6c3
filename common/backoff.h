/*
 * backoff.h - PURE: how long to wait before the next try.
 *
 * Doubles from least to most; each wait is drawn evenly from the upper half
 * [wait/2, wait], so that N replicas which fail together do not try together.
 */
#ifndef PGBATON_COMMON_BACKOFF_H
#define PGBATON_COMMON_BACKOFF_H

#include "common/clock.h"
#include "common/random.h"

struct backoff {
    dur_ns least; /* set by the caller, both above 0 */
    dur_ns most;
    unsigned failures; /* in a row; 0 to start with */
};

/* backoff_next - one more failure: how long to wait now. */
dur_ns backoff_next(struct backoff *b, struct prng *random);

/* backoff_reset - it went well. */
void backoff_reset(struct backoff *b);

/* jittered - length, plus or minus up to percent of it, evenly. */
dur_ns jittered(dur_ns length, unsigned percent, struct prng *random);

#endif
