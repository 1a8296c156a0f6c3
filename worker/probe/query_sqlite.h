/*
 * query_sqlite.h - what the monitor asks, from the SQLite file: opened for the one question, with
 * short waits, and closed.
 *
 * Runs in: probe.
 */
#ifndef PGBATON_WORKER_PROBE_QUERY_SQLITE_H
#define PGBATON_WORKER_PROBE_QUERY_SQLITE_H

#include "worker/probe/probe.h"

/* query_sqlite - answers it. True: it was a request, and is in the table now. */
bool query_sqlite(struct probe *p, const struct message_query *query);

#endif
