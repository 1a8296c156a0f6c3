#include "common/random.h"

void prng_seed(struct prng *random, uint64_t seed)
{
    random->state = seed;
}

/* SplitMix64: every state is a good one, and two neighbouring seeds share nothing. */
uint64_t prng_next(struct prng *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);

    uint64_t z = random->state;

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t prng_below(struct prng *random, uint64_t limit)
{
    if (limit == 0) {
        return 0;
    }
    /* What is below 2^64 mod limit is drawn again: the rest divides evenly. */
    uint64_t uneven = (UINT64_MAX - limit + 1) % limit;
    uint64_t drawn;

    do {
        drawn = prng_next(random);
    } while (drawn < uneven);
    return drawn % limit;
}

uint64_t random_hash(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (const char *c = text; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    }
    return hash;
}
