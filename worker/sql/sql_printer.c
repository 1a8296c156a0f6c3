#include "worker/sql/sql_printer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "worker/sql/sql_job.h"

static void print_row(const PGresult *result, int row)
{
    for (int column = 0; column < PQnfields(result); column++) {
        (void)printf("%s%s", column == 0 ? "" : "|", PQgetvalue(result, row, column));
    }
    (void)putchar('\n');
}

static void end_statement(struct sql_printer *p)
{
    (void)fflush(stdout);
    if (p->rows > SQL_ROWS_MAX) {
        (void)fprintf(stderr, "%" PRIu64 " more rows are not shown\n", p->rows - SQL_ROWS_MAX);
    }
    p->rows = 0;
}

void sql_printer_take(struct sql_printer *p, const PGresult *result)
{
    if (p->keeps_row) {
        if (p->row == NULL && PQntuples(result) > 0) {
            p->row = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
        }
        return;
    }
    for (int row = 0; row < PQntuples(result); row++) {
        if (p->rows++ < SQL_ROWS_MAX) {
            print_row(result, row);
        }
    }
    if (PQresultStatus(result) != PGRES_SINGLE_TUPLE) {
        const char *tag = PQcmdStatus((PGresult *)(uintptr_t)result); /* it only reads */

        if (tag[0] != '\0') {
            (void)snprintf(p->tag, sizeof(p->tag), "%s", tag);
        }
        end_statement(p);
    }
}

void sql_printer_end(struct sql_printer *p)
{
    end_statement(p);
}
