#include <criterion/criterion.h>

#include "common/random.h"
#include "supervisor/shutdown.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define T0 DUR_S(1000)
#define TIMEOUT DUR_S(8)

static struct shutdown_actions feed(struct shutdown *s, enum shutdown_event_type type, mono_ns now)
{
    struct shutdown_actions actions;

    shutdown_step(s, &(struct shutdown_event){.type = type, .now = now}, &actions);
    return actions;
}

static bool has(const struct shutdown_actions *actions, enum shutdown_action action)
{
    for (unsigned i = 0; i < actions->count; i++) {
        if (actions->list[i] == action) {
            return true;
        }
    }
    return false;
}

Test(shutdown, bounds)
{
    static const struct {
        const char *title;
        dur_ns timeout;
        dur_ns grace;
        dur_ns drain;
        dur_ns over;
    } cases[] = {
        {"jobs drain until stop_timeout less the longest grace less 1 s", DUR_S(8), DUR_S(5),
         DUR_S(2), DUR_S(7)},
        {"without jobs there is no grace to keep", DUR_S(8), 0, DUR_S(7), DUR_S(7)},
        {"a grace longer than all of it leaves nothing to drain", DUR_S(8), DUR_S(60), 0, DUR_S(7)},
        {"a short stop_timeout gives the jobs half", DUR_MS(1000), 0, DUR_MS(500), DUR_MS(500)},
        {"a long one is theirs", DUR_S(3600), DUR_S(5), DUR_S(3594), DUR_S(3599)},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct shutdown_bounds b = shutdown_bounds(cases[i].timeout, cases[i].grace);

        cr_expect_eq(b.drain, cases[i].drain, "%s: drain", cases[i].title);
        cr_expect_eq(b.over, cases[i].over, "%s: over", cases[i].title);
    }
}

Test(shutdown, climbs_as_fast_as_things_end)
{
    struct shutdown s;

    shutdown_init(&s, TIMEOUT, true);
    cr_expect_eq(shutdown_wake_at(&s), MONO_NEVER);
    struct shutdown_actions a = feed(&s, SHUTDOWN_ASKED, T0);
    cr_expect(has(&a, SHUTDOWN_DO_RELEASE));
    a = feed(&s, SHUTDOWN_RELEASED, T0 + 1);
    cr_expect(has(&a, SHUTDOWN_DO_SIGNAL_SERVICE));
    a = feed(&s, SHUTDOWN_SERVICE_ENDED, T0 + 2);
    cr_expect(has(&a, SHUTDOWN_DO_STOP));
    cr_expect_not(has(&a, SHUTDOWN_DO_KILL_SERVICE));
    a = feed(&s, SHUTDOWN_CHILDREN_GONE, T0 + 3);
    cr_expect(has(&a, SHUTDOWN_DO_EXIT));
    cr_expect_not(has(&a, SHUTDOWN_DO_KILL));
    cr_expect_eq(s.rung, SHUTDOWN_DONE);
}

Test(shutdown, has_no_rung_for_a_service_that_is_not_there)
{
    struct shutdown s;

    shutdown_init(&s, TIMEOUT, false);
    feed(&s, SHUTDOWN_ASKED, T0);
    struct shutdown_actions a = feed(&s, SHUTDOWN_RELEASED, T0);
    cr_expect(has(&a, SHUTDOWN_DO_STOP));
    cr_expect_not(has(&a, SHUTDOWN_DO_SIGNAL_SERVICE));
}

/* The next leader has the machine for itself: neither processes nor sessions end meanwhile. */
Test(shutdown, lets_the_next_leader_begin_before_the_children_stop)
{
    struct shutdown s;

    shutdown_init(&s, TIMEOUT, false);
    feed(&s, SHUTDOWN_ASKED, T0);
    struct shutdown_actions a = feed(&s, SHUTDOWN_HANDED_OVER, T0 + 1);
    cr_expect_eq(a.count, 0);
    cr_expect_eq(shutdown_wake_at(&s), T0 + 1 + SHUTDOWN_REST);
    a = feed(&s, SHUTDOWN_TICK, T0 + SHUTDOWN_REST);
    cr_expect_eq(a.count, 0);
    a = feed(&s, SHUTDOWN_TICK, T0 + 1 + SHUTDOWN_REST);
    cr_expect(has(&a, SHUTDOWN_DO_STOP));
}

/* What the service does with its time is its own: it is told at once. */
Test(shutdown, keeps_no_service_waiting_for_the_next_leader)
{
    struct shutdown s;

    shutdown_init(&s, TIMEOUT, true);
    feed(&s, SHUTDOWN_ASKED, T0);
    struct shutdown_actions a = feed(&s, SHUTDOWN_HANDED_OVER, T0);
    cr_expect(has(&a, SHUTDOWN_DO_SIGNAL_SERVICE));
    a = feed(&s, SHUTDOWN_SERVICE_ENDED, T0 + 1);
    cr_expect_eq(a.count, 0);
    cr_expect_eq(shutdown_wake_at(&s), T0 + SHUTDOWN_REST);
    a = feed(&s, SHUTDOWN_TICK, T0 + SHUTDOWN_REST);
    cr_expect(has(&a, SHUTDOWN_DO_STOP));
    cr_expect_not(has(&a, SHUTDOWN_DO_KILL_SERVICE));
}

Test(shutdown, in_a_hurry_waits_for_no_next_leader)
{
    struct shutdown s;

    shutdown_init(&s, TIMEOUT, false);
    feed(&s, SHUTDOWN_ASKED_AT_ONCE, T0);
    struct shutdown_actions a = feed(&s, SHUTDOWN_HANDED_OVER, T0);
    cr_expect(has(&a, SHUTDOWN_DO_STOP));

    shutdown_init(&s, TIMEOUT, false);
    feed(&s, SHUTDOWN_ASKED, T0);
    feed(&s, SHUTDOWN_HANDED_OVER, T0);
    a = feed(&s, SHUTDOWN_ASKED, T0 + 1);
    cr_expect(has(&a, SHUTDOWN_DO_STOP), "the second time is at once");

    shutdown_init(&s, DUR_MS(20), false);
    feed(&s, SHUTDOWN_ASKED, T0);
    feed(&s, SHUTDOWN_HANDED_OVER, T0);
    cr_expect_lt(shutdown_wake_at(&s), T0 + DUR_MS(20), "stop_timeout is over before");
}

/* Nothing answers: every rung ends by its deadline, and all of it in time, for any stop_timeout. */
Test(shutdown, is_over_in_time_even_if_nothing_answers)
{
    static const dur_ns timeouts[] = {DUR_MS(1), DUR_MS(100), DUR_S(1), DUR_S(8), DUR_S(3600)};

    for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
        for (int at_once = 0; at_once < 2; at_once++) {
            struct shutdown s;
            bool seen[16] = {false};
            int turns = 0;

            shutdown_init(&s, timeouts[i], true);
            feed(&s, at_once ? SHUTDOWN_ASKED_AT_ONCE : SHUTDOWN_ASKED, T0);
            while (s.rung != SHUTDOWN_DONE) {
                mono_ns at = shutdown_wake_at(&s);

                cr_assert_leq(at, T0 + timeouts[i]);
                cr_assert(at < T0 + timeouts[i] || timeouts[i] < DUR_MS(100),
                          "something is left for the sweep");
                cr_assert(!at_once || at <= T0 + SHUTDOWN_AT_ONCE);
                cr_assert_lt(turns++, 10);
                struct shutdown_actions a = feed(&s, SHUTDOWN_TICK, at);
                for (unsigned n = 0; n < a.count; n++) {
                    seen[a.list[n]] = true;
                }
            }
            cr_expect(seen[SHUTDOWN_DO_SIGNAL_SERVICE] && seen[SHUTDOWN_DO_KILL_SERVICE] &&
                      seen[SHUTDOWN_DO_STOP] && seen[SHUTDOWN_DO_TERM] && seen[SHUTDOWN_DO_KILL] &&
                      seen[SHUTDOWN_DO_EXIT]);
        }
    }
}

Test(shutdown, the_second_time_is_at_once)
{
    struct shutdown s;

    shutdown_init(&s, DUR_S(60), false);
    feed(&s, SHUTDOWN_ASKED, T0);
    mono_ns before = shutdown_wake_at(&s);
    struct shutdown_actions a = feed(&s, SHUTDOWN_ASKED, T0 + DUR_S(1));
    cr_expect(has(&a, SHUTDOWN_DO_RELEASE_NOW));
    cr_expect_lt(shutdown_wake_at(&s), before);
    cr_expect_leq(s.ends_at, T0 + DUR_S(1) + SHUTDOWN_AT_ONCE);
    a = feed(&s, SHUTDOWN_ASKED, T0 + DUR_S(1));
    cr_expect_eq(a.count, 0, "a third time says nothing new");
}

Test(shutdown, hurrying_never_gives_more_time)
{
    struct shutdown s;

    shutdown_init(&s, DUR_MS(500), false);
    feed(&s, SHUTDOWN_ASKED, T0);
    feed(&s, SHUTDOWN_ASKED_AT_ONCE, T0 + DUR_MS(100));
    cr_expect_leq(s.ends_at, T0 + DUR_MS(500));
}

Test(shutdown, a_reload_does_not_change_one_under_way)
{
    struct shutdown s;

    shutdown_init(&s, TIMEOUT, false);
    feed(&s, SHUTDOWN_ASKED, T0);
    shutdown_configure(&s, DUR_S(3600));
    cr_expect_leq(shutdown_wake_at(&s), T0 + TIMEOUT);
}

Test(shutdown, only_rises_whatever_happens)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct prng random;
        struct shutdown s;
        mono_ns now = T0;

        prng_seed(&random, seed);
        shutdown_init(&s, (dur_ns)prng_below(&random, (uint64_t)DUR_S(20)) + 1, seed % 2 == 0);
        for (int i = 0; i < 100; i++) {
            enum shutdown_rung before = s.rung;
            mono_ns ends_before = s.ends_at;

            now += (dur_ns)prng_below(&random, (uint64_t)DUR_MS(500));
            feed(&s, (enum shutdown_event_type)prng_below(&random, SHUTDOWN_EVENT_COUNT), now);
            cr_assert_geq(s.rung, before);
            cr_assert(s.ends_at <= ends_before);
        }
    }
}
