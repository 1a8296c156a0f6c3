/*
 * config_path.h - paths of a configuration: from where a relative one counts.
 *
 * What a file says counts from the directory of that file, as its include does, so that it means
 * the same wherever an instance is started: two that have a file in common share its database. What
 * the environment or -o says counts from the working directory, and so does what a file says that
 * was handed over by a descriptor (/dev/stdin, /dev/fd/63, /proc/self/fd/63).
 *
 * Runs in: every process and every command.
 */
#ifndef PGBATON_COMMON_CONFIG_PATH_H
#define PGBATON_COMMON_CONFIG_PATH_H

#include "common/config.h"
#include "common/config_memory.h"

/* config_path_directory - how much of the name of a file is the directory from which its relative
 * paths count, with its slash. 0: the working directory. */
size_t config_path_directory(const char *file);

/* config_path_absolute - as it is meant by whoever said it there, the same however that file was
 * named; one that is absolute stays. */
const char *config_path_absolute(struct config_memory *memory, struct origin said,
                                 const char *path);

#endif
