#include <stdio.h>
#include <string.h>

#include "common/control.h"
#include "supervisor/cli/commands.h"
#include "supervisor/supervisor.h"

/* pgbaton run [-- CMD ARG...]: the service itself. */
int command_run(struct command_line *line)
{
    int argc = line->argc;
    char **argv = line->argv;

    if (argc > 0 && strcmp(argv[0], "--") != 0) {
        return usage_error("run", "a command goes behind --; it does not know", argv[0]);
    }
    if (argc == 1) {
        (void)fprintf(stderr, "pgbaton run: -- must be followed by a command\n");
        return EXIT_CODE_USAGE;
    }
    struct config *cfg = cli_load(line);
    if (cfg == NULL) {
        return EXIT_CODE_CONFIG;
    }
    return supervisor_run(cfg, &line->sources, argc > 0 ? argc - 1 : 0, argc > 0 ? argv + 1 : NULL);
}
