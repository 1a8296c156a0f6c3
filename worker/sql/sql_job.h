/*
 * sql_job.h - the statements of one run of an SQL job, in a process and a connection of their own.
 *
 * Connects to the server that the worker's lock session uses, and checks like every session that
 * nothing stands in between and that it is the primary. Then, in one transaction: the epoch is
 * asserted, the role taken, the statements sent as one message, all of it committed. Or, without a
 * transaction, one after the other: the statements as one message are what the server makes of it.
 *
 * Settings are those of the role and the database, as for any program, but for those of
 * sql_settings.h: the server ends the statements of a process that was killed, or cut off, too.
 *
 * Rows go to standard output, columns with | between them; notices and errors to standard error.
 * SIGTERM cancels the statement in the server and then ends the process.
 *
 * Runs in: a process of its own below the worker; `pgbaton exec`.
 */
#ifndef PGBATON_WORKER_SQL_SQL_JOB_H
#define PGBATON_WORKER_SQL_SQL_JOB_H

#include "worker/sql/sql_order.h"

/* The hidden argument of the process, and what it inherits. */
#define SQL_JOB_ARGUMENT "--sql-job"
enum { SQL_JOB_ORDER_FD = 3, SQL_JOB_REPORT_FD = 4 };

/* How it ends; or by SIGTERM. */
enum sql_job_code {
    SQL_JOB_DONE = 0,
    SQL_JOB_FAILED = 1,       /* the server refused a statement */
    SQL_JOB_UNAVAILABLE = 69, /* no connection, or it was lost */
    SQL_JOB_EPOCH_OVER = 74,  /* this term is over: nothing was run */
};

/*
 * What it says at its end, to SQL_JOB_REPORT_FD: lines of a word, a blank and a text. One is short
 * enough for a pipe to take without a reader.
 */
#define SQL_JOB_RESULT "result" /* the command tag of the last statement: "UPDATE 42" */
#define SQL_JOB_REASON "reason" /* why it failed: "23505 duplicate key value ..." */

enum { SQL_ROWS_MAX = 1000 }; /* of each statement are printed; others are counted */

/* sql_job_run - all of it, in this process. report_fd -1: no report. Returns enum sql_job_code. */
int sql_job_run(const struct sql_order *order, int report_fd);

/* sql_job_entry - main() of the process. */
int sql_job_entry(void);

#endif
