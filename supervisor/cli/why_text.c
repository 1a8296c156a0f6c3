#include "supervisor/cli/why_text.h"

#include <stdbool.h>
#include <string.h>

#include "common/outcome.h"
#include "supervisor/cli/paragraph.h"
#include "supervisor/cli/run_text.h"
#include "supervisor/cli/why_reason.h"

/* ---- one attempt ---- */

/* What is known beside the run. */
struct said {
    const json_t *policy; /* of the job as this instance has it; null: it has none */
    const json_t *runs;   /* all attempts of the tick */
};

/* "instance web1, in epoch 1.7,"; or nobody is known. */
static void say_who(struct paragraph *p, const json_t *run, const char *deed)
{
    const char *instance = run_text(run, "instance");
    const char *epoch = run_text(run, "epoch");

    if (instance == NULL) {
        return;
    }
    paragraph_say(p, "\nInstance %s%s%s%s %s.", instance,
                  epoch == NULL ? "" : ", as leader of epoch ", epoch == NULL ? "" : epoch,
                  epoch == NULL ? "" : ",", deed);
}

static void say_start(struct paragraph *p, const json_t *run)
{
    struct run_length late = run_length(run, "late_seconds");
    const char *instance = run_text_or(run, "instance", "an unknown instance");
    const char *epoch = run_text(run, "epoch");

    paragraph_say(p, "\nInstance %s%s%s%s started it at %s", instance,
                  epoch == NULL ? "" : ", as leader of epoch ", epoch == NULL ? "" : epoch,
                  epoch == NULL ? "" : ",", run_moment(run, "started_at").is);
    if (late.is[0] != '\0') {
        paragraph_say(p, ", %s after it was due", late.is);
    }
    paragraph_say(p, ".");
}

/* Reasons that have a sentence of their own. */
static bool is_of_leader(const char *reason)
{
    return strcmp(reason, "drain") == 0 || strcmp(reason, "lost") == 0;
}

static void say_ended(struct paragraph *p, const json_t *run, const char *word)
{
    struct run_length length = run_length(run, "duration_seconds");
    const char *reason = run_text(run, "reason");
    const char *outcome = run_text_or(run, "outcome", "");
    bool is_said =
        reason != NULL && (strcmp(reason, "timeout") == 0 || strcmp(reason, outcome) == 0 ||
                           (strcmp(outcome, "interrupted") == 0 && is_of_leader(reason)));

    paragraph_say(p, "\nIt %s", word);
    if (length.is[0] != '\0') {
        paragraph_say(p, " after %s", length.is);
    }
    if (reason != NULL && reason[0] != '\0' && !is_said) {
        paragraph_say(p, ": %s", reason);
    }
    paragraph_say(p, ".");
}

static const char *why_interrupted(const char *reason)
{
    if (strcmp(reason, "drain") == 0) {
        return "Its leader was stopped, or stepped down, and the run had not ended by itself in "
               "time.";
    }
    if (strcmp(reason, "lost") == 0) {
        return "Its leader had lost its lease, or was not sure of it any more, and stopped it.";
    }
    return "Its leader went away without writing down what became of it: how far it came is not "
           "known.";
}

/* The run that follows from this one because it was interrupted; NULL: none is on record. */
static const json_t *rerun_of(const json_t *runs, const json_t *run)
{
    const char *id = run_text_or(run, "run", "");
    size_t i;
    json_t *other;

    json_array_foreach(runs, i, other)
    {
        if (strcmp(run_text_or(other, "parent", ""), id) == 0 &&
            run_origin_parse(run_text_or(other, "origin", "")) == ORIGIN_RERUN) {
            return other;
        }
    }
    return NULL;
}

/* As follow_up_is_of_term() in the worker; what ended with its term has no second attempt in the
 * next one, whatever it was started by. */
static bool is_of_term(const json_t *policy, const json_t *run, enum run_origin origin)
{
    const char *schedule = run_text_or(policy, "schedule", "");
    const char *reason = run_text_or(run, "reason", "");
    return (strcmp(schedule, "@elected") == 0 || strcmp(schedule, "@released") == 0) &&
           (is_of_leader(reason) || origin == ORIGIN_SCHEDULE || origin == ORIGIN_RETRY ||
            origin == ORIGIN_RERUN);
}

/* The rule may have been another one when it ended: only what is on record is sure. */
static void say_rerun(struct paragraph *p, const json_t *run, const struct said *about)
{
    const char *rule = run_text(about->policy, "on_interrupt");
    const json_t *next = rerun_of(about->runs, run);
    enum run_origin origin = run_origin_parse(run_text_or(run, "origin", ""));
    double attempt = 1;

    (void)run_number(run, "attempt", &attempt);
    if (next != NULL) {
        paragraph_say(p, "\nRun %s follows from it (on_interrupt = rerun).",
                      run_text_or(next, "run", "?"));
    } else if (origin == ORIGIN_SERVICE) {
        paragraph_say(p, "\nIt is a service: each leader starts a run of its own.");
    } else if (rule == NULL) {
        return;
    } else if (strcmp(rule, "rerun") != 0) {
        paragraph_say(p, "\non_interrupt = skip: it is not run again.");
    } else if (attempt >= OUTCOME_RERUN_ATTEMPTS) {
        paragraph_say(
            p, "\nIt is not run again: attempt %d is the last, also with on_interrupt = rerun.",
            OUTCOME_RERUN_ATTEMPTS);
    } else if (is_of_term(about->policy, run, origin)) {
        paragraph_say(
            p,
            "\nIt is not run again, also with on_interrupt = rerun: it belonged to its term, and "
            "each term has its own.");
    } else if (strcmp(run_text_or(about->policy, "record", ""), "failures") == 0) {
        paragraph_say(
            p, "\nIf it was run again (on_interrupt = rerun) and that succeeded, no run of it is "
               "kept (record = failures).");
    } else {
        paragraph_say(
            p, "\nNo run that follows from it is on record: on_interrupt = rerun makes one if the "
               "job has it, and is enabled, when the interruption is written down.");
    }
}

static void say_interrupted(struct paragraph *p, const json_t *run, const struct said *about)
{
    if (run_text(run, "started_at") != NULL) {
        say_ended(p, run, "was interrupted");
    } else {
        say_who(p, run, "had claimed it");
        paragraph_say(p, "\nWhether it was started is not known.");
    }
    paragraph_say(p, "\n%s", why_interrupted(run_text_or(run, "reason", "")));
    say_rerun(p, run, about);
}

static void say_closed(struct paragraph *p, const json_t *run, enum outcome outcome,
                       const struct said *about)
{
    switch (outcome) {
    case OUTCOME_SUCCEEDED:
        say_ended(p, run, "succeeded");
        return;
    case OUTCOME_FAILED:
        say_ended(p, run, "failed");
        return;
    case OUTCOME_TIMED_OUT:
        say_ended(p, run, "took too long, and was stopped");
        if (json_is_number(json_object_get(about->policy, "timeout_seconds"))) {
            paragraph_say(p, "\nThe job has timeout = %s.",
                          why_reason_length(about->policy, "timeout_seconds").is);
        }
        return;
    case OUTCOME_CANCELLED:
        say_ended(p, run, "was cancelled");
        return;
    case OUTCOME_INTERRUPTED:
        say_interrupted(p, run, about);
        return;
    case OUTCOME_RUNNING:
        paragraph_say(p, "\nIt is still running, as far as the ledger knows.");
        return;
    case OUTCOME_NONE:
    case OUTCOME_QUEUED:
    case OUTCOME_CLAIMED:
    case OUTCOME_RETRYING:
    case OUTCOME_SKIPPED:
    case OUTCOME_MISSED:
    case OUTCOME_COUNT:
        paragraph_say(p, "\nIts outcome is %s.", run_text_or(run, "outcome", "unknown"));
        return;
    }
}

/* Of a statement: "UPDATE 42". */
static void say_result(struct paragraph *p, const json_t *run)
{
    const char *result = run_text_or(run, "result", NULL);

    if (result != NULL) {
        paragraph_say(p, "\nWhat the database did: %s.", result);
    }
}

static void say_range(struct paragraph *p, const json_t *run)
{
    long long count = (long long)json_integer_value(json_object_get(run, "count"));

    if (count > 1) {
        paragraph_say(p, "\nThe same became of %lld ticks, from %s to %s.", count,
                      run_moment(run, "scheduled_at").is, run_moment(run, "last_at").is);
    }
}

/* What was never started. */
static void say_not_started(struct paragraph *p, const json_t *run, enum outcome outcome,
                            const struct said *about)
{
    const char *reason = run_text(run, "reason");

    switch (outcome) {
    case OUTCOME_CLAIMED:
        paragraph_say(p,
                      "\nA leader said that it would start it; whether it did is not known yet.");
        say_who(p, run, "claimed it");
        return;
    case OUTCOME_INTERRUPTED:
        say_interrupted(p, run, about);
        return;
    case OUTCOME_RETRYING:
        paragraph_say(p, "\nIt waits to be tried again, not before %s.",
                      run_moment(run, "due_at").is);
        break;
    case OUTCOME_MISSED:
        paragraph_say(p, "\nNobody ran it.");
        break;
    case OUTCOME_SKIPPED:
        paragraph_say(p, "\nIt was not run.");
        break;
    case OUTCOME_QUEUED:
        paragraph_say(p, "\nIt will run, but not yet.");
        break;
    case OUTCOME_NONE:
    case OUTCOME_RUNNING:
    case OUTCOME_SUCCEEDED:
    case OUTCOME_FAILED:
    case OUTCOME_TIMED_OUT:
    case OUTCOME_CANCELLED:
    case OUTCOME_COUNT:
        paragraph_say(p, "\nIt was not started, and its outcome is %s.",
                      run_text_or(run, "outcome", "unknown"));
        break;
    }
    if (reason != NULL && reason[0] != '\0') {
        why_reason_explain(p, outcome, reason, about->policy);
    }
    say_range(p, run);
    say_who(p, run, "wrote that down");
}

static void say_origin(struct paragraph *p, const json_t *run)
{
    const char *origin = run_text_or(run, "origin", "");
    const char *parent = run_text(run, "parent");

    if (strcmp(origin, "trigger") == 0) {
        paragraph_say(p, "\nSomebody asked for it with `pgbaton trigger`.");
    } else if (strcmp(origin, "after") == 0) {
        paragraph_say(p, "\nIt follows from run %s.", run_text_or(run, "parent", "of another job"));
    } else if (parent != NULL && strcmp(origin, "retry") == 0) {
        paragraph_say(p, "\nIt was tried again because run %s failed.", parent);
    } else if (parent != NULL && strcmp(origin, "rerun") == 0) {
        paragraph_say(p, "\nIt was run again because run %s was interrupted.", parent);
    }
}

static void print_attempt(FILE *to, const json_t *run, const struct said *about)
{
    enum outcome outcome = outcome_parse(run_text_or(run, "outcome", ""));
    struct paragraph p = {.length = 0};
    double number = 1;

    (void)run_number(run, "attempt", &number);
    paragraph_say(&p, "attempt %.0f, run %s: %s", number, run_text_or(run, "run", "?"),
                  run_text_or(run, "outcome", "unknown"));
    if (run_text(run, "started_at") == NULL) {
        say_not_started(&p, run, outcome, about);
    } else {
        say_start(&p, run);
        say_closed(&p, run, outcome, about);
        say_result(&p, run);
    }
    say_origin(&p, run);
    paragraph_print(to, "  ", &p);
}

/* ---- all of it ---- */

static void print_head(FILE *to, const json_t *document, const json_t *last)
{
    const char *asked = run_text(document, "asked_at");
    struct run_moment tick = run_moment(last, "scheduled_at");
    struct paragraph p = {.length = 0};

    paragraph_say(&p, "%s, tick %s: %s", run_text_or(document, "job", "?"), tick.is,
                  run_text_or(last, "outcome", "unknown"));
    if (asked != NULL) {
        paragraph_say(&p, " (on record, the tick nearest to %s)",
                      run_moment(document, "asked_at").is);
    }
    paragraph_print(to, "", &p);
}

static void print_policy(FILE *to, const json_t *policy)
{
    struct paragraph p = {.length = 0};

    if (!json_is_object(policy)) {
        paragraph_say(&p, "The job is not in this instance's configuration.");
    } else {
        paragraph_say(&p, "Its schedule is '%s' (%s)%s.", run_text_or(policy, "schedule", "?"),
                      run_text_or(policy, "zone", "UTC"),
                      json_is_false(json_object_get(policy, "enabled")) ? ", and it is disabled"
                                                                        : "");
    }
    paragraph_print(to, "  ", &p);
}

void why_text_print(FILE *to, const json_t *document)
{
    const struct said about = {.policy = json_object_get(document, "policy"),
                               .runs = json_object_get(document, "runs")};
    size_t count = json_array_size(about.runs);
    size_t i;
    json_t *run;

    print_head(to, document, json_array_get(about.runs, count - 1));
    json_array_foreach(about.runs, i, run)
    {
        print_attempt(to, run, &about);
    }
    print_policy(to, about.policy);
}
