/*
 * config_lines.h - the text of a file as lines that mean one thing each.
 *
 * Comments and empty lines are left out, continued values are joined, with one
 * blank at each joint. PURE: no file is opened here.
 *
 * Runs in: supervisor and commands.
 */
#ifndef PGBATON_COMMON_CONFIG_LINES_H
#define PGBATON_COMMON_CONFIG_LINES_H

#include <stdbool.h>
#include <stddef.h>

struct config_lines {
    const char *at;
    const char *end;
    unsigned line; /* number of the line at `at` */
    /* Of the last setting: which of the joined lines begins with # and would be a comment to a
     * shell, which has now all behind it too; 0: none, or nothing is behind it. */
    unsigned swallowed_at;
    bool passing; /* the last line was refused: so are its continuations, without a word */
};

enum config_line {
    CONFIG_LINE_END,
    CONFIG_LINE_HEADER,  /* begins with '[' */
    CONFIG_LINE_SETTING, /* anything else */
    CONFIG_LINE_BAD,     /* refused, for *ret_reason */
};

/* config_lines_init - text stays the caller's and need not end in a NUL. */
void config_lines_init(struct config_lines *lines, const char *text, size_t length);

/* config_lines_next - the next one, as a string without blanks around it, and its number. */
enum config_line config_lines_next(struct config_lines *lines, char *buffer, size_t size,
                                   unsigned *ret_line, const char **ret_reason);

#endif
