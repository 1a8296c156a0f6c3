#include "common/backoff.h"

#include <assert.h>
#include <limits.h>

/* The wait before jitter: least doubled once for each failure but the first, up to most. */
static dur_ns full_wait(const struct backoff *b)
{
    dur_ns wait = b->least;

    for (unsigned i = 1; i < b->failures && wait < b->most; i++) {
        wait = wait > b->most / 2 ? b->most : wait * 2;
    }
    return wait < b->most ? wait : b->most;
}

dur_ns backoff_next(struct backoff *b, struct prng *random)
{
    assert(b->least > 0);
    assert(b->most > 0);

    if (b->failures < UINT_MAX) {
        b->failures++;
    }
    dur_ns wait = full_wait(b);
    dur_ns low = wait - wait / 2;

    return low + (dur_ns)prng_below(random, (uint64_t)(wait - low) + 1);
}

void backoff_reset(struct backoff *b)
{
    b->failures = 0;
}

dur_ns jittered(dur_ns length, unsigned percent, struct prng *random)
{
    assert(length >= 0);
    assert(percent <= 100);

    /* Whole hundredths first: length * percent would overflow from 2.9 years on. */
    dur_ns spread = length / 100 * percent + length % 100 * percent / 100;

    return length - spread + (dur_ns)prng_below(random, 2 * (uint64_t)spread + 1);
}
