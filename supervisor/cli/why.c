/*
 * `pgbaton why`: what became of a tick, who decided it, and why.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/control.h"
#include "supervisor/cli/ask.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/run_text.h"
#include "supervisor/cli/table.h"
#include "supervisor/cli/when.h"
#include "supervisor/cli/why_text.h"
#include "supervisor/cli/words.h"

/* NULL: refused, and said so. */
static json_t *request_of(const char *const *operands, const char *zone)
{
    json_t *request = json_pack("{s:s, s:s}", "command", "why", "job", operands[0]);
    char reason[256];
    wall_ns at;

    if (request == NULL) {
        (void)usage_error("why", "a name is UTF-8, not", operands[0]);
        return NULL;
    }
    if (operands[1] != NULL) {
        if (when_parse(operands[1], zone, &at, reason, sizeof(reason)) < 0) {
            (void)fputs("pgbaton: why: ", stderr);
            print_sentences(stderr, reason);
            json_decref(request);
            return NULL;
        }
        (void)json_object_set_new(request, "at", json_integer(at / DUR_US(1)));
    }
    return request;
}

static const char *why_none(const json_t *policy)
{
    const char *record = run_text(policy, "record");

    if (!json_is_object(policy)) {
        return ", and it is no job of this instance's configuration";
    }
    return record != NULL && strcmp(record, "failures") == 0
               ? ": with record = failures, a run that succeeded is not kept"
               : ": none was due yet, or its runs were deleted after [jobs] history";
}

static int print_document(const json_t *document, bool json)
{
    if (json_array_size(json_object_get(document, "runs")) == 0) {
        (void)fputs("pgbaton: no tick of ", stderr);
        print_safe(stderr, run_text(document, "job"));
        (void)fprintf(stderr, " is on record%s\n", why_none(json_object_get(document, "policy")));
        return EXIT_CODE_FAILED;
    }
    if (json) {
        return ask_print_json(document);
    }
    why_text_print(stdout, document);
    return ask_flush();
}

int command_why(struct command_line *line)
{
    const char *operands[2] = {NULL, NULL};
    const char *zone = NULL;
    const struct word_option options[] = {{"--zone", &zone, NULL}};
    const struct words words = {
        .command = "why",
        .options = options,
        .option_count = 1,
        .operands = operands,
        .operand_count = 2,
    };
    json_t *document = NULL;
    int code = words_read(line, &words);

    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (operands[0] == NULL || operands[0][0] == '\0') {
        return usage_error("why", "wants the name of a job", NULL);
    }
    json_t *request = request_of(operands, zone);
    if (request == NULL) {
        return EXIT_CODE_USAGE;
    }
    struct config *cfg = cli_load_daemon(line);
    if (cfg == NULL) {
        json_decref(request);
        return EXIT_CODE_CONFIG;
    }
    code = ask_daemon(cfg, request, false, &document);
    if (code == EXIT_CODE_DONE) {
        code = print_document(document, line->json);
        json_decref(document);
    }
    config_free(cfg);
    return code;
}
