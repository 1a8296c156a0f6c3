/*
 * Schedules in a configuration: zones, chains, what belongs together; and what check warns of.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/config_private.h"
#include "common/instant.h"
#include "supervisor/cli/check_schedule.h"
#include "tests/support/text.h"
#include "tests/unit/config_fixture.h"

TestSuite(config_schedule, .init = config_fixture_up, .fini = config_fixture_down);

/* Whatever the scheduler of this version starts. */
#define OFF "enabled = no\n"
#define A "[job a]\ncommand = x\n" OFF
#define B "[job b]\ncommand = x\n" OFF
#define C "[job c]\ncommand = x\n" OFF

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    const char *problem; /* NULL: it is right */
} cases[] = {
    {"cron in a zone", A "schedule = 30 3 * * *\nzone = Europe/Berlin\n", NULL},
    {"a zone that is not there", A "schedule = 30 3 * * *\nzone = Europe/Berln\n",
        "pgbaton.ini:5: [job a] zone: 'Europe/Berln' is no time zone: /usr/share/zoneinfo has none of that name; names such as Europe/Berlin or UTC are right"},
    {"one that leads elsewhere", A "schedule = 30 3 * * *\nzone = ../../../etc/passwd\n",
        "pgbaton.ini:5: [job a] zone: '../../../etc/passwd' is no time zone: a name such as Europe/Berlin or UTC is right"},
    {"a zone as a default is reported where it is", "[jobs]\nzone = Nowhere\n" A "schedule = @daily\n",
        "pgbaton.ini:2: [jobs] zone: 'Nowhere' is no time zone: /usr/share/zoneinfo has none of that name; names such as Europe/Berlin or UTC are right"},
    {"an impossible date", A "schedule = 0 0 31 2 *\n",
        "pgbaton.ini:4: [job a] schedule: '0 0 31 2 *' never comes: none of its months has such a day; L is the last day of a month"},
    {"one that day_match makes impossible", A "schedule = 0 0 29 * mon#1\nday_match = and\n",
        "pgbaton.ini:4: [job a] schedule: '0 0 29 * mon#1' never comes: no such day of month is such a weekday; with day_match = or either is enough"},
    {"a step that is too wide", A "schedule = */61 * * * *\n",
        "pgbaton.ini:4: [job a] schedule: minute '*/61': a step may be 1 to 60 here"},
    {"no such day_match", A "schedule = @daily\nday_match = xor\n",
        "pgbaton.ini:5: [job a] day_match: 'xor' is none of or|and"},
    {"a chain", A "schedule = @daily\n" B "schedule = after a\n" C "schedule = after b any\n", NULL},
    {"after a job that is not there", A "schedule = after nope\n",
        "pgbaton.ini:4: [job a] schedule: 'after nope' names a job that is not there; name one of this configuration"},
    {"after itself", A "schedule = after a\n",
        "pgbaton.ini:4: [job a] schedule: 'after a' is after itself; name another job"},
    {"a circle", A "schedule = after c\n" B "schedule = after a\n" C "schedule = after b\n",
        "pgbaton.ini:4: [job a] schedule: 'after c' closes a circle: that job comes, in the end, after this one"},
    {"a way into a circle", C "schedule = after a\n" A "schedule = after b\n" B "schedule = after a\n",
        "pgbaton.ini:8: [job a] schedule: 'after b' closes a circle: that job comes, in the end, after this one"},
};
/* clang-format on */

Test(config_schedule, right_and_wrong)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config_result r = config_fixture_read_text(cases[i].text);

        if (cases[i].problem == NULL) {
            cr_expect_eq(r.rc, 0, "%s", cases[i].title);
        } else {
            cr_expect_eq(r.problems.errors, 1, "%s: %zu", cases[i].title, r.problems.errors);
            cr_expect(config_fixture_has(&r, cases[i].problem), "%s", cases[i].title);
        }
        config_fixture_release(&r);
    }
}

static void next_is(const struct config_job *job, const char *after, const char *next)
{
    wall_ns at = 0;
    char reason[200];

    cr_assert_eq(instant_parse(after, job->schedule.zone, &at, reason, sizeof reason), 0);
    at = schedule_next(&job->schedule, at);
    cr_expect_str_eq(instant_in_zone(at, job->schedule.zone).is, next, "%s: %s", job->name,
                     instant_in_zone(at, job->schedule.zone).is);
}

static const char zoned[] =
    "[database]\ndsn = none\n[jobs]\nzone = America/New_York\nday_match = and\n" A
    "schedule = 30 3 13 * fri\n" B "zone = Europe/Berlin\nschedule = 30 2 * * *\n" C
    "schedule = H H * * *\njitter = 10m\nzone = UTC\n[job d]\ncommand = x\nschedule = after  b "
    "any\n" OFF "[job e]\ncommand = x\nschedule = @hourly\n" OFF;

static void examine(const struct config *cfg)
{
    const struct config_job *c = config_job_find(cfg, "c");
    const struct config_job *d = config_job_find(cfg, "d");

    next_is(config_job_find(cfg, "a"), "2026-01-01 00:00", "2026-02-13T03:30:00-05:00");
    next_is(config_job_find(cfg, "b"), "2026-03-28 12:00", "2026-03-29T03:00:00+02:00");
    cr_expect(c->schedule.offset > 0 && c->schedule.offset < DUR_S(600));
    cr_expect_str_eq(d->schedule.parent, "b");
    cr_expect(d->schedule.any);
    cr_expect_eq(config_job_find(cfg, "a")->schedule.zone, config_job_find(cfg, "e")->schedule.zone,
                 "a zone is loaded once");
    cr_expect_str_eq(c->zone, "UTC");
}

Test(config_schedule, zone_jitter_and_day_match_of_jobs_and_of_their_defaults)
{
    struct config *cfg = config_fixture_config(zoned);

    examine(cfg);
    config_free(cfg);
}

/* The directory that $TZDIR names, with this zone as Test/Zone. */
static void tzdata_of(const char *zone)
{
    char *command = text_format("mkdir -p tz/Test && cp /usr/share/zoneinfo/%s tz/Test/Zone", zone);
    char *path = realpath(".", NULL);
    char *directory = text_format("%s/tz", path);

    cr_assert_eq(system(command), 0);
    cr_assert_eq(setenv("TZDIR", directory, 1), 0);
    free(command);
    free(directory);
    free(path);
}

static const char with_test_zone[] =
    "[database]\ndsn = none\n" A "schedule = 30 2 * * *\nzone = Test/Zone\n";

static void note(void *ctx, const char *text)
{
    (void)snprintf(ctx, 200, "%s", text);
}

Test(config_schedule, a_new_tzdata_is_a_change)
{
    tzdata_of("Europe/Berlin");
    struct config *berlin = config_fixture_config(with_test_zone);
    struct config *again = config_fixture_config(with_test_zone);
    tzdata_of("America/New_York");
    struct config *york = config_fixture_config(with_test_zone);
    char reason[200] = "";
    char change[200] = "";

    cr_expect_eq(berlin->hash, again->hash);
    cr_expect_neq(berlin->hash, york->hash, "instances with another tzdata are told");
    cr_expect(config_diff(berlin, again, true, reason, sizeof reason) == CHANGE_NOTHING);
    cr_expect(config_diff(berlin, york, true, reason, sizeof reason) == CHANGE_LIVE);
    config_changes(berlin, york, note, change);
    cr_expect_str_eq(change, "[job a] zone: tzdata has changed");
    cr_expect_eq(schedule_hash(&berlin->jobs[0].schedule), schedule_hash(&york->jobs[0].schedule),
                 "what was missed stays missed");
    config_free(berlin);
    config_free(again);
    config_free(york);
}

Test(config_schedule, but_none_to_a_job_that_has_no_zone)
{
    static const char text[] = "[database]\ndsn = none\n[jobs]\nzone = Test/Zone\n"
                               "[job a]\ncommand = x\nschedule = always\n";

    tzdata_of("Europe/Berlin");
    struct config *berlin = config_fixture_config(text);
    tzdata_of("America/New_York");
    struct config *york = config_fixture_config(text);

    cr_expect_eq(berlin->jobs[0].hash, york->jobs[0].hash, "a service is not restarted for it");
    config_free(berlin);
    config_free(york);
}

Test(config_schedule, zones_travel_to_the_children)
{
    tzdata_of("Europe/Berlin");
    struct config *cfg = config_fixture_config(with_test_zone);
    struct config *whole = NULL;
    struct config *without = NULL;
    int fd = config_seal(cfg, true);
    int fd_without = config_seal(cfg, false);

    cr_assert_eq(setenv("TZDIR", "/nowhere", 1), 0);
    cr_assert_eq(config_unseal(fd, &whole), 0);
    cr_assert_eq(config_unseal(fd_without, &without), 0);
    next_is(&whole->jobs[0], "2026-03-28 12:00", "2026-03-29T03:00:00+02:00");
    next_is(&without->jobs[0], "2026-03-28 12:00", "2026-03-29T03:00:00+02:00");
    cr_expect_eq(whole->hash, cfg->hash);
    config_free(cfg);
    config_free(whole);
    config_free(without);
    (void)close(fd);
    (void)close(fd_without);
}

Test(config_schedule, a_long_chain_takes_no_time)
{
    enum { JOBS = 5000 };
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    (void)fprintf(to, "[database]\ndsn = none\n");
    for (int i = 0; i < JOBS; i++) {
        (void)fprintf(to, "[job j%d]\ncommand = x\n" OFF, i);
        (void)fprintf(to, i + 1 < JOBS ? "schedule = after j%d\n" : "schedule = @daily\n", i + 1);
    }
    cr_assert_eq(fclose(to), 0);

    struct config *cfg = config_fixture_config(text);

    cr_expect_str_eq(cfg->jobs[41].schedule.parent, "j42");
    config_free(cfg);
    free(text);
}

/* --- what check warns of --- */

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    const char *warnings[3];
} warned[] = {
    {"both days", A "schedule = 0 0 13 * fri\n",
        {"pgbaton.ini:4: warning: [job a] schedule: day of month and day of week are both restricted: it is due on each day that matches one of them, as in cron; day_match = and takes those that match both"}},
    {"both days, and said so", A "schedule = 0 0 13 * fri\nday_match = and\n", {NULL}},
    {"a day with a star", A "schedule = 0 0 */2 * fri\n", {NULL}},
    {"a time in a gap, and in a repetition", A "schedule = 30 2 * * *\nzone = Europe/Berlin\n",
        {"pgbaton.ini:4: warning: [job a] schedule: 02:30 does not exist on 2026-03-29 in Europe/Berlin, where 02:00 is followed by 03:00: it runs at 03:00",
         "pgbaton.ini:4: warning: [job a] schedule: 02:30 comes twice on 2026-10-25 in Europe/Berlin: it runs the first time only"}},
    {"the same where it follows the clock", A "schedule = */30 2 * * *\nzone = Europe/Berlin\n",
        {"pgbaton.ini:4: warning: [job a] schedule: 02:00 does not exist on 2026-03-29 in Europe/Berlin, where 02:00 is followed by 03:00: its minute or hour begins with *, so that it follows the clock, and what falls into that time is left out",
         "pgbaton.ini:4: warning: [job a] schedule: 02:00 comes twice on 2026-10-25 in Europe/Berlin, where the clocks go back to 02:00: its minute or hour begins with *, so that it follows the clock, and runs both times"}},
    {"another time of day", A "schedule = 30 4 * * *\nzone = Europe/Berlin\n", {NULL}},
    {"another day of the week", A "schedule = 30 2 * * mon-fri\nzone = Europe/Berlin\n", {NULL}},
    {"each hour loses nothing", A "schedule = */5 * * * *\nzone = Europe/Berlin\n", {NULL}},
    {"no clocks are set there", A "schedule = 30 2 * * *\n", {NULL}},
    {"what is over", A "schedule = at 2020-01-01T00:00\n",
        {"pgbaton.ini:4: warning: [job a] schedule: is never due again: 2020-01-01T00:00:00Z has passed"}},
    {"what is to come", A "schedule = at 2220-01-01T00:00\n", {NULL}},
    {"after one that is off", A "schedule = after b\n" B "schedule = @daily\n",
        {"pgbaton.ini:4: warning: [job a] schedule: never comes: job b has enabled = no"}},
    {"after a service", A "schedule = after b\n" "[job b]\ncommand = x\nschedule = always\n",
        {"pgbaton.ini:4: warning: [job a] schedule: job b is a service, which is meant never to end"}},
    {"keys without effect", A "schedule = always\njitter = 5m\nzone = Europe/Berlin\n",
        {"pgbaton.ini:5: warning: [job a] jitter: has no effect on 'always'",
         "pgbaton.ini:6: warning: [job a] zone: has no effect on 'always'"}},
    {"but as a default for all", "[jobs]\nzone = Europe/Berlin\njitter = 5m\n" A "schedule = always\n", {NULL}},
};
/* clang-format on */

Test(config_schedule, warnings)
{
    const wall_ns now = DUR_S(INT64_C(1767225600)); /* 2026-01-01 */

    for (size_t i = 0; i < ARRAY_LEN(warned); i++) {
        struct config_result r = config_fixture_read_text(warned[i].text);
        size_t expected = 0;

        cr_assert_eq(r.rc, 0, "%s", warned[i].title);
        check_schedule_warn(r.cfg, config_job_find(r.cfg, "a"), now, &r.problems);
        for (; expected < ARRAY_LEN(warned[i].warnings) && warned[i].warnings[expected] != NULL;
             expected++) {
            cr_expect(config_fixture_has(&r, warned[i].warnings[expected]), "%s", warned[i].title);
        }
        cr_expect_eq(r.problems.count, expected, "%s: %zu warnings", warned[i].title,
                     r.problems.count);
        config_fixture_release(&r);
    }
}
