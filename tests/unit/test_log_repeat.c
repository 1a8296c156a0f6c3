#include "common/log_repeat.h"

#include <criterion/criterion.h>

#define START DUR_S(1000)

static struct repeats repeats;

/* At that time after the start, this line: printed, and then after how many repetitions? -1: not.
 */
static long said(uint64_t hash, dur_ns after)
{
    unsigned long held_back = 12345;

    if (!repeat_is_news(&repeats, hash, START + after, &held_back)) {
        cr_expect_eq(held_back, 12345, "an output was touched");
        return -1;
    }
    return (long)held_back;
}

Test(log_repeat, a_new_line_is_printed)
{
    cr_expect_eq(said(1, 0), 0);
    cr_expect_eq(said(2, 0), 0);
    cr_expect_eq(said(0, 0), 0, "whatever its hash");
}

/* Says a line until one more would be held back. */
static void say_all_of_the_burst(uint64_t hash, dur_ns after)
{
    for (int i = 0; i < REPEAT_BURST; i++) {
        cr_expect_eq(said(hash, after), 0);
    }
}

Test(log_repeat, what_happens_twice_is_two_lines)
{
    cr_expect_eq(said(1, 0), 0);
    cr_expect_eq(said(1, 1), 0);
}

Test(log_repeat, a_flood_is_held_back_and_counted)
{
    say_all_of_the_burst(1, 0);
    cr_expect_eq(said(1, 1), -1);
    cr_expect_eq(said(1, DUR_S(5)), -1);
    cr_expect_eq(said(1, DUR_S(10) - 1), -1);
    cr_expect_eq(said(1, DUR_S(10)), 3);
}

Test(log_repeat, ten_seconds_count_from_the_first_of_the_burst)
{
    say_all_of_the_burst(1, 0);
    cr_expect_eq(said(1, DUR_S(10)), 0);
    cr_expect_eq(said(1, DUR_S(11)), 0);
    cr_expect_eq(said(1, DUR_S(12)), 0);
    cr_expect_eq(said(1, DUR_S(13)), 0);
    cr_expect_eq(said(1, DUR_S(14)), -1);
    cr_expect_eq(said(1, DUR_S(20)), 1);
}

Test(log_repeat, the_oldest_is_forgotten_first)
{
    for (int i = 0; i <= REPEAT_LINES; i++) {
        say_all_of_the_burst((uint64_t)i, i);
    }
    cr_expect_eq(said(REPEAT_LINES, DUR_S(1)), -1);
    cr_expect_eq(said(1, DUR_S(1)), -1);
    cr_expect_eq(said(0, DUR_S(1)), 0, "forgotten, so it is news");
}

Test(log_repeat, one_that_still_has_a_count_to_tell_is_forgotten_last)
{
    say_all_of_the_burst(0, 0);
    cr_expect_eq(said(0, 1), -1);
    for (int i = 1; i <= 3 * REPEAT_LINES; i++) {
        cr_expect_eq(said((uint64_t)i, i), 0);
    }
    cr_expect_eq(said(0, DUR_S(10)), 1);
}

Test(log_repeat, where_all_have_one_the_oldest_goes)
{
    for (int i = 0; i < REPEAT_LINES; i++) {
        say_all_of_the_burst((uint64_t)i, i);
        cr_expect_eq(said((uint64_t)i, i), -1);
    }
    cr_expect_eq(said(100, DUR_S(1)), 0);
    cr_expect_eq(said(1, DUR_S(11)), 1);
    cr_expect_eq(said(0, DUR_S(11)), 0);
}
