/*
 * witness.h - PURE: does the database say that our worker still holds the key?
 * (DESIGN.md section 3, leader)
 *
 * A look that cannot tell says unknown, and unknown is not no: a look that was
 * sent before our worker led, one at another cluster or timeline, and one at a
 * cluster that does not say which it is.
 *
 * Used by the probe.
 */
#ifndef PGBATON_WORKER_PROBE_WITNESS_H
#define PGBATON_WORKER_PROBE_WITNESS_H

#include <stdbool.h>

#include "common/clock.h"
#include "common/message.h"

struct witness {
    int lock_pid;                  /* backend of our worker's lock session; 0: it does not lead */
    mono_ns since;                 /* when we were told so */
    struct server_identity server; /* where that session is */
};

/* witness_pid - the backend that a look sent at asked_at is to look for; 0: none. */
int witness_pid(const struct witness *witness, mono_ns asked_at);

/* witness_verdict - a look sent at asked_at, at that server, saw that the backend holds the key, or
 * does not. */
enum witness_verdict witness_verdict(const struct witness *witness, mono_ns asked_at,
                                     struct server_identity looked_at, bool holds);

#endif
