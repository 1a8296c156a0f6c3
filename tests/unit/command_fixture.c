#include "tests/unit/command_fixture.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int command_fixture_run(int (*command)(struct command_line *line), const char *const *words,
                        char **ret_out, char **ret_err)
{
    struct command_line line = {.sources = {.file = "pgbaton.ini"},
                                .argv = (char **)(uintptr_t)words};
    int first = words[0] != NULL && strcmp(words[0], "--json") == 0 ? 1 : 0;
    FILE *old_out = stdout;
    FILE *old_err = stderr;
    size_t out_size = 0;
    size_t err_size = 0;

    line.json = first == 1; /* as the dispatcher leaves it */
    line.argv += first;
    while (line.argv[line.argc] != NULL) {
        line.argc++;
    }
    stdout = open_memstream(ret_out, &out_size);
    stderr = open_memstream(ret_err, &err_size);
    cr_assert(stdout != NULL && stderr != NULL);

    int code = command(&line);

    (void)fclose(stdout);
    (void)fclose(stderr);
    stdout = old_out;
    stderr = old_err;
    return code;
}
