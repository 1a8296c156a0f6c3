#include "supervisor/cli/why_text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "common/array.h"
#include "common/outcome.h"
#include "supervisor/cli/run_text.h"
#include "supervisor/cli/status_text.h"
#include "supervisor/cli/table.h"

enum { SENTENCES_MAX = 16 };

/* Sentences being put together, one a line: what does not fit is cut. */
struct paragraph {
    char text[4096];
    size_t length;
    size_t begins[SENTENCES_MAX]; /* of each sentence after the first */
    size_t count;
};

/* A format that begins with a line feed begins a sentence; one in a text is a text's. */
__attribute__((format(printf, 2, 3))) static void say(struct paragraph *p, const char *format, ...)
{
    va_list args;

    if (format[0] == '\n') {
        format++;
        if (p->count < SENTENCES_MAX) {
            p->begins[p->count++] = p->length;
        }
    }
    va_start(args, format);
    int n = vsnprintf(p->text + p->length, sizeof(p->text) - p->length, format, args);
    va_end(args);
    p->length += n > 0 ? (size_t)n : 0;
    if (p->length > sizeof(p->text) - 1) {
        p->length = sizeof(p->text) - 1;
    }
}

/* The first sentence behind indent, the others further in. */
static void print(FILE *to, const char *indent, struct paragraph *p)
{
    size_t from = 0;

    for (size_t i = 0; i <= p->count; i++) {
        size_t end = i < p->count ? p->begins[i] : p->length;
        char kept = p->text[end];

        p->text[end] = '\0';
        (void)fprintf(to, "%s%s", indent, i == 0 ? "" : "  ");
        print_safe(to, p->text + from);
        (void)fputc('\n', to);
        p->text[end] = kept;
        from = end;
    }
}

static const char *text_or(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = run_text(object, key);
    return text == NULL || text[0] == '\0' ? otherwise : text;
}

/* A length of the policy: "1d00h"; "?" where the job is none of this configuration. */
static struct run_length policy_length(const json_t *policy, const char *key)
{
    struct run_length length = run_length(policy, key);

    if (length.is[0] == '\0') {
        (void)snprintf(length.is, sizeof(length.is), "?");
    }
    return length;
}

static long long policy_number(const json_t *policy, const char *key)
{
    return (long long)json_integer_value(json_object_get(policy, key));
}

/* ---- why, by the word of the ledger ---- */

static void missed_no_leader(struct paragraph *p, const json_t *policy)
{
    const char *missed = text_or(policy, "missed", NULL);

    say(p, "\nNo instance was leader when it was due");
    if (missed == NULL) {
        say(p, ".");
    } else if (strcmp(missed, "skip") == 0) {
        say(p, ", and missed = skip: this job makes up for nothing.");
    } else if (strcmp(missed, "once") == 0) {
        say(p,
            ", and missed = once: only the latest of the ticks that were missed is made up for.");
    } else {
        say(p, ", and it was not among those that missed = all makes up for.");
    }
}

static void missed_window(struct paragraph *p, const json_t *policy)
{
    say(p,
        "\nWhen there was a leader again it was older than missed_window = %s, and what is older "
        "is "
        "not made up for.",
        policy_length(policy, "missed_window_seconds").is);
}

static void missed_limit(struct paragraph *p, const json_t *policy)
{
    say(p, "\nMore ticks were missed than are made up for: missed_max = %lld.",
        policy_number(policy, "missed_max"));
}

static void missed_timeline(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    say(p, "\nThe database was failed over, or restored, and may have lost its last transactions: "
           "whether this tick ran is not known, so it was not run again.");
}

static void skipped_overlap(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    say(p, "\nAn earlier run of this job had not ended, and overlap = skip lets a tick pass then.");
}

static void skipped_paused(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    say(p, "\nThe job was paused; `pgbaton resume` lets it run again.");
}

static void queued_overlap(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    say(p, "\nIt waits for an earlier run of this job to end (overlap).");
}

static void queued_mutex(struct paragraph *p, const json_t *policy)
{
    const char *mutex = run_text(policy, "mutex");

    say(p, "\nIt waits for a run of another job that has the same mutex%s%s.",
        mutex == NULL ? "" : ": ", mutex == NULL ? "" : mutex);
}

static void queued_max_running(struct paragraph *p, const json_t *policy)
{
    say(p,
        "\nAs many runs as may be at the same time are running already: [jobs] max_running = %lld.",
        policy_number(policy, "max_running"));
}

static void queued_parent(struct paragraph *p, const json_t *policy)
{
    (void)policy;
    say(p, "\nIt waits for the job that it follows.");
}

/* How the reason in the ledger begins; what is none of these is told as it is. */
/* clang-format off */
static const struct {
    enum outcome outcome;
    const char *reason;
    void (*tell)(struct paragraph *p, const json_t *policy);
} explanations[] = {
    {OUTCOME_MISSED,  "no leader",   missed_no_leader},
    {OUTCOME_MISSED,  "window",      missed_window},
    {OUTCOME_MISSED,  "limit",       missed_limit},
    {OUTCOME_MISSED,  "timeline",    missed_timeline},
    {OUTCOME_SKIPPED, "overlap",     skipped_overlap},
    {OUTCOME_SKIPPED, "paused",      skipped_paused},
    {OUTCOME_QUEUED,  "overlap",     queued_overlap},
    {OUTCOME_QUEUED,  "mutex",       queued_mutex},
    {OUTCOME_QUEUED,  "max_running", queued_max_running},
    {OUTCOME_QUEUED,  "parent",      queued_parent},
};
/* clang-format on */

static void explain(struct paragraph *p, enum outcome outcome, const char *reason,
                    const json_t *policy)
{
    for (size_t i = 0; i < ARRAY_LEN(explanations); i++) {
        if (explanations[i].outcome == outcome &&
            strncmp(reason, explanations[i].reason, strlen(explanations[i].reason)) == 0) {
            explanations[i].tell(p, policy);
            return;
        }
    }
    say(p, "\nThe reason on record: %s.", reason);
}

/* ---- one attempt ---- */

/* "instance web1, in epoch 1.7,"; or nobody is known. */
static void say_who(struct paragraph *p, const json_t *run, const char *deed)
{
    const char *instance = run_text(run, "instance");
    const char *epoch = run_text(run, "epoch");

    if (instance == NULL) {
        return;
    }
    say(p, "\nInstance %s%s%s%s %s.", instance, epoch == NULL ? "" : ", as leader of epoch ",
        epoch == NULL ? "" : epoch, epoch == NULL ? "" : ",", deed);
}

static void say_start(struct paragraph *p, const json_t *run)
{
    struct run_length late = run_length(run, "late_seconds");
    const char *instance = text_or(run, "instance", "an unknown instance");
    const char *epoch = run_text(run, "epoch");

    say(p, "\nInstance %s%s%s%s started it at %s", instance,
        epoch == NULL ? "" : ", as leader of epoch ", epoch == NULL ? "" : epoch,
        epoch == NULL ? "" : ",", run_moment(run, "started_at").is);
    if (late.is[0] != '\0') {
        say(p, ", %s after it was due", late.is);
    }
    say(p, ".");
}

static void say_ended(struct paragraph *p, const json_t *run, const char *word)
{
    struct run_length length = run_length(run, "duration_seconds");
    const char *reason = run_text(run, "reason");
    const char *outcome = text_or(run, "outcome", "");
    bool is_said =
        reason != NULL && (strcmp(reason, "timeout") == 0 || strcmp(reason, outcome) == 0);

    say(p, "\nIt %s", word);
    if (length.is[0] != '\0') {
        say(p, " after %s", length.is);
    }
    if (reason != NULL && reason[0] != '\0' && !is_said) {
        say(p, ": %s", reason);
    }
    say(p, ".");
}

static void say_interrupted(struct paragraph *p, const json_t *run, const json_t *policy)
{
    const char *rule = run_text(policy, "on_interrupt");

    say_ended(p, run, "was interrupted");
    say(p,
        "\nThe leader went away, or lost its lease, while it ran: how far it came is not known.");
    if (rule != NULL) {
        say(p, strcmp(rule, "rerun") == 0 ? "\non_interrupt = rerun: the next leader runs it again."
                                          : "\non_interrupt = skip: it is not run again.");
    }
}

static void say_closed(struct paragraph *p, const json_t *run, enum outcome outcome,
                       const json_t *policy)
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
        if (run_length(policy, "timeout_seconds").is[0] != '\0') {
            say(p, "\ntimeout = %s.", run_length(policy, "timeout_seconds").is);
        }
        return;
    case OUTCOME_CANCELLED:
        say_ended(p, run, "was cancelled");
        return;
    case OUTCOME_INTERRUPTED:
        say_interrupted(p, run, policy);
        return;
    case OUTCOME_RUNNING:
        say(p, "\nIt is still running, as far as the ledger knows.");
        return;
    case OUTCOME_NONE:
    case OUTCOME_QUEUED:
    case OUTCOME_CLAIMED:
    case OUTCOME_RETRYING:
    case OUTCOME_SKIPPED:
    case OUTCOME_MISSED:
    case OUTCOME_COUNT:
        say(p, "\nIts outcome is %s.", text_or(run, "outcome", "unknown"));
        return;
    }
}

/* Of a statement: "UPDATE 42". */
static void say_result(struct paragraph *p, const json_t *run)
{
    const char *result = text_or(run, "result", NULL);

    if (result != NULL) {
        say(p, "\nWhat the database did: %s.", result);
    }
}

static void say_range(struct paragraph *p, const json_t *run)
{
    long long count = (long long)json_integer_value(json_object_get(run, "count"));

    if (count > 1) {
        say(p, "\nThe same became of %lld ticks, from %s to %s.", count,
            run_moment(run, "scheduled_at").is, run_moment(run, "last_at").is);
    }
}

/* What was never started. */
static void say_not_started(struct paragraph *p, const json_t *run, enum outcome outcome,
                            const json_t *policy)
{
    const char *reason = run_text(run, "reason");

    switch (outcome) {
    case OUTCOME_CLAIMED:
        say(p, "\nA leader said that it would start it; whether it did is not known yet.");
        say_who(p, run, "claimed it");
        return;
    case OUTCOME_RETRYING:
        say(p, "\nIt waits to be tried again, not before %s.", run_moment(run, "due_at").is);
        break;
    case OUTCOME_MISSED:
        say(p, "\nNobody ran it.");
        break;
    case OUTCOME_SKIPPED:
        say(p, "\nIt was not run.");
        break;
    case OUTCOME_QUEUED:
        say(p, "\nIt will run, but not yet.");
        break;
    case OUTCOME_NONE:
    case OUTCOME_RUNNING:
    case OUTCOME_SUCCEEDED:
    case OUTCOME_FAILED:
    case OUTCOME_TIMED_OUT:
    case OUTCOME_CANCELLED:
    case OUTCOME_INTERRUPTED:
    case OUTCOME_COUNT:
        say(p, "\nIt was not started, and its outcome is %s.", text_or(run, "outcome", "unknown"));
        break;
    }
    if (reason != NULL && reason[0] != '\0' && outcome != OUTCOME_RETRYING) {
        explain(p, outcome, reason, policy);
    }
    say_range(p, run);
    say_who(p, run, "wrote that down");
}

static void say_origin(struct paragraph *p, const json_t *run)
{
    const char *origin = text_or(run, "origin", "");
    const char *parent = run_text(run, "parent");

    if (strcmp(origin, "trigger") == 0) {
        say(p, "\nSomebody asked for it with `pgbaton trigger`.");
    } else if (strcmp(origin, "after") == 0) {
        say(p, "\nIt follows from run %s.", text_or(run, "parent", "of another job"));
    } else if (parent != NULL && strcmp(origin, "retry") == 0) {
        say(p, "\nIt was tried again because run %s failed.", parent);
    } else if (parent != NULL && strcmp(origin, "rerun") == 0) {
        say(p, "\nIt was run again because run %s was interrupted.", parent);
    }
}

static void print_attempt(FILE *to, const json_t *run, const json_t *policy)
{
    enum outcome outcome = outcome_parse(text_or(run, "outcome", ""));
    struct paragraph p = {.length = 0};
    double number = 1;

    (void)run_number(run, "attempt", &number);
    say(&p, "attempt %.0f, run %s: %s", number, text_or(run, "run", "?"),
        text_or(run, "outcome", "unknown"));
    if (run_text(run, "started_at") == NULL) {
        say_not_started(&p, run, outcome, policy);
    } else {
        say_start(&p, run);
        say_closed(&p, run, outcome, policy);
        say_result(&p, run);
    }
    say_origin(&p, run);
    print(to, "  ", &p);
}

/* ---- all of it ---- */

static void print_head(FILE *to, const json_t *document, const json_t *last)
{
    const char *asked = run_text(document, "asked_at");
    struct run_moment tick = run_moment(last, "scheduled_at");
    struct paragraph p = {.length = 0};

    say(&p, "%s, tick %s: %s", text_or(document, "job", "?"), tick.is,
        text_or(last, "outcome", "unknown"));
    if (asked != NULL) {
        say(&p, " (on record, the tick nearest to %s)", run_moment(document, "asked_at").is);
    }
    print(to, "", &p);
}

static void print_policy(FILE *to, const json_t *policy)
{
    struct paragraph p = {.length = 0};

    if (!json_is_object(policy)) {
        say(&p, "The job is not in this instance's configuration.");
    } else {
        say(&p, "Its schedule is '%s' (%s)%s.", text_or(policy, "schedule", "?"),
            text_or(policy, "zone", "UTC"),
            json_is_false(json_object_get(policy, "enabled")) ? ", and it is disabled" : "");
    }
    print(to, "  ", &p);
}

void why_text_print(FILE *to, const json_t *document)
{
    const json_t *policy = json_object_get(document, "policy");
    const json_t *runs = json_object_get(document, "runs");
    size_t count = json_array_size(runs);
    size_t i;
    json_t *run;

    print_head(to, document, json_array_get(runs, count - 1));
    json_array_foreach(runs, i, run)
    {
        print_attempt(to, run, policy);
    }
    print_policy(to, policy);
}
