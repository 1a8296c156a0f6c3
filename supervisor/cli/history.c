/*
 * `pgbaton history`: runs, or with --terms the terms of leadership, newest first.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/control.h"
#include "common/message.h"
#include "common/outcome.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/run_text.h"
#include "supervisor/cli/table.h"
#include "supervisor/cli/when.h"
#include "supervisor/cli/words.h"

struct asked {
    const char *job;
    const char *since;
    const char *outcome;
    const char *limit;
    const char *zone; /* that --since is in */
    bool terms;
};

static int read_words(const struct command_line *line, struct asked *asked)
{
    const struct word_option options[] = {
        {"--job", &asked->job, NULL},     {"--since", &asked->since, NULL},
        {"--limit", &asked->limit, NULL}, {"--outcome", &asked->outcome, NULL},
        {"--zone", &asked->zone, NULL},   {"--terms", NULL, &asked->terms},
    };
    const struct words words = {
        .command = "history", .options = options, .option_count = ARRAY_LEN(options)};
    int code = words_read(line, &words);

    if (code == EXIT_CODE_DONE && asked->terms && (asked->job != NULL || asked->outcome != NULL)) {
        (void)fputs("pgbaton: history: --terms goes with --since and --limit only\n", stderr);
        return EXIT_CODE_USAGE;
    }
    if (code == EXIT_CODE_DONE && asked->job != NULL && asked->job[0] == '\0') {
        return usage_error("history", "wants a name for", "--job");
    }
    return code;
}

static int add_since(json_t *request, const struct asked *asked)
{
    char reason[256];
    wall_ns at;

    if (when_parse_since(asked->since, asked->zone, &at, reason, sizeof(reason)) < 0) {
        (void)fputs("pgbaton: history: --since takes a length such as 2h, or a time: ", stderr);
        print_sentences(stderr, reason);
        return EXIT_CODE_USAGE;
    }
    (void)json_object_set_new(request, "since", json_integer(at / DUR_US(1)));
    return EXIT_CODE_DONE;
}

static int add_limit(json_t *request, const char *text)
{
    char *end;

    errno = 0;
    long limit = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || limit < 1 ||
        limit > QUERY_LIMIT_MAX) {
        return usage_error("history", "--limit takes a number from 1 to 10000, not", text);
    }
    (void)json_object_set_new(request, "limit", json_integer(limit));
    return EXIT_CODE_DONE;
}

static int add_outcome(json_t *request, const char *text)
{
    if (outcome_parse(text) == OUTCOME_NONE) {
        (void)fputs("pgbaton: history: --outcome is one of", stderr);
        for (enum outcome o = OUTCOME_QUEUED; o < OUTCOME_COUNT; o++) {
            (void)fprintf(stderr, " %s", outcome_name(o));
        }
        (void)fputs("\n", stderr);
        return EXIT_CODE_USAGE;
    }
    (void)json_object_set_new(request, "outcome", json_string(outcome_name(outcome_parse(text))));
    return EXIT_CODE_DONE;
}

static int request_of(const struct asked *asked, json_t *request)
{
    int code = EXIT_CODE_DONE;

    if (asked->job != NULL) {
        json_t *job = json_string(asked->job);

        if (job == NULL) {
            return usage_error("history", "a name is UTF-8, not", asked->job);
        }
        (void)json_object_set_new(request, "job", job);
    }
    if (asked->since != NULL) {
        code = add_since(request, asked);
    }
    if (code == EXIT_CODE_DONE && asked->limit != NULL) {
        code = add_limit(request, asked->limit);
    }
    if (code == EXIT_CODE_DONE && asked->outcome != NULL) {
        code = add_outcome(request, asked->outcome);
    }
    return code;
}

/* A row may stand for many ticks that were missed. */
static void add_time(struct table *table, const json_t *run)
{
    struct run_moment first = run_moment(run, "scheduled_at");
    struct run_moment last = run_moment(run, "last_at");

    if (last.is[0] == '\0' || strcmp(first.is, last.is) == 0) {
        table_add(table, first.is);
    } else {
        table_addf(table, "%s..%s", first.is, last.is);
    }
}

static void add_outcome_cell(struct table *table, const json_t *run)
{
    const char *outcome = run_text(run, "outcome");
    double count;

    if (run_number(run, "count", &count) && count > 1) {
        table_addf(table, "%s (%.0f)", outcome == NULL ? "?" : outcome, count);
    } else {
        table_add(table, outcome);
    }
}

static void add_number(struct table *table, const json_t *run, const char *key)
{
    double number;

    if (run_number(run, key, &number)) {
        table_addf(table, "%.0f", number);
    } else {
        table_add(table, NULL);
    }
}

static void print_runs(const json_t *runs)
{
    static const char *const heading[] = {"TIME",     "JOB",      "ATTEMPT", "OUTCOME", "LATE",
                                          "DURATION", "INSTANCE", "EPOCH",   "RUN",     "REASON"};
    struct table table = {.columns = ARRAY_LEN(heading)};
    size_t i;
    json_t *run;

    for (size_t column = 0; column < table.columns; column++) {
        table_add(&table, heading[column]);
    }
    json_array_foreach(runs, i, run)
    {
        add_time(&table, run);
        table_add(&table, run_text(run, "job"));
        add_number(&table, run, "attempt");
        add_outcome_cell(&table, run);
        table_add(&table, run_length(run, "late_seconds").is);
        table_add(&table, run_length(run, "duration_seconds").is);
        table_add(&table, run_text(run, "instance"));
        table_add(&table, run_text(run, "epoch"));
        table_add(&table, run_text(run, "run"));
        table_add(&table, run_text(run, "reason"));
    }
    table_print(&table, stdout);
    table_release(&table);
}

static void print_terms(const json_t *terms)
{
    static const char *const heading[] = {"EPOCH",    "INSTANCE", "STARTED", "ENDED",
                                          "DURATION", "ENDED AS", "REASON"};
    struct table table = {.columns = ARRAY_LEN(heading)};
    size_t i;
    json_t *term;

    for (size_t column = 0; column < table.columns; column++) {
        table_add(&table, heading[column]);
    }
    json_array_foreach(terms, i, term)
    {
        table_add(&table, run_text(term, "epoch"));
        table_add(&table, run_text(term, "instance"));
        table_add(&table, run_moment(term, "started_at").is);
        table_add(&table, run_moment(term, "ended_at").is);
        table_add(&table, run_length(term, "duration_seconds").is);
        table_add(&table, run_text(term, "ended_as"));
        table_add(&table, run_text(term, "end_reason"));
    }
    table_print(&table, stdout);
    table_release(&table);
}

/* A job may have no runs; its name may as well be a slip. */
static void say_none(const json_t *document, const struct asked *asked)
{
    bool narrowed = asked->since != NULL || asked->outcome != NULL;

    (void)fprintf(stderr, "pgbaton: no %s of '", narrowed ? "such run" : "run");
    print_safe(stderr, asked->job);
    (void)fprintf(stderr, "' is on record%s\n",
                  json_is_false(json_object_get(document, "configured"))
                      ? ", and it is no job of this instance's configuration; `pgbaton jobs` shows "
                        "which there are"
                      : "");
}

static int print_document(const json_t *document, const struct asked *asked, bool json)
{
    const json_t *rows = json_object_get(document, asked->terms ? "terms" : "runs");
    bool none = asked->job != NULL && json_array_size(rows) == 0;

    if (none) {
        say_none(document, asked);
    }
    if (json) {
        return ask_print_json(rows);
    }
    if (asked->terms) {
        print_terms(rows);
    } else if (!none) {
        print_runs(rows);
    }
    return ask_flush();
}

int command_history(struct command_line *line)
{
    struct asked asked = {.terms = false};
    json_t *document = NULL;
    int code = read_words(line, &asked);

    if (code != EXIT_CODE_DONE) {
        return code;
    }
    json_t *request = json_pack("{s:s}", "command", asked.terms ? "terms" : "history");
    code = request_of(&asked, request);
    if (code != EXIT_CODE_DONE) {
        json_decref(request);
        return code;
    }
    struct config *cfg = cli_load_daemon(line);
    if (cfg == NULL) {
        json_decref(request);
        return EXIT_CODE_CONFIG;
    }
    code = ask_daemon(cfg, request, false, &document);
    if (code == EXIT_CODE_DONE) {
        code = print_document(document, &asked, line->json);
        json_decref(document);
    }
    config_free(cfg);
    return code;
}
