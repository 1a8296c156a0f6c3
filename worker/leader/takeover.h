/*
 * takeover.h - PURE: the epoch of the next term, and how long its jobs must
 * wait for those of the terms before (DESIGN.md section 5).
 *
 * The next term waits by the numbers of the one before it. A term that ended
 * while its own wait still ran has waited for nobody: so not only the newest
 * earlier term counts, but each that was superseded a short while ago.
 *
 * An unclean end is waited for only where a run of another incarnation is
 * unfinished: its process may live. A run is claimed before it is started, and
 * no claim of the term before is let in once ours is open, so a look after that
 * sees all of them. The first term after it whose jobs begin closes it: as long as
 * it is unfinished nobody has waited, whatever the server's clock says.
 */
#ifndef PGBATON_WORKER_LEADER_TAKEOVER_H
#define PGBATON_WORKER_LEADER_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/identity.h"

/*
 * takeover_epoch - the epoch after stored, which a server of that identity
 * opened (generation 0: there was none), for a term on the server now.
 *
 * Within one system identifier the generation rises by as much as the timeline
 * did, starting from 0; with another system identifier by all of its timelines,
 * and a thousand: the old cluster may have been promoted, and had terms, after the
 * dump from which the new one was made, of which nothing in it tells. So it repeats
 * nothing that a lost tail, a restore, or a timeline that starts over, has taken
 * away: also not when a standby of a new cluster is promoted that lacks the first
 * term which that cluster saw.
 */
struct epoch takeover_epoch(struct epoch stored, struct server_identity stored_server,
                            struct server_identity now);

/*
 * takeover_beyond - next, unless this instance has seen an epoch that is not
 * before it: then the server has lost terms that no identity tells of (an older
 * copy of the same files, two standbys that were promoted to one timeline), and
 * it is the one after what was seen.
 */
struct epoch takeover_beyond(struct epoch next, struct epoch seen);

/* takeover_can_follow - can an epoch come after this one? None that was counted up to is too large:
 * one that is was written by somebody. */
bool takeover_can_follow(struct epoch stored);

/*
 * takeover_read_number - a number of the database's, which anybody may have
 * written: false for what is not a decimal from 0 to INT64_MAX.
 * takeover_read_length - milliseconds of a term: what cannot be read, or is
 * longer than any lease can be, is the longest lease.
 */
bool takeover_read_number(const char *text, uint64_t *ret_number);
dur_ns takeover_read_length(const char *text);

/* An earlier term, as the database shows it after ours was opened. */
struct takeover_term {
    uint64_t generation; /* of its epoch */
    struct server_identity server;
    bool ended_cleanly; /* released or fenced: none of its jobs lived at its end */
    /* Runs of another incarnation than ours that were claimed or running in it, and have no end.
     * Where it did not record its runs that is not known: 1. */
    uint64_t unfinished_runs;
    bool runs_recorded; /* they are counted; false: a guess */
    dur_ns lease;
    dur_ns heartbeat;
    dur_ns loss_grace;
    dur_ns superseded_ago; /* since the term after it was opened; 0 for the newest */
    dur_ns opened_ago;     /* since it was opened itself; looked at in the oldest */
};

struct takeover_rules {
    dur_ns takeover_delay; /* 0: never wait for an unclean end */
    dur_ns kill_margin;
    dur_ns lease;   /* ours: a change of history never waits less */
    bool tail_lost; /* we have seen a later term than what the server knows of */
    struct server_identity server;
};

enum takeover_reason {
    TAKEOVER_CLEAN,   /* nothing to wait for */
    TAKEOVER_UNCLEAN, /* jobs of an earlier term may still be dying */
    TAKEOVER_HISTORY, /* another timeline or system, or terms that are gone: an old primary may
                         still be believed */
};

struct takeover {
    dur_ns wait;
    enum takeover_reason reason;
};

/*
 * takeover_decide - the longest wait that one of these terms asks for, newest
 * first. A promotion may have lost the very first, and its jobs be running: on a
 * server that was promoted, what was before the oldest one is a change of history
 * as any other, a lease from when that was opened, or from now where there is none.
 * So it is before a term whose generation rose on one and the same server: whoever
 * opened that one had seen later terms than the server knew of (takeover_beyond).
 */
struct takeover takeover_decide(const struct takeover_rules *rules,
                                const struct takeover_term *terms, size_t count);

/* "clean", "unclean_end", "history_changed" */
const char *takeover_reason_name(enum takeover_reason reason);

#endif
