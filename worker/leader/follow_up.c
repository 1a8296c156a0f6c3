#include "worker/leader/follow_up.h"

#include <assert.h>

enum outcome follow_up_outcome(enum stop_reason why, enum run_end end, enum run_origin origin)
{
    bool succeeded = end != RUN_END_FAILED;

    if (end == RUN_END_COMMITTED) {
        return OUTCOME_SUCCEEDED;
    }
    switch (why) {
    case STOP_NOT:
        return succeeded ? OUTCOME_SUCCEEDED : OUTCOME_FAILED;
    case STOP_TIMEOUT:
        return OUTCOME_TIMED_OUT;
    case STOP_DRAIN: /* a service has nothing that it could have finished */
        return origin == ORIGIN_SERVICE ? OUTCOME_CANCELLED : OUTCOME_INTERRUPTED;
    case STOP_LOST:
        return OUTCOME_INTERRUPTED;
    case STOP_CHANGED:
    case STOP_REMOVED:
    case STOP_REPLACED:
    case STOP_CANCELLED:
    case STOP_PAUSED:
        return OUTCOME_CANCELLED;
    }
    return OUTCOME_FAILED;
}

bool follow_up_is_of_term(enum schedule_kind kind, enum run_origin origin)
{
    if (kind != SCHEDULE_ELECTED && kind != SCHEDULE_RELEASED) {
        return false;
    }
    return origin == ORIGIN_SCHEDULE || origin == ORIGIN_RETRY || origin == ORIGIN_RERUN;
}

static dur_ns delay_of(const struct scheduler_policy *policy, unsigned attempt, struct prng *random)
{
    dur_ns delay = policy->retry_delay;

    for (unsigned i = 1; i < attempt && delay < FOLLOW_UP_DELAY_MOST; i++) {
        delay *= 2;
    }
    return jittered(delay < FOLLOW_UP_DELAY_MOST ? delay : FOLLOW_UP_DELAY_MOST, FOLLOW_UP_JITTER,
                    random);
}

struct follow_up follow_up_decide(const struct scheduler_policy *policy, enum outcome outcome,
                                  unsigned attempt, enum run_origin origin, struct prng *random)
{
    struct follow_up out = {.outcome = outcome, .is_last = true};

    assert(!outcome_is_open(outcome));
    if (origin == ORIGIN_SERVICE) {
        return out;
    }
    if ((outcome == OUTCOME_FAILED || outcome == OUTCOME_TIMED_OUT) && attempt <= policy->retries) {
        out.retries = true;
        out.delay = delay_of(policy, attempt, random);
    }
    if (outcome == OUTCOME_INTERRUPTED && policy->on_interrupt == INTERRUPT_RERUN &&
        attempt < OUTCOME_RERUN_ATTEMPTS) {
        out.reruns = true;
    }
    out.is_last = !out.retries && !out.reruns;
    return out;
}
