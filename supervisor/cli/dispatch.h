/*
 * dispatch.h - the command line: options out, command found, help and version.
 *
 * Runs in: the command-line tool (and the daemon, before it is one).
 */
#ifndef PGBATON_SUPERVISOR_CLI_DISPATCH_H
#define PGBATON_SUPERVISOR_CLI_DISPATCH_H

#include <stddef.h>

#include "supervisor/cli/commands.h"

/*
 * dispatch_run - find the command of this line in the table, and run it. A row
 * whose run is NULL is a command that this version does not have yet. Returns
 * the exit code of the program.
 */
int dispatch_run(const struct command_spec *commands, size_t count, int argc, char **argv);

/* dispatch_parse - take -c FILE, -o X, --json and --help out of what follows the program's name.
 * Nothing behind "--" is looked at. What is left is in line->argv; the command, if any, is its
 * first. 0, or EXIT_CODE_USAGE with the one clear error in reterr. Frees nothing of argv. */
struct dispatch_options {
    bool help;
    bool version;
};
int dispatch_parse(int argc, char **argv, struct command_line *ret_line,
                   struct dispatch_options *ret_options, char *reterr, size_t size);
void dispatch_release(struct command_line *line);

/* version_print - pgbaton, and the libraries in use. */
void version_print(void);

#endif
