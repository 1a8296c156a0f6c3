/*
 * floor.h - the least that it can take: clients made of nothing but libpq, in
 * processes of their own, that do what an instance does and no more.
 */
#ifndef PGBATON_TESTS_BENCH_FLOOR_H
#define PGBATON_TESTS_BENCH_FLOOR_H

#include <libpq-fe.h>

#include "tests/bench/stamps.h"
#include "tests/support/server.h"

/* floor_takeover - one waits in pg_advisory_lock() while the holder is killed, then spawns the
 * command: how long from the kill to its first instruction. watch is a session to look with. */
dur_ns floor_takeover(const struct server *s, const struct stamps *stamps, PGconn *watch);

/* floor_start - one connects, commits, spawns: how long from its start. */
dur_ns floor_start(const struct server *s, const struct stamps *stamps);

/* floor_table - what floor_start() writes to, made by watch, a session of a superuser. */
void floor_table(PGconn *watch);

#endif
