/*
 * relay.h - a cable that can be pulled: a TCP relay between an instance and
 * its server, in a process of its own.
 */
#ifndef PGBATON_TESTS_SUPPORT_RELAY_H
#define PGBATON_TESTS_SUPPORT_RELAY_H

#include <sys/types.h>

#include "common/clock.h"

struct relay {
    unsigned port; /* to connect to, on 127.0.0.1 */
    pid_t pid;
    int line; /* to the process; its end of file ends the relay */
};

enum relay_state {
    RELAY_PASS = 'p',           /* everything goes through */
    RELAY_STALL = 's',          /* nothing does, and nobody is told: the cable is pulled */
    RELAY_STALL_UP = 'u',       /* what the instance says does not arrive */
    RELAY_STALL_DOWN = 'd',     /* what the server says does not arrive */
    RELAY_RESET = 'r',          /* every connection is reset on both sides, new ones too */
    RELAY_RESET_INSTANCE = 'i', /* the instance's side only; the server is not told */
    RELAY_RESET_SERVER = 'v',   /* the server's side only; an instance learns of it from the
                                   reset that answers the next thing it says */
    RELAY_LOSE_SERVER = 'l',    /* the server's side only, and the instance is never told */
    RELAY_DELAY = 'w',          /* everything arrives RELAY_LATE later, both ways */
};

/* By so much does RELAY_DELAY delay each packet. */
#define RELAY_LATE DUR_MS(500)

/* relay_start - to 127.0.0.1 at that port. Ends the test if it cannot. */
void relay_start(struct relay *r, unsigned server_port);
/* relay_set - all connections, and those that will be made; returns when it is so. */
void relay_set(struct relay *r, enum relay_state state);
/* relay_set_one - only the connection that the server sees come from that port (client_port in
 * pg_stat_activity); there must be one. */
void relay_set_one(struct relay *r, unsigned client_port, enum relay_state state);
void relay_stop(struct relay *r);

#endif
