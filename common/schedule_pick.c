#include "common/schedule_pick.h"

#include <assert.h>

#include "common/random.h"

uint64_t schedule_pick(const char *job, uint64_t what, uint64_t count)
{
    struct prng random;

    assert(count > 0);
    prng_seed(&random, random_hash(job) + what);
    return prng_below(&random, count);
}
