/*
 * commands.h - the commands of the program, one file each; joined in supervisor/main.c.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_COMMANDS_H
#define PGBATON_SUPERVISOR_CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"

/* What every command line may say: options are taken out before the command sees its own arguments.
 */
struct command_line {
    struct config_sources sources; /* -c FILE, -o SECTION.KEY=VALUE, environ */
    bool json;                     /* --json */
    int argc;                      /* what is left, without the command's name */
    char **argv;
};

struct command_spec {
    const char *name;
    const char *arguments;                 /* "[-- CMD ARG...]" */
    const char *summary;                   /* one line */
    const char *help;                      /* more lines for `pgbaton NAME --help`; may be NULL */
    int (*run)(struct command_line *line); /* returns an exit code */
};

int command_run(struct command_line *line);       /* supervisor/cli/run.c */
int command_check(struct command_line *line);     /* supervisor/cli/check.c */
int command_status(struct command_line *line);    /* supervisor/cli/status.c */
int command_stop(struct command_line *line);      /* supervisor/cli/order.c */
int command_reload(struct command_line *line);    /* supervisor/cli/order.c */
int command_step_down(struct command_line *line); /* supervisor/cli/order.c */
int command_next(struct command_line *line);      /* supervisor/cli/next.c */
int command_jobs(struct command_line *line);      /* supervisor/cli/jobs.c */
int command_history(struct command_line *line);   /* supervisor/cli/history.c */
int command_why(struct command_line *line);       /* supervisor/cli/why.c */
int command_output(struct command_line *line);    /* supervisor/cli/output.c */
int command_trigger(struct command_line *line);   /* supervisor/cli/job_order.c */
int command_cancel(struct command_line *line);    /* supervisor/cli/job_order.c */
int command_pause(struct command_line *line);     /* supervisor/cli/job_order.c */
int command_resume(struct command_line *line);    /* supervisor/cli/job_order.c */
int command_import(struct command_line *line);    /* supervisor/cli/import.c */
int command_exec(struct command_line *line);      /* worker/leader/exec_here.c */
int command_init_db(struct command_line *line);   /* worker/database/init_db.c */

/* usage_error - "pgbaton: COMMAND: WHAT 'WORD'; see ...", with nothing in it that a terminal would
 * obey; word NULL: it is missing. Returns EXIT_CODE_USAGE; supervisor/cli/words.c. */
int usage_error(const char *command, const char *what, const char *word);

/* cli_load - read the configuration or print every problem; NULL: the command returns
 * EXIT_CODE_CONFIG. */
struct config *cli_load(const struct command_line *line);

/* cli_load_daemon - the same for a command that talks to a daemon: [pgbaton] alone, and what is
 * wrong elsewhere is left to the daemon. */
struct config *cli_load_daemon(const struct command_line *line);

/*
 * cli_become_user - of root, whom [pgbaton] user and group name: what root calls by hand is done as
 * the daemon would do it. Others stay who they are. may_change_again: as the daemon keeps it for
 * jobs that name a user. EXIT_CODE_DONE; else the code for the command, with the reason in reterr.
 */
int cli_become_user(const struct config *cfg, bool may_change_again, char *reterr, size_t size);

/* cli_database_library, cli_file_library - "libpq 15.18", "sqlite 3.40.1", for --version;
 * worker/database/library.c. */
const char *cli_database_library(void);
const char *cli_file_library(void);

/* cli_database_check - can libpq read the dsn? Connects to nothing. 0, or a negative errno with one
 * line that has no password in it; worker/database/library.c. */
int cli_database_check(const struct config *cfg, char *reterr, size_t size);

#endif
