/*
 * lease.h - PURE: the time-line of a lease that the server enforces by
 * idle_session_timeout and the holder must end before (DESIGN.md section 4).
 *
 * The server counts from the last heartbeat that it heard, which was sent at
 * the earliest at t_send of the last acknowledged one; so D = t_send + lease -
 * margin comes first. Acknowledgements come in the order of sending. Losing is
 * final: nothing leads back from LEASE_OVER.
 *
 * Used by the leader for its key and by the probe for its seat.
 */
#ifndef PGBATON_WORKER_DATABASE_LEASE_H
#define PGBATON_WORKER_DATABASE_LEASE_H

#include <stdbool.h>

#include "common/clock.h"

enum { LEASE_OUTSTANDING_MAX = 64 };

enum lease_phase {
    LEASE_UNPROVEN, /* heartbeats run, none is acknowledged yet: there is no D to trust */
    LEASE_HELD,
    LEASE_STOPPING, /* D - stop_grace has passed with no acknowledgement: jobs get SIGTERM */
    LEASE_KILLING,  /* D - kill_margin has passed: jobs get SIGKILL */
    LEASE_OVER,     /* D has passed: the sockets are closed */
};

struct lease_terms {
    dur_ns lease;
    dur_ns heartbeat;
    dur_ns stop_grace;
    dur_ns margin;      /* budget_margin(lease) */
    dur_ns kill_margin; /* BUDGET_KILL_MARGIN */
};

struct lease {
    struct lease_terms terms;
    enum lease_phase phase;
    mono_ns deadline;  /* D; MONO_NEVER while unproven */
    mono_ns next_send; /* when the next heartbeat is due */
    mono_ns began;     /* unproven: over at began + lease - margin if nothing is acknowledged */
    mono_ns sent[LEASE_OUTSTANDING_MAX]; /* of those not acknowledged, oldest first */
    unsigned outstanding;
};

void lease_begin(struct lease *l, const struct lease_terms *terms, mono_ns now);

/* lease_send_due - should a heartbeat be sent now? (never when LEASE_OUTSTANDING_MAX wait: the peer
 * is gone) */
bool lease_send_due(const struct lease *l, mono_ns now);
/* lease_sent - one was sent, at now. */
void lease_sent(struct lease *l, mono_ns now);
/* lease_acknowledged - the oldest outstanding one was; false if none was outstanding (the peer is
 * not what we think it is). Once LEASE_STOPPING is reached it renews nothing. */
bool lease_acknowledged(struct lease *l, mono_ns now);
/* lease_look - the phase at that moment; only rises from LEASE_HELD on. */
enum lease_phase lease_look(struct lease *l, mono_ns now);
/* lease_wake_at - when to call again: the next heartbeat or the next phase, whichever is first. */
mono_ns lease_wake_at(const struct lease *l);

#endif
