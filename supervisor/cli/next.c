/*
 * `pgbaton next`: when a schedule is due, without a daemon and without a configuration.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/config_memory.h"
#include "common/control.h"
#include "common/instant.h"
#include "common/schedule.h"
#include "common/zone_load.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/table.h"

enum { COUNT_DEFAULT = 5, COUNT_MAX = 100000, TEXT_BYTES = 1024, REASON_BYTES = 512 };

struct next_options {
    char schedule[TEXT_BYTES]; /* the words that are no options, with a blank between */
    const char *zone;
    const char *from;
    const char *count;
    const char *job;
};

/* What they make together. */
struct next_question {
    struct schedule schedule;
    struct zone zone;
    wall_ns from;
    size_t count;
    struct config_memory memory;
};

static int usage(const char *what)
{
    (void)fprintf(stderr, "pgbaton next: ");
    print_safe(stderr, what);
    (void)fprintf(stderr, "\nTry 'pgbaton next --help'.\n");
    return EXIT_CODE_USAGE;
}

/* --zone Z and --zone=Z. Returns whether this word is the option; *ret_value NULL: it has none. */
static bool is_option(const struct command_line *line, int *at, const char *name,
                      const char **ret_value)
{
    const char *word = line->argv[*at];
    size_t length = strlen(name);

    if (strncmp(word, name, length) != 0) {
        return false;
    }
    if (word[length] == '=' && length > 2) {
        *ret_value = word + length + 1;
        return true;
    }
    if (word[length] != '\0' && length > 2) {
        return false;
    }
    if (word[length] != '\0') { /* -n3 */
        *ret_value = word + length;
        return true;
    }
    *ret_value = *at + 1 < line->argc ? line->argv[++*at] : NULL;
    return true;
}

static int take_word(struct next_options *options, const char *word)
{
    size_t used = strlen(options->schedule);
    int length = snprintf(options->schedule + used, sizeof(options->schedule) - used, "%s%s",
                          used == 0 ? "" : " ", word);

    if (length < 0 || (size_t)length >= sizeof(options->schedule) - used) {
        return usage("the schedule is too long");
    }
    return EXIT_CODE_DONE;
}

static int parse_options(const struct command_line *line, struct next_options *ret_options)
{
    const struct {
        const char *name;
        const char **value;
    } known[] = {
        {"--zone", &ret_options->zone},
        {"--from", &ret_options->from},
        {"--job", &ret_options->job},
        {"-n", &ret_options->count},
    };

    *ret_options = (struct next_options){.zone = "UTC"};
    for (int i = 0; i < line->argc; i++) {
        const char *word = line->argv[i];
        bool taken = false;

        for (size_t k = 0; k < ARRAY_LEN(known) && !taken; k++) {
            const char *value = NULL;

            taken = is_option(line, &i, known[k].name, &value);
            if (taken && value == NULL) {
                return usage("--zone, --from, --job and -n each need a value");
            }
            *known[k].value = taken ? value : *known[k].value;
        }
        if (!taken && word[0] == '-' && strcmp(word, "--") != 0) {
            char text[128];

            (void)snprintf(text, sizeof(text), "does not know '%.80s'", word);
            return usage(text);
        }
        if (!taken && strcmp(word, "--") != 0 && take_word(ret_options, word) != EXIT_CODE_DONE) {
            return EXIT_CODE_USAGE;
        }
    }
    return ret_options->schedule[0] == '\0'
               ? usage("a schedule is missing, such as '*/5 * * * *' or 'every 30s'")
               : EXIT_CODE_DONE;
}

static bool parse_count(const char *text, size_t *ret_count)
{
    size_t length = strlen(text);

    *ret_count = strtoul(text, NULL, 10);
    return length > 0 && length <= 6 && strspn(text, "0123456789") == length && *ret_count > 0 &&
           *ret_count <= COUNT_MAX;
}

static int understand(const struct next_options *options, struct next_question *q)
{
    struct schedule_options with = {.job = options->job == NULL ? "" : options->job,
                                    .zone = &q->zone};
    struct zone_bytes bytes;
    char reason[REASON_BYTES];
    int rc = zone_read(&q->memory, options->zone, &bytes, reason, sizeof(reason));

    if (rc == 0) {
        rc = zone_make(&q->memory, options->zone, bytes, &q->zone, reason, sizeof(reason));
    }
    if (rc == -ENOMEM) {
        (void)fprintf(stderr, "pgbaton next: out of memory\n");
        return EXIT_CODE_FAILED;
    }
    if (rc < 0) {
        return usage(reason);
    }
    q->count = COUNT_DEFAULT;
    if (options->count != NULL && !parse_count(options->count, &q->count)) {
        return usage("-n takes a number from 1 to 100000");
    }
    q->from = clock_wall();
    if (options->from != NULL &&
        instant_parse(options->from, &q->zone, &q->from, reason, sizeof(reason)) < 0) {
        return usage(reason);
    }
    if (schedule_parse(options->schedule, &with, &q->schedule, reason, sizeof(reason)) < 0) {
        return usage(reason);
    }
    return EXIT_CODE_DONE;
}

/* Why there is nothing to print; NULL: there is. */
static const char *why_none(const struct next_question *q)
{
    switch (q->schedule.kind) {
    case SCHEDULE_EVERY:
    case SCHEDULE_CRON:
    case SCHEDULE_AT:
        return schedule_next(&q->schedule, q->from) == WALL_NEVER ? "has no instant after that time"
                                                                  : NULL;
    case SCHEDULE_AFTER:
        return q->schedule.any
                   ? "is not started by a clock: it runs when the other job has ended"
                   : "is not started by a clock: it runs when the other job has succeeded";
    case SCHEDULE_ALWAYS:
        return "is not started by a clock: it runs for as long as an instance leads";
    case SCHEDULE_ELECTED:
        return "is not started by a clock: it runs each time an instance becomes the leader";
    case SCHEDULE_RELEASED:
        return "is not started by a clock: it runs when leadership ends gracefully";
    case SCHEDULE_MANUAL:
        return "is not started by a clock: it runs when it is told to";
    }
    return NULL;
}

static json_t *as_json(const struct next_question *q)
{
    json_t *list = json_array();
    wall_ns at = q->from;

    for (size_t i = 0; i < q->count && list != NULL; i++) {
        at = schedule_next(&q->schedule, at);
        if (at == WALL_NEVER) {
            break;
        }
        if (json_array_append_new(list, json_string(instant_in_zone(at, &q->zone).is)) == -1) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int print_json(const struct next_question *q)
{
    json_t *list = as_json(q);

    if (list == NULL || json_dumpf(list, stdout, JSON_COMPACT) == -1) {
        (void)fprintf(stderr, "pgbaton next: out of memory\n");
        json_decref(list);
        return EXIT_CODE_FAILED;
    }
    (void)fputc('\n', stdout);
    json_decref(list);
    return EXIT_CODE_DONE;
}

static void print_lines(const struct next_question *q)
{
    wall_ns at = q->from;

    for (size_t i = 0; i < q->count; i++) {
        at = schedule_next(&q->schedule, at);
        if (at == WALL_NEVER) {
            return;
        }
        (void)printf("%s\n", instant_in_zone(at, &q->zone).is);
    }
}

static int answer(const struct next_question *q, const struct next_options *options, bool json)
{
    const char *why = why_none(q);

    if (why == NULL && options->job == NULL && schedule_depends_on_name(options->schedule)) {
        (void)fprintf(stderr,
                      "pgbaton next: H and ~ are made from the job's name; these are of one "
                      "without a name: give it --job NAME\n");
    }
    if (why != NULL) {
        (void)fprintf(stderr, "pgbaton next: '");
        print_safe(stderr, options->schedule);
        (void)fprintf(stderr, "' %s\n", why);
    }
    if (json) {
        int code = print_json(q);

        return code == EXIT_CODE_DONE && why != NULL ? EXIT_CODE_FAILED : code;
    }
    print_lines(q);
    return why == NULL ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

int command_next(struct command_line *line)
{
    struct next_options options;
    struct next_question q = {.count = 0};
    int code = parse_options(line, &options);

    if (code == EXIT_CODE_DONE) {
        code = understand(&options, &q);
    }
    if (code == EXIT_CODE_DONE) {
        code = answer(&q, &options, line->json);
    }
    config_memory_release(&q.memory);
    return code;
}
