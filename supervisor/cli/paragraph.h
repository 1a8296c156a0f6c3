/*
 * paragraph.h - sentences for people, put together piece by piece, one a line.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_PARAGRAPH_H
#define PGBATON_SUPERVISOR_CLI_PARAGRAPH_H

#include <stddef.h>
#include <stdio.h>

enum { PARAGRAPH_SENTENCES = 16 };

/* From {.length = 0}; what does not fit is cut. */
struct paragraph {
    char text[4096];
    size_t length;
    size_t begins[PARAGRAPH_SENTENCES]; /* of each sentence after the first */
    size_t count;
};

/* paragraph_say - a format that begins with a line feed begins a sentence; one in a text is a
 * text's. */
void paragraph_say(struct paragraph *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* paragraph_print - the first sentence behind indent, the others further in; harmless to a
 * terminal. */
void paragraph_print(FILE *to, const char *indent, struct paragraph *p);

#endif
