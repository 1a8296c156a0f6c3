/*
 * node.h - one instance on a host of its own: a clock that drifts, a
 * supervisor, a probe, a worker, and the jobs of its terms.
 */
#ifndef PGBATON_TESTS_SIM_NODE_H
#define PGBATON_TESTS_SIM_NODE_H

#include "common/random.h"
#include "tests/sim/world.h"

enum {
    JOBS_A_NODE = 16,
    MAILBOX_MAX = 512,
};

struct job_process {
    bool alive;
    bool orphan; /* its worker is dead */
    bool ignores_term;
    bool detached; /* no parent-death signal reaches it: a job's grandchild */
    bool dying;
    struct epoch epoch;
    uint64_t serial;
};

struct process_state {
    bool alive;
    bool stopped;
    bool dying; /* has SIGKILL */
    bool slept; /* it was stopped once in its life */
    uint64_t generation;
    uint64_t token; /* of the newest timer */
    mono_ns timer_at;
    struct happening mailbox[MAILBOX_MAX]; /* what came while it was stopped */
    unsigned waiting;
    unsigned backlog; /* of that, what is not delivered yet since it goes on */
};

struct node {
    int index;
    bool powered;
    bool frozen; /* SIGSTOP to all of it, or a virtual machine that is paused */
    bool clock_stands;
    mono_ns clock_base; /* its clock showed this ... */
    mono_ns clock_from; /* ... at this true time */
    int drift_ppm;
    uint64_t incarnation;
    struct process_state process[PROCESS_COUNT];
    struct job_process jobs[JOBS_A_NODE];
    uint64_t job_serial;
    struct prng random;
};

extern struct node nodes[NODES_MAX];

void node_reset(int index);
/* node_boot - the supervisor starts, a new incarnation. */
void node_boot(int index);

/* node_now - what its clock shows. node_when - the true time at which it will show that. */
mono_ns node_now(int index);
mono_ns node_when(int index, mono_ns at);

/* node_post - a note for a process, some time later; in order for each pair of ends. */
void node_post(int index, enum process to, const struct note *note);
/* node_arm - the one timer of a process, by its own clock; MONO_NEVER: none. */
void node_arm(int index, enum process process, mono_ns at);

/* node_spawn - a child of the supervisor. node_exit - the process ends, with that status: its
 * descriptors are closed, its parent hears of it. node_kill - SIGKILL. */
void node_spawn(int index, enum process process);
void node_exit(int index, enum process process, int status);
void node_kill(int index, enum process process);
void node_stop_process(int index, enum process process);
void node_continue_process(int index, enum process process);

/* node_freeze - the whole tree; clock_stands: as a paused virtual machine. node_thaw. */
void node_freeze(int index, bool clock_stands);
void node_thaw(int index);
/* node_power_off - the host is gone, without a word. */
void node_power_off(int index);
/* node_kill_tree - every process of it, in one instant; the host's kernel says goodbye. */
void node_kill_tree(int index);

bool node_is_gone(int index);
/* node_has_backlog - is there more that waited to be read while it was stopped? */
bool node_has_backlog(int index, enum process process);

/* ---- Jobs, as processes. ---- */

void job_start(int index, struct epoch epoch);
/* jobs_terminate_all, jobs_kill_all - TERM, KILL to all, or to those whose worker is dead. */
void jobs_terminate_all(int index);
void jobs_kill_all(int index, bool orphans_only);
unsigned jobs_alive(int index);
unsigned jobs_orphaned(int index);

/* ---- The shells: each takes what is delivered to its process. ---- */

void supervisor_reset(int index);
void supervisor_boot(int index);
void supervisor_take(int index, const struct happening *h);
void supervisor_die(int index);
void supervisor_stranger_died(int index);
void supervisor_child_stopped(int index, enum process process);
bool supervisor_stopping(int index);

void probe_reset(int index);
void probe_boot(int index);
void probe_take(int index, const struct happening *h);
void probe_die(int index);

void worker_reset(int index);
void worker_boot(int index);
void worker_take(int index, const struct happening *h);
void worker_die(int index);
bool worker_leads(int index);
/* worker_server - where it has its key, or had it. */
struct server_identity worker_server(int index);

/* node_deliver - to the process that it is for, or into its mailbox while it is stopped. */
void node_deliver(const struct happening *h);

#endif
