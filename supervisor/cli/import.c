/*
 * `pgbaton import`: the sections for a crontab. What it prints is for people to read once, and for
 * `pgbaton check` to accept.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "common/zone.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/import_job.h"
#include "supervisor/cli/table.h"

static int usage(const char *what, const char *word)
{
    (void)fprintf(stderr, "pgbaton import: %s", what);
    print_safe(stderr, word);
    (void)fprintf(stderr, "\nTry 'pgbaton import --help'.\n");
    return EXIT_CODE_USAGE;
}

static int parse_options(const struct command_line *line, const char **ret_file, bool *ret_system)
{
    *ret_file = NULL;
    *ret_system = false;
    for (int i = 0; i < line->argc; i++) {
        const char *word = line->argv[i];

        if (strcmp(word, "--system") == 0) {
            *ret_system = true;
        } else if (word[0] == '-' && word[1] != '\0' && strcmp(word, "--") != 0) {
            return usage("does not know ", word);
        } else if (strcmp(word, "--") != 0 && *ret_file != NULL) {
            return usage("one crontab at a time, not also ", word);
        } else if (strcmp(word, "--") != 0) {
            *ret_file = word;
        }
    }
    return *ret_file == NULL
               ? usage("a crontab is missing: a file, or - for the standard input", "")
               : EXIT_CODE_DONE;
}

/* The name of the zone that this system's clocks are in: NULL where it has none that is known. */
static const char *system_zone(struct config_memory *memory)
{
    static const char below[] = "zoneinfo/";
    char target[4096];
    char why[128];
    ssize_t length = readlink("/etc/localtime", target, sizeof(target) - 1);
    const char *name;

    if (length <= 0) {
        return access("/etc/localtime", F_OK) == -1 ? "UTC" : NULL; /* as the C library does */
    }
    target[length] = '\0';
    name = strstr(target, below);
    if (name == NULL || !zone_is_name(name + sizeof(below) - 1, why, sizeof(why))) {
        return NULL;
    }
    return config_memory_text(memory, name + sizeof(below) - 1);
}

static void print_head(const struct import *im, const char *file)
{
    (void)fprintf(im->to,
                  "# From the crontab %s. Where a job would behave otherwise than under cron, a\n"
                  "# comment says so; what holds for all of them:\n"
                  "# - each runs once for all instances, on the leader, not on every machine;\n"
                  "# - what it prints goes to the log, and is not mailed.\n"
                  "# Before it is used: pgbaton check.\n",
                  file);
}

static void take_variable(struct import *im, const struct crontab_line *line, unsigned number)
{
    if (strcmp(line->name, "USER") == 0 || strcmp(line->name, "LOGNAME") == 0) {
        (void)fprintf(im->to, "\n# line %u: %s cannot be set, under cron neither\n", number,
                      line->name);
    } else if (strcmp(line->name, "TZ") == 0) {
        (void)fprintf(im->to,
                      "\n# line %u: TZ is for the commands, under cron too; for the "
                      "schedules it is CRON_TZ\n",
                      number);
    }
    import_set(im, line->name, line->text);
}

static void take_line(struct import *im, char *text, bool system, unsigned number)
{
    const char *original = config_memory_text(&im->memory, text);
    struct crontab_line line = crontab_read(text, system);

    switch (line.kind) {
    case CRONTAB_EMPTY:
        return;
    case CRONTAB_COMMENT:
        (void)fprintf(im->to, "\n#%s\n", line.text);
        return;
    case CRONTAB_VARIABLE:
        take_variable(im, &line, number);
        return;
    case CRONTAB_ENTRY:
        import_job(im, &line, text + (line.text - text), number);
        return;
    case CRONTAB_WRONG:
        import_leave_out(im, number, original, line.text);
        return;
    }
}

/* 0, or a negative errno. */
static int read_lines(struct import *im, FILE *from, bool system)
{
    char *text = NULL;
    size_t room = 0;
    unsigned number = 0;
    ssize_t length;

    errno = 0;
    while ((length = getline(&text, &room, from)) != -1) {
        number++;
        if (strlen(text) != (size_t)length) {
            import_leave_out(im, number, "", "there is a zero byte in it");
            continue;
        }
        text[strcspn(text, "\n")] = '\0';
        take_line(im, text, system, number);
    }

    int rc = ferror(from) != 0 || errno == ENOMEM ? -errno : 0;

    free(text);
    return rc;
}

static void complain(const char *file, int error)
{
    (void)fputs("pgbaton import: ", stderr);
    print_safe(stderr, file);
    (void)fprintf(stderr, ": %s\n", strerror(error));
}

static int convert(struct import *im, const char *file, bool system)
{
    bool is_input = strcmp(file, "-") == 0;
    FILE *from = is_input ? stdin : fopen(file, "re");
    int rc;

    if (from == NULL) {
        complain(file, errno);
        return EXIT_CODE_FAILED;
    }
    im->system_zone = system_zone(&im->memory);
    print_head(im, is_input ? "on the standard input" : file);
    rc = read_lines(im, from, system);
    if (!is_input) {
        (void)fclose(from);
    }
    if (rc == 0 && config_memory_failed(&im->memory)) {
        rc = -ENOMEM;
    }
    if (rc < 0) {
        complain(file, -rc);
    }
    return rc < 0 || im->left_out > 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
}

int command_import(struct command_line *line)
{
    struct import im = {.to = stdout};
    const char *file = NULL;
    bool system = false;
    int code = parse_options(line, &file, &system);

    if (code == EXIT_CODE_DONE) {
        code = convert(&im, file, system);
    }
    import_release(&im);
    return code;
}
