#include "common/random.h"

#include <criterion/criterion.h>

Test(random, the_same_seed_gives_the_same_numbers)
{
    struct prng a;
    struct prng b;

    prng_seed(&a, 42);
    prng_seed(&b, 42);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(prng_next(&a), prng_next(&b));
    }
}

Test(random, neighbouring_seeds_give_other_numbers)
{
    struct prng a;
    struct prng b;

    prng_seed(&a, 0);
    prng_seed(&b, 1);
    for (int i = 0; i < 100; i++) {
        cr_assert_neq(prng_next(&a), prng_next(&b));
    }
}

Test(random, below_stays_below_and_reaches_all)
{
    struct prng random;
    unsigned seen[7] = {0};

    prng_seed(&random, 1);
    for (int i = 0; i < 7000; i++) {
        uint64_t n = prng_below(&random, 7);

        cr_assert_lt(n, 7);
        seen[n]++;
    }
    for (int i = 0; i < 7; i++) {
        cr_expect(seen[i] > 800 && seen[i] < 1200, "%d came %u times of 7000", i, seen[i]);
    }
}

Test(random, below_takes_the_extremes)
{
    struct prng random;

    prng_seed(&random, 1);
    cr_expect_eq(prng_below(&random, 0), 0);
    cr_expect_eq(prng_below(&random, 1), 0);
    cr_expect_lt(prng_below(&random, UINT64_MAX), UINT64_MAX);
}

/* The key of an election is made with it: these are the published values of FNV-1a. */
Test(random, hash_is_fnv_1a)
{
    cr_expect_eq(random_hash(""), UINT64_C(0xcbf29ce484222325));
    cr_expect_eq(random_hash("a"), UINT64_C(0xaf63dc4c8601ec8c));
    cr_expect_eq(random_hash("foobar"), UINT64_C(0x85944171f73967e8));
    cr_expect_neq(random_hash("\xff"), random_hash("\x7f"), "bytes are unsigned");
}
