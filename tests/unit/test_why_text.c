#include "supervisor/cli/why_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/outcome.h"

static const char policy[] =
    "{\"schedule\":\"0 2 * * *\",\"zone\":\"Europe/Berlin\",\"enabled\":true,\"missed\":\"once\","
    "\"missed_window_seconds\":86400.0,\"missed_max\":100,\"on_interrupt\":\"skip\","
    "\"timeout_seconds\":60.0,\"mutex\":\"disk\",\"max_running\":100}";

/* What is said of one run, the caller frees it. */
static char *told(const char *run)
{
    char *text = NULL;
    size_t size = 0;
    json_error_t error;
    json_t *document = json_pack("{s:s, s:n, s:o, s:[o]}", "job", "nightly", "asked_at", "policy",
                                 json_loads(policy, 0, &error), "runs", json_loads(run, 0, &error));
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(document, "%s", error.text);
    why_text_print(to, document);
    (void)fclose(to);
    json_decref(document);
    return text;
}

/* clang-format off */
static const struct {
    const char *run;
    const char *says;
} cases[] = {
    {"{\"outcome\":\"missed\",\"reason\":\"no leader\"}",   "only the latest of the ticks that were missed"},
    {"{\"outcome\":\"missed\",\"reason\":\"window\"}",      "older than missed_window = 1d00h"},
    {"{\"outcome\":\"missed\",\"reason\":\"limit\"}",       "missed_max = 100"},
    {"{\"outcome\":\"missed\",\"reason\":\"timeline\"}",    "whether this tick ran is not known"},
    {"{\"outcome\":\"missed\",\"reason\":\"the moon\"}",    "The reason on record: the moon."},
    {"{\"outcome\":\"skipped\",\"reason\":\"overlap\"}",    "An earlier run of this job had not ended"},
    {"{\"outcome\":\"skipped\",\"reason\":\"paused\"}",     "`pgbaton resume`"},
    {"{\"outcome\":\"queued\",\"reason\":\"mutex\"}",       "the same mutex: disk"},
    {"{\"outcome\":\"queued\",\"reason\":\"max_running\"}", "max_running = 100"},
    {"{\"outcome\":\"claimed\",\"instance\":\"web1\",\"epoch\":\"1.7\"}", "web1, as leader of epoch 1.7, claimed it"},
    {"{\"outcome\":\"retrying\",\"due_at\":\"2026-11-24T10:00:00.000Z\"}", "not before 2026-11-24T10:00:00Z"},
    {"{\"outcome\":\"interrupted\",\"started_at\":\"2026-11-24T10:00:00.000Z\"}", "on_interrupt = skip: it is not run again"},
    {"{\"outcome\":\"timed_out\",\"started_at\":\"2026-11-24T10:00:00.000Z\",\"duration_seconds\":60.0}", "timeout = 1m00s."},
    {"{\"outcome\":\"cancelled\",\"started_at\":\"2026-11-24T10:00:00.000Z\"}", "It was cancelled."},
    {"{\"outcome\":\"cancelled\",\"started_at\":\"x\",\"duration_seconds\":0.099,\"reason\":\"cancelled\"}", "It was cancelled after 99ms.\n"},
    {"{\"outcome\":\"timed_out\",\"started_at\":\"x\",\"duration_seconds\":1.0,\"reason\":\"timeout\"}", "It took too long, and was stopped after 1.0s.\n"},
    {"{\"outcome\":\"succeeded\",\"started_at\":\"x\",\"result\":\"UPDATE 42\"}", "What the database did: UPDATE 42."},
    {"{\"outcome\":\"never heard of\"}",                    "outcome is never heard of"},
    {"{\"outcome\":\"failed\",\"started_at\":\"2026-11-24T10:00:00.000Z\",\"reason\":\"\\u001b[2J\"}", "\\x1b[2J"},
    {"{}",                                                  "unknown"},
};
/* clang-format on */

Test(why_text, explains_each_outcome)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = told(cases[i].run);

        cr_expect_not_null(strstr(text, cases[i].says), "'%s' is not in\n%s", cases[i].says, text);
        cr_expect_null(strchr(text, '\x1b'));
        cr_expect_not_null(strstr(text, "'0 2 * * *' (Europe/Berlin)"), "%s", text);
        free(text);
    }
}

Test(why_text, has_a_sentence_for_every_outcome)
{
    for (enum outcome o = OUTCOME_QUEUED; o < OUTCOME_COUNT; o++) {
        char run[128];

        (void)snprintf(run, sizeof(run), "{\"outcome\":\"%s\",\"started_at\":\"x\"}",
                       outcome_name(o));
        char *text = told(run);
        cr_expect_not_null(strstr(text, outcome_name(o)), "%s", text);
        free(text);
    }
}
