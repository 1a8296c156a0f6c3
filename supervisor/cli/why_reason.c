#include "supervisor/cli/why_reason.h"

#include <string.h>

#include "common/array.h"
#include "supervisor/cli/run_text.h"

/* Seconds: what is longer is none of a configuration, and would overflow. */
#define LENGTH_MOST 9e9

struct duration_text why_reason_length(const json_t *policy, const char *key)
{
    struct duration_text length = {.is = "?"};
    double seconds;

    if (run_number(policy, key, &seconds) && seconds >= 0 && seconds < LENGTH_MOST) {
        length = duration_text((dur_ns)(seconds * 1000 + 0.5) * DUR_MS(1));
    }
    return length;
}

static bool is_number(const json_t *policy, const char *key)
{
    return json_is_number(json_object_get(policy, key));
}

static long long policy_number(const json_t *policy, const char *key)
{
    return (long long)json_integer_value(json_object_get(policy, key));
}

/* What a key is now, if that is known: the end of a sentence. */
static void say_number(struct paragraph *p, const json_t *policy, const char *key)
{
    if (is_number(policy, key)) {
        paragraph_say(p, " = %lld", policy_number(policy, key));
    }
    paragraph_say(p, ".");
}

/* What the job says of ticks that were missed: the end of a sentence. */
static void say_missed(struct paragraph *p, const json_t *policy)
{
    const char *missed = run_text_or(policy, "missed", NULL);

    if (missed == NULL) {
        paragraph_say(p, ".");
    } else if (strcmp(missed, "skip") == 0) {
        paragraph_say(p, ", and missed = skip: this job makes up for nothing.");
    } else if (strcmp(missed, "once") == 0) {
        paragraph_say(
            p,
            ", and missed = once: only the latest of the ticks that were missed is made up for.");
    } else {
        paragraph_say(p, ", and it was not among those that missed = all makes up for.");
    }
}

static void missed_no_leader(struct paragraph *p, const json_t *policy)
{
    paragraph_say(p, "\nNo instance was leader when it was due");
    say_missed(p, policy);
}

static void missed_no_ledger(struct paragraph *p, const json_t *policy)
{
    paragraph_say(
        p, "\nThe ledger, without which a leader starts nothing, did not answer when it was due");
    say_missed(p, policy);
}

static void missed_window(struct paragraph *p, const json_t *policy)
{
    paragraph_say(p, "\nWhen there was a leader again it was older than missed_window");
    if (is_number(policy, "missed_window_seconds")) {
        paragraph_say(p, " = %s", why_reason_length(policy, "missed_window_seconds").is);
    }
    paragraph_say(p, ", and what is older is not made up for.");
}

static void missed_limit(struct paragraph *p, const json_t *policy)
{
    paragraph_say(p, "\nMore ticks were missed than are made up for: missed_max");
    say_number(p, policy, "missed_max");
}

static void missed_timeline(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(
        p, "\nThe database was failed over, or restored, and may have lost its last transactions: "
           "whether this tick ran is not known, so it was not run again.");
}

static void skipped_overlap(struct paragraph *p, const json_t *policy)
{
    const char *overlap = run_text_or(policy, "overlap", NULL);

    if (overlap != NULL && strcmp(overlap, "queue") == 0) {
        paragraph_say(
            p, "\nAnother run of this job waited already, and overlap = queue lets only one wait.");
        return;
    }
    paragraph_say(p, "\nAn earlier run of this job had not ended");
    if (overlap == NULL) {
        paragraph_say(p, ".");
    } else if (strcmp(overlap, "skip") == 0) {
        paragraph_say(p, ", and overlap = skip lets a tick pass then.");
    } else {
        paragraph_say(p, "; the job had another overlap then than now, which is %s.", overlap);
    }
}

static void skipped_no_time(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(p,
                  "\nThe leader's term was about to end, and there was no time left to run it in.");
}

static void skipped_paused(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(p, "\nThe job was paused; `pgbaton resume` lets it run again.");
}

static void queued_overlap(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(p, "\nIt waits for an earlier run of this job to end (overlap).");
}

static void queued_mutex(struct paragraph *p, const json_t *policy)
{
    const char *mutex = run_text(policy, "mutex");

    paragraph_say(p, "\nIt waits for a run of another job that has the same mutex%s%s.",
                  mutex == NULL ? "" : ": ", mutex == NULL ? "" : mutex);
}

static void queued_max_running(struct paragraph *p, const json_t *policy)
{
    paragraph_say(
        p, "\nAs many runs as may be at the same time are running already: [jobs] max_running");
    say_number(p, policy, "max_running");
}

static void queued_parent(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(p, "\nIt waits for the job that it follows.");
}

static void queued_hand_over(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(
        p, "\nThe leader's term ended before it was started: it is left to the next leader.");
}

static void queued_trigger(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(p, "\nIt was asked for, and has not been started yet.");
}

static void queued_rerun(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(p, "\nThe attempt before it was interrupted, and a leader is to start this one.");
}

static void queued_after(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(p, "\nThe run that it follows has ended, and a leader is to start this one.");
}

static void retrying_retry(struct paragraph *p, const json_t *policy)
{
    paragraph_say(p, "\nThe attempt before it failed");
    if (policy_number(policy, "retries") > 0) {
        paragraph_say(p, ", and retries = %lld", policy_number(policy, "retries"));
    }
    paragraph_say(p, ".");
}

static void cancelled_removed(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(
        p, "\nBefore it could start, the job was removed, disabled or given another schedule.");
}

static void cancelled_term(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    paragraph_say(p, "\nIt belonged to a term of leadership, which ended before it could start.");
}

/* How the reason in the ledger begins; what is none of these is told as it is. */
/* clang-format off */
static const struct {
    enum outcome outcome;
    const char *reason;
    void (*tell)(struct paragraph *p, const json_t *policy);
} explanations[] = {
    {OUTCOME_MISSED,     "no leader",     missed_no_leader},
    {OUTCOME_MISSED,     "no ledger",     missed_no_ledger},
    {OUTCOME_MISSED,     "window",        missed_window},
    {OUTCOME_MISSED,     "limit",         missed_limit},
    {OUTCOME_MISSED,     "timeline",      missed_timeline},
    {OUTCOME_SKIPPED,    "overlap",       skipped_overlap},
    {OUTCOME_SKIPPED,    "paused",        skipped_paused},
    {OUTCOME_SKIPPED,    "no time left",  skipped_no_time},
    {OUTCOME_QUEUED,     "overlap",       queued_overlap},
    {OUTCOME_QUEUED,     "mutex",         queued_mutex},
    {OUTCOME_QUEUED,     "max_running",   queued_max_running},
    {OUTCOME_QUEUED,     "parent",        queued_parent},
    {OUTCOME_QUEUED,     "hand-over",     queued_hand_over},
    {OUTCOME_QUEUED,     "trigger",       queued_trigger},
    {OUTCOME_QUEUED,     "rerun",         queued_rerun},
    {OUTCOME_QUEUED,     "after",         queued_after},
    {OUTCOME_RETRYING,   "retry",         retrying_retry},
    {OUTCOME_CANCELLED,  "removed",       cancelled_removed},
    {OUTCOME_CANCELLED,  "its term",      cancelled_term},
};
/* clang-format on */

void why_reason_explain(struct paragraph *p, enum outcome outcome, const char *reason,
                        const json_t *policy)
{
    for (size_t i = 0; i < ARRAY_LEN(explanations); i++) {
        if (explanations[i].outcome == outcome &&
            strncmp(reason, explanations[i].reason, strlen(explanations[i].reason)) == 0) {
            explanations[i].tell(p, policy);
            return;
        }
    }
    paragraph_say(p, "\nThe reason on record: %s.", reason);
}
