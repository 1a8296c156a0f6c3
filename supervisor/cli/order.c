/*
 * `pgbaton stop`, `reload` and `step-down`: what is asked of a daemon, and what it answered.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/control.h"
#include "common/duration.h"
#include "supervisor/cli/client.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/words.h"

#define GONE_SPARE DUR_S(2)   /* what a stop may take beyond stop_timeout, to a watcher */
#define ANSWER_SPARE DUR_S(7) /* more than the monitor waits for the supervisor's answer */

struct order {
    const char *command;
    bool has_length;
    dur_ns length;
    bool force;
    bool wait; /* stop: until the daemon is gone */
};

static json_t *request_of(const struct order *order)
{
    json_t *request = json_pack("{s:s}", "command", order->command);

    if (request != NULL && order->has_length) {
        (void)json_object_set_new(request, "for_ms", json_integer(order->length / DUR_MS(1)));
    }
    if (request != NULL && order->force) {
        (void)json_object_set_new(request, "force", json_true());
    }
    return request;
}

/* Ask, print what was answered, give its code. */
static int give(struct client *client, const struct order *order, dur_ns within)
{
    json_t *request = request_of(order);
    json_t *reply = NULL;

    if (request == NULL) {
        return EXIT_CODE_FAILED;
    }
    int code = client_ask(client, request, within, &reply);
    json_decref(request);
    if (code != EXIT_CODE_DONE) {
        return code;
    }

    const json_t *answer = json_object_get(reply, "code");
    const char *text = json_string_value(json_object_get(reply, "text"));
    json_int_t number = json_integer_value(answer);
    if (!json_is_integer(answer) || text == NULL || number < 0 || number > 255) {
        (void)fprintf(stderr,
                      "pgbaton: the daemon's answer cannot be read: is it another version?\n");
        code = EXIT_CODE_FAILED;
    } else {
        code = (int)number;
        print_sentences(code == EXIT_CODE_DONE ? stdout : stderr, text);
        (void)fflush(stdout);
    }
    json_decref(reply);
    return code;
}

static int wait_gone(const struct client *client, dur_ns stop_timeout)
{
    if (client->daemon == -1) {
        (void)printf("whether it has ended cannot be seen from here\n");
        return EXIT_CODE_DONE;
    }
    if (!client_wait_gone(client, stop_timeout + GONE_SPARE)) {
        (void)fprintf(stderr, "pgbaton: still there after %s: pid %d\n",
                      duration_text(stop_timeout + GONE_SPARE).is, (int)client->pid);
        return EXIT_CODE_FAILED;
    }
    (void)printf("stopped\n");
    return EXIT_CODE_DONE;
}

static int carry_out(const struct command_line *line, const struct order *order)
{
    struct client client;
    struct config *cfg = cli_load_daemon(line);

    if (cfg == NULL) {
        return EXIT_CODE_CONFIG;
    }
    int code = client_open(&client, cfg, false);
    if (code == EXIT_CODE_DONE) {
        code = give(&client, order, cfg->pgbaton.stop_timeout + ANSWER_SPARE);
    }
    /* One that ended before it could answer has done all that was asked of it. */
    if (order->wait && (code == EXIT_CODE_DONE || client_wait_gone(&client, 0))) {
        code = wait_gone(&client, cfg->pgbaton.stop_timeout);
    }
    client_close(&client);
    config_free(cfg);
    return code;
}

int command_stop(struct command_line *line)
{
    struct order order = {.command = "stop", .wait = true};

    for (int i = 0; i < line->argc; i++) {
        if (strcmp(line->argv[i], "--no-wait") != 0) {
            return usage_error(order.command, "does not know", line->argv[i]);
        }
        order.wait = false;
    }
    return carry_out(line, &order);
}

int command_reload(struct command_line *line)
{
    struct order order = {.command = "reload"};

    if (line->argc > 0) {
        return usage_error(order.command, "does not know", line->argv[0]);
    }
    return carry_out(line, &order);
}

int command_step_down(struct command_line *line)
{
    struct order order = {.command = "step-down"};

    for (int i = 0; i < line->argc; i++) {
        const char *word = line->argv[i];
        const char *length = NULL;

        if (strcmp(word, "--force") == 0) {
            order.force = true;
            continue;
        }
        if (strncmp(word, "--for=", strlen("--for=")) == 0) {
            length = word + strlen("--for=");
        } else if (strcmp(word, "--for") == 0 && i + 1 < line->argc) {
            length = line->argv[++i];
        } else {
            return usage_error(order.command, "does not know, or wants a value for,", word);
        }
        if (duration_parse(length, &order.length) < 0) {
            return usage_error(order.command,
                               "--for takes a duration, one number and one unit such as 90m, not",
                               length);
        }
        if (order.length <= 0) {
            return usage_error(order.command, "--for takes more than nothing, such as 30s, not",
                               length);
        }
        order.has_length = true;
    }
    return carry_out(line, &order);
}
