#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "common/array.h"
#include "common/control.h"
#include "supervisor/cli/commands.h"

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
    {"step-down knows no other option",            command_step_down, {"--force", "--now"}},
    {"status knows no other option",               command_status,    {"--yaml"}},
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
