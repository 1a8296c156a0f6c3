/*
 * log_text.h - text from outside, made safe for one line of the log: quoted,
 * control characters escaped, passwords masked.
 *
 * Runs in: every process, for common/log.c. No I/O.
 */
#ifndef PGBATON_COMMON_LOG_TEXT_H
#define PGBATON_COMMON_LOG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * text_quote - text of that length as "...", or bare where bare_allowed and it
 * is a plain word. Always ends with NUL; what does not fit into size (at least
 * 8) is cut, and three dots say so. Returns the length of what was written.
 */
size_t text_quote(char *ret, size_t size, const char *text, size_t length, bool bare_allowed);

#endif
