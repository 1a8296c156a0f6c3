/*
 * names.h - a world of its own for a test, in which a name server never
 * answers: mount and network namespaces with resolv.conf and hosts of its own.
 *
 * The test process itself goes there, and all that it starts from then on.
 */
#ifndef PGBATON_TESTS_SUPPORT_NAMES_H
#define PGBATON_TESTS_SUPPORT_NAMES_H

#include <stdbool.h>

#include "tests/support/workdir.h"

struct names {
    char hosts[128]; /* stands for /etc/hosts: text_write() it */
    int server;      /* the socket that hears and never answers */
};

/* world_enter - namespaces of our own, mounts and network, with a loopback device that is up.
 * False: this machine does not let us; nothing has changed. */
bool world_enter(void);

/* names_begin - in a world of our own: there are no names but those of n->hosts, all else is asked
 * of a server that does not answer, and waited for that long (at most 30 s) so many times. Ends the
 * test if it cannot be. */
void names_begin(struct names *n, const struct workdir *w, unsigned seconds, unsigned times);

/* names_wait_question - until somebody has asked that server. Ends the test at the limit. */
void names_wait_question(struct names *n);

/* names_asked - has somebody asked that server? */
bool names_asked(const struct names *n);

#endif
