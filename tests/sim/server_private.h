/* server_private.h - what server.c (sessions, faults), server_locks.c and server_rows.c share. */
#ifndef PGBATON_TESTS_SIM_SERVER_PRIVATE_H
#define PGBATON_TESTS_SIM_SERVER_PRIVATE_H

#include "tests/sim/network.h"
#include "tests/sim/server.h"

enum { SESSIONS_MAX = 128, NO_SESSION = -1, TERMS_KEPT = 512, FIRST_PID = 1000 };

enum session_purpose { PURPOSE_UNKNOWN, PURPOSE_PROBE, PURPOSE_LOCK, PURPOSE_LEDGER };

struct session {
    bool used;
    bool ending;      /* nothing is taken from it any more */
    bool client_gone; /* the end of the stream is there, to be read when the statement ends */
    bool frozen;      /* stuck: only its end gets it out */
    bool waits_for_key;
    bool waits_for_row;
    bool listens;
    bool alarm; /* one is pending: it looks at idle_until when it comes */
    int conn;
    int pid;
    uint64_t start;
    enum session_purpose purpose;
    dur_ns idle_timeout; /* 0: none */
    wall_ns idle_until;  /* by the wall clock; WALL_NEVER: in a statement */
    wall_ns state_change;
    uint64_t wait;      /* which wait a time limit belongs to */
    mono_ns wait_until; /* true time: for the key, when it is over */
};

struct term_row {
    struct epoch epoch;
    struct server_identity server;
    uint64_t incarnation;
    int pid; /* of the lock session, and its start */
    uint64_t start;
    wall_ns started;
    mono_ns committed; /* true time, for a tail that is lost */
    mono_ns ended;     /* the same, of its end; MONO_NEVER: it goes on */
    mono_ns closed;    /* the same, of its runs, by a later term whose jobs begin; or MONO_NEVER */
    bool clean;
};

struct server {
    bool up;
    bool host_answers;
    bool read_only;
    bool full;
    struct server_identity identity;
    int drift_ppm;
    dur_ns stepped;
    mono_ns replaced; /* true time, of the dump that this cluster began with */
    struct session sessions[SESSIONS_MAX];
    uint64_t starts;
    /* the leader key */
    int key_holder; /* a session, NO_SESSION, or FOREIGN */
    int key_queue[SESSIONS_MAX];
    int key_waiters;
    dur_ns foreign_wants;
    int seat_holder;
    /* the row of the election, and the terms */
    int row_holder; /* a session, NO_SESSION, or FOREIGN */
    int row_queue[SESSIONS_MAX];
    int row_waiters;
    struct term_row terms[TERMS_KEPT];
    int term_count;
    struct epoch highest; /* ever committed, tails that were lost too */
};

enum { FOREIGN = -2 };

extern struct server server;

struct session *session_at(int s);
/* session_busy, session_idle - a statement begins, and ends. */
void session_busy(int s);
void session_idle(int s);
void session_idle_in_transaction(int s);
void session_answer(int s, const struct answer *answer);
void session_answer_type(int s, enum answer_type type);
/* session_end - its locks are free at once. farewell: its client is told, if it can be. */
void session_end(int s, bool farewell);
int session_by_pid(int pid);

void locks_drop(int s);
void locks_slice(int s);
void locks_try(int s);
void locks_unlock(int s);
void locks_take_seat(int s);
void locks_give_seat(int s);

void rows_drop(int s);
void rows_lock(int s, const struct request *r);
void rows_rollback(int s);
void rows_write(int s, const struct request *r);
void rows_terms(int s, const struct request *r);
void rows_mark(int s, const struct request *r);
void rows_close(int s, const struct request *r);
void rows_stamp(int s, const struct request *r, bool fenced);
const struct term_row *rows_newest(void);
/* rows_first_of - when the first term of that system was committed; MONO_NEVER: there is none. */
mono_ns rows_first_of(uint64_t system_id);
/* rows_lose - forget what was committed in the last `lost`. */
void rows_lose(dur_ns lost);
int row_blocker(int s);

#endif
