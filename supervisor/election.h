/*
 * election.h - PURE: the role of this instance: who may campaign, who leads,
 * and what must die before somebody else may (DESIGN.md sections 3 and 4).
 *
 * One event goes in, with its time; a list of things to do comes out. No
 * clock, no descriptor, no process, no log: the same code runs in the
 * supervisor and in a simulator.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_ELECTION_H
#define PGBATON_SUPERVISOR_ELECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/identity.h"
#include "common/message.h"
#include "common/random.h"

/* An answer that is due travels this long at most before its sender counts as hung. */
#define ELECTION_ANSWER_SLACK DUR_MS(250)
/* What a worker that is told to end a campaign, or to release at once, may take. */
#define ELECTION_AT_ONCE DUR_MS(750)
/* A worker whose words may have found no room in its channel says the next ones within a heartbeat,
 * which is a second at most, and the way to us. */
#define ELECTION_SAY_AGAIN (DUR_S(1) + ELECTION_ANSWER_SLACK)
/* How long the probe may take to stamp a fenced term: best effort, never a condition. */
#define ELECTION_RECORD_WITHIN DUR_MS(300)

/*
 * FOLLOWER: our worker holds nothing. Not known: whether anybody leads. The
 * probe may be seeking the seat; it may even have it, with the news on its way.
 *
 * HEIR: the worker was told to campaign and has not answered. Not known:
 * whether it holds the key, which may be granted with the news on its way. So
 * the only ways out are an answer about this very turn, or the worker's death
 * followed by the death of all that it started.
 *
 * LEADER: the worker said that it holds the key, and until when the lease is
 * sure (D). Not known: whether that is still so before D; after D it must be
 * taken as lost.
 *
 * STANDING_DOWN: the worker was told to let go and has not answered. Not known:
 * whether its jobs have ended, and whether it held the key at all when the
 * order came during a campaign.
 *
 * FENCING: the worker is being killed or is dead. Not known: which of its
 * descendants live. The duplicate of the lock socket stays open, so that nobody
 * else is elected before the last of them is gone or the lease is over.
 *
 * STOPPED: the end: nothing is held, nothing will be. Everything is known.
 */
enum election_state {
    ELECTION_FOLLOWER,
    ELECTION_HEIR,
    ELECTION_LEADER,
    ELECTION_STANDING_DOWN,
    ELECTION_FENCING,
    ELECTION_STOPPED,
    ELECTION_STATE_COUNT,
};

/* How far a fencing has come. */
enum election_fence {
    FENCE_NONE,
    FENCE_KILLING,   /* the worker has SIGKILL and is not reaped yet */
    FENCE_SWEEPING,  /* its descendants are being killed */
    FENCE_RECORDING, /* the probe stamps the term's end */
};

enum election_event_type {
    ELECTION_TICK, /* nothing happened but time: the one event that silence is judged by */
    ELECTION_PROBE_READY,
    ELECTION_PROBE_GONE,
    ELECTION_WORKER_READY,
    ELECTION_WORKER_EXITED, /* reaped: its own copy of the lock socket is closed */
    ELECTION_SEAT_TAKEN,
    ELECTION_SEAT_LOST,
    ELECTION_SLICE_ANSWERED,
    ELECTION_CAMPAIGN_FAILED,
    ELECTION_ELECTED,
    ELECTION_RENEWED,
    ELECTION_UNHEARD, /* we did not read for so long that its words may have found no room */
    ELECTION_LOST,
    ELECTION_RELEASED,
    ELECTION_WITNESS_DENIES,
    ELECTION_CLOCK_WRONG,
    ELECTION_CLOCK_RIGHT,
    ELECTION_DESCENDANTS_GONE,
    ELECTION_FENCE_RECORDED,
    ELECTION_STEP_DOWN,
    ELECTION_ELECT_ANEW, /* the configuration changes what is elected: let go first */
    ELECTION_CONFIGURED, /* the new configuration is in force: go on */
    ELECTION_STOP,
    ELECTION_STOP_NOW,
    ELECTION_EVENT_COUNT,
};

struct election_event {
    enum election_event_type type;
    mono_ns now;            /* never goes back */
    uint64_t turn;          /* SLICE_ANSWERED … RELEASED: the campaign that it is about */
    enum end_reason reason; /* CAMPAIGN_FAILED, LOST, RELEASED, SEAT_LOST, STOP…: why */
    struct epoch epoch;     /* ELECTED; WITNESS_DENIES: the term that is denied */
    mono_ns deadline;       /* ELECTED, RENEWED: D */
    dur_ns slice;           /* SEAT_TAKEN */
    bool poll;              /* SEAT_TAKEN: there is no seat, try once */
    dur_ns rest;            /* STEP_DOWN: how long to stay a follower */
};

enum election_action {
    ELECTION_SEEK,         /* to the probe: seek the seat, not before e->rest_until */
    ELECTION_LEAVE,        /* to the probe: give the seat up, stop seeking */
    ELECTION_CAMPAIGN,     /* to the worker: turn e->turn */
    ELECTION_STAND_DOWN,   /* to the worker: by e->drain_until, e->over_by, for e->reason */
    ELECTION_KILL_WORKER,  /* SIGKILL, by pid; again if it is already dying */
    ELECTION_KILL_BELOW,   /* SIGKILL to what is below a worker that does not die of it */
    ELECTION_SWEEP,        /* kill what the dead worker left, until nothing is left */
    ELECTION_RECORD_FENCE, /* to the probe: e->epoch is fenced, for e->reason */
    ELECTION_CLOSE_LOCK,   /* close the duplicate of the lock socket */
    ELECTION_LEAD,         /* to the probe: we lead in e->epoch, be the witness */
    ELECTION_ANNOUNCE,     /* e->state has changed: log it, publish it */
    ELECTION_UNKILLABLE,   /* the lease is over and descendants live: say so */
    ELECTION_READY_TO_ELECT_ANEW,
    ELECTION_GONE, /* stopping: nothing is held any more */
    ELECTION_ACTION_COUNT,
};

enum { ELECTION_ACTIONS_MAX = 8 };

struct election_actions {
    unsigned count;
    enum election_action list[ELECTION_ACTIONS_MAX]; /* carry out in this order */
    mono_ns wake_at;                                 /* send a TICK then; or MONO_NEVER */
};

/* What the configuration says; may be replaced at any time by election_configure(). */
struct election_terms {
    bool candidate; /* false: never campaign ([jobs] enabled = no) */
    bool has_probe; /* false: no election, the worker leads as soon as it is ready */
    dur_ns connect_timeout;
    dur_ns retry_interval;
    unsigned retry_jitter; /* percent */
    dur_ns backoff_max;
    dur_ns margin; /* D + margin is the end of the lease on the server */
    dur_ns loss;   /* a worker whose key is gone may take so long to end its jobs */
    dur_ns drain;  /* graceful: jobs may run so long after the order */
    dur_ns over;   /* graceful: and everything is over so long after it */
};

struct election {
    struct election_terms terms;
    enum election_state state;
    enum election_fence fence;
    mono_ns now;
    mono_ns deadline;       /* of the present state; MONO_NEVER where it may last */
    uint64_t turn;          /* of the present campaign, or of the last one */
    struct epoch epoch;     /* of our term; 0.0 when there is none */
    mono_ns lease_deadline; /* D; MONO_NEVER: there is none */
    mono_ns hear_until;     /* the worker's silence is not held against it before */
    bool lock_kept;         /* we hold the duplicate of a lock socket (or would, with a database) */
    enum end_reason reason; /* why the present campaign or term ends */
    mono_ns drain_until;
    mono_ns over_by;
    dur_ns slice;
    bool poll;
    mono_ns campaign_began;
    /* facts */
    bool probe_ready;
    bool worker_ready;
    bool clock_wrong;
    bool seeking;    /* the probe was told to seek, or has the seat */
    bool witnessing; /* the probe was told that we lead */
    bool seat_held;  /* it said that it has it (mode = poll: that the key looks free) */
    bool anew;       /* ELECT_ANEW waits for the follower's state */
    bool paused;     /* READY_TO_ELECT_ANEW was said: wait for CONFIGURED */
    bool stopping;
    bool at_once;
    mono_ns rest_until;    /* follower by choice until then */
    dur_ns step_down_rest; /* how long to rest once this step-down is done; 0: none */
    struct backoff rest;   /* after campaigns that failed */
    struct prng random;
};

void election_init(struct election *e, const struct election_terms *terms, mono_ns now,
                   uint64_t seed);

/* election_configure - new lengths; takes effect with the next step. */
void election_configure(struct election *e, const struct election_terms *terms);

/*
 * election_step - take one event, decide. Never fails: an event that means
 * nothing in the present state changes nothing.
 *
 * Only a TICK ends what has lasted too long. The caller sends one when wake_at
 * has come, after it has taken in all that waited to be read: if it was itself
 * stopped for a while, the renewals of that while are in the queue, and the first
 * of them is old.
 */
void election_step(struct election *e, const struct election_event *event,
                   struct election_actions *ret_actions);

/* election_expects - would ELECTED about this turn be taken? Otherwise its descriptor is to be
 * closed. */
bool election_expects(const struct election *e, uint64_t turn);

const char *election_state_name(enum election_state state);

#endif
