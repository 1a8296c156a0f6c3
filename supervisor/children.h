/*
 * children.h - the child table: what runs, how it is, and when to look again.
 *
 * One row a role. A role has at most one live process; each process that ever
 * ran in a role has a generation, and a message that carries another one is not
 * believed.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_CHILDREN_H
#define PGBATON_SUPERVISOR_CHILDREN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/process_tree.h"
#include "common/scoreboard.h"
#include "supervisor/restart.h"

/*
 * DOWN: no process; one is to be started at deadline (MONO_NEVER: not now).
 * STARTING: there is a process. Not known: whether it came through its first
 * acts; it must say HELLO before deadline.
 * READY: it said HELLO and has the configuration. Not known: whether it makes
 * progress, but it was heard less than its stall limit ago.
 * ENDING: it was told to stop, or has closed its channel, or was killed. Not
 * known: whether it does anything any more; killed (again) at deadline.
 */
enum child_state { CHILD_DOWN, CHILD_STARTING, CHILD_READY, CHILD_ENDING };

/* What a role is: constant. */
struct child_spec {
    const char *name;
    enum message_sender sender;
    dur_ns stall; /* silent for so long is dead; 0: may be silent */
    bool exec;    /* started by exec: shares no memory with us */
};

/* How a role is doing. */
struct child_row {
    const struct child_spec *spec;
    enum child_slot slot;
    enum child_state state;
    bool wanted;           /* to be started again when it ends */
    bool waits_for_reload; /* it said that this configuration does not do */
    mono_ns deadline;
    pid_t pid;           /* 0 in CHILD_DOWN */
    uint64_t generation; /* of the live process, or of the last one */
    uint32_t restarts;
    mono_ns started_at;
    wall_ns started_wall;
    struct channel channel; /* the supervisor's end; fd is -1 in CHILD_DOWN */
    ev_io io;
    bool came_up; /* the live process, or the last one, said HELLO */
    char last_words[REASON_MAX];
    char verdict[64]; /* why we killed it; "" if we did not */
    struct restart restart;
};

/* What a new process is given. Descriptors are the caller's. */
struct child_launch {
    struct scoreboard *board;
    int board_fd;
    int listen_fd;
    int program_fd; /* of this very program, opened at start: it may be replaced on disk */
    int service_argc;
    char **service_argv; /* CMD and its arguments */
    uint64_t seed;
};

/* The process of a row: dead by the time this is filled in. */
struct child_death {
    pid_t pid;
    uint64_t generation;
    dur_ns lived;
    int code;                     /* -1: by a signal */
    int signal;                   /* 0: by exit */
    bool came_up;                 /* it had said HELLO */
    enum restart_verdict verdict; /* what happens next, if it is wanted */
};

/* children_wire - which function is the main function of each role; called once, by main. NULL
 * where a role is started by exec. */
void children_wire(child_main *const mains[CHILD_SLOT_COUNT]);

void children_init(struct child_row rows[CHILD_SLOT_COUNT]);

/*
 * child_start - start the process of a row that is down. The caller watches
 * row->channel. Returns 0, or a negative errno (no process, no descriptor left
 * open). Does not return in the child.
 */
int child_start(struct child_row *row, const struct child_launch *launch, mono_ns now);

/* child_ready - it said HELLO. child_heard - it said something. */
void child_ready(struct child_row *row, mono_ns now);
void child_heard(struct child_row *row, mono_ns now);

/* child_end - it was told to end: kill it if it has not by then. */
void child_end(struct child_row *row, mono_ns by);

/* child_kill - SIGKILL, at once; why goes into the line about its death. Safe to repeat. */
void child_kill(struct child_row *row, mono_ns now, const char *why);

/* child_signal - another signal, if it lives. */
void child_signal(const struct child_row *row, int signal_number);

/* child_ended - waitpid() gave this status for row->pid: the row is down, due again or not. */
struct child_death child_ended(struct child_row *row, int wait_status, mono_ns now,
                               struct prng *random);

/* child_by_pid - the row of that process; NULL: it is none of ours. */
struct child_row *child_by_pid(struct child_row rows[CHILD_SLOT_COUNT], pid_t pid);

/* children_alive - how many processes there are. */
unsigned children_alive(const struct child_row rows[CHILD_SLOT_COUNT]);

/* children_keep - the pids of the table, for a sweep. 0 or -ENOMEM. */
int children_keep(const struct child_row rows[CHILD_SLOT_COUNT], struct pid_set *ret_keep);

#endif
