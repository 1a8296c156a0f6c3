/*
 * slice.h - one wait for the leader key: the text of its one simple-query
 * message, apart so that the trial in tests/integration/test_slice.c sends the
 * very same.
 *
 * A session lock is not undone when a subtransaction aborts: if lock_timeout
 * fires in the instant of the grant, a block that waits for the session lock
 * and catches the error says "no" while the session holds the key. So this
 * waits for the transaction lock, takes the session lock under its cover, and
 * resets its flag outside the block that may be rolled back.
 */
#ifndef PGBATON_WORKER_LEADER_SLICE_H
#define PGBATON_WORKER_LEADER_SLICE_H

#include <inttypes.h>

/* A printf format; the key twice. The answer is one value, "yes" or "no"; lock_timeout is the
 * slice. */
#define SLICE_SQL                                                                                  \
    "DO $$ BEGIN "                                                                                 \
    "PERFORM set_config('pgbaton.granted', 'no', false); "                                         \
    "BEGIN "                                                                                       \
    "PERFORM pg_advisory_xact_lock('%" PRId64 "'::bigint); "                                       \
    "IF pg_try_advisory_lock('%" PRId64 "'::bigint) THEN "                                         \
    "PERFORM set_config('pgbaton.granted', 'yes', false); END IF; "                                \
    "EXCEPTION WHEN lock_not_available THEN NULL; END; "                                           \
    "END $$; SELECT current_setting('pgbaton.granted')"

#endif
