/*
 * shell_text.h - PURE: a text as a shell reads it, as far as quotes go; one character after the
 * other.
 */
#ifndef PGBATON_COMMON_SHELL_TEXT_H
#define PGBATON_COMMON_SHELL_TEXT_H

#include <stdbool.h>

/* Zero: at the beginning of a text. */
struct shell_text {
    char quote;   /* ' or ": inside such a pair; else NUL */
    bool escaped; /* by the backslash before */
};

/* shell_text_take - the next character. */
void shell_text_take(struct shell_text *state, char c);

/* shell_text_is_blank - does it separate words, where it is not quoted? */
bool shell_text_is_blank(char c);

#endif
