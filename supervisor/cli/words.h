/*
 * words.h - what stands behind the name of a command: its options and its operands.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_WORDS_H
#define PGBATON_SUPERVISOR_CLI_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "supervisor/cli/commands.h"

/* One of the two is set: an option that takes a value (--job NAME, --job=NAME), or one that is
 * there or not. */
struct word_option {
    const char *name;
    const char **value;
    bool *flag;
};

struct words {
    const char *command;
    const struct word_option *options;
    size_t option_count;
    const char **operands; /* set where they are there, else not touched */
    size_t operand_count;  /* how many there may be */
};

/* words_read - an exit code: EXIT_CODE_DONE, or EXIT_CODE_USAGE with the reason printed. What
 * stands behind "--" is an operand. */
int words_read(const struct command_line *line, const struct words *words);

/* print_sentences - text of the daemon: line feeds are meant, other control characters are not. */
void print_sentences(FILE *to, const char *text);

#endif
