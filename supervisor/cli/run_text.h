/*
 * run_text.h - facts of a run, as the daemon gives them, for people.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_RUN_TEXT_H
#define PGBATON_SUPERVISOR_CLI_RUN_TEXT_H

#include <jansson.h>
#include <stdbool.h>

/* run_text - of a key; NULL where it has none. */
const char *run_text(const json_t *run, const char *key);

/* run_text_or - the same, but for one that has none, or "". */
const char *run_text_or(const json_t *run, const char *key, const char *otherwise);

/* run_number - false where it has none. */
bool run_number(const json_t *run, const char *key, double *ret_number);

struct run_moment {
    char is[48];
};
/* run_moment - RFC 3339, milliseconds only where there are some; "" where there is none. */
struct run_moment run_moment(const json_t *run, const char *key);

struct run_length {
    char is[32];
};
/* run_length - "12ms", "3.2s", "5m02s"; "" where there is none. */
struct run_length run_length(const json_t *run, const char *key);

/* run_is_open - its outcome is not settled. */
bool run_is_open(const json_t *run);

#endif
