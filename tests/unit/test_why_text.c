#include "supervisor/cli/why_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/outcome.h"
#include "tests/support/text.h"

static const char policy[] =
    "{\"schedule\":\"0 2 * * *\",\"zone\":\"Europe/Berlin\",\"enabled\":true,\"missed\":\"once\","
    "\"missed_window_seconds\":86400.0,\"missed_max\":100,\"on_interrupt\":\"skip\","
    "\"timeout_seconds\":60.0,\"mutex\":\"disk\",\"retries\":3,\"max_running\":100}";

/* What is said of these runs by that policy ("null": the job is none of the configuration); the
 * caller frees it. */
static char *told_by(const char *rules, const char *runs)
{
    char *text = NULL;
    size_t size = 0;
    json_error_t error;
    json_t *document =
        json_pack("{s:s, s:n, s:o, s:o}", "job", "nightly", "asked_at", "policy",
                  json_loads(rules, JSON_DECODE_ANY, &error), "runs", json_loads(runs, 0, &error));
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(document, "%s", error.text);
    why_text_print(to, document);
    (void)fclose(to);
    json_decref(document);
    return text;
}

/* The same of one run, by the policy above. */
static char *told(const char *run)
{
    char *runs = text_format("[%s]", run);
    char *text = told_by(policy, runs);

    free(runs);
    return text;
}

/* clang-format off */
static const struct {
    const char *run;
    const char *says;
} cases[] = {
    {"{\"outcome\":\"missed\",\"reason\":\"no leader\"}",   "only the latest of the ticks that were missed"},
    {"{\"outcome\":\"missed\",\"reason\":\"window\"}",      "older than missed_window = 1d,"},
    {"{\"outcome\":\"missed\",\"reason\":\"limit\"}",       "missed_max = 100"},
    {"{\"outcome\":\"missed\",\"reason\":\"timeline\"}",    "whether this tick ran is not known"},
    {"{\"outcome\":\"missed\",\"reason\":\"no ledger\"}",   "The ledger, without which a leader starts nothing, did not answer when it was due, and missed = once:"},
    {"{\"outcome\":\"skipped\",\"reason\":\"no time left\"}", "there was no time left to run it in"},
    {"{\"outcome\":\"queued\",\"reason\":\"hand-over\"}",   "it is left to the next leader"},
    {"{\"outcome\":\"queued\",\"reason\":\"trigger\"}",     "It was asked for, and has not been started yet."},
    {"{\"outcome\":\"queued\",\"reason\":\"rerun\"}",       "The attempt before it was interrupted, and a leader"},
    {"{\"outcome\":\"queued\",\"reason\":\"after\"}",       "The run that it follows has ended, and a leader"},
    {"{\"outcome\":\"retrying\",\"reason\":\"retry\"}",     "The attempt before it failed, and retries = 3."},
    {"{\"outcome\":\"cancelled\",\"reason\":\"removed\"}",  "the job was removed, disabled or given another schedule"},
    {"{\"outcome\":\"cancelled\",\"reason\":\"its term has ended\"}", "It belonged to a term of leadership"},
    {"{\"outcome\":\"missed\",\"reason\":\"the moon\"}",    "The reason on record: the moon."},
    {"{\"outcome\":\"skipped\",\"reason\":\"overlap\"}",    "An earlier run of this job had not ended"},
    {"{\"outcome\":\"skipped\",\"reason\":\"paused\"}",     "`pgbaton resume`"},
    {"{\"outcome\":\"queued\",\"reason\":\"mutex\"}",       "the same mutex: disk"},
    {"{\"outcome\":\"queued\",\"reason\":\"max_running\"}", "max_running = 100"},
    {"{\"outcome\":\"claimed\",\"instance\":\"web1\",\"epoch\":\"1.7\"}", "web1, as leader of epoch 1.7, claimed it"},
    {"{\"outcome\":\"retrying\",\"due_at\":\"2026-11-24T10:00:00.000Z\"}", "not before 2026-11-24T10:00:00Z"},
    {"{\"outcome\":\"interrupted\",\"started_at\":\"2026-11-24T10:00:00.000Z\"}", "on_interrupt = skip: it is not run again"},
    {"{\"outcome\":\"timed_out\",\"started_at\":\"2026-11-24T10:00:00.000Z\",\"duration_seconds\":60.0}", "The job has timeout = 1m."},
    {"{\"outcome\":\"cancelled\",\"started_at\":\"2026-11-24T10:00:00.000Z\"}", "It was cancelled."},
    {"{\"outcome\":\"cancelled\",\"started_at\":\"x\",\"duration_seconds\":0.099,\"reason\":\"cancelled\"}", "It was cancelled after 99ms.\n"},
    {"{\"outcome\":\"succeeded\",\"started_at\":\"x\",\"duration_seconds\":0.9994}", "It succeeded after 999ms.\n"},
    {"{\"outcome\":\"succeeded\",\"started_at\":\"x\",\"duration_seconds\":0.9996}", "It succeeded after 1.0s.\n"},
    {"{\"outcome\":\"succeeded\",\"started_at\":\"x\",\"duration_seconds\":59.96}", "It succeeded after 1m00s.\n"},
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

/* clang-format off */
static const struct {
    const char *title;
    const char *rules;
    const char *runs;
    const char *says;
    const char *is_silent_of; /* NULL: nothing */
} by_policy[] = {
    {"overlap = skip", "{\"overlap\":\"skip\"}", "[{\"outcome\":\"skipped\",\"reason\":\"overlap\"}]",
        "An earlier run of this job had not ended, and overlap = skip lets a tick pass then.", NULL},
    {"overlap = queue", "{\"overlap\":\"queue\"}", "[{\"outcome\":\"skipped\",\"reason\":\"overlap\"}]",
        "Another run of this job waited already, and overlap = queue lets only one wait.", "overlap = skip"},
    {"overlap = allow now", "{\"overlap\":\"allow\"}", "[{\"outcome\":\"skipped\",\"reason\":\"overlap\"}]",
        "the job had another overlap then than now, which is allow.", "overlap = skip"},
    {"no policy", "null", "[{\"outcome\":\"skipped\",\"reason\":\"overlap\"}]",
        "An earlier run of this job had not ended.", "overlap ="},
    {"a length that is none in whole units", "{\"missed_window_seconds\":5400.5}", "[{\"outcome\":\"missed\",\"reason\":\"window\"}]",
        "missed_window = 5400500ms,", NULL},
    {"no policy, no length", "null", "[{\"outcome\":\"missed\",\"reason\":\"window\"}]", "older than missed_window, and what is older is not made up for.", "= ?"},
    {"nor the most of them", "null", "[{\"outcome\":\"missed\",\"reason\":\"limit\"}]", "made up for: missed_max.\n", "0."},
    {"nor the most runs", "null", "[{\"outcome\":\"queued\",\"reason\":\"max_running\"}]", "already: [jobs] max_running.\n", "= 0"},
    {"a reason that is explained is not said", "null", "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"duration_seconds\":5.0,\"reason\":\"drain\"}]",
        "It was interrupted after 5.0s.\n", ": drain"},
    {"of a loss neither", "null", "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"reason\":\"lost\"}]", "It was interrupted.\n", ": lost"},
    {"one that is not is", "null", "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"reason\":\"crash\"}]", "It was interrupted: crash.\n", NULL},
    {"no timeout any more", "{\"timeout_seconds\":null}", "[{\"outcome\":\"timed_out\",\"started_at\":\"x\"}]", "took too long", "timeout ="},
    {"a rerun on record", "{\"on_interrupt\":\"rerun\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"run\":\"1.1-1\"},"
        " {\"outcome\":\"queued\",\"parent\":\"1.1-1\",\"origin\":\"rerun\",\"run\":\"1.2-1\",\"attempt\":2}]",
        "Run 1.2-1 follows from it (on_interrupt = rerun).", "No run that follows"},
    {"a rerun on record, and another rule since", "{\"on_interrupt\":\"skip\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"run\":\"1.1-1\"},"
        " {\"outcome\":\"queued\",\"parent\":\"1.1-1\",\"origin\":\"rerun\",\"run\":\"1.2-1\",\"attempt\":2}]",
        "Run 1.2-1 follows from it (on_interrupt = rerun).", "it is not run again"},
    {"no rerun on record", "{\"on_interrupt\":\"rerun\",\"schedule\":\"@daily\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"run\":\"1.1-1\",\"origin\":\"schedule\"}]",
        "No run that follows from it is on record:", "follows from it (on"},
    {"a rerun that may have succeeded", "{\"on_interrupt\":\"rerun\",\"record\":\"failures\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"run\":\"1.1-1\",\"origin\":\"schedule\"}]",
        "If it was run again (on_interrupt = rerun) and that succeeded", "No run that follows"},
    {"the last attempt", "{\"on_interrupt\":\"rerun\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"attempt\":10,\"run\":\"1.1-1\"}]",
        "It is not run again: attempt 10 is the last", "follows from it"},
    {"of a term", "{\"on_interrupt\":\"rerun\",\"schedule\":\"@elected\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"origin\":\"schedule\",\"run\":\"1.1-1\"}]",
        "It is not run again, also with on_interrupt = rerun: it belonged to its term", "follows from it"},
    {"of no term: somebody asked for it", "{\"on_interrupt\":\"rerun\",\"schedule\":\"@elected\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"origin\":\"trigger\",\"run\":\"1.1-1\"}]",
        "No run that follows from it is on record:", "it belonged to its term"},
    {"of a term that ended: asked for, too", "{\"on_interrupt\":\"rerun\",\"schedule\":\"@elected\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"origin\":\"trigger\",\"run\":\"1.1-1\",\"reason\":\"drain\"}]",
        "It is not run again, also with on_interrupt = rerun: it belonged to its term", "No run that follows"},
    {"a service", "{\"on_interrupt\":\"rerun\",\"schedule\":\"always\"}",
        "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"origin\":\"service\",\"run\":\"1.1-1\"}]",
        "It is a service: each leader starts a run of its own.", "on_interrupt"},
    {"interrupted by a stop", "null", "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"reason\":\"drain\"}]",
        "Its leader was stopped, or stepped down,", "went away"},
    {"interrupted by a loss", "null", "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"reason\":\"lost\"}]",
        "Its leader had lost its lease,", "went away"},
    {"interrupted by a death", "null", "[{\"outcome\":\"interrupted\",\"started_at\":\"x\",\"reason\":\"its leader ended\"}]",
        "Its leader went away", "stepped down"},
    {"interrupted before it may have been started", "null", "[{\"outcome\":\"interrupted\",\"reason\":\"its leader ended before or after the start\"}]",
        "Whether it was started is not known.", "It was not started"},
};
/* clang-format on */

Test(why_text, says_of_a_policy_only_what_is_true)
{
    for (size_t i = 0; i < ARRAY_LEN(by_policy); i++) {
        char *text = told_by(by_policy[i].rules, by_policy[i].runs);
        const char *silent = by_policy[i].is_silent_of;

        cr_expect_not_null(strstr(text, by_policy[i].says), "%s: '%s' is not in\n%s",
                           by_policy[i].title, by_policy[i].says, text);
        cr_expect(silent == NULL || strstr(text, silent) == NULL, "%s: '%s' is in\n%s",
                  by_policy[i].title, silent, text);
        free(text);
    }
}
