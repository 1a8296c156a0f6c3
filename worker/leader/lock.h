/*
 * lock.h - the leader key, whatever it is made of: an advisory lock of a
 * PostgreSQL session (lock_session.c), a byte of a file (lock_sqlite.c), or
 * nothing at all (lock_none.c).
 *
 * Opened for one campaign, closed at its end, never used again: one that was
 * broken off may hold the key.
 *
 * Runs in: worker. Events come from the loop, never from inside a lock_…()
 * call, and must not close the lock. Only lock_session.c logs, once, that it
 * has to poll.
 */
#ifndef PGBATON_WORKER_LEADER_LOCK_H
#define PGBATON_WORKER_LEADER_LOCK_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/identity.h"
#include "common/message.h"
#include "worker/database/lease.h"

struct lock_options {
    const struct config *config; /* must outlive the lock */
    struct server_address address;
    struct server_identity server; /* what it must be; from the grant on, what it is */
    dur_ns slice;                  /* how long one wait in the queue may last */
    bool poll;                     /* try once, do not wait */
};

struct lock_events {
    void (*on_slice)(void *ctx);   /* the far end answered: not ours yet */
    void (*on_granted)(void *ctx); /* heartbeats run from here on */
    /* A heartbeat that was sent at sent_at is acknowledged. deadline: D; MONO_NEVER without a
     * lease. */
    void (*on_renewed)(void *ctx, mono_ns sent_at, mono_ns deadline);
    void (*on_phase)(void *ctx, enum lease_phase phase); /* LEASE_STOPPING and what follows */
    /* Once. Before the grant: the key may be ours until lock_close(). After it: the key is gone.
     * The descriptor, where there still is one, stays open until lock_close(). */
    void (*on_failed)(void *ctx, enum end_reason why, const char *text);
    void (*on_released)(void *ctx); /* after lock_release(): given up, or nobody answered in time */
    void *ctx;
};

struct lock;
struct lock_kind {
    void (*beat)(struct lock *l);
    void (*release)(struct lock *l);
    void (*close)(struct lock *l);                         /* frees l */
    void (*helper_ended)(struct lock *l, int wait_status); /* may be NULL */
};

/* The part that all kinds have in common, first in their own struct. */
struct lock {
    const struct lock_kind *kind;
    struct lock_events events;
    struct ev_loop *loop;
    struct lock_options options;
    int fd;          /* what is duplicated into the supervisor; -1: nothing */
    int backend_pid; /* of the session; 0: none */
    pid_t helper;    /* a child of the worker that is no job; 0: none */
};

/* lock_open - begin to wait for the key. NULL: out of memory. */
struct lock *lock_open(struct ev_loop *loop, const struct lock_options *options,
                       const struct lock_events *events);

/* lock_beat - a heartbeat now, not only when the next is due. */
void lock_beat(struct lock *l);

/* lock_release - give the key up in good order; on_released within about a second. */
void lock_release(struct lock *l);

/* lock_helper_ended - SIGCHLD: l->helper ended like this. */
void lock_helper_ended(struct lock *l, int wait_status);

/* lock_close - at once, whatever it holds. Takes NULL. */
void lock_close(struct lock *l);

/* The kinds, for lock_open() alone. */
struct lock *lock_session_new(void);
struct lock *lock_sqlite_new(void);
struct lock *lock_none_new(void);
void lock_session_start(struct lock *l);
void lock_sqlite_start(struct lock *l);
void lock_none_start(struct lock *l);

#endif
