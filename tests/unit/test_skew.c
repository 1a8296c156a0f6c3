#include <criterion/criterion.h>

#include "worker/probe/skew.h"

#define LIMIT DUR_S(2)
#define BOOTED DUR_S(1000000) /* the wall clock at the zero of CLOCK_BOOTTIME */

static struct skew skew;
static dur_ns offset;
static struct server_identity server = {.system_id = 1, .timeline = 1};

/* A look at that second, by clocks that are off by so much; the answer took that long. */
static enum skew_verdict look_slowly(int64_t second, dur_ns ours, dur_ns servers, dur_ns took)
{
    const struct skew_sight seen = {
        .server = server,
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

/* Three looks; limit 2 s. A look that took `took` is unsure by half of it. */
/* clang-format off */
static const struct {
    const char *title;
    dur_ns took[3];
    dur_ns ours[3];
    dur_ns servers[3];
    enum skew_verdict verdicts[3];
} slow_cases[] = {
    {"a slow first answer proves nothing against a clock, a slow second one enough",
        {DUR_S(4), DUR_S(4), 0},         {DUR_S(3), DUR_S(5), DUR_S(5)}, {0, 0, 0},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"a slow first answer is no agreement either: the next tells that ours never agreed",
        {DUR_MS(2200), 0, 0},            {DUR_S(3), DUR_S(3), DUR_S(3)}, {0, 0, 0},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"ours was set, and a slow answer does not make that the server's doing",
        {0, DUR_MS(2200), 0},            {0, DUR_S(3), DUR_S(3)},        {0, 0, 0},
        {SKEW_NONE, SKEW_NONE, SKEW_OURS}},
    {"a slow answer does not acquit our clock",
        {0, 0, DUR_MS(2200)},            {0, DUR_S(3), DUR_S(3)},        {0, 0, 0},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"nor the server's",
        {0, 0, DUR_MS(2200)},            {0, 0, 0},                      {0, DUR_S(4), DUR_S(3)},
        {SKEW_NONE, SKEW_SERVERS, SKEW_SERVERS}},
    {"an answer that leaves open less than what is missing to the limit is agreement",
        {0, 0, DUR_S(2)},                {0, DUR_S(3), DUR_S(1)},        {0, 0, 0},
        {SKEW_NONE, SKEW_OURS, SKEW_NONE}},
    {"and no nanosecond more",
        {0, 0, DUR_S(2)},                {0, DUR_S(3), DUR_S(1) + 1},    {0, 0, 0},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"at the limit they are not apart",
        {0, DUR_S(2), DUR_S(2)},         {0, DUR_S(3), DUR_S(3) + 1},    {0, 0, 0},
        {SKEW_NONE, SKEW_NONE, SKEW_OURS}},
    {"a step is more than what its own answer leaves open",
        {0, DUR_S(3), 0},                {0, 0, 0},                      {DUR_MS(1900), DUR_S(4), DUR_S(4)},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"and more than what the answer of the agreement left open",
        {DUR_MS(3800), 0, 0},            {0, 0, 0},                      {0, DUR_MS(2800), DUR_MS(2800)},
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"of which a large step is more",
        {DUR_MS(3800), 0, 0},            {0, 0, 0},                      {0, DUR_MS(3000), DUR_MS(3000)},
        {SKEW_NONE, SKEW_SERVERS, SKEW_SERVERS}},
};
/* clang-format on */

Test(skew, a_slow_answer_that_proves_neither_changes_nothing)
{
    for (size_t i = 0; i < sizeof slow_cases / sizeof slow_cases[0]; i++) {
        skew = (struct skew){0};
        for (size_t n = 0; n < 3; n++) {
            enum skew_verdict verdict =
                look_slowly((int64_t)(5 * n), slow_cases[i].ours[n], slow_cases[i].servers[n],
                            slow_cases[i].took[n]);

            cr_expect_eq(verdict, slow_cases[i].verdicts[n], "%s: look %zu says %d",
                         slow_cases[i].title, n, (int)verdict);
        }
    }
}

/* clang-format off */
static const struct {
    const char *title;
    struct server_identity next;
    dur_ns ours[3];    /* at a look at the first server, and two at the next */
    dur_ns servers[3];
    dur_ns took;       /* the last two */
    enum skew_verdict verdicts[3];
} servers_cases[] = {
    {"the same server, after another session",
        {.system_id = 1, .timeline = 1}, {0, 0, 0}, {0, DUR_S(60), DUR_S(60)}, 0,
        {SKEW_NONE, SKEW_SERVERS, SKEW_SERVERS}},
    {"another cluster",
        {.system_id = 2, .timeline = 1}, {0, 0, 0}, {0, DUR_S(60), DUR_S(60)}, 0,
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"a standby that was promoted",
        {.system_id = 1, .timeline = 2}, {0, 0, 0}, {0, DUR_S(60), DUR_S(60)}, 0,
        {SKEW_NONE, SKEW_OURS, SKEW_OURS}},
    {"what it agrees upon counts from then on",
        {.system_id = 1, .timeline = 2}, {0, 0, 0}, {0, DUR_S(1), DUR_S(60)}, 0,
        {SKEW_NONE, SKEW_NONE, SKEW_SERVERS}},
    {"that ours is wrong is so until they agree",
        {.system_id = 1, .timeline = 2}, {DUR_S(60), 0, 0}, {0, DUR_S(1), 0}, DUR_MS(3800),
        {SKEW_OURS, SKEW_OURS, SKEW_NONE}},
};
/* clang-format on */

Test(skew, another_server_has_a_clock_with_which_ours_never_agreed)
{
    for (size_t i = 0; i < sizeof servers_cases / sizeof servers_cases[0]; i++) {
        skew = (struct skew){0};
        for (size_t n = 0; n < 3; n++) {
            server = n == 0 ? (struct server_identity){.system_id = 1, .timeline = 1}
                            : servers_cases[i].next;
            enum skew_verdict verdict =
                look_slowly((int64_t)(5 * n), servers_cases[i].ours[n], servers_cases[i].servers[n],
                            n == 0 ? 0 : servers_cases[i].took);

            cr_expect_eq(verdict, servers_cases[i].verdicts[n], "%s: look %zu says %d",
                         servers_cases[i].title, n, (int)verdict);
        }
    }
}

Test(skew, what_the_next_server_has_not_answered_yet_is_not_said_of_its_clock)
{
    skew = (struct skew){0};
    cr_expect_eq(look(0, 0, 0), SKEW_NONE);
    cr_expect_eq(look(5, 0, DUR_S(60)), SKEW_SERVERS);
    server.timeline = 2;
    cr_expect_eq(look_slowly(10, 0, DUR_S(1), DUR_MS(3800)), SKEW_NONE);
}
