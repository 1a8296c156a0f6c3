/*
 * run_sql.h - the start of a run whose action is sql: our own program, once more, which is told
 * what to do through a descriptor, and says through another how it went (worker/sql/sql_job.h).
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_RUN_SQL_H
#define PGBATON_WORKER_LEADER_RUN_SQL_H

#include <stddef.h>

#include "common/config.h"
#include "worker/leader/spawn.h"
#include "worker/sql/sql_order.h"

enum { RUN_RESULT_MAX = 64, RUN_SAYS_MAX = 512 };

/* What the process said at its end: "" nothing. */
struct run_report {
    char result[RUN_RESULT_MAX];
    char reason[RUN_SAYS_MAX];
};

/* run_sql_order - the order for these statements. epoch: "1.7", or "" outside of a term: nothing
 * is asserted then. Points into its arguments, and into storage of its own. */
struct run_sql {
    struct sql_order order;
    char epoch[192];
    char name[64];
    int order_fd;
    int report_fd; /* the process's end */
};
void run_sql_init(struct run_sql *sql, const struct config *cfg, const struct config_job *job,
                  const struct server_address *address, const char *epoch);

/* run_sql_open - what the process inherits; *ret_report is the end to read from, and the caller's.
 * 0, or a negative errno. run_sql_close - after the start: its ends. */
int run_sql_open(struct run_sql *sql, int *ret_report);
void run_sql_close(struct run_sql *sql);

/* run_sql_spawn - makes it the process to start. */
void run_sql_spawn(const struct run_sql *sql, struct spawn *what);

/* run_sql_environment - the daemon's own, which says how to connect, less its secrets; freed with
 * environment_free(). NULL with the reason. */
char **run_sql_environment(const struct config *cfg, const char *job, char *reterr, size_t size);

/* run_sql_read - after its end. */
void run_sql_read(int fd, struct run_report *ret_report);

#endif
