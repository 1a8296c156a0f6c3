/*
 * network.h - the model of connections: ordered, reliable as long as the link
 * lives, delayed; a link may be cut one way or both, and what was sent waits.
 *
 * What is sent while the server's host is away is sent again, later each time, as
 * TCP does it: so a host that comes back is asked for a connection that it does
 * not know, but maybe not soon.
 *
 * A connection ends for the server when the last descriptor of the client's
 * side is closed and the news arrives; a host that loses its power sends none.
 */
#ifndef PGBATON_TESTS_SIM_NETWORK_H
#define PGBATON_TESTS_SIM_NETWORK_H

#include "tests/sim/world.h"

enum { NO_CONN = -1, NEVER_UNHEARD = -1 };

enum direction { DIRECTION_UP, DIRECTION_DOWN, DIRECTION_COUNT };

void network_reset(void);

/* network_open - a connection of that process; its first request is on its way. */
int network_open(int node, enum process process, uint64_t generation);
/* network_ask - a request; network_answer - from the server. Both keep their order. */
void network_ask(int conn, const struct request *request);
void network_answer(int conn, const struct answer *answer, dur_ns after);

/* network_duplicate - one more descriptor of the client's side; network_close - one less. The
 * client hears nothing any more once its own process closed; the server sees the end when none is
 * left. */
void network_duplicate(int conn);
void network_close(int conn);
/* network_abandon - its process does not listen any more, without closing anything yet. */
void network_abandon(int conn);

/* network_forget - the server's side is over: nothing of the client arrives any more. */
void network_forget(int conn);

/* network_cut, network_mend - one direction of a node's link. */
void network_cut(int node, enum direction direction);
void network_mend(int node, enum direction direction);
bool network_is_cut(int node);
/* network_slow - how long one way takes from now on. */
void network_slow(int node, dur_ns delay);

/* network_power_off - the host is gone: nothing of it is sent any more. */
void network_power_off(int node);

/* For delivery, by the world. False: nobody is there to hear it. */
bool network_deliver_request(const struct happening *h);
bool network_deliver_answer(const struct happening *h, struct happening *ret_for_process);

int network_node(int conn);
/* network_host_is_gone - its client's host has lost its power since. */
bool network_host_is_gone(int conn);
/* network_asked_at - when its client sent something for the last time. */
mono_ns network_asked_at(int conn);
/* network_heard_at - its client sent something while the server's host was away: when it hears that
 * the connection is no more; MONO_NEVER: not yet; NEVER_UNHEARD: the host was always there. */
mono_ns network_heard_at(int conn);

#endif
