#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/control.h"
#include "supervisor/cli/commands.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/config_fixture.h"

/* clang-format off */
static const struct {
    const char *title;
    int (*command)(struct command_line *line);
    const char *words[4];
} wrong[] = {
    {"stop takes no name",                         command_stop,      {"web1"}},
    {"reload takes no option",                     command_reload,    {"--no-wait"}},
    {"--for wants a value",                        command_step_down, {"--for"}},
    {"--for wants a duration",                     command_step_down, {"--for", "soon"}},
    {"--for wants a duration behind = too",        command_step_down, {"--for=-1s"}},
    {"--for wants more than nothing",              command_step_down, {"--for", "0"}},
    {"in any unit",                                command_step_down, {"--for=0s"}},
    {"step-down knows no other option",            command_step_down, {"--force", "--now"}},
    {"status knows no other option",               command_status,    {"--yaml"}},
    {"a command of run stands behind --",          command_run,       {"true"}},
    {"init-db knows no other option",              command_init_db,   {"--grant"}},
    {"--is-leader says nothing, so not again",     command_status,    {"--is-leader", "--watch"}},
};
/* clang-format on */

Test(order, what_is_not_understood_is_a_usage_error_and_asks_nobody, .init = cr_redirect_stderr)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char *argv[4];
        struct command_line line = {.sources = {.file = "/does/not/exist"}, .argv = argv};

        while (line.argc < 4 && wrong[i].words[line.argc] != NULL) {
            argv[line.argc] = (char *)(uintptr_t)wrong[i].words[line.argc];
            line.argc++;
        }
        cr_expect_eq(wrong[i].command(&line), EXIT_CODE_USAGE, "%s", wrong[i].title);
    }
}

/* clang-format off */
static const struct {
    const char *title;
    int (*command)(struct command_line *line);
    const char *words[4];
    const char *says;
} said[] = {
    {"status escapes what it does not know", command_status, {"\033[31m"}, "pgbaton: status: knows --json, --is-leader and --watch, not '\\x1b[31m'; "},
    {"run does", command_run, {"\033[31m"}, "it does not know '\\x1b[31m'; "},
    {"init-db does", command_init_db, {"\033[31m"}, "pgbaton: init-db: does not know '\\x1b[31m'; "},
    {"exec does", command_exec, {"\033[31m"}, "pgbaton: exec: there is no job '\\x1b[31m'; "},
    {"import does", command_import, {"/no\033[31m"}, "pgbaton import: /no\\x1b[31m: No such file"},
    {"a role without a name", command_init_db, {"--role"}, "wants a value for '--role'; "},
    {"a role whose name is empty", command_init_db, {"--print", "--role", ""}, "the name of the role is empty; "},
    {"a rest of two units", command_step_down, {"--for", "1h30m"}, "--for takes a duration, one number and one unit such as 90m, not '1h30m'; "},
    {"a rest of nothing", command_step_down, {"--for", "0"}, "--for takes more than nothing, such as 30s, not '0'; "},
};
/* clang-format on */

Test(order, what_was_wrong_is_said_and_no_terminal_obeys_it, .init = config_fixture_up,
     .fini = config_fixture_down)
{
    config_fixture_write("pgbaton.ini", "[database]\ndsn = sqlite:/x\n");
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        char *out = NULL;
        char *err = NULL;
        int code = command_fixture_run(said[i].command, said[i].words, &out, &err);

        cr_expect_neq(code, EXIT_CODE_DONE, "%s", said[i].title);
        cr_expect_not_null(strstr(err, said[i].says), "%s: %s", said[i].title, err);
        cr_expect_null(strchr(err, '\033'), "%s", said[i].title);
        free(out);
        free(err);
    }
}
