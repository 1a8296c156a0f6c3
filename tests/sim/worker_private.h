/* worker_private.h - what worker.c (the turn), worker_lock.c (the key), worker_term.c (the term)
 * and worker_jobs.c share. */
#ifndef PGBATON_TESTS_SIM_WORKER_PRIVATE_H
#define PGBATON_TESTS_SIM_WORKER_PRIVATE_H

#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "worker/database/lease.h"
#include "worker/leader/turn.h"

enum lock_step {
    LOCK_CLOSED,
    LOCK_CONNECTING,
    LOCK_TRYING,
    LOCK_HELD,
    LOCK_SETTLING,
    LOCK_UNLOCKING,
    LOCK_ENDED, /* reported; the descriptor stays open until it is closed */
};

struct lock_model {
    enum lock_step step;
    int conn;
    int pid;
    struct server_identity server;
    struct lease lease;
    enum lease_phase reported;
    mono_ns limit;
};

enum wish { WISH_BEGIN, WISH_LOOK, WISH_MARK, WISH_CLOSE, WISH_STAMP, WISH_COUNT };

struct term_model {
    bool open;
    int conn;
    int pid;
    bool ready;
    bool asking;
    enum request_type asked;
    bool wanted[WISH_COUNT];
    mono_ns limit;
    struct epoch epoch;
    bool clean;
    bool tail_lost;
};

enum jobs_mode { JOBS_OFF, JOBS_GOING, JOBS_DRAINING, JOBS_TERMINATED, JOBS_KILLED };

struct worker_model {
    struct turn turn;
    struct note order; /* the campaign */
    struct lock_model lock;
    struct term_model term;
    bool stamping;
    struct turn_event queue[16];
    unsigned queued;
    enum jobs_mode jobs;
    mono_ns jobs_next; /* the next tick, or the end of the drain */
    bool exit;
};

struct worker_model *worker_of(int i);

/* worker_happened - decided upon when what happens now is done; worker_happened_first - before
 * whatever else waits. */
void worker_happened(int i, struct turn_event event);
void worker_happened_first(int i, struct turn_event event);
/* worker_tell - the supervisor, about this turn. */
void worker_tell(int i, enum note_type type);
uint64_t worker_generation(int i);

void lock_open(int i);
void lock_close(int i);
void lock_release(int i);
void lock_hear(int i, const struct answer *answer);
void lock_due(int i);

void term_open(int i);
void term_close(int i);
void term_want(int i, enum wish wish);
void term_hear(int i, const struct answer *answer);
void term_due(int i);

void jobs_become(int i, enum jobs_mode mode, mono_ns next);
void jobs_due(int i);
void jobs_look(int i);

#endif
