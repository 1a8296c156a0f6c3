/*
 * command_fixture.h - a command of the tool, run in the test's own process.
 */
#ifndef PGBATON_TESTS_UNIT_COMMAND_FIXTURE_H
#define PGBATON_TESTS_UNIT_COMMAND_FIXTURE_H

#include "supervisor/cli/commands.h"

/*
 * command_fixture_run - with these words (NULL-terminated) and -c pgbaton.ini; --json, if it is
 * there, comes first. Returns its exit code; what it printed is in *ret_out and *ret_err (free).
 */
int command_fixture_run(int (*command)(struct command_line *line), const char *const *words,
                        char **ret_out, char **ret_err);

#endif
