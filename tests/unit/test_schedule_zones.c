/*
 * Every zone of this system, from 2000 to 2100: what the program says of offsets and of the
 * instants of a schedule is what a slow walk over the C library's clocks finds.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/schedule.h"
#include "common/zone_load.h"
#include "tests/support/long_test.h"
#include "tests/unit/schedule_oracle.h"

#define SECOND_NS DUR_S(1)
#define YEAR_2000 INT64_C(946684800)
#define YEAR_2100 INT64_C(4102444800)
#define DAY INT64_C(86400)

/* Those in which something out of the ordinary happens. */
static const char *const special[] = {
    "Australia/Lord_Howe", "Antarctica/Troll",  "America/Sao_Paulo",    "Pacific/Apia",
    "Europe/Dublin",       "Africa/Casablanca", "America/St_Johns",     "Asia/Gaza",
    "Asia/Tehran",         "Antarctica/Casey",  "America/Caracas",      "Asia/Kathmandu",
    "Europe/Berlin",       "America/New_York",  "America/Scoresbysund",
};

static struct config_memory memory;

static void zone_of(const char *name, struct zone *ret_zone)
{
    struct zone_bytes bytes;
    char reason[200] = "";

    cr_assert_eq(zone_read(&memory, name, &bytes, reason, sizeof reason), 0, "%s", reason);
    cr_assert_eq(zone_make(&memory, name, bytes, ret_zone, reason, sizeof reason), 0, "%s", reason);
}

static uint64_t seed_of_this_run(void)
{
    const char *text = getenv("PGBATON_TEST_SEED");

    return text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
}

static char **all_zones(size_t *ret_count)
{
    char **names = oracle_names(ret_count);

    if (*ret_count == 0) {
        cr_skip_test("this system has no tzdata");
    }
    return names;
}

/* --- offsets --- */

static void compare_offset(const struct zone *zone, const char *name, int64_t second)
{
    time_t at = second;
    struct tm tm;

    cr_assert_not_null(localtime_r(&at, &tm));
    cr_assert_eq(zone_offset(zone, second), tm.tm_gmtoff, "%s at %ld: %d, not %ld", name, second,
                 zone_offset(zone, second), tm.tm_gmtoff);
}

Test(zones, offsets_are_those_of_the_c_library, .timeout = 300)
{
    size_t count;
    char **names = all_zones(&count);
    struct prng random;

    prng_seed(&random, seed_of_this_run());
    for (size_t i = 0; i < count; i++) {
        struct zone zone;
        char tz[128];

        zone_of(names[i], &zone);
        (void)snprintf(tz, sizeof tz, ":%s", names[i]);
        cr_assert_eq(setenv("TZ", tz, 1), 0);
        tzset();
        for (size_t s = 0; s < zone.count; s++) {
            int64_t from = zone.spans[s].from;

            if (from > 0 && from < YEAR_2100) {
                compare_offset(&zone, names[i], from - 1);
                compare_offset(&zone, names[i], from);
            }
        }
        for (int n = 0; n < 200; n++) {
            compare_offset(&zone, names[i], (int64_t)prng_below(&random, YEAR_2100));
        }
    }
    oracle_names_free(names);
    config_memory_release(&memory);
}

/* --- instants --- */

struct chain {
    const struct schedule *schedule;
    const struct oracle_cron *cron;
    const char *zone;
    wall_ns next;
    size_t count;
};

static void on_due(void *ctx, int64_t second)
{
    struct chain *c = ctx;

    cr_assert_eq(c->next, second * SECOND_NS, "'%s'%s in %s is due at %ld, not at %ld",
                 c->cron->text, c->cron->day_and ? " (and)" : "", c->zone, second,
                 c->next / SECOND_NS);

    wall_ns after = c->next;

    c->next = schedule_next(c->schedule, after);
    cr_assert_gt(c->next, after);
    c->count++;
}

/* From one time to another all instants are those of the walk, one after the other. */
static size_t compare(const struct oracle_cron *cron, const struct zone *zone,
                      const struct oracle_zone *clocks, int64_t from, int64_t to)
{
    struct schedule_options options = {.job = "x", .zone = zone, .day_and = cron->day_and};
    struct schedule schedule;
    char reason[300] = "";

    cr_assert_eq(schedule_parse(cron->text, &options, &schedule, reason, sizeof reason), 0,
                 "'%s': %s", cron->text, reason);

    struct chain chain = {.schedule = &schedule,
                          .cron = cron,
                          .zone = zone->name,
                          .next = schedule_next(&schedule, from * SECOND_NS - 1)};

    oracle_walk(cron, clocks, from, to, on_due, &chain);
    cr_assert_geq(chain.next, to * SECOND_NS, "'%s' in %s is not due at %ld", cron->text,
                  zone->name, chain.next / SECOND_NS);
    return chain.count;
}

/* Around some changes of the clocks, and in a stretch somewhere. */
static size_t compare_around_changes(const struct oracle_cron *cron, const struct zone *zone,
                                     const struct oracle_zone *clocks, struct prng *random)
{
    int64_t somewhere = YEAR_2000 + (int64_t)prng_below(random, YEAR_2100 - YEAR_2000 - 400 * DAY);
    size_t compared = compare(cron, zone, clocks, somewhere, somewhere + 400 * DAY);

    for (size_t i = 1; i < clocks->count; i += 1 + prng_below(random, 16)) {
        int64_t at = clocks->changes[i].from;

        if (at > YEAR_2000 + 10 * DAY && at < YEAR_2100 - 10 * DAY) {
            compared += compare(cron, zone, clocks, at - DAY, at + 2 * DAY);
        }
    }
    return compared;
}

static size_t compare_zone(const char *name, struct prng *random, unsigned expressions, bool whole)
{
    struct oracle_zone clocks;
    struct zone zone;
    size_t compared = 0;

    zone_of(name, &zone);
    oracle_zone_make(&clocks, name, YEAR_2000 - 10 * DAY, YEAR_2100);
    for (unsigned i = 0; i < expressions; i++) {
        struct oracle_cron cron;

        oracle_draw(random, &cron);
        compared += whole ? compare(&cron, &zone, &clocks, YEAR_2000, YEAR_2100)
                          : compare_around_changes(&cron, &zone, &clocks, random);
    }
    oracle_zone_release(&clocks);
    return compared;
}

Test(zones, no_instant_is_left_out_or_made_up_in_some_zones, .timeout = 300)
{
    uint64_t seed = seed_of_this_run();
    size_t count;
    char **names = all_zones(&count);
    size_t compared = 0;
    struct prng random;

    prng_seed(&random, seed);
    fprintf(stderr, "PGBATON_TEST_SEED=%lu\n", seed);
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        compared += compare_zone(special[i], &random, 4, false);
    }
    for (size_t i = 0; i < 10; i++) {
        compared += compare_zone(names[prng_below(&random, count)], &random, 3, false);
    }
    cr_expect_gt(compared, 10000);
    oracle_names_free(names);
    config_memory_release(&memory);
}

/* Two processes: every second zone each. */
static void compare_all(size_t first)
{
    size_t count;
    char **names = all_zones(&count);
    struct prng random;

    prng_seed(&random, seed_of_this_run());
    for (size_t i = first; i < count; i += 2) {
        (void)compare_zone(names[i], &random, 2, true);
    }
    oracle_names_free(names);
    config_memory_release(&memory);
}

Test(zones, no_instant_of_a_century_is_left_out_or_made_up_in_any_zone, .timeout = 7200)
{
    LONG_TEST();
    compare_all(0);
}

Test(zones, nor_in_the_other_half_of_them, .timeout = 7200)
{
    LONG_TEST();
    compare_all(1);
}
