#include <criterion/criterion.h>

#include "common/child.h"
#include "supervisor/restart.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define NOW DUR_S(1000)

static int exited(int code)
{
    return code << 8;
}

Test(restart, verdicts)
{
    static const struct {
        const char *title;
        int code;
        int signal;
        enum restart_verdict verdict;
    } cases[] = {
        {"a child that ended by itself starts again", CHILD_EXIT_ASKED, 0, RESTART_AT},
        {"so does one that failed", CHILD_EXIT_FAILED, 0, RESTART_AT},
        {"a bad configuration waits for a reload", CHILD_EXIT_CONFIG, 0, RESTART_ON_RELOAD},
        {"another build at the far end is the end", CHILD_EXIT_PROTOCOL, 0, RESTART_NEVER},
        {"an unknown code may pass", 77, 0, RESTART_AT},
        {"a crash may pass", 0, 11, RESTART_AT},
        {"signal 2 is not exit code 2", 0, 2, RESTART_AT},
        {"signal 3 is not exit code 3", 0, 3, RESTART_AT},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct restart r;
        struct prng random;
        mono_ns when = -1;
        int status = cases[i].signal != 0 ? cases[i].signal : exited(cases[i].code);

        prng_seed(&random, i);
        restart_init(&r);
        enum restart_verdict verdict = restart_decide(&r, status, DUR_S(1), NOW, &random, &when);
        cr_expect_eq(verdict, cases[i].verdict, "%s", cases[i].title);
        cr_expect((when != -1) == (verdict == RESTART_AT), "%s: when", cases[i].title);
        if (verdict == RESTART_AT) {
            cr_expect(when > NOW && when <= NOW + RESTART_WAIT_LEAST, "%s", cases[i].title);
        }
    }
}

Test(restart, waits_longer_each_time_up_to_a_limit_and_never_gives_up)
{
    struct restart r;
    struct prng random;
    mono_ns when = 0;
    dur_ns longest = 0;

    prng_seed(&random, 1);
    restart_init(&r);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(restart_decide(&r, exited(1), 0, NOW, &random, &when), RESTART_AT);
        cr_assert(when > NOW && when <= NOW + RESTART_WAIT_MOST, "death %d", i);
        longest = when - NOW > longest ? when - NOW : longest;
    }
    cr_expect_gt(longest, RESTART_WAIT_MOST / 2);
}

Test(restart, forgets_early_deaths_after_a_time_of_health)
{
    struct restart r;
    struct prng random;
    mono_ns when = 0;

    prng_seed(&random, 1);
    restart_init(&r);
    for (int i = 0; i < 20; i++) {
        (void)restart_decide(&r, exited(1), 0, NOW, &random, &when);
    }
    (void)restart_decide(&r, exited(1), RESTART_HEALTHY_AFTER, NOW, &random, &when);
    cr_expect_leq(when, NOW + RESTART_WAIT_LEAST);
}

Test(restart, two_instances_do_not_restart_in_step)
{
    struct restart a;
    struct restart b;
    struct prng one;
    struct prng two;
    mono_ns when_a = 0;
    mono_ns when_b = 0;

    prng_seed(&one, 1);
    prng_seed(&two, 2);
    restart_init(&a);
    restart_init(&b);
    (void)restart_decide(&a, exited(1), 0, NOW, &one, &when_a);
    (void)restart_decide(&b, exited(1), 0, NOW, &two, &when_b);
    cr_expect_neq(when_a, when_b);
}
