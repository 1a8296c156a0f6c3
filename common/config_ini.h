/*
 * config_ini.h - the files: lines in, entries out. The only module that knows inih.
 *
 * inih, as Debian builds it, cuts long lines and reads their tails as new ones,
 * cuts section names, takes " ;" in a value for a comment and ':' for '=', and
 * goes on after errors. So it gets its lines from a reader of ours, which lets through
 * only what can mean one thing, and reports everything else with file and line.
 *
 * Runs in: supervisor and commands.
 */
#ifndef PGBATON_COMMON_CONFIG_INI_H
#define PGBATON_COMMON_CONFIG_INI_H

#include "common/config_entries.h"

enum {
    CONFIG_LINE_MAX = 64 * 1024,        /* bytes; also of a value with its continuations */
    CONFIG_FILE_MAX = 16 * 1024 * 1024, /* bytes */
    CONFIG_INCLUDE_DEPTH_MAX = 8,
};

/*
 * config_ini_read - a file and what it includes. include, where it is not NULL,
 * takes the place of the include of this file (not of those below it) and is
 * relative to the working directory. What cannot be read becomes a problem;
 * returns whether this file could be.
 */
bool config_ini_read(struct config_entries *entries, const char *path, const char *include,
                     struct origin include_origin);

#endif
