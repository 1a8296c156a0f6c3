/*
 * What a schedule means, and what none is. The instants of cron in every zone of the system:
 * test_schedule_zones.c.
 */
#include "common/schedule.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/instant.h"
#include "common/random.h"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    enum schedule_kind kind;
    dur_ns every;
} right[] = {
    {"a grid", "every 30s", SCHEDULE_EVERY, DUR_S(30)},
    {"blanks do not count", "  every \t 250ms", SCHEDULE_EVERY, DUR_MS(250)},
    {"the closest grid", "every 10ms", SCHEDULE_EVERY, DUR_MS(10)},
    {"a service", "always", SCHEDULE_ALWAYS, 0},
    {"when leadership begins", "@elected", SCHEDULE_ELECTED, 0},
    {"when it ends", "@released", SCHEDULE_RELEASED, 0},
    {"never", "manual", SCHEDULE_MANUAL, 0},
    {"cron", "*/5 * * * *", SCHEDULE_CRON, 0},
    {"cron with seconds", "0 0 3 * * mon-fri", SCHEDULE_CRON, 0},
    {"cron with blanks around", " 0  3\t* * * ", SCHEDULE_CRON, 0},
    {"cron's names", "@daily", SCHEDULE_CRON, 0},
    {"once", "at 2026-12-24T18:00", SCHEDULE_AT, 0},
    {"a chain", "after backup", SCHEDULE_AFTER, 0},
};

static const struct {
    const char *title;
    const char *text;
    const char *reason;
} wrong[] = {
    {"a grid without a length", "every", "'every ' needs a duration"},
    {"a length without a unit", "every 5", "'every 5' needs a duration such as 'every 30s'"},
    {"never is not often", "every 0", "too often: at least 'every 10ms'"},
    {"too often", "every 9ms", "too often"},
    {"words are whole", "everyday", "is not a schedule"},
    {"nothing behind a word", "always on", "is not a schedule"},
    {"nothing at all", "", "'' is not a schedule such as '30 3 * * *', '@daily', 'every 30s'"},
    {"case counts", "Always", "is not a schedule"},
    {"cron's own word for a start", "@reboot", "'@elected' runs once each time"},
    {"five words are no cron", "run it now and then", "is not a schedule"},
    {"nor are those that begin with an h", "halt it now and then", "is not a schedule"},
    {"four fields", "0 3 * *", "'0 3 * *' has 4 fields; right are 5"},
    {"seven fields", "0 0 3 * * * 2026", "has 7 fields; right are 5"},
    {"a minute too many", "60 * * * *", "minute '60': 60 is not one of 0 to 59"},
    {"an hour too many", "0 24 * * *", "hour '24': 24 is not one of 0 to 23"},
    {"no day 0", "0 0 0 * *", "day of month '0': 0 is not one of 1 to 31"},
    {"no month 13", "0 0 1 13 *", "month '13': 13 is not one of 1 to 12"},
    {"no weekday 8", "0 0 * * 8", "day of week '8': 8 is not one of 0 to 7"},
    {"a number with no end", "99999999999999999999 * * * *", "minute '99999999999999999999'"},
    {"a name in the wrong field", "0 0 mon * *", "day of month 'mon': right are 1 to 31"},
    {"half a name", "0 0 * * mo", "day of week 'mo': right are 0 to 7, sun to sat"},
    {"a name with a tail", "0 0 * * monday", "day of week 'monday': right are"},
    {"no value behind a comma", "1, * * * *", "minute '1,': right are 0 to 59"},
    {"no end of a range", "1- * * * *", "minute '1-': right are"},
    {"a step of nothing", "*/0 * * * *", "minute '*/0': a step may be 1 to 60 here"},
    {"a step wider than the field", "*/61 * * * *", "minute '*/61': a step may be 1 to 60 here"},
    {"wider than the hours", "0 */25 * * *", "hour '*/25': a step may be 1 to 24 here"},
    {"wider than the month", "0 0 */32 * *", "day of month '*/32': a step may be 1 to 31 here"},
    {"wider than the year", "0 0 1 */13 *", "month '*/13': a step may be 1 to 12 here"},
    {"wider than the week", "0 0 * * */8", "day of week '*/8': a step may be 1 to 7 here"},
    {"wider than the minute", "*/61 * * * * *", "second '*/61': a step may be 1 to 60 here"},
    {"a step of a step", "*/2/2 * * * *", "minute '*/2/2': right are"},
    {"? is for days", "? * * * *", "minute '?': ? is for the day fields; write *"},
    {"L alone among weekdays", "0 0 * * L", "5L is the last Friday of a month"},
    {"L among the minutes", "L * * * *", "is not a schedule"},
    {"W among weekdays", "0 0 * * 5W", "day of week '5W': right are"},
    {"no sixth Monday", "0 0 * * mon#6", "behind # may be 1 to 5"},
    {"a range of H without its end", "H(0-29 * * * *", "a range for H is written H(0-29)"},
    {"a range of H that is none", "H(5) * * * *", "a range for H is written H(0-29)"},
    {"no such date", "0 0 31 2 *", "'0 0 31 2 *' never comes: none of its months has such a day; L is the last day of a month"},
    {"nor in any of these", "0 0 31 4,6,9,11 *", "never comes"},
    {"a working day of no day", "0 0 30W 2 *", "never comes"},
    {"once without a time", "at", "'' is not a time such as 2026-12-24T18:00"},
    {"once, but not when", "at noon", "'noon' is not a time such as"},
    {"no such day", "at 2026-02-29T00:00", "'2026-02-29T00:00' is not a time"},
    {"beyond all time", "at 2300-01-01T00:00", "out of range; 1678 to 2261 are right"},
    {"after nothing", "after", "names no job; right are 'after JOB'"},
    {"after two", "after a b", "'after a b': behind the job's name 'b' is not understood; right are 'after JOB' (when it succeeds) and"},
    {"after any but not now", "after a any b", "behind the job's name 'any b' is not understood"},
    {"a length of two units", "every 1h30m", "'every 1h30m' needs a duration such as 'every 30s': one number and one unit, such as 90m"},
};
/* clang-format on */

Test(schedule, parse)
{
    for (size_t i = 0; i < ARRAY_LEN(right); i++) {
        struct schedule s = {0};
        char reason[300] = "untouched";

        cr_expect_eq(schedule_parse(right[i].text, NULL, &s, reason, sizeof(reason)), 0, "%s: %s",
                     right[i].title, reason);
        cr_expect(s.kind == right[i].kind && s.every == right[i].every, "%s", right[i].title);
        cr_expect_str_eq(reason, "untouched", "%s", right[i].title);
    }
}

Test(schedule, refuses)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct schedule s = {.kind = SCHEDULE_MANUAL, .every = 42};
        char reason[300] = "";

        cr_expect_eq(schedule_parse(wrong[i].text, NULL, &s, reason, sizeof(reason)), -EINVAL, "%s",
                     wrong[i].title);
        cr_expect_not_null(strstr(reason, wrong[i].reason), "%s: %s", wrong[i].title, reason);
        cr_expect(s.every == 42, "%s: the output was touched", wrong[i].title);
    }
}

static struct schedule parsed(const char *text, const struct schedule_options *options)
{
    struct schedule s = {0};
    char reason[300] = "";

    cr_assert_eq(schedule_parse(text, options, &s, reason, sizeof(reason)), 0, "%s: %s", text,
                 reason);
    return s;
}

static wall_ns time_of(const char *text)
{
    wall_ns at = 0;
    char reason[200];

    cr_assert_eq(instant_parse(text, zone_utc(), &at, reason, sizeof(reason)), 0, "%s", reason);
    return at;
}

/* --- what the fields mean, in UTC --- */

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    const char *after;
    const char *next[4]; /* the first of its instants after that */
} fields[] = {
    {"a step", "*/20 * * * *", "2026-01-01 00:00", {"2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z", "2026-01-01T01:00:00Z"}},
    {"strictly after", "0 3 * * *", "2026-01-01 03:00", {"2026-01-02T03:00:00Z"}},
    {"a fraction of a second before", "0 3 * * *", "2026-01-01 02:59:59.999999999", {"2026-01-01T03:00:00Z"}},
    {"a fraction of a second after", "0 3 * * *", "2026-01-01 03:00:00.000000001", {"2026-01-02T03:00:00Z"}},
    {"a step as wide as the hour", "*/60 * * * *", "2026-01-01 00:00", {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"}},
    {"as wide as the day", "0 */24 * * *", "2026-01-01 00:00", {"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"}},
    {"as wide as the month", "0 0 */31 * *", "2026-01-01 00:00", {"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"}},
    {"as wide as the year", "0 0 1 */12 *", "2026-01-01 00:00", {"2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"}},
    {"as wide as the week: 0 and 7, both Sunday", "0 0 * * */7", "2026-01-01 00:00", {"2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"}},
    {"the same from 7", "0 0 * * 7/7", "2026-01-01 00:00", {"2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"}},
    {"as wide as the minute", "*/60 * * * * *", "2026-01-01 00:00", {"2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"}},
    {"from a value, as wide as the field", "5/60 0 * * *", "2026-01-01 00:00", {"2026-01-01T00:05:00Z", "2026-01-02T00:05:00Z"}},
    {"from a value to the end", "5/25 0 * * *", "2026-01-01 00:00", {"2026-01-01T00:05:00Z", "2026-01-01T00:30:00Z", "2026-01-01T00:55:00Z", "2026-01-02T00:05:00Z"}},
    {"a range with a step", "10-50/20 0 * * *", "2026-01-01 00:00", {"2026-01-01T00:10:00Z", "2026-01-01T00:30:00Z", "2026-01-01T00:50:00Z", "2026-01-02T00:10:00Z"}},
    {"a range over midnight", "0 22-1 * * *", "2026-01-01 00:30", {"2026-01-01T01:00:00Z", "2026-01-01T22:00:00Z", "2026-01-01T23:00:00Z", "2026-01-02T00:00:00Z"}},
    {"with a step that goes on behind it", "0 21-4/3 * * *", "2026-01-01 04:00", {"2026-01-01T21:00:00Z", "2026-01-02T00:00:00Z", "2026-01-02T03:00:00Z", "2026-01-02T21:00:00Z"}},
    {"names over the weekend", "0 0 * * Fri-MON", "2026-01-01 12:00", {"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-05T00:00:00Z"}},
    {"7 is Sunday", "0 0 * * 7", "2026-01-01 00:00", {"2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"}},
    {"0 too", "0 0 * * 0", "2026-01-01 00:00", {"2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"}},
    {"a range to 7", "0 0 * * 6-7", "2026-01-01 00:00", {"2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-10T00:00:00Z"}},
    {"from 7 to 7", "0 0 * * 7-7", "2026-01-01 00:00", {"2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"}},
    {"a step from 0: Sunday, Tuesday, Thursday, Saturday", "0 0 * * 0/2", "2026-01-01 00:00", {"2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-06T00:00:00Z", "2026-01-08T00:00:00Z"}},
    {"a step from 7 is the same", "0 0 * * 7/2", "2026-01-01 00:00", {"2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-06T00:00:00Z", "2026-01-08T00:00:00Z"}},
    {"beside a day of month too", "0 0 1 * 7/2", "2026-01-01 00:00", {"2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-06T00:00:00Z", "2026-01-08T00:00:00Z"}},
    {"the whole week twice", "0 0 * * 0-7", "2026-01-01 00:00", {"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"}},
    {"months over the year", "0 0 1 nov-jan *", "2026-01-15 00:00", {"2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", "2027-11-01T00:00:00Z"}},
    {"seconds first", "*/30 59 23 * * *", "2026-01-01 00:00", {"2026-01-01T23:59:00Z", "2026-01-01T23:59:30Z", "2026-01-02T23:59:00Z"}},
    {"29 February", "0 0 29 2 *", "2026-01-01 00:00", {"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
    {"2100 has none", "0 0 29 2 *", "2096-02-29 00:00", {"2104-02-29T00:00:00Z"}},
    {"29 February on a Monday", "0 0 29 2 mon", "2026-01-01 00:00", {"2026-02-02T00:00:00Z"}},
    {"the last day", "0 0 L * *", "2026-01-31 00:00", {"2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z"}},
    {"the last working day", "0 0 LW * *", "2026-01-01 00:00", {"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z"}},
    {"nearest to the 15th: Thursday, Sunday, Sunday, Wednesday", "0 0 15W 1-4 *", "2026-01-01 00:00", {"2026-01-15T00:00:00Z", "2026-02-16T00:00:00Z", "2026-03-16T00:00:00Z", "2026-04-15T00:00:00Z"}},
    {"a Saturday 1st goes on, not back", "0 0 1W 8 *", "2026-07-31 00:00", {"2026-08-03T00:00:00Z"}},
    {"a Sunday 31st goes back, not on", "0 0 31W 5 *", "2026-05-01 00:00", {"2026-05-29T00:00:00Z"}},
    {"the last Friday", "0 0 * * 5L", "2026-01-01 00:00", {"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-27T00:00:00Z"}},
    {"by its name", "0 0 * * friL", "2026-01-01 00:00", {"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z"}},
    {"the second Monday", "0 0 * * mon#2", "2026-01-01 00:00", {"2026-01-12T00:00:00Z", "2026-02-09T00:00:00Z"}},
    {"a fifth one is not in every month", "0 0 * * 4#5", "2026-01-01 12:00", {"2026-01-29T00:00:00Z", "2026-04-30T00:00:00Z"}},
    {"both days restricted: either", "0 0 13 * fri", "2026-02-01 00:00", {"2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z", "2026-02-27T00:00:00Z"}},
    {"a star with a step is a star: both", "0 0 */2 * fri", "2026-02-01 00:00", {"2026-02-13T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-13T00:00:00Z"}},
    {"? is *", "0 0 ? * fri", "2026-02-01 00:00", {"2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"}},
    {"each hour", "@hourly", "2026-01-01 00:30", {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"}},
    {"each day", "@daily", "2026-01-01 00:30", {"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"}},
    {"each midnight", "@midnight", "2026-01-01 00:30", {"2026-01-02T00:00:00Z"}},
    {"each week", "@weekly", "2026-01-01 00:30", {"2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"}},
    {"each month", "@monthly", "2026-01-01 00:30", {"2026-02-01T00:00:00Z"}},
    {"each year", "@yearly", "2026-01-01 00:30", {"2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"}},
    {"each year too", "@annually", "2026-01-01 00:30", {"2027-01-01T00:00:00Z"}},
    {"before 1970", "0 12 * * *", "1969-07-20 20:17", {"1969-07-21T12:00:00Z"}},
    {"once", "at 2026-12-24T18:00", "2026-01-01 00:00", {"2026-12-24T18:00:00Z"}},
    {"once, with an offset", "at 2026-12-24T18:00:00+01:00", "2026-01-01 00:00", {"2026-12-24T17:00:00Z"}},
};
/* clang-format on */

Test(schedule, fields)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct schedule s = parsed(fields[i].text, NULL);
        wall_ns at = time_of(fields[i].after);

        for (size_t n = 0; n < ARRAY_LEN(fields[i].next) && fields[i].next[n] != NULL; n++) {
            at = schedule_next(&s, at);
            cr_assert_neq(at, WALL_NEVER, "%s", fields[i].title);
            cr_expect_str_eq(instant_in_zone(at, zone_utc()).is, fields[i].next[n], "%s: %s",
                             fields[i].title, instant_in_zone(at, zone_utc()).is);
        }
    }
}

Test(schedule, both_days_with_day_match_and)
{
    const struct schedule_options both = {.day_and = true};
    struct schedule s = parsed("0 0 13 * fri", &both);
    wall_ns at = schedule_next(&s, time_of("2026-01-01 00:00"));
    char reason[300];

    cr_expect_str_eq(instant_in_zone(at, zone_utc()).is, "2026-02-13T00:00:00Z");
    s = parsed("0 0 29 2 mon", &both);
    at = schedule_next(&s, time_of("2026-01-01 00:00"));
    cr_expect_str_eq(instant_in_zone(at, zone_utc()).is, "2044-02-29T00:00:00Z");
    cr_expect_eq(schedule_parse("0 0 29 * mon#1", &both, &s, reason, sizeof(reason)), -EINVAL);
    cr_expect_not_null(strstr(reason, "no such day of month is such a weekday"), "%s", reason);
}

/* --- the grid, and ends --- */

/* clang-format off */
static const struct {
    const char *title;
    dur_ns every;
    dur_ns offset;
    wall_ns after;
    wall_ns next;
} instants[] = {
    {"strictly after", DUR_S(10), 0, 0, DUR_S(10)},
    {"from inside a cell to its end", DUR_S(10), 0, DUR_S(12), DUR_S(20)},
    {"one before the instant", DUR_S(10), 0, DUR_S(20) - 1, DUR_S(20)},
    {"one after it", DUR_S(10), 0, DUR_S(20) + 1, DUR_S(30)},
    {"before the epoch", DUR_S(10), 0, -DUR_S(12), -DUR_S(10)},
    {"on the grid before the epoch", DUR_S(10), 0, -DUR_S(10), 0},
    {"a grid that no minute divides", DUR_S(7), 0, DUR_S(7) * 1000 + 1, DUR_S(7) * 1001},
    {"the end of time", DUR_S(10), 0, WALL_NEVER - 1, WALL_NEVER},
    {"with jitter", DUR_S(10), DUR_S(3), DUR_S(12), DUR_S(13)},
    {"on an instant with jitter", DUR_S(10), DUR_S(3), DUR_S(13), DUR_S(23)},
    {"more jitter than a cell", DUR_S(10), DUR_S(33), DUR_S(12), DUR_S(13)},
};
/* clang-format on */

Test(schedule, next)
{
    for (size_t i = 0; i < ARRAY_LEN(instants); i++) {
        struct schedule s = {
            .kind = SCHEDULE_EVERY, .every = instants[i].every, .offset = instants[i].offset};

        cr_expect_eq(schedule_next(&s, instants[i].after), instants[i].next, "%s",
                     instants[i].title);
    }
}

Test(schedule, no_clock_starts_the_others)
{
    for (enum schedule_kind kind = 0; kind <= SCHEDULE_MANUAL; kind++) {
        const struct schedule s = {.kind = kind, .every = 1};
        bool clocked = kind == SCHEDULE_EVERY || kind == SCHEDULE_CRON || kind == SCHEDULE_AT;

        cr_expect_eq(schedule_is_clocked(&s), clocked);
        cr_expect(clocked || schedule_next(&s, 0) == WALL_NEVER);
    }
}

Test(schedule, the_search_ends_with_time)
{
    static const wall_ns from[] = {WALL_NEVER - 1, WALL_NEVER - DUR_S(1), INT64_MIN, INT64_MIN + 1};
    static const char *const texts[] = {"* * * * * *", "0 0 29 2 *", "* * * * *", "30 2 * * *"};

    for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
        struct schedule_options options = {.job = "x", .jitter = DUR_S(3600)};
        struct schedule s = parsed(texts[t], &options);

        for (size_t i = 0; i < ARRAY_LEN(from); i++) {
            cr_expect_gt(schedule_next(&s, from[i]), from[i], "%s", texts[t]);
        }
        cr_expect_eq(schedule_next(&s, WALL_NEVER), WALL_NEVER);
    }
    /* The last leap day that wall_ns reaches is in 2260. */
    struct schedule s = parsed("0 0 29 2 *", NULL);
    wall_ns last = time_of("2260-02-29 00:00");

    cr_expect_eq(schedule_next(&s, last - 1), last);
    cr_expect_eq(schedule_next(&s, last), WALL_NEVER);
    s = parsed("at 2026-12-24T18:00", NULL);
    cr_expect_eq(schedule_next(&s, time_of("2026-12-24 18:00")), WALL_NEVER);
}

/* --- what comes from the name --- */

Test(schedule, what_is_made_from_a_name_never_changes)
{
    static const struct {
        const char *job;
        const char *text;
        const char *next;
    } kept[] = {
        {"backup", "H H * * *", "2026-01-01T16:05:00Z"},
        {"backup", "~ ~ * * *", "2026-01-01T16:05:00Z"},
        {"report", "H H * * *", "2026-01-01T00:23:00Z"},
        {"backup", "H/15 * * * *", "2026-01-01T00:05:00Z"},
        {"backup", "H(0-29) 5 * * *", "2026-01-01T05:05:00Z"},
        {"backup", "H,30 * * * *", "2026-01-01T00:05:00Z"},
        {"backup", "30,H * * * *", "2026-01-01T00:05:00Z"},
        {"backup", "h 3 * * *", "2026-01-01T03:05:00Z"},
        {"backup", "h,30 3 * * *", "2026-01-01T03:05:00Z"},
        {"backup", "h/15 * * * *", "2026-01-01T00:05:00Z"},
        {"backup", "h(0-29) 5 * * *", "2026-01-01T05:05:00Z"},
        {"backup", "0 h * * *", "2026-01-01T16:00:00Z"},
        {"backup", "H\nh\n*\n*\n*", "2026-01-01T16:05:00Z"},
        {"backup", "5~10 5 * * *", "2026-01-01T05:10:00Z"},
    };

    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        const struct schedule_options options = {.job = kept[i].job};
        struct schedule s = parsed(kept[i].text, &options);
        wall_ns at = schedule_next(&s, time_of("2026-01-01 00:00"));

        cr_expect_str_eq(instant_in_zone(at, zone_utc()).is, kept[i].next, "%s %s: %s", kept[i].job,
                         kept[i].text, instant_in_zone(at, zone_utc()).is);
    }
}

Test(schedule, a_hashed_value_stays_in_its_range)
{
    bool seen[60] = {false};
    unsigned different = 0;

    for (unsigned i = 0; i < 500; i++) {
        char name[16];
        struct schedule_options options = {.job = name};

        (void)snprintf(name, sizeof(name), "job-%u", i);

        struct schedule s = parsed("H(10-19) * H * *", &options);
        struct schedule step = parsed("H/20 5~9 * * *", &options);

        cr_expect_eq(s.cron.minutes & ~UINT64_C(0xffc00), 0, "%lx", s.cron.minutes);
        cr_expect_eq(__builtin_popcountll(s.cron.minutes), 1);
        cr_expect_eq(s.cron.days & 0xe0000001U, 0, "only days that every month has");
        cr_expect_eq(__builtin_popcountll(step.cron.minutes), 3);
        cr_expect_eq(step.cron.hours & ~0x3e0U, 0);
        different += seen[__builtin_ctzll(s.cron.minutes)] ? 0 : 1;
        seen[__builtin_ctzll(s.cron.minutes)] = true;
    }
    cr_expect_eq(different, 10);
}

Test(schedule, jitter_is_the_same_at_each_instant_and_differs_from_job_to_job)
{
    struct schedule_options options = {.job = "backup", .jitter = DUR_S(600)};
    struct schedule s = parsed("0 3 * * *", &options);
    struct schedule plain = parsed("0 3 * * *", NULL);
    wall_ns at = schedule_next(&s, time_of("2026-01-01 00:00"));
    wall_ns bare = schedule_next(&plain, time_of("2026-01-01 00:00"));

    cr_expect(s.offset > 0 && s.offset < DUR_S(600));
    cr_expect_eq(s.offset % DUR_MS(1), 0);
    cr_expect_eq(s.offset, DUR_MS(18006), "never another one: %ld", s.offset);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(at, bare + s.offset);
        cr_expect_eq(schedule_next(&s, at - 1), at);
        at = schedule_next(&s, at);
        bare = schedule_next(&plain, bare);
    }
    options.job = "report";
    cr_expect_neq(parsed("0 3 * * *", &options).offset, s.offset);
    cr_expect_eq(parsed("at 2026-12-24T18:00", &options).offset, 0);
}

Test(schedule, a_chain_knows_its_parent)
{
    struct schedule s = parsed("after  backup  any ", NULL);

    cr_expect(s.any);
    cr_expect_eq(schedule_parent_length(s.parent), strlen("backup"));
    cr_expect_eq(strncmp(s.parent, "backup", 6), 0);
    cr_expect_not(parsed("after backup", NULL).any);
}

/* --- the hash --- */

Test(schedule, the_hash_is_of_what_it_means)
{
    const struct schedule_options base = {.job = "a"};
    const struct schedule_options jittered = {.job = "a", .jitter = DUR_S(60)};
    const struct schedule_options both = {.job = "a", .day_and = true};
    const struct zone elsewhere = {.name = "X", .spans = zone_utc()->spans, .count = 1};
    const struct schedule_options zoned = {.job = "a", .zone = &elsewhere};
    struct schedule s = parsed("0 3 13 * fri", &base);
    struct schedule same = parsed("00 3  13 JAN-DEC 5", &base);
    uint64_t hash = schedule_hash(&s);

    cr_expect_eq(hash, UINT64_C(0xc1dad471ebb880fd), "in every version the same: %lx", hash);
    cr_expect_eq(schedule_hash(&same), hash, "another spelling");
    s = parsed("1 3 13 * fri", &base);
    cr_expect_neq(schedule_hash(&s), hash, "another time");
    s = parsed("0 3 13 * fri", &jittered);
    cr_expect_neq(schedule_hash(&s), hash, "jitter");
    s = parsed("0 3 13 * fri", &both);
    cr_expect_neq(schedule_hash(&s), hash, "day_match");
    s = parsed("0 3 13 * fri", &zoned);
    cr_expect_neq(schedule_hash(&s), hash, "zone");
    for (size_t i = 0; i < ARRAY_LEN(right); i++) {
        for (size_t k = 0; k < i; k++) {
            struct schedule one = parsed(right[i].text, &base);
            struct schedule other = parsed(right[k].text, &base);

            cr_expect_neq(schedule_hash(&one), schedule_hash(&other), "%s and %s", right[i].text,
                          right[k].text);
        }
    }
}

/* --- anything at all --- */

Test(schedule, no_text_does_harm)
{
    static const char alphabet[] = "0123456789*/,-?LWHhl#~() \tsunmonjanfeb@aftervyd:TZ+\xff\x01";
    struct prng random;
    size_t taken = 0;

    prng_seed(&random, 4);
    for (int i = 0; i < 60000; i++) {
        const struct schedule_options options = {.job = "x", .day_and = i % 2 == 0};
        char text[64] = "";
        char reason[120] = "";
        struct schedule s;
        size_t length = prng_below(&random, 30);

        for (size_t k = 0; k < length; k++) {
            text[k] = alphabet[prng_below(&random, sizeof(alphabet) - 1)];
        }
        if (i % 3 != 0) { /* the right number of fields, often of signs that fit */
            char field[16] = "1";

            for (size_t k = 0; k < (size_t)i % 7; k++) {
                char c = i % 3 == 1 ? "0123456789*/,-"[prng_below(&random, 14)] : text[k];

                field[k] = c == ' ' || c == '\t' || c == '\0' ? '1' : c;
            }
            (void)snprintf(text, sizeof(text), "%s * * * *", field);
        }
        if (schedule_parse(text, &options, &s, reason, sizeof(reason)) == 0) {
            wall_ns at = schedule_next(&s, DUR_S(1767225600));

            cr_assert_gt(at, DUR_S(1767225600), "%s", text);
            taken++;
        } else {
            cr_assert_neq(reason[0], '\0', "'%s' is refused without a reason", text);
        }
    }
    cr_expect_gt(taken, 100);
}
