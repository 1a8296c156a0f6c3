/*
 * turn.h - PURE: one turn of the worker, from campaign to release or loss. What
 * happened comes in, with its moment; what to do goes out. worker.c is the
 * shell around it.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_TURN_H
#define PGBATON_WORKER_LEADER_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/identity.h"
#include "common/message.h"

/*
 * IDLE: no session, no key, no job. The end of a turn is always here.
 *
 * CAMPAIGNING: waits for the key. Until the lock session is closed it is not
 * known that the key is not ours.
 *
 * OPENING: the key was granted; the term is written, proven by a heartbeat that
 * was sent after its commit, and the terms before it are looked at. Whether the
 * term is in the database is not known until its answer came.
 *
 * WAITING: the term is ours, jobs of the one before may still be dying.
 *
 * LEADING: jobs run.
 *
 * DRAINING: the key is still held, jobs are ending (gracefully, or killed
 * because the supervisor is gone).
 *
 * STAMPING: no job runs; the end of the term is being written.
 *
 * RELEASING: the key is being given up.
 *
 * LOSING: the key is gone, or will be before it can be renewed. Jobs are being
 * ended against the clock; nothing leads back.
 *
 * GONE: the process ends.
 */
enum worker_state {
    WORKER_IDLE,
    WORKER_CAMPAIGNING,
    WORKER_OPENING,
    WORKER_WAITING,
    WORKER_LEADING,
    WORKER_DRAINING,
    WORKER_STAMPING,
    WORKER_RELEASING,
    WORKER_LOSING,
    WORKER_GONE,
    WORKER_STATE_COUNT,
};
/* worker_state_name - "idle", "campaigning", ...; "unknown" for a number that is none. */
const char *worker_state_name(uint32_t state);

/* clang-format off */
enum turn_event_type {
    TURN_TICK,          /* nothing happened but time */
    TURN_CAMPAIGN,      /* .turn */
    TURN_STAND_DOWN,    /* .drain_until .over_by .reason */
    TURN_GRANTED,       /* the key is ours */
    TURN_RENEWED,       /* .sent_at .deadline: a heartbeat was acknowledged */
    TURN_LOCK_FAILED,   /* .reason: before the grant no key; after it the key is gone now */
    TURN_LEASE_STOPPING,/* D - stop_grace has passed */
    TURN_LEASE_KILLING, /* D - kill_margin has passed */
    TURN_LEASE_OVER,    /* D has passed */
    TURN_OPENED,        /* .epoch: the term is committed */
    TURN_OPEN_FAILED,   /* the term cannot be opened */
    TURN_LOOKED,        /* .wait: what the terms before ask for */
    TURN_JOBS_STARTED,  /* what was due when they began has been started */
    TURN_JOBS_IDLE,     /* no process of any job is alive */
    TURN_STAMPED,       /* the end of the term is written, or cannot be */
    TURN_RELEASED,      /* the key was given up */
    TURN_TERMINATED,    /* .reason: SIGTERM to this process alone */
    TURN_ORPHANED,      /* .reason: the supervisor is gone, or wants us to end at once */
    TURN_EVENT_COUNT,
};
/* clang-format on */

struct turn_event {
    enum turn_event_type type;
    mono_ns now; /* never goes back */
    uint64_t turn;
    mono_ns drain_until;
    mono_ns over_by;
    enum end_reason reason;
    mono_ns sent_at;
    mono_ns deadline;
    struct epoch epoch;
    dur_ns wait;
};

enum turn_action {
    TURN_CONNECT,      /* open the lock and the ledger's session */
    TURN_OPEN_TERM,    /* write the next term */
    TURN_PROVE,        /* one heartbeat now */
    TURN_SEND_ELECTED, /* with the lock's descriptor */
    TURN_ANNOUNCE,     /* to the other instances: another term leads */
    TURN_SEND_RENEWED,
    TURN_ANNOUNCE_WAIT, /* log why the jobs wait, until t->wait_until */
    TURN_BEGIN_JOBS,
    TURN_DRAIN_JOBS, /* until t->drain_until, over by t->kill_at */
    TURN_TERMINATE_JOBS,
    TURN_KILL_JOBS,
    TURN_STAMP,       /* write how the term ended (turn_ended_as), for t->reason */
    TURN_RELEASE_KEY, /* unlock; the session is closed later */
    TURN_CLOSE_KEY,   /* close the lock at once, whatever it holds */
    TURN_SEND_FAILED, /* CAMPAIGN_FAILED */
    TURN_SEND_LOST,
    TURN_SEND_RELEASED,
    TURN_FORGET, /* the turn is over: close what is left of it */
    TURN_EXIT,
};

enum { TURN_ACTIONS_MAX = 8 };

struct turn_actions {
    unsigned count;
    enum turn_action list[TURN_ACTIONS_MAX]; /* carry out in this order */
};

/* The rules of a turn, from the configuration that it began with. */
struct turn_rules {
    dur_ns lease;
    dur_ns stop_grace;
    dur_ns loss_grace;
    dur_ns kill_margin;
    dur_ns open_limit; /* how long the opening of a term may take */
};

struct turn {
    enum worker_state state;
    struct turn_rules rules; /* set by the caller before TURN_CAMPAIGN */
    mono_ns now;
    uint64_t number;        /* the supervisor's, of this campaign */
    struct epoch epoch;     /* 0.0 until opened, and where there is no election */
    enum end_reason reason; /* why it ends */
    bool opened;            /* the term is in the database */
    bool proven;            /* a heartbeat sent after the commit was acknowledged */
    bool looked;            /* the wait is known */
    bool elected;           /* ELECTED was sent: jobs may follow */
    bool jobs_began;
    bool key_closed; /* LOSING: at D the lock is closed though jobs are alive */
    bool killed;     /* TURN_KILL_JOBS was done */
    bool leaving;    /* the process ends after this turn */
    mono_ns opened_at;
    mono_ns deadline; /* D; MONO_NEVER where there is none (yet) */
    dur_ns wait;
    mono_ns wait_until;  /* WAITING: jobs begin then */
    mono_ns announce_at; /* LEADING: the term is announced then at the latest; NEVER: it was */
    mono_ns drain_until; /* DRAINING: jobs may end by themselves until then */
    mono_ns over_by;     /* DRAINING, STAMPING: all of it, the key too */
    mono_ns kill_at;     /* DRAINING, LOSING: SIGKILL to what is left */
    mono_ns limit; /* OPENING, STAMPING, RELEASING, LOSING, DRAINING when leaving: no longer */
};

void turn_init(struct turn *t, const struct turn_rules *rules, mono_ns now);

/*
 * turn_step - take one event, decide. Never fails: an event that means nothing
 * in the present state changes nothing.
 */
void turn_step(struct turn *t, const struct turn_event *event, struct turn_actions *ret_actions);

/* turn_wake_at - when to send a TICK if nothing else came; or MONO_NEVER. */
mono_ns turn_wake_at(const struct turn *t);

/* turn_may_start - may a job start now: is the term ours, and D far enough? */
bool turn_may_start(const struct turn *t, mono_ns now);

/* turn_leads - from the grant to the end of the turn. */
bool turn_leads(const struct turn *t);

/* turn_ended_as - "released" where no job can have outlived the key, of a term that never had one
 * too, so that nobody has to wait after it; else "lost". Why it ended is t->reason in both. */
const char *turn_ended_as(const struct turn *t);

#endif
