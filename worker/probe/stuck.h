/*
 * stuck.h - PURE: is a holder's backend stuck? (DESIGN.md section 4, "Somebody
 * must lead")
 *
 * A holder that heartbeats changes its state_change with each of them. A
 * backend whose state_change stays the same for two leases, by looks timed on
 * our own clock, is stuck, or the server's clock was set back: its lease does
 * not end by itself. What cannot be seen is no evidence.
 *
 * Also: when may a session that blocks the opening of a term be ended?
 *
 * Used by the probe.
 */
#ifndef PGBATON_WORKER_PROBE_STUCK_H
#define PGBATON_WORKER_PROBE_STUCK_H

#include <stdbool.h>

#include "common/clock.h"

enum { STUCK_TEXT_MAX = 48 };

/* One holder, as one look saw it. */
struct stuck_sight {
    int pid;                            /* 0: nobody */
    char backend_start[STUCK_TEXT_MAX]; /* "": not visible */
    char state_change[STUCK_TEXT_MAX];  /* "": not visible */
};

struct stuck_watch {
    struct stuck_sight last;
    mono_ns since; /* of the first look that saw exactly this */
};

/*
 * stuck_look - one more look at the same kind of holder, sent at `now`. True: it
 * was seen unchanged for two leases, end it. After true the watch starts anew,
 * so that it is not ended at each look.
 */
bool stuck_look(struct stuck_watch *watch, const struct stuck_sight *seen, dur_ns lease,
                mono_ns now);

/*
 * stuck_may_end_leader - is it for this probe to end a stuck leader's session?
 * For the heir's alone; where there is no seat (mode = poll), so no heir, for that
 * of anybody who wants to lead: else nobody would.
 */
bool stuck_may_end_leader(bool seat_held, bool polls, bool wants_to_lead);

/* A ledger session whose term's opening is blocked. */
struct stuck_opening {
    int pid; /* 0: none */
    mono_ns since;
};

/*
 * stuck_opening_due - the same session is (still) blocked: may its blockers be
 * ended? Once the previous term's lease is over, counted from the first time it
 * was said: at that moment the key was ours already. lease 0: that term ended cleanly.
 */
bool stuck_opening_due(struct stuck_opening *opening, int pid, dur_ns lease, mono_ns now);

/*
 * stuck_end_within - how long the server may wait for a session to end that it
 * was told to: the answer takes as long, and until then nothing else can be
 * asked, no heartbeat of our seat either.
 */
dur_ns stuck_end_within(dur_ns lease);

#endif
