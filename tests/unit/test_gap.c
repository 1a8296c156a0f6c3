#include "worker/leader/gap.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/array.h"
#include "common/random.h"
#include "common/zone.h"
#include "common/zone_load.h"

enum { STEP_TICKS = 50, GAPS = 4000, TICKS_MOST = 3000 };

/* What became of each tick of a gap, in their order. */
struct told {
    struct {
        wall_ns at;
        bool run;
        enum outcome outcome;
        const char *reason;
    } ticks[TICKS_MOST];
    size_t count;
    unsigned records;
};

static void expect_range(const struct gap_step *step, const struct schedule *schedule,
                         struct told *told)
{
    wall_ns at = step->range.first;

    for (uint64_t i = 0; i < step->range.count; i++) {
        cr_assert(told->count < TICKS_MOST);
        told->ticks[told->count].at = at;
        told->ticks[told->count].run = step->verdict == GAP_RUN;
        told->ticks[told->count].outcome = step->outcome;
        told->ticks[told->count++].reason = step->reason;
        if (i + 1 < step->range.count) {
            at = schedule_next(schedule, at);
        }
    }
    cr_assert_eq(at, step->range.last, "a range whose count is another");
}

static void walk(struct gap *g, const struct schedule *schedule, struct told *told)
{
    unsigned steps = 0;

    told->count = 0;
    told->records = 0;
    for (;;) {
        struct gap_step step = gap_step(g, schedule, STEP_TICKS);

        cr_assert(steps++ < 4 * TICKS_MOST, "it does not end");
        if (step.verdict == GAP_DONE) {
            break;
        }
        if (step.verdict != GAP_WORKING) {
            cr_assert(step.range.count > 0);
            cr_assert(step.verdict == GAP_RECORD || step.range.count == 1);
            told->records += step.verdict == GAP_RECORD;
            expect_range(&step, schedule, told);
        }
    }
    cr_expect_eq(gap_step(g, schedule, STEP_TICKS).verdict, GAP_DONE, "it stays done");
}

/* The same from what the policy says of a tick, one by one. */
static void judge(const struct gap_rules *rules, const struct schedule *schedule, wall_ns last,
                  wall_ns until, struct told *told)
{
    uint64_t inside = 0;
    uint64_t runs = rules->missed == MISSED_SKIP   ? 0
                    : rules->missed == MISSED_ONCE ? 1
                                                   : rules->most;
    wall_ns at = last;

    told->count = 0;
    while ((at = schedule_next(schedule, at)) <= until) {
        const char *reason = "";

        cr_assert(told->count < TICKS_MOST);
        if (!rules->reruns && at <= rules->unknown_until) {
            reason = "timeline";
        } else if (!rules->paused && at < until - rules->window) {
            reason = "window";
        } else {
            inside++;
        }
        told->ticks[told->count].at = at;
        told->ticks[told->count].run = false;
        told->ticks[told->count].outcome = OUTCOME_MISSED;
        told->ticks[told->count++].reason = reason;
    }
    for (size_t i = told->count - (size_t)inside; i < told->count; i++) {
        if (rules->paused) {
            told->ticks[i].outcome = OUTCOME_SKIPPED;
            told->ticks[i].reason = "paused";
        } else if (told->count - i <= runs) {
            told->ticks[i].run = true;
        } else {
            told->ticks[i].reason = rules->missed == MISSED_ALL ? "limit" : rules->reason;
        }
    }
}

static void compare(const struct told *got, const struct told *right, unsigned number)
{
    cr_assert_eq(got->count, right->count, "gap %u: %zu ticks instead of %zu", number, got->count,
                 right->count);
    cr_expect(got->records <= 3, "gap %u: %u rows", number, got->records);
    for (size_t i = 0; i < got->count; i++) {
        cr_assert_eq(got->ticks[i].at, right->ticks[i].at, "gap %u, tick %zu", number, i);
        cr_assert_eq(got->ticks[i].run, right->ticks[i].run, "gap %u, tick %zu", number, i);
        if (!got->ticks[i].run) {
            cr_assert_eq(got->ticks[i].outcome, right->ticks[i].outcome, "gap %u, %zu", number, i);
            cr_assert_str_eq(got->ticks[i].reason, right->ticks[i].reason, "gap %u, %zu", number,
                             i);
        }
    }
}

/* clang-format off */
static const char *const texts[] = {
    "every 10ms", "every 7s", "every 1m", "every 1h", "0 * * * *", "30 2 * * *", "*/7 * * * *",
    "*/10 * * * * *", "0 0 1 * *", "at 2024-03-31T02:30",
};
/* How long a gap may be so that it has no more ticks than there is room for. */
static const dur_ns lengths[] = {
    DUR_S(25), DUR_S(20000), DUR_S(170000), DUR_S(9000000), DUR_S(9000000), DUR_S(90000000), DUR_S(1000000),
    DUR_S(25000), DUR_S(900000000), DUR_S(900000000),
};
/* clang-format on */

static void load_zone(struct config_memory *memory, struct zone *zone)
{
    const char *name = "Europe/Berlin";
    struct zone_bytes bytes;
    char reason[200] = "";

    cr_assert_eq(zone_read(memory, name, &bytes, reason, sizeof(reason)), 0, "%s", reason);
    cr_assert_eq(zone_make(memory, name, bytes, zone, reason, sizeof(reason)), 0, "%s", reason);
}

Test(gap, is_what_the_policy_says_of_each_tick, .timeout = 300)
{
    static struct told got;
    static struct told right;
    struct config_memory memory = {.blocks = NULL};
    struct zone zone;
    struct prng random;
    char reason[200];

    prng_seed(&random, 1);
    load_zone(&memory, &zone);
    for (unsigned i = 0; i < GAPS; i++) {
        size_t row = prng_below(&random, ARRAY_LEN(texts));
        const struct schedule_options options = {.zone = prng_below(&random, 2) ? &zone : NULL};
        struct schedule schedule;
        dur_ns length = (dur_ns)prng_below(&random, (uint64_t)lengths[row]);
        wall_ns last = DUR_S(1600000000) + (wall_ns)prng_below(&random, (uint64_t)DUR_S(100000000));
        const struct gap_rules rules = {
            .missed = (enum job_missed)prng_below(&random, 3),
            .window = (dur_ns)prng_below(&random, (uint64_t)length * 2 + 1),
            .most = 1 + prng_below(&random, 200),
            .paused = prng_below(&random, 5) == 0,
            .unknown_until = prng_below(&random, 3) == 0
                                 ? last + (wall_ns)prng_below(&random, (uint64_t)length * 2 + 1)
                                 : 0,
            .reruns = prng_below(&random, 2),
            .reason = "no leader",
        };
        struct gap g;

        cr_assert_eq(schedule_parse(texts[row], &options, &schedule, reason, sizeof(reason)), 0,
                     "%s: %s", texts[row], reason);
        gap_begin(&g, &rules, last, last + length);
        walk(&g, &schedule, &got);
        judge(&rules, &schedule, last, last + length, &right);
        compare(&got, &right, i);
    }
    config_memory_release(&memory);
}

/* A grid is counted at once; what the calendar says is walked, in steps that let others in. */
Test(gap, millions_of_ticks_are_counted_in_bounded_steps)
{
    static const struct {
        const char *text;
        dur_ns length;
        uint64_t ticks;
        unsigned steps;
    } cases[] = {
        {"every 10ms", DUR_S(31536000), 3153600000, 4},
        {"* * * * * *", DUR_S(3000000), 3000000, 2 * 3000000 / 500 + 6},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct gap_rules rules = {
            .missed = MISSED_ONCE, .window = DUR_S(86400 * 400), .reason = "no leader"};
        struct schedule schedule;
        struct gap_step step;
        struct gap g;
        unsigned steps = 0;
        uint64_t recorded = 0;
        uint64_t runs = 0;

        cr_assert_eq(schedule_parse(cases[i].text, NULL, &schedule, NULL, 0), 0);
        gap_begin(&g, &rules, DUR_S(1600000000), DUR_S(1600000000) + cases[i].length);
        do {
            step = gap_step(&g, &schedule, 500);
            steps++;
            recorded += step.verdict == GAP_RECORD ? step.range.count : 0;
            runs += step.verdict == GAP_RUN;
        } while (step.verdict != GAP_DONE);
        cr_expect_eq(recorded, cases[i].ticks - 1, "%s: %llu", cases[i].text,
                     (unsigned long long)recorded);
        cr_expect_eq(runs, 1);
        cr_expect(steps <= cases[i].steps, "%s: %u steps", cases[i].text, steps);
    }
}

Test(gap, without_a_tick_is_done_at_once)
{
    const struct schedule schedule = {.kind = SCHEDULE_EVERY, .every = DUR_S(60)};
    const struct gap_rules rules = {.missed = MISSED_ALL, .most = 10, .window = DUR_S(10)};
    struct gap g;

    gap_begin(&g, &rules, DUR_S(60), DUR_S(120) - 1);
    cr_expect_eq(gap_step(&g, &schedule, 500).verdict, GAP_DONE);
}
