/*
 * `pgbaton status`: the document of the monitor, for people or as it is.
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/control.h"
#include "supervisor/cli/client.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/status_text.h"

struct status_options {
    bool json;
    bool is_leader;
    bool watch;
};

static bool read_options(const struct command_line *line, struct status_options *ret_options)
{
    struct status_options options = {.json = line->json};

    for (int i = 0; i < line->argc; i++) {
        if (strcmp(line->argv[i], "--is-leader") == 0) {
            options.is_leader = true;
        } else if (strcmp(line->argv[i], "--watch") == 0) {
            options.watch = true;
        } else {
            (void)usage_error("status", "knows --json, --is-leader and --watch, not",
                              line->argv[i]);
            return false;
        }
    }
    if (options.is_leader && (options.watch || options.json)) {
        (void)fprintf(stderr, "pgbaton: status: --is-leader goes with no other option\n");
        return false;
    }
    *ret_options = options;
    return true;
}

/* An exit code; on EXIT_CODE_DONE *ret_document is a new reference. */
static int ask_status(const struct config *cfg, bool fleet, json_t **ret_document)
{
    struct client client;
    json_t *request = json_pack("{s:s, s:b}", "command", "status", "fleet", (int)fleet);

    if (request == NULL) {
        return EXIT_CODE_FAILED;
    }
    int code = client_open(&client, cfg, false);
    if (code == EXIT_CODE_DONE) {
        code = client_ask(&client, request, CLIENT_REPLY_WITHIN, ret_document);
    }
    client_close(&client);
    json_decref(request);
    return code;
}

/* The daemon said {"code", "text"} where a document was expected. */
static int print_refusal(const json_t *document)
{
    (void)fputs("pgbaton: ", stderr);
    status_text_safe(stderr, json_string_value(json_object_get(document, "text")));
    (void)fputc('\n', stderr);
    return (int)json_integer_value(json_object_get(document, "code"));
}

static int print_once(const struct config *cfg, const struct status_options *options)
{
    json_t *document = NULL;

    int code = ask_status(cfg, !options->is_leader, &document);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (json_object_get(document, "role") == NULL) {
        code = print_refusal(document);
    } else if (options->is_leader) {
        bool leads = json_is_true(json_object_get(document, "leads"));
        code = leads ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
    } else if (options->json) {
        (void)json_dumpf(document, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
        (void)fputc('\n', stdout);
    } else {
        status_text_print(stdout, document);
    }
    json_decref(document);
    if (fflush(stdout) == EOF) {
        return EXIT_CODE_FAILED; /* a full disk, a closed pipe */
    }
    return code;
}

/* Each second until INT or TERM. An instance that is away for a while is what one watches for. */
static int watch(const struct config *cfg, const struct status_options *options)
{
    const struct timespec second = {.tv_sec = 1};
    bool clear = !options->json && isatty(STDOUT_FILENO) == 1;
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        if (clear) {
            (void)fputs("\033[H\033[J", stdout); /* home, and erase from there */
        }
        (void)print_once(cfg, options);
        if (ferror(stdout) != 0) {
            return EXIT_CODE_FAILED;
        }
        if (sigtimedwait(&set, NULL, &second) > 0) {
            if (clear) {
                (void)fputc('\n', stdout); /* behind the terminal's ^C */
            }
            return EXIT_CODE_DONE;
        }
        if (!clear && !options->json) {
            (void)fputc('\n', stdout);
        }
    }
}

int command_status(struct command_line *line)
{
    struct status_options options;

    if (!read_options(line, &options)) {
        return EXIT_CODE_USAGE;
    }
    struct config *cfg = cli_load_daemon(line);
    if (cfg == NULL) {
        return EXIT_CODE_CONFIG;
    }
    int code = options.watch ? watch(cfg, &options) : print_once(cfg, &options);
    config_free(cfg);
    return code;
}
