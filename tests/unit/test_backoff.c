#include "common/backoff.h"

#include <criterion/criterion.h>
#include <limits.h>

#include "common/array.h"

static struct prng seeded(uint64_t seed)
{
    struct prng random;

    prng_seed(&random, seed);
    return random;
}

/* clang-format off */
static const struct {
    const char *title;
    struct backoff before;
    dur_ns low; /* the next wait is in [low, high] */
    dur_ns high;
} cases[] = {
    {"the first wait is at most the least one",
        {DUR_MS(100), DUR_S(30), 0},        DUR_MS(50),  DUR_MS(100)},
    {"the second is doubled",
        {DUR_MS(100), DUR_S(30), 1},        DUR_MS(100), DUR_MS(200)},
    {"and so on",
        {DUR_MS(100), DUR_S(30), 4},        DUR_MS(800), DUR_MS(1600)},
    {"it never exceeds the most",
        {DUR_MS(100), DUR_S(30), 20},       DUR_S(15),   DUR_S(30)},
    {"nor after more failures than a number holds",
        {DUR_MS(100), DUR_S(30), UINT_MAX}, DUR_S(15),   DUR_S(30)},
    {"a most below the least wins",
        {DUR_S(10), DUR_S(1), 0},           DUR_MS(500), DUR_S(1)},
    {"doubling does not overflow",
        {INT64_MAX / 3, INT64_MAX, 9},      INT64_MAX / 2, INT64_MAX},
    {"one nanosecond is a wait",
        {1, 1, 0},                          0,           1},
};
/* clang-format on */

Test(backoff, waits)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (uint64_t seed = 0; seed < 200; seed++) {
            struct prng random = seeded(seed);
            struct backoff b = cases[i].before;
            dur_ns wait = backoff_next(&b, &random);

            cr_assert(wait >= cases[i].low && wait <= cases[i].high, "%s: %lld", cases[i].title,
                      (long long)wait);
        }
    }
}

Test(backoff, replicas_that_fail_together_do_not_try_together)
{
    dur_ns waits[10];

    for (uint64_t i = 0; i < ARRAY_LEN(waits); i++) {
        struct prng random = seeded(i);
        struct backoff b = {.least = DUR_S(1), .most = DUR_S(30)};

        waits[i] = backoff_next(&b, &random);
        for (uint64_t j = 0; j < i; j++) {
            cr_expect_neq(waits[i], waits[j]);
        }
    }
}

Test(backoff, reset_starts_over)
{
    struct prng random = seeded(1);
    struct backoff b = {.least = DUR_S(1), .most = DUR_S(30)};

    for (int i = 0; i < 5; i++) {
        (void)backoff_next(&b, &random);
    }
    cr_expect_eq(b.failures, 5);
    backoff_reset(&b);
    cr_expect_leq(backoff_next(&b, &random), DUR_S(1));
}

/* clang-format off */
static const struct {
    const char *title;
    dur_ns length;
    unsigned percent;
    dur_ns low;
    dur_ns high;
} jitters[] = {
    {"a fifth either way",                      DUR_S(5),      20,  DUR_S(4),  DUR_S(6)},
    {"no percent, no jitter",                   DUR_S(5),      0,   DUR_S(5),  DUR_S(5)},
    {"all of it",                               DUR_S(5),      100, 0,         DUR_S(10)},
    {"nothing stays nothing",                   0,             50,  0,         0},
    {"a century does not overflow", DUR_S(3155760000), 50, DUR_S(1577880000), DUR_S(4733640000)},
};
/* clang-format on */

Test(backoff, jitter)
{
    for (size_t i = 0; i < ARRAY_LEN(jitters); i++) {
        struct prng random = seeded(i);

        for (int n = 0; n < 200; n++) {
            dur_ns got = jittered(jitters[i].length, jitters[i].percent, &random);

            cr_assert(got >= jitters[i].low && got <= jitters[i].high, "%s: %lld", jitters[i].title,
                      (long long)got);
        }
    }
}
