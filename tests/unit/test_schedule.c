#include "common/schedule.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/array.h"

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
};

static const struct {
    const char *title;
    const char *text;
    int rc;
    const char *reason;
} wrong[] = {
    {"a grid without a length", "every", -EINVAL, "'every ' needs a duration"},
    {"a length without a unit", "every 5", -EINVAL, "'every 5' needs a duration such as 'every 30s'"},
    {"never is not often", "every 0", -EINVAL, "too often: at least 'every 10ms'"},
    {"too often", "every 9ms", -EINVAL, "too often"},
    {"words are whole", "everyday", -EINVAL, "is not a schedule"},
    {"nothing behind a word", "always on", -EINVAL, "is not a schedule"},
    {"nothing at all", "", -EINVAL, "'' is not a schedule such as '30 3 * * *', '@daily', 'every 30s'"},
    {"case counts", "Always", -EINVAL, "is not a schedule"},
    {"five words are no cron", "run it now and then", -EINVAL, "is not a schedule"},
    {"four fields are no cron", "0 3 * *", -EINVAL, "has 4 fields; right are 5"},
};

static const struct {
    const char *title;
    dur_ns every;
    wall_ns after;
    wall_ns next;
} instants[] = {
    {"strictly after", DUR_S(10), 0, DUR_S(10)},
    {"from inside a cell to its end", DUR_S(10), DUR_S(12), DUR_S(20)},
    {"one before the instant", DUR_S(10), DUR_S(20) - 1, DUR_S(20)},
    {"one after it", DUR_S(10), DUR_S(20) + 1, DUR_S(30)},
    {"before the epoch", DUR_S(10), -DUR_S(12), -DUR_S(10)},
    {"on the grid before the epoch", DUR_S(10), -DUR_S(10), 0},
    {"a grid that no minute divides", DUR_S(7), DUR_S(7) * 1000 + 1, DUR_S(7) * 1001},
    {"the end of time", DUR_S(10), WALL_NEVER - 1, WALL_NEVER},
};
/* clang-format on */

Test(schedule, parse)
{
    for (size_t i = 0; i < ARRAY_LEN(right); i++) {
        struct schedule s = {0};
        char reason[200] = "untouched";

        cr_expect_eq(schedule_parse(right[i].text, NULL, &s, reason, sizeof(reason)), 0, "%s",
                     right[i].title);
        cr_expect(s.kind == right[i].kind && s.every == right[i].every, "%s", right[i].title);
        cr_expect_str_eq(reason, "untouched", "%s", right[i].title);
    }
}

Test(schedule, refuses)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct schedule s = {.kind = SCHEDULE_MANUAL, .every = 42};
        char reason[200] = "";

        cr_expect_eq(schedule_parse(wrong[i].text, NULL, &s, reason, sizeof(reason)), wrong[i].rc, "%s",
                     wrong[i].title);
        cr_expect_not_null(strstr(reason, wrong[i].reason), "%s: %s", wrong[i].title, reason);
        cr_expect(s.every == 42, "%s: the output was touched", wrong[i].title);
    }
}

Test(schedule, next)
{
    for (size_t i = 0; i < ARRAY_LEN(instants); i++) {
        struct schedule s = {.kind = SCHEDULE_EVERY, .every = instants[i].every};

        cr_expect_eq(schedule_next(&s, instants[i].after), instants[i].next, "%s",
                     instants[i].title);
    }
}

Test(schedule, no_clock_starts_the_others)
{
    for (enum schedule_kind kind = SCHEDULE_ALWAYS; kind <= SCHEDULE_MANUAL; kind++) {
        cr_expect_eq(schedule_next(&(struct schedule){.kind = kind}, 0), WALL_NEVER);
    }
}
