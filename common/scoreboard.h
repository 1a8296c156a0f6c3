/*
 * scoreboard.h - state for people (status, later metrics and the page), shared
 * by the processes of an instance without a message.
 *
 * A memfd, mapped once for writing by the supervisor before it is sealed
 * (F_SEAL_FUTURE_WRITE) and inherited by the forked children; the monitor maps
 * it read-only. One writer a section; each section has a sequence number that
 * is odd while it is written. Nothing here is ever read back for a decision.
 */
#ifndef PGBATON_COMMON_SCOREBOARD_H
#define PGBATON_COMMON_SCOREBOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/identity.h"
#include "common/message.h"
#include "common/outcome.h"

enum board_role {
    ROLE_FOLLOWER,
    ROLE_HEIR,
    ROLE_LEADER,
    ROLE_STANDING_DOWN,
    ROLE_FENCING,
    ROLE_STOPPED
};
const char *board_role_name(
    enum board_role role); /* "follower", "heir", "leader", "standing-down", ... */

enum child_slot { SLOT_PROBE, SLOT_WORKER, SLOT_MONITOR, SLOT_KEEPER, CHILD_SLOT_COUNT };

struct board_child {
    int32_t pid; /* 0: not running */
    uint32_t restarts;
    uint64_t generation;
    mono_ns started_at;
};

/* What kept this instance from leading, when it could have; at 0: nothing, or it has led since. */
struct board_failure {
    wall_ns at;
    char text[REASON_MAX];
};

/* Written by the supervisor. */
struct board_supervisor {
    uint32_t role; /* enum board_role */
    uint32_t stopping;
    int32_t pid;
    uint32_t unkillable; /* descendants of a dead worker that refuse to die */
    uint64_t incarnation;
    struct epoch epoch; /* of our term; 0.0 when we do not lead */
    mono_ns deadline;   /* D as the supervisor knows it */
    mono_ns rest_until; /* follower by choice until then; 0: not resting */
    wall_ns started_at;
    wall_ns role_since;
    uint64_t elections; /* terms won since start */
    uint64_t config_hash;
    wall_ns config_loaded_at;
    uint32_t reloads;
    uint32_t reloads_failed;
    char containment[64]; /* which containment of jobs is in force */
    char instance[INSTANCE_MAX];
    struct board_failure term_failure;
    struct board_child children[CHILD_SLOT_COUNT];
};

/* Written by the probe. */
struct board_probe {
    uint32_t database; /* enum database_state */
    uint32_t holder;   /* enum holder_kind */
    int32_t holder_pid;
    uint32_t seat_held; /* by us */
    uint32_t heir_waits;
    uint32_t jobs_differ;        /* the leader has another set of jobs than this instance */
    uint32_t server_clock_wrong; /* 1: it was set, ours was not */
    uint32_t reserved;
    wall_ns looked_at;
    int64_t clock_offset_ns; /* ours minus the database's */
    struct server_identity server;
    struct server_address address;
    struct epoch leader_epoch;          /* of the term in the database */
    char leader_instance[INSTANCE_MAX]; /* label of who leads; "" unknown */
    char holder_application[64];        /* application_name of a foreign holder */
    char server_version[32];
    char reason[REASON_MAX]; /* why the database is down */
    uint64_t connect_failures;
};

/* Written by the worker. */
struct board_worker {
    uint32_t state;     /* enum worker_state of worker/leader/worker.h */
    uint32_t job_count; /* rows in use */
    uint32_t running;   /* runs now */
    uint32_t reserved;
    struct epoch epoch;
    mono_ns deadline;
    mono_ns takeover_until; /* jobs start then; 0: no wait */
    int64_t heartbeat_ns;   /* round trip of the last heartbeat */
    char containment[192];  /* what the worker holds its jobs with */
};

enum { BOARD_JOBS_MAX = 16384 }; /* rows; untouched ones cost no memory */

/* One row a job, in the order of the configuration. Written by the worker. */
enum board_pause { BOARD_GOES_ON, BOARD_PAUSED, BOARD_ALL_PAUSED };
struct board_job {
    char name[JOB_NAME_MAX];
    uint32_t running;
    int32_t pid;
    uint32_t last_outcome; /* enum outcome */
    int32_t last_code;     /* exit code, or 128 + signal */
    wall_ns last_started_at;
    wall_ns last_ended_at;
    wall_ns next_at; /* WALL_NEVER: no next */
    uint32_t paused; /* enum board_pause */
    uint32_t reserved;
    uint64_t runs;
    uint64_t failures;
    uint64_t skips;
};

struct scoreboard; /* opaque */

/* scoreboard_create - supervisor: a memfd, mapped for writing, then sealed. NULL: errno is set. */
struct scoreboard *scoreboard_create(int *ret_fd);

/* scoreboard_open - monitor: map this memfd read-only. NULL: errno is set. fd stays the caller's.
 */
struct scoreboard *scoreboard_open(int fd);
void scoreboard_free(struct scoreboard *b);

/* Each writer replaces its section as a whole; each reader gets a consistent copy, or false when
 * the writer died in the middle of it (the copy is then what there is). */
void scoreboard_put_supervisor(struct scoreboard *b, const struct board_supervisor *from);
void scoreboard_put_probe(struct scoreboard *b, const struct board_probe *from);
void scoreboard_put_worker(struct scoreboard *b, const struct board_worker *from);
void scoreboard_put_job(struct scoreboard *b, unsigned row, const struct board_job *from);
bool scoreboard_get_supervisor(const struct scoreboard *b, struct board_supervisor *ret);
bool scoreboard_get_probe(const struct scoreboard *b, struct board_probe *ret);
bool scoreboard_get_worker(const struct scoreboard *b, struct board_worker *ret);
bool scoreboard_get_job(const struct scoreboard *b, unsigned row, struct board_job *ret);

#endif
