/*
 * import_job.h - an entry of a crontab as a section of an INI file.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_IMPORT_JOB_H
#define PGBATON_SUPERVISOR_CLI_IMPORT_JOB_H

#include <stdio.h>

#include "common/config_memory.h"
#include "supervisor/cli/crontab.h"

struct import_variable {
    struct import_variable *next;
    const char *name;
    const char *value;
};

/* What has been read so far: variables hold for the entries below them. */
struct import {
    struct config_memory memory;
    struct import_variable *variables;
    const char *system_zone; /* in which cron reckons; NULL: not known */
    const char *user;        /* whose crontab it is; NULL: not said, or of the system */
    const char **names;      /* of the jobs that there are; owned */
    size_t name_count;
    unsigned left_out;       /* lines that became no section */
    unsigned entries;        /* those that run something, and how many of them */
    unsigned entries_naming; /* begin with the name of a user of this system */
    FILE *to;
};

/* import_set - from now on the variable has this value. */
void import_set(struct import *im, const char *name, const char *value);

/* import_job - writes the section of an entry, which is on that line; text is changed. */
void import_job(struct import *im, const struct crontab_line *entry, char *command, unsigned line);

/* import_print - text of the crontab as (a part of) a comment: one line, and harmless to a
 * terminal. */
void import_print(FILE *to, const char *text);

/* import_leave_out - says why there is no section, with the line itself. */
void import_leave_out(struct import *im, unsigned line, const char *text, const char *why);

void import_release(struct import *im);

#endif
