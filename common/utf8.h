/*
 * utf8.h - PURE: where a character of UTF-8 ends, and which ones a terminal obeys.
 */
#ifndef PGBATON_COMMON_UTF8_H
#define PGBATON_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* utf8_length - bytes of the character at text, 1 to 4; 0 where what is there is none. The NUL at
 * the end of a text is a character of one byte. */
size_t utf8_length(const char *text);

/* utf8_is_control - is the character at text one of C0, DEL or C1? */
bool utf8_is_control(const char *text);

#endif
