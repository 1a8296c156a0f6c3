/*
 * How long does it take to find the next instant of a schedule? A mixed set of expressions, in UTC
 * and in a zone with daylight saving, one instant after the other. The floor: the C library takes
 * the same instants apart into date and time, and nothing else.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

#include "common/array.h"
#include "common/schedule.h"
#include "common/zone_load.h"
#include "tests/bench/table.h"

enum { ROUNDS = 20000 };

/* What people write most, and some that have to be looked for. */
static const char *const texts[] = {
    "* * * * *",
    "*/5 * * * *",
    "17 * * * *",
    "0 3 * * *",
    "30 2 * * *",
    "0 9-17 * * 1-5",
    "*/10 8-18 * * mon-fri",
    "0 0 * * 0",
    "0 0 1 * *",
    "0 0 1 1 *",
    "15 10 L * *",
    "0 22 * * 5L",
    "0 8 LW * *",
    "0 8 15W * *",
    "0 12 * * mon#2",
    "30 4 1,15 * fri",
    "*/15 30 * * * *",
    "0 0 29 2 *",
    "H H(0-7) * * *",
    "@hourly",
    "every 30s",
    "every 7m",
    "0 2-4 * mar,oct sun",
    "59 23 31 12 *",
};

static volatile wall_ns sink; /* or nothing would be worked out */

/* Of this thread: what others do on this machine does not count. */
static dur_ns used(void)
{
    struct timespec now;

    cr_assert_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return DUR_S(now.tv_sec) + now.tv_nsec;
}

/* Nanoseconds for each. */
static double next_ns(const struct zone *zone)
{
    const wall_ns from = INT64_C(1767225600) * DUR_S(1); /* 2026-01-01 */
    struct schedule schedules[ARRAY_LEN(texts)];
    wall_ns at[ARRAY_LEN(texts)];
    char reason[200];

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct schedule_options options = {.job = "bench", .zone = zone};

        cr_assert_eq(schedule_parse(texts[i], &options, &schedules[i], reason, sizeof reason), 0,
                     "%s", reason);
        at[i] = from;
    }

    dur_ns begin = used();

    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
            at[i] = schedule_next(&schedules[i], at[i]);
            if (at[i] == WALL_NEVER) {
                at[i] = from;
            }
        }
    }

    dur_ns end = used();

    sink = at[0];
    return (double)(end - begin) / (ROUNDS * ARRAY_LEN(texts));
}

static double floor_ns(struct tm *(*take_apart)(const time_t *, struct tm *))
{
    time_t at = 1767225600;
    struct tm tm = {0};
    dur_ns begin = used();

    for (size_t i = 0; i < ROUNDS * ARRAY_LEN(texts); i++, at += 37 * 60) {
        (void)take_apart(&at, &tm);
    }

    dur_ns end = used();

    sink = tm.tm_min;
    return (double)(end - begin) / (ROUNDS * ARRAY_LEN(texts));
}

Test(bench, schedule_next, .timeout = 120)
{
    static const char name[] = "Europe/Berlin";
    struct config_memory memory = {0};
    struct zone_bytes bytes;
    struct zone zone;
    char reason[200];

    table_amount("floor: gmtime_r", floor_ns(gmtime_r), 0, "ns");
    table_amount("schedule_next over a mixed set of expressions, UTC", next_ns(zone_utc()), 1000,
                 "ns");
    if (zone_read(&memory, name, &bytes, reason, sizeof reason) == 0 &&
        zone_make(&memory, name, bytes, &zone, reason, sizeof reason) == 0) {
        cr_assert_eq(setenv("TZ", ":Europe/Berlin", 1), 0);
        tzset();
        table_amount("floor: localtime_r, Europe/Berlin", floor_ns(localtime_r), 0, "ns");
        table_amount("the same set in Europe/Berlin", next_ns(&zone), 5000, "ns");
    }
    config_memory_release(&memory);
}
