/*
 * leader.h - the shell around turn.c: turns its decisions into deeds on the
 * lock, the term and the jobs, and tells the supervisor.
 *
 * Lock, term and jobs report from inside their own callbacks, where they may
 * not be closed; so what happened is queued, and decided upon at the next turn
 * of the loop, or by leader_settle().
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_LEADER_H
#define PGBATON_WORKER_LEADER_LEADER_H

#include <ev.h>

#include "common/child.h"
#include "common/config.h"
#include "common/random.h"
#include "common/timer.h"
#include "worker/leader/jobs.h"
#include "worker/leader/ledger.h"
#include "worker/leader/lock.h"
#include "worker/leader/term.h"
#include "worker/leader/turn.h"

enum { LEADER_QUEUE_MAX = 64 };

struct leader_happening {
    struct turn_event event;
    uint64_t campaign; /* of which it tells; 0: of the process */
};

struct leader {
    struct child *child;
    struct ev_loop *loop;
    struct config *config;      /* the newest; owned */
    struct config *turn_config; /* what the present turn began with, without its jobs; owned; NULL:
                                   none */
    uint64_t incarnation;
    struct prng random;
    struct jobs *jobs;
    struct turn turn;
    struct message_campaign order; /* the present campaign, as the supervisor asked for it */
    uint64_t campaign;             /* counts them: what a closed lock said is not believed */
    struct lock *lock;             /* NULL: none */
    struct ledger *ledger;         /* NULL: none. As long as the term */
    wall_ns opened_wall;           /* when the term was opened */
    struct term *term;             /* NULL: none. After the turn: until its end is written */
    bool stamping;                 /* the end of the term is being written */
    struct takeover takeover;
    pid_t helper; /* the lock's, as the jobs know it; 0: none */
    dur_ns round_trip;
    char text[REASON_MAX]; /* of the failure that ends the turn; "" none */
    struct timer tick;
    ev_prepare prepare;
    struct leader_happening queue[LEADER_QUEUE_MAX];
    unsigned queued;
    bool exit; /* the process is to end */
};

/* leader_init - config becomes the leader's. 0 or a negative errno. */
int leader_init(struct leader *l, struct child *child, struct config *config, uint64_t incarnation);

/* leader_release - at the end of the process: close whatever is still open. */
void leader_release(struct leader *l);

/* leader_configure - take this configuration (and own it) for the jobs, and for the next turn. */
void leader_configure(struct leader *l, struct config *config);

/* leader_campaign, leader_stand_down - the supervisor's orders. */
void leader_campaign(struct leader *l, const struct message_campaign *order);
void leader_stand_down(struct leader *l, const struct message_stand_down *order);

/* leader_requests - there may be requests in the ledger: take them. */
void leader_requests(struct leader *l);

/* leader_job_command - one that came without a ledger: do it, and answer with JOB_ANSWER, whose
 * .request and .monitor are the command's. Its order is to be checked: it came from the monitor. */
void leader_job_command(struct leader *l, const struct message_job_command *command);

/* leader_leave - end the turn, for that reason, and then the process. TURN_TERMINATED or
 * TURN_ORPHANED. */
void leader_leave(struct leader *l, enum turn_event_type how, enum end_reason reason);

/* leader_reap - SIGCHLD. */
void leader_reap(struct leader *l);

/* leader_settle - decide upon all that has happened. Never from a callback of lock, term or jobs.
 */
void leader_settle(struct leader *l);

/* leader_publish - the scoreboard's section of the worker. */
void leader_publish(struct leader *l);

#endif
