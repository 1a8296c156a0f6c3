/*
 * text.h - whole files as text, for configurations, logs and observations.
 */
#ifndef PGBATON_TESTS_SUPPORT_TEXT_H
#define PGBATON_TESTS_SUPPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* text_read - what is in that file, the caller frees it; "" if there is none. Never NULL. */
char *text_read(const char *path);

/* text_write, text_append - the file holds exactly this, or this at its end. Ends the test if it
 * cannot be. */
void text_write(const char *path, const char *text);
void text_append(const char *path, const char *text);

/* text_format - as asprintf, the caller frees it. Ends the test if there is no memory. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* text_tail - the last part of that file, for the message of a failed test; a static string. */
const char *text_tail(const char *path);

/* text_count - how often that part occurs in the text. */
size_t text_count(const char *text, const char *part);

/* text_is - are these bytes (NULL: none) that text? */
bool text_is(const char *bytes, size_t count, const char *text);

#endif
