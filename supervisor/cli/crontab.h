/*
 * crontab.h - PURE: one line of a crontab, as Vixie's cron and its descendants read it.
 */
#ifndef PGBATON_SUPERVISOR_CLI_CRONTAB_H
#define PGBATON_SUPERVISOR_CLI_CRONTAB_H

#include <stdbool.h>
#include <stddef.h>

enum crontab_kind {
    CRONTAB_EMPTY,
    CRONTAB_COMMENT,  /* text */
    CRONTAB_VARIABLE, /* name and text */
    CRONTAB_ENTRY,    /* schedule, user (NULL: not of the system), text: the command */
    CRONTAB_WRONG,    /* text: why */
};

struct crontab_line {
    enum crontab_kind kind;
    const char *name;
    const char *schedule; /* five fields with the blanks as they were, or "@daily" */
    const char *user;
    const char *text;
};

/* crontab_read - takes the line apart: writes NULs into it, and points into it. */
struct crontab_line crontab_read(char *line, bool has_user);

/* crontab_is_of_system - by where it is: /etc/crontab, or a file in /etc/cron.d. */
bool crontab_is_of_system(const char *path);

/*
 * crontab_split_input - what follows the first % that has no backslash is a command's input, each
 * further one a new line of it. Cuts the command, takes the backslashes off, and returns where the
 * input begins, with line feeds in it; NULL: there is none.
 */
char *crontab_split_input(char *command);

/*
 * crontab_name - a name for a job out of its command: that of the program, of letters that a job's
 * name may have. "" where nothing is left.
 */
void crontab_name(const char *command, char *ret_name, size_t size);

#endif
