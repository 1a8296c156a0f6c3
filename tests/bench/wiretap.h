/*
 * wiretap.h - a TCP relay between an instance and its server, in a process of
 * its own, that counts what the instance says: messages of the PostgreSQL
 * protocol, so the connections must be without TLS.
 */
#ifndef PGBATON_TESTS_BENCH_WIRETAP_H
#define PGBATON_TESTS_BENCH_WIRETAP_H

#include <stdint.h>
#include <sys/types.h>

struct wiretap {
    unsigned port;                 /* to connect to, on 127.0.0.1 */
    const volatile uint64_t *said; /* messages so far */
    pid_t pid;
    int line; /* its end of file ends the relay */
};

/* wiretap_start - to 127.0.0.1 at that port. Ends the test if it cannot. */
void wiretap_start(struct wiretap *w, unsigned server_port);
void wiretap_stop(struct wiretap *w);

#endif
