/*
 * sql_printer.h - what statements answer: rows to standard output, the last command tag kept.
 *
 * Runs in: the process of an SQL job; `pgbaton exec`.
 */
#ifndef PGBATON_WORKER_SQL_SQL_PRINTER_H
#define PGBATON_WORKER_SQL_SQL_PRINTER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

enum { SQL_TAG_MAX = 64 };

struct sql_printer {
    bool keeps_row;        /* the row is kept instead of being printed */
    PGresult *row;         /* owned by whoever set keeps_row */
    uint64_t rows;         /* of the present statement */
    char tag[SQL_TAG_MAX]; /* of the last statement: "UPDATE 42" */
};

/* sql_printer_take - one row, or the end of a statement. */
void sql_printer_take(struct sql_printer *p, const PGresult *result);

/* sql_printer_end - no more comes. */
void sql_printer_end(struct sql_printer *p);

#endif
