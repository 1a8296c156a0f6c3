#include "supervisor/cli/dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "supervisor/cli/table.h"

/* The options that take a value, as seen at one place of the line. */
enum option {
    OPTION_NONE,
    OPTION_CONFIG,
    OPTION_OVERRIDE,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION
};

/* Long forms, and --config=FILE in one word. */
static enum option option_of(const char *word, const char **ret_value)
{
    /* clang-format off */
    static const struct {
        const char *word;
        enum option option;
    } known[] = {
        {"-c", OPTION_CONFIG},   {"--config", OPTION_CONFIG},
        {"-o", OPTION_OVERRIDE}, {"--option", OPTION_OVERRIDE},
        {"--json", OPTION_JSON},
        {"-h", OPTION_HELP},     {"--help", OPTION_HELP},
        {"-V", OPTION_VERSION},  {"--version", OPTION_VERSION},
    };
    /* clang-format on */

    *ret_value = NULL;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t length = strlen(known[i].word);
        bool takes_value = known[i].option == OPTION_CONFIG || known[i].option == OPTION_OVERRIDE;

        if (strcmp(word, known[i].word) == 0) {
            return known[i].option;
        }
        if (takes_value && strncmp(word, known[i].word, length) == 0) {
            if (length == 2 && word[2] != '\0') { /* -cFILE */
                *ret_value = word + 2;
                return known[i].option;
            }
            if (length > 2 && word[length] == '=') {
                *ret_value = word + length + 1;
                return known[i].option;
            }
        }
    }
    return OPTION_NONE;
}

/* What is being collected while the line is read. */
struct reading {
    struct command_line *line;
    struct dispatch_options *options;
    const char **overrides;
    size_t override_count;
};

static void take_option(struct reading *r, enum option option, const char *value)
{
    switch (option) {
    case OPTION_CONFIG:
        r->line->sources.file = value;
        return;
    case OPTION_OVERRIDE:
        r->overrides[r->override_count++] = value;
        return;
    case OPTION_JSON:
        r->line->json = true;
        return;
    case OPTION_HELP:
        r->options->help = true;
        return;
    case OPTION_VERSION:
        r->options->version = true;
        return;
    case OPTION_NONE:
        return;
    }
}

/* Options of a command (--limit …) stay where they are: the command knows them. */
static int read_words(struct reading *r, int argc, char **argv, char *reterr, size_t size)
{
    for (int i = 1; i < argc; i++) {
        const char *value;
        enum option option = option_of(argv[i], &value);

        if (strcmp(argv[i], "--") == 0) {
            while (i < argc) {
                r->line->argv[r->line->argc++] = argv[i++];
            }
            return 0;
        }
        if (option == OPTION_NONE) {
            r->line->argv[r->line->argc++] = argv[i];
            continue;
        }
        if ((option == OPTION_CONFIG || option == OPTION_OVERRIDE) && value == NULL) {
            if (i + 1 >= argc || strcmp(argv[i + 1], "--") == 0) {
                (void)snprintf(reterr, size, "%s needs a value: %s", argv[i],
                               option == OPTION_CONFIG ? "-c FILE" : "-o SECTION.KEY=VALUE");
                return EXIT_CODE_USAGE;
            }
            value = argv[++i];
        }
        if (option == OPTION_OVERRIDE && strchr(value, '=') == NULL) {
            (void)snprintf(reterr, size, "-o wants SECTION.KEY=VALUE");
            return EXIT_CODE_USAGE;
        }
        take_option(r, option, value);
    }
    return 0;
}

int dispatch_parse(int argc, char **argv, struct command_line *ret_line,
                   struct dispatch_options *ret_options, char *reterr, size_t size)
{
    size_t room = argc > 0 ? (size_t)argc + 1 : 1;
    struct reading r = {.line = ret_line, .options = ret_options};

    *ret_options = (struct dispatch_options){.help = false};
    *ret_line = (struct command_line){.sources = {.environment = environ}};
    ret_line->argv = calloc(room, sizeof(*ret_line->argv));
    r.overrides = calloc(room, sizeof(*r.overrides));
    if (ret_line->argv == NULL || r.overrides == NULL) {
        free(ret_line->argv);
        free(r.overrides);
        ret_line->argv = NULL;
        (void)snprintf(reterr, size, "out of memory");
        return EXIT_CODE_FAILED;
    }
    ret_line->sources.overrides = r.overrides;
    return read_words(&r, argc, argv, reterr, size);
}

void dispatch_release(struct command_line *line)
{
    free(line->argv);
    free((void *)line->sources.overrides);
    *line = (struct command_line){.argc = 0};
}

static const struct command_spec *find(const struct command_spec *commands, size_t count,
                                       const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void print_help(const struct command_spec *commands, size_t count)
{
    (void)printf("pgbaton %s: many replicas, one PostgreSQL, every job once\n\n"
                 "usage: pgbaton COMMAND [-c FILE] [-o SECTION.KEY=VALUE]... [ARGUMENTS]\n\n",
                 PGBATON_VERSION);
    for (size_t i = 0; i < count; i++) {
        if (commands[i].run != NULL) {
            (void)printf("  %-10s %-30s %s\n", commands[i].name, commands[i].arguments,
                         commands[i].summary);
        }
    }
    (void)printf("\n"
                 "  -c FILE               the configuration; default $PGBATON_CONFIG, else "
                 "/etc/pgbaton/pgbaton.ini\n"
                 "  -o SECTION.KEY=VALUE  a value of the configuration; may be repeated\n"
                 "  --json                where a command prints a table\n"
                 "  --help, --version\n\n"
                 "pgbaton COMMAND --help says more about one of them.\n");
}

static void print_command_help(const struct command_spec *command)
{
    (void)printf("usage: pgbaton %s [-c FILE] [-o SECTION.KEY=VALUE]... %s\n\n%s\n", command->name,
                 command->arguments, command->summary);
    if (command->help != NULL) {
        (void)printf("\n%s\n", command->help);
    }
    if (command->run == NULL) {
        (void)printf("\nnot available in this version\n");
    }
}

static int usage(const char *text)
{
    (void)fputs("pgbaton: ", stderr);
    print_safe(stderr, text); /* it has words of the line in it */
    (void)fputs("\nTry 'pgbaton --help'.\n", stderr);
    return EXIT_CODE_USAGE;
}

/* The name that was meant, as far as one can tell: one that begins alike. */
static const char *guess(const struct command_spec *commands, size_t count, const char *name)
{
    const char *best = NULL;
    size_t best_length = 1; /* one letter in common says nothing */

    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        while (name[length] != '\0' && name[length] == commands[i].name[length]) {
            length++;
        }
        if (commands[i].run != NULL && length > best_length) {
            best = commands[i].name;
            best_length = length;
        }
    }
    return best;
}

static int unknown_command(const struct command_spec *commands, size_t count, const char *name)
{
    char text[192];
    const char *meant = guess(commands, count, name);

    if (name[0] == '-') {
        (void)snprintf(text, sizeof(text), "there is no option '%.60s'", name);
    } else if (meant != NULL) {
        (void)snprintf(text, sizeof(text), "there is no command '%.60s'; did you mean '%s'?", name,
                       meant);
    } else {
        (void)snprintf(text, sizeof(text), "there is no command '%.60s'", name);
    }
    return usage(text);
}

/* `pgbaton help [CMD]` and `pgbaton [CMD] --help`. */
static int help(const struct command_spec *commands, size_t count, const char *name)
{
    const struct command_spec *command = name == NULL ? NULL : find(commands, count, name);

    if (name != NULL && command == NULL) {
        return unknown_command(commands, count, name);
    }
    if (command == NULL) {
        print_help(commands, count);
    } else {
        print_command_help(command);
    }
    return EXIT_CODE_DONE;
}

static int run(const struct command_spec *commands, size_t count, struct command_line *line,
               const struct dispatch_options *options)
{
    char text[128];

    if (options->version) {
        version_print();
        return EXIT_CODE_DONE;
    }
    const char *name = line->argc > 0 ? line->argv[0] : NULL;
    if (name != NULL && strcmp(name, "help") == 0) {
        return help(commands, count, line->argc > 1 ? line->argv[1] : NULL);
    }
    if (options->help) {
        return help(commands, count, name);
    }
    if (name == NULL) {
        return usage("a command is missing");
    }
    const struct command_spec *command = find(commands, count, name);
    if (command == NULL) {
        return unknown_command(commands, count, name);
    }
    if (command->run == NULL) {
        (void)snprintf(text, sizeof(text), "%s: not available in this version", command->name);
        return usage(text);
    }
    struct command_line rest = *line;
    rest.argc--;
    rest.argv++;
    return command->run(&rest);
}

/*
 * What was printed has to arrive: a full disk must not leave half a file and exit code 0. Here for
 * every command, so that none forgets it; a code that a command gave already stays. `exec` does not
 * come back, and prints nothing.
 */
static int finish_output(int code)
{
    errno = 0;
    if (fflush(stdout) != EOF && ferror(stdout) == 0) {
        return code;
    }
    (void)fprintf(stderr, "pgbaton: cannot write the output: %s\n",
                  errno == 0 ? "an earlier part was not taken" : strerror(errno));
    return code == EXIT_CODE_DONE ? EXIT_CODE_FAILED : code;
}

int dispatch_run(const struct command_spec *commands, size_t count, int argc, char **argv)
{
    struct command_line line;
    struct dispatch_options options;
    char reason[192];
    int code = dispatch_parse(argc, argv, &line, &options, reason, sizeof(reason));

    if (code != 0) {
        code = code == EXIT_CODE_USAGE ? usage(reason) : code;
    } else {
        code = run(commands, count, &line, &options);
    }
    dispatch_release(&line);
    return finish_output(code);
}
