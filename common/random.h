/*
 * random.h - PURE: a small seeded generator for jitter, never for secrets.
 *
 * The seed comes from the caller (getrandom(2) in the program, a number in
 * tests and in the simulator), so that a run can be replayed.
 */
#ifndef PGBATON_COMMON_RANDOM_H
#define PGBATON_COMMON_RANDOM_H

#include <stdint.h>

struct prng {
    uint64_t state;
};

/* prng_seed - any seed is good, zero too. */
void prng_seed(struct prng *random, uint64_t seed);

/* prng_next - the next 64 bits. */
uint64_t prng_next(struct prng *random);

/* prng_below - evenly in [0, limit); limit 0 gives 0. */
uint64_t prng_below(struct prng *random, uint64_t limit);

/* random_hash - 64-bit FNV-1a of a string (offset basis 0xcbf29ce484222325). */
uint64_t random_hash(const char *text);

#endif
