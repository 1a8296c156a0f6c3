#include "worker/leader/hook_rule.h"

#include <assert.h>
#include <stddef.h>

static unsigned of_success(const struct hook_facts *facts)
{
    return HOOK_SUCCESS |
           (facts->failures_before > facts->failed_attempts ? HOOK_RECOVERY : HOOK_NONE);
}

unsigned hook_rule(const struct hook_facts *facts)
{
    switch (facts->outcome) {
    case OUTCOME_SUCCEEDED:
        return of_success(facts);
    case OUTCOME_FAILED:
    case OUTCOME_TIMED_OUT:
        return facts->is_retried ? HOOK_NONE : HOOK_FAILURE;
    case OUTCOME_NONE:
    case OUTCOME_QUEUED:
    case OUTCOME_CLAIMED:
    case OUTCOME_RUNNING:
    case OUTCOME_RETRYING:
    case OUTCOME_CANCELLED:
    case OUTCOME_INTERRUPTED:
    case OUTCOME_SKIPPED:
    case OUTCOME_MISSED:
    case OUTCOME_COUNT:
        break;
    }
    return HOOK_NONE;
}

const char *hook_name(enum hook hook)
{
    switch (hook) {
    case HOOK_NONE:
        break;
    case HOOK_FAILURE:
        return "on_failure";
    case HOOK_RECOVERY:
        return "on_recovery";
    case HOOK_SUCCESS:
        return "on_success";
    }
    assert(false);
    return "";
}
