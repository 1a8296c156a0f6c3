/*
 * table.h - columns of text on a terminal.
 *
 * Text that came from elsewhere may hold what a terminal obeys: everything that
 * is printed here has its control characters escaped.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_SUPERVISOR_CLI_TABLE_H
#define PGBATON_SUPERVISOR_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table {
    size_t columns; /* set by the caller; the rest is zero to begin with */
    char **cells;   /* owned, row by row */
    size_t count;
    size_t room;
    bool failed; /* out of memory: rows are missing */
};

/* table_add - the next cell; NULL or "" prints as "-". Copied. */
void table_add(struct table *table, const char *text);
void table_addf(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* table_print - each row indented, its columns as wide as their widest cell. */
void table_print(const struct table *table, FILE *to);
void table_release(struct table *table);

/* print_safe - one text, its control characters as \xNN. */
void print_safe(FILE *to, const char *text);

#endif
