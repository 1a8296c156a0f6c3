#include "common/outcome.h"

#include <criterion/criterion.h>

#include "common/array.h"

/* The lists of CONTRACT.md, to the letter: what other people's scripts compare with. */
static const struct {
    enum outcome outcome;
    const char *name;
    bool open;
} outcomes[] = {
    {OUTCOME_QUEUED, "queued", true},
    {OUTCOME_CLAIMED, "claimed", true},
    {OUTCOME_RUNNING, "running", true},
    {OUTCOME_RETRYING, "retrying", true},
    {OUTCOME_SUCCEEDED, "succeeded", false},
    {OUTCOME_FAILED, "failed", false},
    {OUTCOME_TIMED_OUT, "timed_out", false},
    {OUTCOME_CANCELLED, "cancelled", false},
    {OUTCOME_INTERRUPTED, "interrupted", false},
    {OUTCOME_SKIPPED, "skipped", false},
    {OUTCOME_MISSED, "missed", false},
};

static const struct {
    enum run_origin origin;
    const char *name;
} origins[] = {
    {ORIGIN_SCHEDULE, "schedule"}, {ORIGIN_SERVICE, "service"}, {ORIGIN_TRIGGER, "trigger"},
    {ORIGIN_AFTER, "after"},       {ORIGIN_RETRY, "retry"},     {ORIGIN_RERUN, "rerun"},
};

Test(outcome, names)
{
    cr_expect_eq(ARRAY_LEN(outcomes), OUTCOME_COUNT - 1, "all of them are in the table");
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
        cr_expect_str_eq(outcome_name(outcomes[i].outcome), outcomes[i].name);
        cr_expect_eq(outcome_parse(outcomes[i].name), outcomes[i].outcome, "%s", outcomes[i].name);
        cr_expect_eq(outcome_is_open(outcomes[i].outcome), outcomes[i].open, "%s",
                     outcomes[i].name);
    }
    cr_expect_str_eq(outcome_name(OUTCOME_NONE), "");
    cr_expect_not(outcome_is_open(OUTCOME_NONE));
}

Test(outcome, what_is_none)
{
    static const char *const texts[] = {"", "Queued", "queued ", "timed-out", "success"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        cr_expect_eq(outcome_parse(texts[i]), OUTCOME_NONE, "'%s'", texts[i]);
        cr_expect_eq(run_origin_parse(texts[i]), ORIGIN_COUNT, "'%s'", texts[i]);
    }
}

Test(outcome, origins)
{
    cr_expect_eq(ARRAY_LEN(origins), ORIGIN_COUNT);
    for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
        cr_expect_str_eq(run_origin_name(origins[i].origin), origins[i].name);
        cr_expect_eq(run_origin_parse(origins[i].name), origins[i].origin, "%s", origins[i].name);
    }
}
