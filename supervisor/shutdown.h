/*
 * shutdown.h - PURE: the ladder by which an instance ends.
 *
 * One rung after the other, each with a deadline, all of them within
 * stop_timeout: what hangs on one rung does not take the time of the next. A
 * rung is left early when what it waits for has happened. The ladder is only
 * ever climbed: nothing leads back from a shutdown.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_SHUTDOWN_H
#define PGBATON_SUPERVISOR_SHUTDOWN_H

#include <stdbool.h>

#include "common/clock.h"

/* The second TERM, or QUIT: all of it within this, or what is left of stop_timeout. */
#define SHUTDOWN_AT_ONCE DUR_S(3)
/* What is kept of stop_timeout for everything that comes after the jobs. */
#define SHUTDOWN_TAIL DUR_S(1)

/*
 * After a hand-over nothing else is ended for so long: the ends of four processes and of their
 * sessions cost the machine and the server several milliseconds each, just when the next leader
 * opens its term and starts its first jobs.
 */
#define SHUTDOWN_REST DUR_MS(100)

/*
 * NOT: the instance runs.
 * RELEASE: jobs drain, the term is stamped, the key given up. Not known:
 * whether anything is still held; after a hand-over nothing is, and we rest.
 * SERVICE: CMD has its signal. Not known: whether it listens.
 * CHILDREN: every child was told to stop, by message.
 * TERM, KILL: those that did not listen get the signal of that name.
 * DONE: nothing is waited for any more; what still lives is left to the kernel.
 */
enum shutdown_rung {
    SHUTDOWN_NOT,
    SHUTDOWN_RELEASE,
    SHUTDOWN_SERVICE,
    SHUTDOWN_CHILDREN,
    SHUTDOWN_TERM,
    SHUTDOWN_KILL,
    SHUTDOWN_DONE,
    SHUTDOWN_RUNG_COUNT,
};

enum shutdown_event_type {
    SHUTDOWN_TICK,
    SHUTDOWN_ASKED,         /* TERM, INT, `pgbaton stop`, the service ended, … */
    SHUTDOWN_ASKED_AT_ONCE, /* QUIT */
    SHUTDOWN_RELEASED,      /* the election says that nothing is held */
    SHUTDOWN_HANDED_OVER,   /* the same, and the key was given up just now */
    SHUTDOWN_SERVICE_ENDED, /* CMD ended */
    SHUTDOWN_CHILDREN_GONE, /* every child is reaped */
    SHUTDOWN_EVENT_COUNT,
};

struct shutdown_event {
    enum shutdown_event_type type;
    mono_ns now; /* never goes back */
};

enum shutdown_action {
    SHUTDOWN_DO_RELEASE,        /* election: STOP */
    SHUTDOWN_DO_RELEASE_NOW,    /* election: STOP_NOW */
    SHUTDOWN_DO_SIGNAL_SERVICE, /* pass the signal on to CMD */
    SHUTDOWN_DO_KILL_SERVICE,   /* CMD did not listen */
    SHUTDOWN_DO_STOP,           /* STOP to every child */
    SHUTDOWN_DO_TERM,
    SHUTDOWN_DO_KILL,
    SHUTDOWN_DO_EXIT,
};

enum { SHUTDOWN_ACTIONS_MAX = 10 };

struct shutdown_actions {
    unsigned count;
    enum shutdown_action list[SHUTDOWN_ACTIONS_MAX];
};

struct shutdown {
    enum shutdown_rung rung;
    bool at_once;
    bool released;
    bool has_service; /* CMD runs, or may */
    bool children_gone;
    mono_ns ends_at;    /* all of it */
    mono_ns deadline;   /* of the present rung; MONO_NEVER: not stopping */
    mono_ns rest_until; /* no child is stopped before; 0: there was no hand-over */
    dur_ns tail;        /* of the time until then, for what comes after the jobs */
    dur_ns timeout;     /* stop_timeout */
};

/* What a graceful release may take, from the order on (CONTRACT.md, Signals). */
struct shutdown_bounds {
    dur_ns drain; /* jobs may run so long; then TERM */
    dur_ns over;  /* every job is dead and the key given up */
};
struct shutdown_bounds shutdown_bounds(dur_ns stop_timeout, dur_ns longest_grace);

void shutdown_init(struct shutdown *s, dur_ns stop_timeout, bool has_service);

/* shutdown_configure - another stop_timeout: for the next shutdown, not for the one under way. */
void shutdown_configure(struct shutdown *s, dur_ns stop_timeout);

void shutdown_step(struct shutdown *s, const struct shutdown_event *event,
                   struct shutdown_actions *ret_actions);

/* shutdown_wake_at - send a TICK then. */
mono_ns shutdown_wake_at(const struct shutdown *s);

const char *shutdown_rung_name(enum shutdown_rung rung);

#endif
