/*
 * init_db.h - `pgbaton init-db` for what is no PostgreSQL.
 *
 * Runs in: the command-line tool.
 */
#ifndef PGBATON_WORKER_DATABASE_INIT_DB_H
#define PGBATON_WORKER_DATABASE_INIT_DB_H

#include "common/config.h"

/* init_sqlite - make or upgrade the file and its tables, and say so. An exit code. */
int init_sqlite(const struct config *cfg);

#endif
