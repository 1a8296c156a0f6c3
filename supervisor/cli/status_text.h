/*
 * status_text.h - the status document for people.
 *
 * What it does not find in the document, or finds to be of another type, it
 * leaves out: the daemon may be another version.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_STATUS_TEXT_H
#define PGBATON_SUPERVISOR_CLI_STATUS_TEXT_H

#include <jansson.h>
#include <stdio.h>

void status_text_print(FILE *to, const json_t *document);

/* status_text_safe - one text with its control characters escaped; NULL prints nothing. */
void status_text_safe(FILE *to, const char *text);

/* status_text_length - seconds as "13.4s", "12m03s", "3h12m", "5d07h". ret_text holds at least 32
 * bytes. */
void status_text_length(double seconds, char *ret_text, size_t size);

#endif
