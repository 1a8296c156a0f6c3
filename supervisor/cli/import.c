/*
 * `pgbaton import`: the sections for a crontab. What it prints is for people to read once, and for
 * `pgbaton check` to accept.
 */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/control.h"
#include "common/zone.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/import_job.h"
#include "supervisor/cli/table.h"
#include "supervisor/cli/words.h"

struct asked {
    const char *file; /* "-": the standard input */
    const char *user;
    bool system;
};

static int read_words(const struct command_line *line, struct asked *asked)
{
    const struct word_option options[] = {
        {"--system", NULL, &asked->system},
        {"--user", &asked->user, NULL},
    };
    const struct words words = {
        .command = "import",
        .options = options,
        .option_count = ARRAY_LEN(options),
        .operands = &asked->file,
        .operand_count = 1,
    };
    int code = words_read(line, &words);

    if (code == EXIT_CODE_DONE && asked->file == NULL) {
        return usage_error("import", "wants a crontab: a file, or - for the standard input", NULL);
    }
    if (code == EXIT_CODE_DONE && asked->system && asked->user != NULL) {
        return usage_error("import", "--system has users of its own, and takes no --user", NULL);
    }
    return code;
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

static const char of_system[] =
    "it looks like a crontab of the system, where a user stands before each command: use --system";

/* Such a crontab, read as that of a user, has "root" for a command. */
static bool looks_like_system(const struct import *im, const struct asked *asked)
{
    char path[PATH_MAX];

    if (asked->system) {
        return false;
    }
    return (im->entries > 0 && im->entries_naming == im->entries) ||
           (realpath(asked->file, path) != NULL && crontab_is_of_system(path));
}

/* Of a user that nobody has named: cron would know. */
static void print_whose(FILE *to)
{
    const struct passwd *account = getpwuid(geteuid());

    if (account == NULL) {
        (void)fputs(
            "# - who runs this has no account here, and so no home that a job could begin in,\n"
            "#   unless HOME was set; each runs as the daemon's user: for the crontab of a\n"
            "#   user import it with --user NAME;\n",
            to);
        return;
    }
    (void)fputs("# - each begins in the home of ", to);
    import_print(to, account->pw_name);
    (void)fputs(", unless HOME was set, and runs as the daemon's user: for the\n"
                "#   crontab of another user import it with --user NAME;\n",
                to);
}

static void print_head(FILE *to, const struct import *im, const struct asked *asked)
{
    (void)fputs("# From the crontab ", to);
    import_print(to, strcmp(asked->file, "-") == 0 ? "on the standard input" : asked->file);
    (void)fputs(
        ". Where a job would behave otherwise than under cron, a\n"
        "# comment says so; what holds for all of them:\n"
        "# - each runs once for all instances, on the leader, not on every machine;\n"
        "# - one that runs when leadership ends or the daemon stops is ended, not left alone;\n",
        to);
    if (!asked->system && asked->user == NULL) {
        print_whose(to);
    }
    (void)fputs("# - what it prints goes to the log, and is not mailed.\n"
                "# Before it is used: pgbaton check.\n",
                to);
    if (looks_like_system(im, asked)) {
        (void)fprintf(to, "#\n# Is this right? %s.\n", of_system);
        (void)fprintf(stderr, "pgbaton import: %s\n", of_system);
    }
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
        (void)fputs("\n#", im->to);
        import_print(im->to, line.text);
        (void)fputc('\n', im->to);
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

/* Into im->to. 0, or a negative errno. */
static int read_file(struct import *im, const struct asked *asked)
{
    bool is_input = strcmp(asked->file, "-") == 0;
    FILE *from = is_input ? stdin : fopen(asked->file, "re");
    int rc;

    if (from == NULL) {
        return -errno;
    }
    rc = read_lines(im, from, asked->system);
    if (!is_input) {
        (void)fclose(from);
    }
    return rc == 0 && config_memory_failed(&im->memory) ? -ENOMEM : rc;
}

/* The head comes last: it says something about all that follows. */
static int convert(struct import *im, const struct asked *asked)
{
    char *body = NULL;
    size_t size = 0;
    int rc = -ENOMEM;

    im->system_zone = system_zone(&im->memory);
    im->to = open_memstream(&body, &size);
    if (im->to != NULL) {
        rc = read_file(im, asked);
        rc = fclose(im->to) != 0 && rc == 0 ? -ENOMEM : rc;
    }
    if (rc == 0) {
        print_head(stdout, im, asked);
        (void)fwrite(body, 1, size, stdout);
    } else {
        (void)fputs("pgbaton import: ", stderr);
        print_safe(stderr, asked->file);
        (void)fprintf(stderr, ": %s\n", strerror(-rc));
    }
    free(body);
    return rc < 0 || im->left_out > 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
}

int command_import(struct command_line *line)
{
    struct import im = {.to = NULL};
    struct asked asked = {.file = NULL};
    int code = read_words(line, &asked);

    if (code == EXIT_CODE_DONE && asked.user != NULL && getpwnam(asked.user) == NULL) {
        code = usage_error("import", "this system has no user", asked.user);
    }
    if (code == EXIT_CODE_DONE) {
        im.user = asked.user;
        code = convert(&im, &asked);
    }
    import_release(&im);
    return code;
}
