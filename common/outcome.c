#include "common/outcome.h"

#include <assert.h>
#include <string.h>

static const char *const outcome_names[OUTCOME_COUNT] = {
    [OUTCOME_NONE] = "",
    [OUTCOME_QUEUED] = "queued",
    [OUTCOME_CLAIMED] = "claimed",
    [OUTCOME_RUNNING] = "running",
    [OUTCOME_RETRYING] = "retrying",
    [OUTCOME_SUCCEEDED] = "succeeded",
    [OUTCOME_FAILED] = "failed",
    [OUTCOME_TIMED_OUT] = "timed_out",
    [OUTCOME_CANCELLED] = "cancelled",
    [OUTCOME_INTERRUPTED] = "interrupted",
    [OUTCOME_SKIPPED] = "skipped",
    [OUTCOME_MISSED] = "missed",
};

static const char *const origin_names[ORIGIN_COUNT] = {
    [ORIGIN_SCHEDULE] = "schedule", [ORIGIN_SERVICE] = "service", [ORIGIN_TRIGGER] = "trigger",
    [ORIGIN_AFTER] = "after",       [ORIGIN_RETRY] = "retry",     [ORIGIN_RERUN] = "rerun",
};

const char *outcome_name(enum outcome outcome)
{
    return (unsigned)outcome < OUTCOME_COUNT ? outcome_names[outcome] : "unknown";
}

enum outcome outcome_parse(const char *text)
{
    for (enum outcome o = OUTCOME_QUEUED; o < OUTCOME_COUNT; o++) {
        if (strcmp(text, outcome_names[o]) == 0) {
            return o;
        }
    }
    return OUTCOME_NONE;
}

bool outcome_is_open(enum outcome outcome)
{
    return outcome >= OUTCOME_QUEUED && outcome <= OUTCOME_RETRYING;
}

const char *run_origin_name(enum run_origin origin)
{
    assert(origin < ORIGIN_COUNT);
    return origin_names[origin];
}

enum run_origin run_origin_parse(const char *text)
{
    for (enum run_origin o = ORIGIN_SCHEDULE; o < ORIGIN_COUNT; o++) {
        if (strcmp(text, origin_names[o]) == 0) {
            return o;
        }
    }
    return ORIGIN_COUNT;
}
