/*
 * world.h - the simulated world: instances, their network and their server, in
 * virtual time.
 *
 * What decides is the program's own code, compiled unchanged (election, turn,
 * lease, takeover, seat, witness, stuck, restart, shutdown). What touches the
 * world (processes, sockets, PostgreSQL) is a model of it, here. Everything that
 * happens is drawn from one seed, so a seed is a run, and replays exactly.
 */
#ifndef PGBATON_TESTS_SIM_WORLD_H
#define PGBATON_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/identity.h"
#include "common/message.h"
#include "common/random.h"
#include "supervisor/election.h"
#include "worker/leader/turn.h"
#include "worker/probe/stuck.h"

enum { NODES_MAX = 5 };

/* The keys of the configuration that decide anything here; the same in the whole fleet. */
struct settings {
    dur_ns lease;
    dur_ns heartbeat;
    dur_ns stop_grace;
    dur_ns loss_grace;
    dur_ns takeover_delay;
    dur_ns retry_interval;
    dur_ns backoff_max;
    dur_ns connect_timeout;
    dur_ns stop_timeout;
    dur_ns job_grace;
    bool poll;
};

enum process { PROCESS_SUPERVISOR, PROCESS_PROBE, PROCESS_WORKER, PROCESS_COUNT };

/* ---- What can be on its way, each a union member of a happening. ---- */

/* Between the supervisor and its children. */
enum note_type {
    NOTE_HELLO,
    NOTE_SEEK, /* .at */
    NOTE_LEAVE,
    NOTE_LEAD,       /* .epoch .server .pid */
    NOTE_FENCED,     /* .epoch */
    NOTE_UNBLOCK,    /* .pid */
    NOTE_CAMPAIGN,   /* .turn .server .epoch .poll */
    NOTE_STAND_DOWN, /* .turn .at .over_by .reason */
    NOTE_STOP,       /* to a child: end */
    NOTE_SEAT_TAKEN, /* .server .poll .epoch: the latest that was seen */
    NOTE_SEAT_LOST,
    NOTE_WITNESS,      /* .epoch: the database denies it */
    NOTE_FENCE_DONE,   /* .epoch */
    NOTE_ANSWERED,     /* .turn: a slice */
    NOTE_FAILED,       /* .turn .reason: the campaign */
    NOTE_BLOCKED,      /* .pid: of the ledger, opening */
    NOTE_ELECTED,      /* .turn .epoch .server .pid .at .conn */
    NOTE_RENEWED,      /* .turn .at */
    NOTE_LOST,         /* .turn .reason */
    NOTE_RELEASED,     /* .turn .reason */
    NOTE_END_OF_FILE,  /* the other end of the channel is gone */
    NOTE_CHILD_EXITED, /* SIGCHLD: .child .status */
    NOTE_JOB_EXITED,   /* SIGCHLD to the worker */
    NOTE_SIGNAL,       /* to the supervisor: .status 0 TERM, 1 QUIT, 2 USR2 */
};

struct note {
    enum note_type type;
    enum end_reason reason;
    enum process child;
    bool poll;
    int pid;
    int status;
    int conn;
    uint64_t turn;
    struct epoch epoch;
    struct server_identity server;
    mono_ns at;
    mono_ns over_by;
};

/* From a client to the server. */
enum request_type {
    REQUEST_CONNECT,
    REQUEST_SLICE,  /* wait for the key, one slice long */
    REQUEST_TRY,    /* try once */
    REQUEST_SYNC,   /* a heartbeat */
    REQUEST_UNLOCK, /* the key */
    REQUEST_LOOK,
    REQUEST_TAKE, /* the seat */
    REQUEST_GIVE,
    REQUEST_LISTEN,
    REQUEST_FENCE,    /* .epoch */
    REQUEST_END,      /* .pid .start: pg_terminate_backend */
    REQUEST_UNBLOCK,  /* .pid: end who blocks this backend */
    REQUEST_LOCK_ROW, /* .pid: of the lock session: it must hold the key */
    REQUEST_ROLLBACK,
    REQUEST_WRITE,    /* .epoch .pid */
    REQUEST_TERMS,    /* what do the terms before .epoch ask for? */
    REQUEST_MARK,     /* the terms before .epoch are over; and tell everybody */
    REQUEST_CLOSE,    /* .epoch: the runs of the terms before are interrupted */
    REQUEST_STAMP,    /* .epoch .clean */
    REQUEST_FAREWELL, /* the end of the stream: the last descriptor was closed */
};

struct request {
    enum request_type type;
    int pid;
    uint64_t start;
    struct epoch epoch;
    bool clean;
    bool tail_lost;
};

/* The database at one moment, as a probe sees it. */
struct sight_row {
    int key_pid; /* 0: nobody */
    uint64_t key_start;
    wall_ns key_state_change;
    int seat_pid;
    uint64_t seat_start;
    wall_ns seat_state_change;
    bool term_known;
    bool term_ended;
    struct epoch term_epoch;
    int term_pid;
    uint64_t term_start;
    dur_ns term_lease;
};

/* From the server to a client. */
enum answer_type {
    ANSWER_CONNECTED, /* .pid .server */
    ANSWER_REFUSED,   /* no session for us */
    ANSWER_YES,
    ANSWER_NO,
    ANSWER_SYNC,
    ANSWER_SIGHT,   /* .sight */
    ANSWER_ROW,     /* .epoch .server: as stored */
    ANSWER_BLOCKED, /* somebody else holds the row */
    ANSWER_ERROR,   /* the statement failed */
    ANSWER_WAIT,    /* .wait: of the terms before */
    ANSWER_NOTIFY,  /* a new term; not the answer to anything */
    ANSWER_END,     /* the server ended the session, or does not know of it */
};

struct answer {
    enum answer_type type;
    int pid;
    dur_ns wait;
    struct server_identity server;
    struct epoch epoch;
    struct sight_row sight;
};

/* ---- Happenings. ---- */

enum happening_kind {
    HAPPENS_NOTE,    /* to .process of .node */
    HAPPENS_TIMER,   /* of .process of .node; .token */
    HAPPENS_REQUEST, /* .conn, arrives at the server */
    HAPPENS_ANSWER,  /* .conn, arrives at its client */
    HAPPENS_CALL,    /* .call(.node, .token) */
};

struct happening {
    mono_ns at; /* true time */
    uint64_t order;
    enum happening_kind kind;
    int node;
    enum process process;
    uint64_t generation; /* what was meant for a dead process is not delivered */
    uint64_t token;
    int conn;
    bool released; /* it waited for the cable to be mended */
    bool again;    /* nobody acknowledged it: TCP sends it once more */
    void (*call)(int node, uint64_t token);
    union {
        struct note note;
        struct request request;
        struct answer answer;
    } u;
};

/* world_schedule - it happens at h->at, true time; copied. */
void world_schedule(const struct happening *h);
/* world_call - call it then. */
void world_call(mono_ns at, void (*call)(int node, uint64_t token), int node, uint64_t token);

/* ---- The world. ---- */

struct world {
    uint64_t seed;
    struct prng random;
    mono_ns now; /* true time: no process knows it */
    struct settings settings;
    int nodes;
    bool tracing;
    uint64_t steps;
};

extern struct world world;

/* draw - evenly in [0, limit). chance - true in that many of 1000. between - a length, both ends
 * included. */
uint64_t draw(uint64_t limit);
bool chance(unsigned per_mille);
dur_ns between(dur_ns least, dur_ns most);

/* trace - one line of the time-line, if somebody reads it. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* violation - the run has failed: what was promised and did not hold. Does not return. */
_Noreturn void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
