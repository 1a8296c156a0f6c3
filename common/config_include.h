/*
 * config_include.h - which files belong to a configuration, and their text.
 *
 * Runs in: supervisor and commands.
 */
#ifndef PGBATON_COMMON_CONFIG_INCLUDE_H
#define PGBATON_COMMON_CONFIG_INCLUDE_H

#include <sys/types.h>

#include "common/config_entries.h"

/* A file that is being read, and the one that includes it. */
struct config_include {
    const struct config_include *parent; /* NULL: the first one */
    dev_t device;
    ino_t inode;
};

/* The paths are in the memory of the entries. */
struct config_include_files {
    const char **paths;
    size_t count;
};

/*
 * config_include_load - the text of a file; *ret_text is the caller's (free).
 * here->device and inode are filled in. A file that cannot be read, is too
 * large, or includes itself is a problem, at asked_at where an include asked
 * for it; returns false then. Only the first file may be a pipe, and be waited
 * for, unless the entries say never_wait.
 */
bool config_include_load(struct config_entries *entries, struct config_include *here,
                         const char *path, struct origin asked_at, char **ret_text,
                         size_t *ret_length);

/*
 * config_include_find - the files that patterns (words) stand for, sorted by
 * each pattern, relative to the directory of file (NULL: the working directory).
 * A pattern without * ? [ that names no file is a problem.
 */
void config_include_find(struct config_entries *entries, const char *file, const char *patterns,
                         struct origin at, struct config_include_files *ret_files);

#endif
