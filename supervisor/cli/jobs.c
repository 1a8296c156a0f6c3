/*
 * `pgbaton jobs`: what is configured, when each last ran and when it runs next.
 */
#include <jansson.h>
#include <stdio.h>

#include "common/array.h"
#include "common/control.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/run_text.h"
#include "supervisor/cli/table.h"
#include "supervisor/cli/words.h"

static void add_next(struct table *table, const json_t *job)
{
    const char *paused_by = run_text(job, "paused_by");

    if (json_is_false(json_object_get(job, "enabled"))) {
        table_add(table, "disabled");
    } else if (paused_by != NULL) {
        table_addf(table, "paused%s", paused_by[0] == 'a' ? " (all jobs)" : "");
    } else {
        table_add(table, run_moment(job, "next").is);
    }
}

static void add_last(struct table *table, const json_t *last)
{
    const char *outcome = run_text(last, "outcome");
    const char *reason = run_text(last, "reason");
    struct run_moment at = run_moment(last, "started_at");

    if (at.is[0] == '\0') {
        at = run_moment(last, "last_at"); /* of many that were missed */
    }
    table_add(table, at.is[0] == '\0' ? run_moment(last, "scheduled_at").is : at.is);
    if (reason == NULL || reason[0] == '\0') {
        table_add(table, outcome);
    } else {
        table_addf(table, "%s: %s", outcome == NULL ? "?" : outcome, reason);
    }
}

static void print_jobs(const json_t *jobs)
{
    static const char *const heading[] = {"JOB",     "SCHEDULE", "ZONE",    "LAST",
                                          "OUTCOME", "RUNNING",  "WAITING", "NEXT"};
    struct table table = {.columns = ARRAY_LEN(heading)};
    size_t i;
    json_t *job;

    for (size_t column = 0; column < table.columns; column++) {
        table_add(&table, heading[column]);
    }
    json_array_foreach(jobs, i, job)
    {
        table_add(&table, run_text(job, "name"));
        table_add(&table, run_text(job, "schedule"));
        table_add(&table, run_text(job, "zone"));
        add_last(&table, json_object_get(job, "last"));
        table_addf(&table, "%lld", (long long)json_integer_value(json_object_get(job, "running")));
        table_addf(&table, "%lld", (long long)json_integer_value(json_object_get(job, "waiting")));
        add_next(&table, job);
    }
    table_print(&table, stdout);
    table_release(&table);
}

static int print_document(const json_t *document, bool json)
{
    const json_t *jobs = json_object_get(document, "jobs");
    const char *note = run_text(document, "note");

    if (note != NULL) {
        (void)fputs("pgbaton: nothing is known of runs: ", stderr);
        print_sentences(stderr, note);
    }
    if (json) {
        return ask_print_json(jobs);
    }
    print_jobs(jobs);
    return ask_flush();
}

int command_jobs(struct command_line *line)
{
    const struct words words = {.command = "jobs"};
    json_t *document = NULL;
    int code = words_read(line, &words);

    if (code != EXIT_CODE_DONE) {
        return code;
    }
    struct config *cfg = cli_load_daemon(line);
    if (cfg == NULL) {
        return EXIT_CODE_CONFIG;
    }
    code = ask_daemon(cfg, json_pack("{s:s}", "command", "jobs"), false, &document);
    if (code == EXIT_CODE_DONE) {
        code = print_document(document, line->json);
        json_decref(document);
    }
    config_free(cfg);
    return code;
}
