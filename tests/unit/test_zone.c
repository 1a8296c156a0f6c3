/*
 * Zones: the files of tzdata, and whatever else may be where they should be; the cases in which
 * something out of the ordinary happens to the clocks, each with its instants written out.
 */
#include "common/zone.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/instant.h"
#include "common/random.h"
#include "common/schedule.h"
#include "common/zone_load.h"
#include "common/zone_rule.h"
#include "common/zone_tzif.h"
#include "tests/unit/config_fixture.h"

static struct config_memory memory;

static void forget(void)
{
    config_memory_release(&memory);
}

TestSuite(zone, .fini = forget);

static void zone_of(const char *name, struct zone *ret_zone)
{
    struct zone_bytes bytes;
    char reason[300] = "";

    if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) == -1) {
        cr_skip_test("this system has no tzdata");
    }
    cr_assert_eq(zone_read(&memory, name, &bytes, reason, sizeof reason), 0, "%s", reason);
    cr_assert_eq(zone_make(&memory, name, bytes, ret_zone, reason, sizeof reason), 0, "%s", reason);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *zone;
    const char *text;
    const char *after; /* as the clocks there show it */
    const char *next[6];
} cases[] = {
    {"a fixed time in the gap runs right after it", "Europe/Berlin", "30 2 * * *", "2026-03-28 12:00",
        {"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
    {"several run once", "Europe/Berlin", "0,15,30,45 2 * * *", "2026-03-28 12:00",
        {"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
    {"once, too, with the one that is due then anyway", "Europe/Berlin", "30 1-3 * * *", "2026-03-29 00:00",
        {"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T01:30:00+02:00"}},
    {"its end is one instant", "Europe/Berlin", "0 2,3 * * *", "2026-03-29 00:00",
        {"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
    {"in the repeated hour the first time", "Europe/Berlin", "30 2 * * *", "2026-10-24 12:00",
        {"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
    {"what follows the clock has nothing in the gap", "Europe/Berlin", "*/30 * * * *", "2026-03-29 01:00",
        {"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"}},
    {"also where its hour is that one", "Europe/Berlin", "*/30 2 * * *", "2026-03-28 12:00",
        {"2026-03-30T02:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
    {"and runs again in the repetition", "Europe/Berlin", "*/30 2 * * *", "2026-10-25 00:00",
        {"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:00:00+01:00"}},
    {"every hour of a star too", "America/New_York", "30 */1 * * *", "2026-11-01 00:00",
        {"2026-11-01T00:30:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-01T02:30:00-05:00"}},
    {"half an hour forward", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03 12:00",
        {"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
    {"half an hour back", "Australia/Lord_Howe", "*/15 1 * * *", "2026-04-05 00:59",
        {"2026-04-05T01:00:00+11:00", "2026-04-05T01:15:00+11:00", "2026-04-05T01:30:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T01:45:00+10:30"}},
    {"two hours forward", "Antarctica/Troll", "30 1,2 * * *", "2026-03-29 00:00",
        {"2026-03-29T03:00:00+02:00", "2026-03-30T01:30:00+02:00"}},
    {"two hours back", "Antarctica/Troll", "30 1,2 * * *", "2026-10-25 00:00",
        {"2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T01:30:00+00:00"}},
    {"a midnight that is missing", "America/Sao_Paulo", "0 0 * * *", "2018-11-03 12:00",
        {"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
    {"a midnight that comes twice", "America/Sao_Paulo", "30 23 * * *", "2018-02-17 12:00",
        {"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"}},
    {"a day that is missing runs right after it, once", "Pacific/Apia", "0 8,12 * * *", "2011-12-29 12:00",
        {"2011-12-31T00:00:00+14:00", "2011-12-31T08:00:00+14:00"}},
    {"also where it was that day alone", "Pacific/Apia", "0 12 30 12 *", "2011-01-01 00:00",
        {"2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"}},
    {"what follows the clock leaves it out", "Pacific/Apia", "*/30 12 * * *", "2011-12-29 12:30",
        {"2011-12-31T12:00:00+14:00"}},
    {"a winter time that is the exception", "Europe/Dublin", "30 1 * * *", "2026-03-28 12:00",
        {"2026-03-29T02:00:00+01:00", "2026-03-30T01:30:00+01:00"}},
    {"and its repeated hour", "Europe/Dublin", "30 1 * * *", "2026-10-24 12:00",
        {"2026-10-25T01:30:00+01:00", "2026-10-26T01:30:00+00:00"}},
    {"by the rule, long after the last change in the file", "Europe/Berlin", "30 2 * * *", "2250-03-30 12:00",
        {"2250-03-31T03:00:00+02:00", "2250-04-01T02:30:00+02:00"}},
    {"once, in a gap", "Europe/Berlin", "at 2026-03-29T02:30", "2026-01-01 00:00",
        {"2026-03-29T03:00:00+02:00"}},
    {"once, in a repetition", "Europe/Berlin", "at 2026-10-25 02:30", "2026-01-01 00:00",
        {"2026-10-25T02:30:00+02:00"}},
    {"the rare one across many changes", "Europe/Berlin", "30 2 29 2 *", "2026-01-01 00:00",
        {"2028-02-29T02:30:00+01:00", "2032-02-29T02:30:00+01:00"}},
};
/* clang-format on */

Test(zone, clocks_that_are_set)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct zone zone;
        struct schedule s;
        char reason[300] = "";
        wall_ns at = 0;

        zone_of(cases[i].zone, &zone);
        struct schedule_options options = {.zone = &zone};
        cr_assert_eq(schedule_parse(cases[i].text, &options, &s, reason, sizeof reason), 0, "%s",
                     reason);
        cr_assert_eq(instant_parse(cases[i].after, &zone, &at, reason, sizeof reason), 0);
        for (size_t n = 0; n < ARRAY_LEN(cases[i].next) && cases[i].next[n] != NULL; n++) {
            at = schedule_next(&s, at);
            cr_assert_neq(at, WALL_NEVER, "%s", cases[i].title);
            cr_expect_str_eq(instant_in_zone(at, &zone).is, cases[i].next[n], "%s: %s",
                             cases[i].title, instant_in_zone(at, &zone).is);
        }
    }
}

Test(zone, names_do_not_lead_out_of_the_directory)
{
    static const char *const bad[] = {
        "",
        "/etc/passwd",
        "../../etc/passwd",
        "Europe/../../../etc/passwd",
        "Europe/",
        "/",
        "./UTC",
        "Europe//Berlin",
        "Europe/.Berlin",
        "Europe/Ber lin",
        ".",
        "Europe\\x",
        "a\nb",
        "UTC%s",
    };
    char why[200] = "";

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct zone_bytes bytes;

        cr_expect_not(zone_is_name(bad[i], why, sizeof why), "'%s'", bad[i]);
        cr_expect_eq(zone_read(&memory, bad[i], &bytes, why, sizeof why), -EINVAL, "'%s'", bad[i]);
    }
    cr_expect_not(
        zone_is_name("Europe/"
                     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                     why, sizeof why));
    cr_expect(zone_is_name("America/Argentina/Buenos_Aires", why, sizeof why));
    cr_expect(zone_is_name("Etc/GMT+5", why, sizeof why));
}

static void refused(const char *name, const char *reason)
{
    struct zone zone;
    struct zone_bytes bytes;
    char why[400] = "";
    int rc = zone_read(&memory, name, &bytes, why, sizeof why);

    rc = rc < 0 ? rc : zone_make(&memory, name, bytes, &zone, why, sizeof why);
    cr_expect_eq(rc, -EINVAL, "%s: %d", name, rc);
    cr_expect_not_null(strstr(why, reason), "%s: %s", name, why);
}

Test(zone, what_is_no_zone_is_refused)
{
    struct zone zone;

    zone_of("Europe/Berlin", &zone);
    refused("Europe/Berln", "'Europe/Berln' is no time zone: /usr/share/zoneinfo has none of that "
                            "name; names such as Europe/Berlin or UTC are right");
    refused("Europe", "Is a directory");
    refused("zone.tab", "is no file of a time zone");
    refused("Europe/Berlin/Mitte", "has none of that name");
}

Test(zone, utc_needs_no_tzdata, .init = config_fixture_up, .fini = config_fixture_down)
{
    struct zone_bytes bytes;
    struct zone zone;
    char why[400] = "";

    cr_assert_eq(setenv("TZDIR", "/nowhere", 1), 0);
    cr_expect_eq(zone_read(&memory, "Etc/UTC", &bytes, why, sizeof why), 0);
    cr_expect_eq(zone_make(&memory, "Etc/UTC", bytes, &zone, why, sizeof why), 0);
    cr_expect_eq(zone_offset(&zone, 1767225600), 0);
    refused("Europe/Berlin", "this system has none (there is no /nowhere); install tzdata, or use "
                             "UTC");
    config_memory_release(&memory);
}

/* --- files --- */

/* A file of version 2 without changes and types but one, whose rule follows. */
static size_t minimal(unsigned char *bytes, size_t room, const char *rule, uint32_t offset)
{
    static const char magic[] = "TZif2";
    size_t length = 0;

    memset(bytes, 0, room);
    for (int block = 0; block < 2; block++) {
        memcpy(bytes + length, magic, 5);
        bytes[length + 39] = 1; /* types */
        bytes[length + 43] = 4; /* letters */
        length += 44;
        for (int i = 0; i < 4; i++) {
            bytes[length + i] = (unsigned char)(offset >> (24 - 8 * i));
        }
        memcpy(bytes + length + 6, "XXX", 4);
        length += 10;
    }
    return length + (size_t)snprintf((char *)bytes + length, room - length, "\n%s\n", rule);
}

static int read_bytes(const unsigned char *bytes, size_t size, char *why, size_t why_size,
                      struct zone_span **ret_spans)
{
    size_t room = zone_tzif_room(bytes, size);
    struct zone_span *spans = calloc(room + 1, sizeof *spans);
    int count = zone_tzif_read(bytes, size, spans, room, why, why_size);

    if (ret_spans == NULL) {
        free(spans);
    } else {
        *ret_spans = spans;
    }
    return count;
}

Test(zone, a_rule_alone_makes_a_zone)
{
    unsigned char bytes[256];
    char why[200] = "";
    struct zone_span *spans = NULL;
    int count = read_bytes(bytes, minimal(bytes, sizeof bytes, "CET-1CEST,M3.5.0,M10.5.0/3", 3600),
                           why, sizeof why, &spans);
    struct zone zone = {.name = "X", .spans = spans, .count = (size_t)count};

    cr_assert_gt(count, 1000, "%s", why);
    cr_expect_eq(zone_offset(&zone, 1767225600), 3600);
    cr_expect_eq(zone_offset(&zone, 1782864000), 7200);
    cr_expect_eq(zone_offset(&zone, INT64_C(9000000000)), 3600);
    free(spans);

    /* Summer for ever: the end of one year's is the beginning of the next one's. */
    count = read_bytes(bytes, minimal(bytes, sizeof bytes, "XXX3EDT4,0/0,J365/23", 0xffffc7c0U),
                       why, sizeof why, &spans);
    cr_expect_leq(count, 3, "%d %s", count, why);
    free(spans);
}

/* clang-format off */
static const struct {
    const char *rule;
    bool right;
} rules[] = {
    {"UTC0", true}, {"<+0330>-3:30", true}, {"EST5EDT,M3.2.0,M11.1.0", true},
    {"IST-1GMT0,M10.5.0,M3.5.0/1", true}, {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", true},
    {"XXX3EDT4,0/0,J365/23", true}, {"A-1", false}, {"EST", false}, {"EST5EDT", false},
    {"EST5EDT,M3.2.0", false}, {"EST5EDT,M13.2.0,M11.1.0", false}, {"EST5EDT,M3.6.0,M11.1.0", false},
    {"EST5EDT,M3.2.7,M11.1.0", false}, {"EST5EDT,J366,M11.1.0", false}, {"EST5EDT,J0,M11.1.0", false},
    {"EST25", false}, {"EST5EDT,M3.2.0/168,M11.1.0", false}, {"EST5 ", false}, {"<EST5", false},
    {"EST5EDT,M3.2.0,M11.1.0,", false}, {"EST99999999999999999999", false}, {"", false},
};
/* clang-format on */

Test(zone, rules)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct zone_rule rule;
        int rc = zone_rule_parse(rules[i].rule, strlen(rules[i].rule), &rule);

        cr_expect_eq(rc, rules[i].right ? 0 : -EINVAL, "'%s'", rules[i].rule);
    }
}

Test(zone, a_file_that_counts_leap_seconds_is_refused)
{
    refused("right/Europe/Berlin", access("/usr/share/zoneinfo/right/Europe/Berlin", R_OK) == 0
                                       ? "it counts leap seconds"
                                       : "has none of that name");
}

/* Whatever came out: it holds together. */
static void examine(const struct zone_span *spans, int count)
{
    struct zone zone = {.name = "X", .spans = spans, .count = (size_t)count};

    for (int i = 1; i < count; i++) {
        cr_assert_gt(spans[i].from, spans[i - 1].from);
        cr_assert_neq(spans[i].offset, spans[i - 1].offset);
        cr_assert_geq(spans[i].shown, spans[i - 1].shown);
    }

    struct schedule_options options = {.zone = &zone};
    struct schedule s;
    char why[100];
    wall_ns at = DUR_S(946684800);

    cr_assert_eq(schedule_parse("30 2 * * *", &options, &s, why, sizeof why), 0);
    for (int i = 0; i < 20 && at != WALL_NEVER; i++) {
        wall_ns next = schedule_next(&s, at);

        cr_assert_gt(next, at);
        at = next;
    }
}

Test(zone, no_bytes_do_harm)
{
    static unsigned char whole[ZONE_TZIF_MAX];
    unsigned char *bytes;
    struct zone_bytes file;
    struct zone zone;
    struct prng random;
    char why[200];
    unsigned right = 0;

    zone_of("America/New_York", &zone);
    cr_assert_eq(zone_read(&memory, "America/New_York", &file, why, sizeof why), 0);
    prng_seed(&random, 42);
    for (int i = 0; i < 3000; i++) {
        size_t size = i % 3 == 0 ? prng_below(&random, file.size + 1) : file.size;
        unsigned changes = i % 3 == 0 ? 0 : 1 + (unsigned)prng_below(&random, 4);
        struct zone_span *spans = NULL;

        memcpy(whole, file.bytes, file.size);
        for (unsigned k = 0; k < changes; k++) {
            size_t at = prng_below(&random, 3) == 0 ? prng_below(&random, 120)
                                                    : prng_below(&random, file.size);

            whole[at] = (unsigned char)prng_next(&random);
        }
        bytes = malloc(size + 1); /* of its very size, so that a sanitizer sees the end */
        memcpy(bytes, whole, size);
        bytes = realloc(bytes, size > 0 ? size : 1);

        int count = read_bytes(bytes, size, why, sizeof why, &spans);

        if (count > 0) {
            examine(spans, count);
            right++;
        }
        free(spans);
        free(bytes);
    }
    cr_expect_gt(right, 500);
    for (int i = 0; i < 2000; i++) {
        size_t size = prng_below(&random, 200);

        for (size_t k = 0; k < size; k++) {
            whole[k] = (unsigned char)prng_next(&random);
        }
        memcpy(whole, "TZif2", size < 5 ? size : (size_t)i % 5);
        (void)read_bytes(whole, size, why, sizeof why, NULL);
    }
}

/* --- instants as text --- */

Test(zone, instants_as_text)
{
    struct zone zone;
    wall_ns at = 0;
    char why[300];

    zone_of("America/St_Johns", &zone);
    cr_assert_eq(instant_parse("2026-01-01 00:00", &zone, &at, why, sizeof why), 0);
    cr_expect_str_eq(instant_in_zone(at, &zone).is, "2026-01-01T00:00:00-03:30");
    cr_expect_str_eq(instant_in_zone(at + DUR_MS(1500), zone_utc()).is, "2026-01-01T03:30:01.5Z");
    cr_expect_str_eq(instant_in_zone(-1, zone_utc()).is, "1969-12-31T23:59:59.999999999Z");
    cr_assert_eq(instant_parse("1969-12-31T23:59:59.999999999Z", &zone, &at, why, sizeof why), 0);
    cr_expect_eq(at, -1);
    cr_assert_eq(instant_parse("2026-01-01t00:00:00.25-03:30", zone_utc(), &at, why, sizeof why),
                 0);
    cr_expect_str_eq(instant_in_zone(at, zone_utc()).is, "2026-01-01T03:30:00.25Z");
    /* Clocks that were no whole minutes off: RFC 3339 cannot say so, but the instant is the same.
     */
    cr_assert_eq(instant_parse("1800-01-01T00:00:00Z", &zone, &at, why, sizeof why), 0);
    cr_expect_str_eq(instant_in_zone(at, &zone).is, "1799-12-31T20:30:00-03:30");
    static const char *const bad[] = {
        "",
        "2026",
        "2026-01-01",
        "2026-1-1 00:00",
        "2026-13-01 00:00",
        "2026-02-29 00:00",
        "2026-01-01 24:00",
        "2026-01-01 00:60",
        "2026-01-01 00:00:60",
        "2026-01-01  00:00",
        "2026-01-01T00:00+1",
        "2026-01-01T00:00.5",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00Zx",
        "0001-01-01 00:00",
        "9999-01-01 00:00",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_expect_eq(instant_parse(bad[i], zone_utc(), &at, why, sizeof why), -EINVAL, "'%s'",
                     bad[i]);
    }
}
