/*
 * sqlite_term.h - which epoch the SQLite file has seen last. Terms are counted
 * in PATH.term; where that was lost, or an old copy of it put back, the ledger
 * still knows better.
 *
 * Runs in: worker. Never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_SQLITE_TERM_H
#define PGBATON_WORKER_DATABASE_SQLITE_TERM_H

#include <stddef.h>

#include "common/identity.h"

/* sqlite_term_read - 0 and the epoch, 0.0 where there is none yet (no file, no table, no row); or a
 * negative errno as of sqlite_file_open(), with one line in reterr. */
int sqlite_term_read(const char *path, const char *election, struct epoch *ret_epoch, char *reterr,
                     size_t size);

#endif
