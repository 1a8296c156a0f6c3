#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>

#include "common/control.h"
#include "supervisor/cli/dispatch.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct command_line seen;
static char seen_words[256];
static char seen_overrides[256];

static int remember(struct command_line *line)
{
    seen = *line;
    seen_words[0] = '\0';
    seen_overrides[0] = '\0';
    for (int i = 0; i < line->argc; i++) {
        strcat(strcat(seen_words, line->argv[i]), "|");
    }
    for (size_t i = 0; line->sources.overrides[i] != NULL; i++) {
        strcat(strcat(seen_overrides, line->sources.overrides[i]), "|");
    }
    return 42;
}

static int print(struct command_line *line)
{
    (void)printf("a line\n");
    return line->argc == 0 ? EXIT_CODE_DONE : EXIT_CODE_UNAVAILABLE;
}

static const struct command_spec commands[] = {
    {"run", "[-- CMD]", "runs", "more about it", remember},
    {"status", "", "shows", NULL, remember},
    {"history", "", "not yet", NULL, NULL},
    {"print", "", "prints", NULL, print},
};

static int dispatch(const char *text)
{
    static char copy[256];
    static char *words[32];
    int count = 0;

    (void)snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    words[count] = NULL;
    memset(&seen, 0, sizeof(seen));
    return dispatch_run(commands, ARRAY_LEN(commands), count, words);
}

static void quiet(void)
{
    cr_redirect_stdout();
    cr_redirect_stderr();
}

TestSuite(dispatch, .init = quiet);

Test(dispatch, lines)
{
    static const struct {
        const char *title;
        const char *line;
        int code;
        const char *words;
        const char *file;
        const char *overrides;
        bool json;
    } cases[] = {
        {"options may stand before the command", "pgbaton -c f --json -o a.b=c status", 42, "", "f",
         "a.b=c|", true},
        {"and behind it, and be repeated", "pgbaton status -o a.b=c -o d.e=f -c f", 42, "", "f",
         "a.b=c|d.e=f|", false},
        {"a value may hang on its option", "pgbaton status -cf -oa.b=c", 42, "", "f", "a.b=c|",
         false},
        {"long forms", "pgbaton status --config=f --option a.b=c", 42, "", "f", "a.b=c|", false},
        {"what the command knows stays where it is", "pgbaton status --for 30s x", 42,
         "--for|30s|x|", NULL, "", false},
        {"nothing behind -- is ours", "pgbaton run -c f -- cmd -c g --json --help", 42,
         "--|cmd|-c|g|--json|--help|", "f", "", false},
        {"a typo is refused", "pgbaton stauts", EXIT_CODE_USAGE, NULL, NULL, NULL, false},
        {"so is an option for a command", "pgbaton --jsn", EXIT_CODE_USAGE, NULL, NULL, NULL,
         false},
        {"a missing value is refused", "pgbaton status -c", EXIT_CODE_USAGE, NULL, NULL, NULL,
         false},
        {"an override without a value is refused", "pgbaton status -o foo", EXIT_CODE_USAGE, NULL,
         NULL, NULL, false},
        {"-- is no value", "pgbaton run -c -- cmd", EXIT_CODE_USAGE, NULL, NULL, NULL, false},
        {"a missing command is refused", "pgbaton -c f", EXIT_CODE_USAGE, NULL, NULL, NULL, false},
        {"what is not there yet says so", "pgbaton history", EXIT_CODE_USAGE, NULL, NULL, NULL,
         false},
        {"help is done", "pgbaton help", EXIT_CODE_DONE, NULL, NULL, NULL, false},
        {"help about a command is done", "pgbaton help run", EXIT_CODE_DONE, NULL, NULL, NULL,
         false},
        {"help about none is refused", "pgbaton help rnu", EXIT_CODE_USAGE, NULL, NULL, NULL,
         false},
        {"--help of a command does not run it", "pgbaton run --help", EXIT_CODE_DONE, NULL, NULL,
         NULL, false},
        {"the version is done", "pgbaton --version", EXIT_CODE_DONE, NULL, NULL, NULL, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        seen_words[0] = '\0';
        int code = dispatch(cases[i].line);

        cr_expect_eq(code, cases[i].code, "%s: code %d", cases[i].title, code);
        if (cases[i].words == NULL) {
            cr_expect_null(seen.sources.environment, "%s: it ran", cases[i].title);
            continue;
        }
        cr_expect_str_eq(seen_words, cases[i].words, "%s", cases[i].title);
        cr_expect_str_eq(seen_overrides, cases[i].overrides, "%s", cases[i].title);
        cr_expect_eq(seen.json, cases[i].json, "%s", cases[i].title);
        cr_expect((cases[i].file == NULL) == (seen.sources.file == NULL), "%s", cases[i].title);
    }
}

Test(dispatch, a_typo_gets_one_clear_error)
{
    (void)dispatch("pgbaton statu");
    (void)fflush(stderr);
    cr_expect_stderr_eq_str(
        "pgbaton: there is no command 'statu'; did you mean 'status'?\nTry 'pgbaton --help'.\n");
}

Test(dispatch, no_terminal_obeys_an_unknown_command)
{
    (void)dispatch("pgbaton \033[31mx");
    (void)fflush(stderr);
    cr_expect_stderr_eq_str("pgbaton: there is no command '\\x1b[31mx'\nTry 'pgbaton --help'.\n");
}

Test(dispatch, what_could_not_be_written_has_not_succeeded)
{
    static const char *const lines[] = {"pgbaton print", "pgbaton --help", "pgbaton run --help",
                                        "pgbaton --version"};

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        cr_assert_not_null(freopen("/dev/full", "w", stdout));
        cr_expect_eq(dispatch(lines[i]), EXIT_CODE_FAILED, "%s", lines[i]);
    }
    cr_assert_not_null(freopen("/dev/full", "w", stdout));
    cr_expect_eq(dispatch("pgbaton print x"), EXIT_CODE_UNAVAILABLE, "the first reason counts");
    cr_assert_not_null(freopen("/dev/full", "w", stdout));
    cr_expect_eq(dispatch("pgbaton status"), 42, "nothing was to be written");
    cr_assert_not_null(freopen("/dev/null", "w", stdout));
    cr_expect_eq(dispatch("pgbaton print"), EXIT_CODE_DONE);
}
