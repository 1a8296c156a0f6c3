#include "worker/leader/left_over.h"

#include "worker/leader/scheduler.h"

/* Where runs may overlap only missed ticks wait for each other. And what comes as late as those,
 * where each of them is made up for, is one whatever it waited for. */
static bool is_made_up(const struct left_over_rules *rules, const struct left_over *run,
                       wall_ns now)
{
    bool late = now - run->scheduled_at > SCHEDULER_LATE;

    return run->is_tick && rules->overlap == OVERLAP_ALLOW &&
           (run->overlaps || (late && rules->missed == MISSED_ALL));
}

static struct left_over_end missed(const char *reason)
{
    return (struct left_over_end){.outcome = OUTCOME_MISSED, .reason = reason};
}

struct left_over_end left_over_decide(const struct left_over_rules *rules,
                                      const struct left_over *run, wall_ns now)
{
    const struct left_over_end it_runs = {.runs = true, .made_up = is_made_up(rules, run, now)};

    if (run->of_term) { /* ours has its own */
        return (struct left_over_end){.outcome = OUTCOME_CANCELLED, .reason = "its term has ended"};
    }
    if (!run->is_tick) {
        return it_runs;
    }
    if (run->rescheduled) {
        return (struct left_over_end){.outcome = OUTCOME_CANCELLED, .reason = "removed"};
    }
    if (!run->handed_over || now - run->scheduled_at <= rules->prompt) {
        return it_runs;
    }
    if (now - run->scheduled_at > rules->window) {
        return missed("window");
    }
    switch (rules->missed) {
    case MISSED_SKIP:
        return missed("no leader");
    case MISSED_ONCE:
        return run->later_due ? missed("no leader") : it_runs;
    case MISSED_ALL:
        break;
    }
    return it_runs;
}

bool left_over_is_gone(wall_ns scheduled_at, wall_ns now)
{
    return now - scheduled_at > LEFT_OVER_JOB_GONE;
}
