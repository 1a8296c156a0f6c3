/*
 * why_text.h - what became of a tick, in sentences for somebody who was woken by it.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_WHY_TEXT_H
#define PGBATON_SUPERVISOR_CLI_WHY_TEXT_H

#include <jansson.h>
#include <stdio.h>

/* why_text_print - the document of the daemon: {"job", "asked_at", "policy", "runs"}. */
void why_text_print(FILE *to, const json_t *document);

#endif
