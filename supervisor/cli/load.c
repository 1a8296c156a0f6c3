/*
 * The configuration for a command: read, or every problem on stderr.
 */
#include <stdio.h>
#include <string.h>

#include "supervisor/cli/commands.h"

typedef int reader(const struct config_sources *sources, struct config **ret_config,
                   struct config_problems *ret_problems);

static struct config *load(const struct command_line *line, reader *read)
{
    struct config_problems problems;
    struct config *cfg = NULL;
    int rc = read(&line->sources, &cfg, &problems);

    config_problems_print(&problems, stderr);
    if (rc < 0 && problems.errors == 0) {
        (void)fprintf(stderr, "pgbaton: cannot read the configuration: %s\n", strerror(-rc));
    }
    config_problems_release(&problems);
    return rc < 0 ? NULL : cfg;
}

struct config *cli_load(const struct command_line *line)
{
    return load(line, config_read);
}

struct config *cli_load_daemon(const struct command_line *line)
{
    return load(line, config_read_daemon);
}
