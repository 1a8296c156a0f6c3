/*
 * settings.h - the settings that a session pins for itself, because each of
 * them could end, block or change it (DESIGN.md section 3, "The session").
 *
 * Runs in: probe and worker. Only makes and reads text: the session sends it.
 */
#ifndef PGBATON_WORKER_DATABASE_SETTINGS_H
#define PGBATON_WORKER_DATABASE_SETTINGS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"

/* After so long the server ends a statement of the probe. */
#define SETTINGS_STATEMENT_LIMIT_PROBE DUR_S(5)

enum settings_for { SETTINGS_PROBE, SETTINGS_LOCK, SETTINGS_LEDGER };

struct settings {
    enum settings_for session;
    dur_ns lease;
    dur_ns lock_timeout; /* 0: one second */
    bool tcp;            /* false: a UNIX socket, which has no keepalives to pin */
};

/*
 * settings_sql - one simple-query message: a statement that sets all of them
 * (those that this server has), and one that reads them back, with what the slice
 * needs, as rows (name, setting). The caller frees it; NULL: out of memory.
 */
char *settings_sql(const struct settings *wanted);

/* settings_verify - is what was read back what was set? 0, or -EACCES with one line about the first
 * that is not in reterr. */
int settings_verify(const struct settings *wanted, const PGresult *rows, char *reterr, size_t size);

/*
 * settings_slice - how long one wait in the lock queue may last, so that no
 * deadlock check runs and no log names it: min(80 % of deadlock_timeout, 800 ms, 80 % of
 * log_min_duration_statement where that is positive). May be too short to be of use.
 */
dur_ns settings_slice(const PGresult *rows);

#endif
