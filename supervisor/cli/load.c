/*
 * The configuration for a command: read, or every problem on stderr.
 */
#include <stdio.h>
#include <string.h>

#include "supervisor/cli/commands.h"

struct config *cli_load(const struct command_line *line)
{
    struct config_problems problems;
    struct config *cfg = NULL;
    int rc = config_read(&line->sources, &cfg, &problems);

    config_problems_print(&problems, stderr);
    if (rc < 0 && problems.errors == 0) {
        (void)fprintf(stderr, "pgbaton: cannot read the configuration: %s\n", strerror(-rc));
    }
    config_problems_release(&problems);
    return rc < 0 ? NULL : cfg;
}
