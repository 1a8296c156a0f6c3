/*
 * config_words.h - texts made of words: shell-like quoting, no expansion; and names.
 *
 * Runs in: every process and every command.
 */
#ifndef PGBATON_COMMON_CONFIG_WORDS_H
#define PGBATON_COMMON_CONFIG_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/config_memory.h"

/*
 * config_words_split - words between blanks; '...' and "..." keep blanks, a
 * backslash keeps the next character (inside "..." only of \ " $ and `, and
 * inside '...' nothing). Nothing is expanded. Returns 0 and an array that ends
 * in NULL, both in memory; -EINVAL with the reason in reterr; -ENOMEM.
 */
int config_words_split(struct config_memory *memory, const char *text, char ***ret_words,
                       size_t *ret_count, char *reterr, size_t reterr_size);

/* config_words_print - a word as config_words_split() reads it back, without the quotes where none
 * are needed. */
void config_words_print(const char *word, FILE *to);

/* config_words_repeated_name - a word NAME=VALUE whose NAME another one has too; NULL: there is
 * none. Sorted, or thousands would take seconds in each job. */
const char *config_words_repeated_name(struct config_memory *memory, char *const *words,
                                       size_t count);

/* config_is_name - letters, digits and _.:@+-, the first a letter, a digit or _, at most so
 * many bytes. If not, why says what would be right. */
bool config_is_name(const char *text, size_t length_max, char *why, size_t why_size);

/* config_is_variable - may this be the name of an environment variable? */
bool config_is_variable(const char *name, size_t length);

#endif
