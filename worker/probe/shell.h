/*
 * shell.h - what the probe asks of the database, whichever kind it is, and what it is told.
 *
 * Runs in: probe. A shell does what seat.h decides: probe_postgres.c over a
 * session, probe_sqlite.c over a lock file. None of its functions waits for an
 * answer; one that knows it at once calls back from inside the call.
 */
#ifndef PGBATON_WORKER_PROBE_SHELL_H
#define PGBATON_WORKER_PROBE_SHELL_H

#include <stdbool.h>

#include "common/message.h"
#include "worker/probe/skew.h"
#include "worker/probe/unserved.h"

struct probe;
struct shell; /* each kind has its own */

/* What one look saw. */
struct sight {
    enum holder_kind holder;
    int holder_pid;
    char application[64]; /* of the holder's session */
    bool seat_free;
    bool seat_other; /* another instance has the seat */
    enum witness_verdict witness;
    struct epoch epoch; /* of the current term; 0.0: unknown */
    char instance[INSTANCE_MAX];
    dur_ns clock_offset; /* ours minus the database's */
    enum skew_verdict skew;
    enum unserved_sight unserved; /* jobs of ours */
    bool poll;                    /* the lock queue cannot be waited in */
};

struct shell_kind {
    struct shell *(*open)(struct probe *p); /* never fails: the process ends instead */
    void (*close)(struct shell *s);         /* takes NULL; calls nothing back */
    void (*connect)(struct shell *s);       /* -> shell_connected or shell_disconnected */
    void (*look)(struct shell *s);          /* -> shell_looked, or shell_disconnected */
    void (*take)(struct shell *s);          /* -> shell_taken, or shell_disconnected */
    void (*give)(struct shell *s);          /* -> shell_given, or shell_disconnected */
    void (*fence)(struct shell *s,
                  const struct message_fenced *term); /* -> shell_fenced, or nothing */
    void (*unblock)(struct shell *s, int ledger_pid);
    /* Answers on the peer channel, now or later. */
    void (*query)(struct shell *s, const struct message_query *query);
    void (*adopt)(struct shell *s); /* the configuration or the role changed: show it */
    void (*where)(struct shell *s, struct message_seat *seat); /* address, server and slice */
    mono_ns (*wake_at)(struct shell *s);                       /* when due() is needed */
    void (*due)(struct shell *s, mono_ns now);
};

extern const struct shell_kind shell_postgres;
extern const struct shell_kind shell_sqlite;

/* What a shell tells; in probe.c. */
void shell_connected(struct probe *p, const char *server_version);
/* Nothing is held and nothing is outstanding any more. refused: somebody must act, waiting is no
 * help. */
void shell_disconnected(struct probe *p, enum end_reason reason, bool refused, const char *text);
void shell_looked(struct probe *p, const struct sight *seen);
void shell_taken(struct probe *p, bool taken);
void shell_given(struct probe *p);
void shell_notified(struct probe *p);
/* Somebody has put a request into the table. */
void shell_requested(struct probe *p);
void shell_fenced(struct probe *p, const struct message_fenced *term);

#endif
