/*
 * server.h - the model of one PostgreSQL: sessions, the leader key with its
 * queue, the seat, idle_session_timeout, the rows of elections and terms,
 * restarts and promotions.
 *
 * What is modelled is what the design rests on, with the habits that were met
 * on real servers: a session that waits for a lock does not notice that its
 * client is gone; timeouts run on the server's wall clock; an asynchronous
 * standby lacks a tail. (What a lock_timeout in the instant of the grant does is
 * tried out on a real server: tests/integration/test_slice.c.)
 */
#ifndef PGBATON_TESTS_SIM_SERVER_H
#define PGBATON_TESTS_SIM_SERVER_H

#include "tests/sim/world.h"

void server_reset(void);

/* server_take - a request arrived on that connection. */
void server_take(int conn, const struct request *request);
/* server_client_gone - the end of the client's stream arrived. */
void server_client_gone(int conn);

bool server_is_up(void);
/* server_host_answers - does anybody say "no such connection"? */
bool server_host_answers(void);
wall_ns server_wall(void);
struct server_identity server_identity(void);
/* server_key_node - whose session holds the key; -1: nobody, -2: another program. */
int server_key_node(void);

/* ---- What breaks. ---- */

enum server_end {
    SERVER_END_SAID,   /* sessions get their farewell */
    SERVER_END_SILENT, /* nobody is told: a crash of the host, a lost RST */
};
/* server_stop - all sessions end; server_start - it is there again. */
void server_stop(enum server_end how);
void server_start(void);
/* server_promote - as another timeline of the same cluster, without what was committed in the last
 * `lost`; server_replace - a restored dump of `age` ago: another cluster. Stopped before, started
 * after. */
void server_promote(dur_ns lost);
void server_replace(dur_ns age);
/* server_terminate - end the session of the leader key, of the seat, or of a ledger, if any. */
enum server_victim { VICTIM_KEY, VICTIM_SEAT, VICTIM_LEDGER };
void server_terminate(enum server_victim victim);
/* server_step_clock - the wall clock jumps. */
void server_step_clock(dur_ns by);
/* server_freeze_holder - the backend of the key is stuck: its timers do not fire, it answers
 * nothing, and ends only when it is terminated. */
void server_freeze_holder(void);
/* server_block_row - another transaction holds the election's row for so long. */
void server_block_row(dur_ns length);
/* server_foreign - another program takes the key as soon as it is free, for so long. */
void server_foreign(dur_ns length);
/* server_read_only - terms cannot be opened. server_full - no new sessions. */
void server_read_only(bool on);
void server_full(bool on);

#endif
