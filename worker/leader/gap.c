#include "worker/leader/gap.h"

#include <assert.h>

void gap_begin(struct gap *g, const struct gap_rules *rules, wall_ns last_tick, wall_ns until)
{
    assert(last_tick <= until);
    *g = (struct gap){
        .rules = *rules,
        .at = last_tick,
        .until = until,
        .window = rules->window < until ? until - rules->window : 0,
    };
}

static void add(struct gap_range *range, wall_ns first, wall_ns last, uint64_t count)
{
    if (range->count == 0) {
        range->first = first;
    }
    range->last = last;
    range->count += count;
}

/* Which range a tick belongs to, and up to which moment all that follow it do. */
static struct gap_range *range_of(struct gap *g, wall_ns tick, wall_ns *ret_to)
{
    if (!g->rules.reruns && tick <= g->rules.unknown_until) {
        *ret_to = g->rules.unknown_until < g->until ? g->rules.unknown_until : g->until;
        return &g->unknown;
    }
    if (tick < g->window && !g->rules.paused) {
        *ret_to = g->window - 1;
        return &g->old;
    }
    *ret_to = g->until;
    return &g->inside;
}

/* How many ticks from this one up to that moment are counted at once: a fixed grid needs no walk.
 */
static uint64_t stretch(const struct schedule *schedule, wall_ns tick, wall_ns to)
{
    if (schedule->kind != SCHEDULE_EVERY || to <= tick) {
        return 1;
    }
    return (uint64_t)((to - tick) / schedule->every) + 1;
}

static wall_ns last_of(const struct schedule *schedule, wall_ns tick, uint64_t count)
{
    return count == 1 ? tick : tick + (wall_ns)(count - 1) * schedule->every;
}

static uint64_t how_many_run(const struct gap *g)
{
    uint64_t most = 0;

    if (g->rules.paused) {
        return 0;
    }
    switch (g->rules.missed) {
    case MISSED_SKIP:
        return 0;
    case MISSED_ONCE:
        most = 1;
        break;
    case MISSED_ALL:
        most = g->rules.most;
        break;
    }
    return g->inside.count < most ? g->inside.count : most;
}

/* Returns whether the count is complete. */
static bool count(struct gap *g, const struct schedule *schedule, unsigned ticks)
{
    for (unsigned i = 0; i < ticks; i++) {
        wall_ns tick = schedule_next(schedule, g->at);
        wall_ns to;

        if (tick > g->until) {
            g->stage = GAP_TELLING;
            g->to_pass = g->inside.count - how_many_run(g);
            return true;
        }
        struct gap_range *range = range_of(g, tick, &to);
        uint64_t many = stretch(schedule, tick, to);
        wall_ns last = last_of(schedule, tick, many);

        if (range == &g->inside && range->count == 0) {
            g->inside_after = g->at;
        }
        add(range, tick, last, many);
        g->at = last;
    }
    return false;
}

static struct gap_step record(struct gap_range *range, enum outcome outcome, const char *reason)
{
    struct gap_step step = {
        .verdict = GAP_RECORD, .range = *range, .outcome = outcome, .reason = reason};

    range->count = 0;
    return step;
}

static struct gap_step tell(struct gap *g)
{
    if (g->unknown.count > 0) {
        return record(&g->unknown, OUTCOME_MISSED, "timeline");
    }
    if (g->old.count > 0) {
        return record(&g->old, OUTCOME_MISSED, "window");
    }
    if (g->inside.count == 0) {
        g->stage = GAP_OVER;
        return (struct gap_step){.verdict = GAP_DONE};
    }
    g->stage = g->to_pass > 0 ? GAP_PASSING : GAP_RUNNING;
    g->at = g->inside_after;
    return (struct gap_step){.verdict = GAP_WORKING};
}

/* Those before the ones that are run: the second walk finds where they end. */
static struct gap_step pass(struct gap *g, const struct schedule *schedule, unsigned ticks)
{
    for (unsigned i = 0; i < ticks && g->to_pass > 0; i++) {
        wall_ns tick = schedule_next(schedule, g->at);
        uint64_t many = stretch(schedule, tick, g->until);

        assert(tick <= g->until);
        many = many < g->to_pass ? many : g->to_pass;
        g->at = last_of(schedule, tick, many);
        add(&g->passed, tick, g->at, many);
        g->to_pass -= many;
        g->inside.count -= many;
    }
    if (g->to_pass > 0) {
        return (struct gap_step){.verdict = GAP_WORKING};
    }
    g->stage = GAP_RUNNING;
    if (g->rules.paused) {
        return record(&g->passed, OUTCOME_SKIPPED, "paused");
    }
    return record(&g->passed, OUTCOME_MISSED,
                  g->rules.missed == MISSED_ALL ? "limit" : g->rules.reason);
}

static struct gap_step run(struct gap *g, const struct schedule *schedule)
{
    struct gap_step step = {.verdict = GAP_RUN};

    if (g->inside.count == 0) {
        g->stage = GAP_OVER;
        return (struct gap_step){.verdict = GAP_DONE};
    }
    g->at = schedule_next(schedule, g->at);
    assert(g->at <= g->until);
    g->inside.count--;
    step.range = (struct gap_range){.first = g->at, .last = g->at, .count = 1};
    return step;
}

struct gap_step gap_step(struct gap *g, const struct schedule *schedule, unsigned ticks)
{
    switch (g->stage) {
    case GAP_COUNTING:
        if (!count(g, schedule, ticks)) {
            return (struct gap_step){.verdict = GAP_WORKING};
        }
        return tell(g);
    case GAP_TELLING:
        return tell(g);
    case GAP_PASSING:
        return pass(g, schedule, ticks);
    case GAP_RUNNING:
        return run(g, schedule);
    case GAP_OVER:
        break;
    }
    return (struct gap_step){.verdict = GAP_DONE};
}
