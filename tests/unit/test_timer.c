#include "common/timer.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "common/array.h"

/* What happened to one timer. */
struct seen {
    struct timer timer;
    struct ev_loop *loop;
    int due;
    int clock_set;
    mono_ns at;
};

static void on_due(void *ctx)
{
    struct seen *s = ctx;

    s->due++;
    s->at = clock_now();
    ev_break(s->loop, EVBREAK_ALL);
}

static void on_clock_set(void *ctx)
{
    struct seen *s = ctx;

    s->clock_set++;
}

static struct seen seen;

static void set_up(void)
{
    seen = (struct seen){.loop = ev_loop_new(EVFLAG_NOENV)};
    cr_assert_not_null(seen.loop);
}

static void tear_down(void)
{
    timer_release(&seen.timer);
    ev_loop_destroy(seen.loop);
}

TestSuite(timer, .init = set_up, .fini = tear_down, .timeout = 60);

Test(timer, fires_once_and_not_early)
{
    cr_assert_eq(timer_init(&seen.timer, seen.loop, on_due, &seen), 0);
    mono_ns at = clock_now() + DUR_MS(20);

    timer_arm(&seen.timer, at);
    ev_run(seen.loop, 0);
    cr_expect_eq(seen.due, 1);
    cr_expect_geq(seen.at, at);
    ev_run(seen.loop, EVRUN_NOWAIT);
    cr_expect_eq(seen.due, 1);
}

Test(timer, a_moment_in_the_past_fires_on_the_next_turn)
{
    static const mono_ns past[] = {1, 0, -1, INT64_MIN};

    cr_assert_eq(timer_init(&seen.timer, seen.loop, on_due, &seen), 0);
    for (size_t i = 0; i < ARRAY_LEN(past); i++) {
        timer_arm(&seen.timer, past[i]);
        ev_run(seen.loop, 0);
        cr_expect_eq(seen.due, (int)i + 1, "moment %lld", (long long)past[i]);
    }
}

Test(timer, never_disarms)
{
    struct itimerspec left;

    cr_assert_eq(timer_init(&seen.timer, seen.loop, on_due, &seen), 0);
    timer_arm(&seen.timer, clock_now() + DUR_MS(1));
    timer_arm(&seen.timer, MONO_NEVER);
    cr_assert_eq(timerfd_gettime(seen.timer.fd, &left), 0);
    cr_expect_eq(left.it_value.tv_sec, 0);
    cr_expect_eq(left.it_value.tv_nsec, 0);
}

Test(timer, arming_again_replaces)
{
    cr_assert_eq(timer_init(&seen.timer, seen.loop, on_due, &seen), 0);
    mono_ns later = clock_now() + DUR_MS(50);

    timer_arm(&seen.timer, clock_now() + DUR_MS(5));
    timer_arm(&seen.timer, later);
    ev_run(seen.loop, 0);
    cr_expect_eq(seen.due, 1);
    cr_expect_geq(seen.at, later);
}

Test(timer, a_wall_timer_fires_by_the_wall_clock)
{
    cr_assert_eq(timer_init_wall(&seen.timer, seen.loop, on_due, on_clock_set, &seen), 0);
    timer_arm(&seen.timer, clock_wall() + DUR_MS(20));
    ev_run(seen.loop, 0);
    cr_expect_eq(seen.due, 1);
    timer_arm(&seen.timer, WALL_NEVER);
    ev_run(seen.loop, EVRUN_NOWAIT);
    cr_expect_eq(seen.due, 1);
}

/* Setting the clock to what it says is a step for the kernel, and harmless to everybody else. */
static bool clock_can_be_set(void)
{
    struct timespec now;

    return clock_gettime(CLOCK_REALTIME, &now) == 0 && clock_settime(CLOCK_REALTIME, &now) == 0;
}

Test(timer, a_step_of_the_clock_is_reported_while_nothing_is_armed)
{
    cr_assert_eq(timer_init_wall(&seen.timer, seen.loop, on_due, on_clock_set, &seen), 0);
    if (!clock_can_be_set()) {
        cr_skip_test("the clock may not be set here");
    }
    ev_run(seen.loop, EVRUN_ONCE);
    cr_expect_geq(seen.clock_set, 1); /* others may set it too */
    cr_expect_eq(seen.due, 0);
}

/* timerfd_settime(2) itself answers ECANCELED then, and a later read says nothing any more. */
Test(timer, a_step_of_the_clock_before_arming_is_not_lost)
{
    cr_assert_eq(timer_init_wall(&seen.timer, seen.loop, on_due, on_clock_set, &seen), 0);
    if (!clock_can_be_set()) {
        cr_skip_test("the clock may not be set here");
    }
    timer_arm(&seen.timer, clock_wall() + DUR_MS(100));
    cr_expect_eq(seen.clock_set, 0, "never from inside timer_arm()");
    ev_run(seen.loop, 0);
    cr_expect_geq(seen.clock_set, 1); /* others may set it too */
    cr_expect_eq(seen.due, 1, "armed all the same");
}

/* read(2) answers ECANCELED then, and the kernel forgets that the timer was due. */
Test(timer, what_is_due_when_the_clock_is_set_still_fires)
{
    struct pollfd fd = {.events = POLLIN};

    cr_assert_eq(timer_init_wall(&seen.timer, seen.loop, on_due, on_clock_set, &seen), 0);
    timer_arm(&seen.timer, clock_wall() + DUR_MS(1));
    fd.fd = seen.timer.fd;
    cr_assert_eq(poll(&fd, 1, 60000), 1);
    if (!clock_can_be_set()) {
        cr_skip_test("the clock may not be set here");
    }
    ev_run(seen.loop, 0);
    cr_expect_geq(seen.clock_set, 1); /* others may set it too */
    cr_expect_eq(seen.due, 1);
}

Test(timer, release_takes_one_that_was_never_there)
{
    struct timer never = {0};

    timer_release(&never);
    cr_assert_eq(timer_init(&never, seen.loop, on_due, &seen), 0);
    timer_release(&never);
    timer_release(&never);
}
