#include <criterion/criterion.h>

#include "worker/probe/skew.h"

#define LIMIT DUR_S(2)
#define BOOTED DUR_S(1000000) /* the wall clock at the zero of CLOCK_BOOTTIME */

static struct skew skew;
static dur_ns offset;

/* A look at that second, by clocks that are off by so much; the answer took that long. */
static enum skew_verdict look_slowly(int64_t second, dur_ns ours, dur_ns servers, dur_ns took)
{
    const struct skew_sight seen = {
        .asked_at = DUR_S(second),
        .answered_at = DUR_S(second) + took,
        .ours = BOOTED + DUR_S(second) + took + ours,
        .servers = BOOTED + DUR_S(second) + took / 2 + servers,
    };

    return skew_look(&skew, &seen, LIMIT, &offset);
}

static enum skew_verdict look(int64_t second, dur_ns ours, dur_ns servers)
{
    return look_slowly(second, ours, servers, DUR_MS(2));
}

/* clang-format off */
static const struct {
    const char *title;
    dur_ns ours[3];    /* at three looks, by how much each is off */
    dur_ns servers[3];
    enum skew_verdict verdicts[3];
} cases[] = {
    {"within the limit they agree",
        {0, DUR_MS(900), 0},           {0, -DUR_MS(900), DUR_S(1)},
        {SKEW_NONE, SKEW_NONE, SKEW_NONE}},
    {"where they never agreed, ours is the wrong one",
        {DUR_S(10), DUR_S(10), 0},     {0, 0, 0},
        {SKEW_OURS, SKEW_OURS, SKEW_NONE}},
    {"also if the server's is set meanwhile",
        {DUR_S(10), DUR_S(10), 0},     {0, DUR_S(99), 0},
        {SKEW_OURS, SKEW_OURS, SKEW_NONE}},
    {"ours was set forward",
        {0, DUR_S(10), DUR_S(10)},     {0, 0, 0},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"ours was set back, and is right again",
        {0, -DUR_S(3600), 0},          {0, 0, 0},
        {SKEW_NONE, SKEW_OURS, SKEW_NONE}},
    {"the server's was set forward, and stays",
        {0, 0, 0},                     {0, DUR_S(60), DUR_S(60)},
        {SKEW_NONE, SKEW_SERVERS, SKEW_SERVERS}},
    {"the server's was set back, and is right again",
        {0, 0, 0},                     {0, -DUR_S(3600), 0},
        {SKEW_NONE, SKEW_SERVERS, SKEW_NONE}},
    {"the server's is set a second time",
        {0, 0, 0},                     {0, DUR_S(60), -DUR_S(60)},
        {SKEW_NONE, SKEW_SERVERS, SKEW_SERVERS}},
    {"first the server's was set, then ours, and not to the same",
        {0, 0, DUR_S(10)},             {0, DUR_S(60), DUR_S(60)},
        {SKEW_NONE, SKEW_SERVERS, SKEW_OURS}},
    {"ours follows the server's",
        {0, 0, DUR_S(60)},             {0, DUR_S(60), DUR_S(60)},
        {SKEW_NONE, SKEW_SERVERS, SKEW_NONE}},
    {"both were set at once, to different times",
        {0, DUR_S(10), DUR_S(10)},     {0, DUR_S(60), DUR_S(60)},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"they drifted apart: nobody can tell",
        {0, 0, 0},                     {DUR_MS(1900), DUR_MS(2100), DUR_S(9)},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
};
/* clang-format on */

Test(skew, tells_whose_clock_is_wrong)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        skew = (struct skew){0};
        for (size_t n = 0; n < 3; n++) {
            enum skew_verdict verdict =
                look((int64_t)(5 * n), cases[i].ours[n], cases[i].servers[n]);

            cr_expect_eq(verdict, cases[i].verdicts[n], "%s: look %zu says %d", cases[i].title, n,
                         (int)verdict);
            cr_expect_eq(offset, cases[i].ours[n] - cases[i].servers[n], "%s", cases[i].title);
        }
    }
}

Test(skew, a_slow_answer_proves_nothing_against_a_clock)
{
    skew = (struct skew){0};
    cr_expect_eq(look_slowly(0, DUR_S(3), 0, DUR_S(4)), SKEW_NONE);
    cr_expect_eq(look_slowly(5, DUR_S(5), 0, DUR_S(4)), SKEW_OURS);
}

/* A baseline of a slow answer is that unsure: what seems to be a step may be nothing but that. */
Test(skew, a_step_is_more_than_what_the_answer_leaves_open)
{
    skew = (struct skew){0};
    cr_expect_eq(look(0, 0, DUR_MS(1900)), SKEW_NONE);
    cr_expect_eq(look_slowly(5, 0, DUR_S(4), DUR_S(3)), SKEW_OURS);
}
