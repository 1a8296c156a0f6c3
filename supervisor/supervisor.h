/*
 * supervisor.h - the entrypoint's own process: starts the children, decides
 * who does what, and outlives them all.
 *
 * Happenings come in (signals, messages, deaths, moments), the pure cores
 * (election, restart, shutdown) decide, and what they decide is carried out.
 * Never calls libpq, never waits for anything but in its loop.
 *
 * The struct is here because its parts live in several files: inbox (messages
 * in), signals (signals and deaths), deeds (decisions carried out), orders
 * (what people ask for), reload, board.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_SUPERVISOR_H
#define PGBATON_SUPERVISOR_SUPERVISOR_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/random.h"
#include "common/scoreboard.h"
#include "common/timer.h"
#include "supervisor/children.h"
#include "supervisor/election.h"
#include "supervisor/fence.h"
#include "supervisor/lag.h"
#include "supervisor/privileges.h"
#include "supervisor/shutdown.h"

enum { RELOAD_REQUESTS_MAX = 16, ELECTION_QUEUE_MAX = 16 };

/* A reload that was asked for, and those that came while it was under way. */
struct reload {
    bool under_way;      /* waits until nothing is held, to elect anew with next */
    bool again;          /* asked for once more meanwhile */
    bool led;            /* when it began to wait: what is said of it */
    struct config *next; /* owned; NULL: none */
    int log_fd; /* of the next one, open before anything is given up for it; -1: no other */
    uint64_t requests[RELOAD_REQUESTS_MAX]; /* of the monitor, to be answered */
    unsigned request_count;
    unsigned answered_now; /* how many of them, from the first, this reload answers */
    uint32_t done;
    uint64_t elections; /* of those, the ones that elect anew */
    uint32_t failed;
    wall_ns loaded_at;
};

struct supervisor {
    struct ev_loop *loop;
    ev_io signal_io;
    int signal_fd;
    struct timer timer; /* the one for everything: armed for the earliest of all deadlines */
    mono_ns wake_at;    /* which is this */

    struct config *config; /* in force; owned */
    struct config_sources sources;
    int config_fd;          /* sealed, for probe, worker and keeper */
    int config_stripped_fd; /* sealed, without secrets, for the monitor */
    struct reload reload;

    struct child_row children[CHILD_SLOT_COUNT];
    struct child_launch launch;
    struct fence fence;
    uint64_t strangers_reaped; /* dead processes outside the table */
    struct pid_set inherited;  /* processes that were below us before we were pgbaton: left alone */
    mono_ns inherited_at;      /* when that was */

    struct election election;
    mono_ns election_wake_at;
    struct election_event
        queue[ELECTION_QUEUE_MAX]; /* what happened while a step was carried out */
    unsigned queued;
    bool stepping;
    enum election_state announced; /* the last state that was logged */
    struct epoch announced_epoch;  /* our term's at that time */
    wall_ns role_since;
    struct message_seat seat;       /* where to campaign */
    struct message_elected elected; /* what our worker said last when it was elected */
    struct epoch seen;      /* the latest epoch of this election that this instance has seen */
    int lock_fd;            /* duplicate of the lock socket, or -1 */
    mono_ns handed_over_at; /* it was closed then; 0: there was none */
    uint64_t elections;
    struct board_failure term_failure;
    bool heir_waits; /* another instance holds the seat, by the probe's last word */
    bool clock_wrong;

    struct shutdown shutdown;
    int stop_signal; /* what CMD is sent */
    mono_ns stop_signalled_at;
    int exit_code;
    char stop_reason[128];
    bool has_service;
    bool service_ended;
    struct lag lag; /* of the present worker */

    struct privileges privileges;
    struct prng random;
    uint64_t incarnation;
    struct scoreboard *board;
    struct board_supervisor shown; /* what is on the board */
    wall_ns started_at;
    bool started;
    char run_dir[4096];
    int run_dir_fd; /* holds the lock of the run_dir */
};

/* supervisor_run - the whole life of an instance. Takes cfg over. Returns the exit code of the
 * program. */
int supervisor_run(struct config *cfg, const struct config_sources *sources, int service_argc,
                   char **service_argv);

/* supervisor_settle - the last act of each callback: everything that is due, the next wake-up, the
 * board. */
void supervisor_settle(struct supervisor *s);

/*
 * supervisor_stop - begin to end, or hurry if it has begun. The first reason
 * and the first code that is not 0 are kept. at_once: do not wait for jobs.
 */
void supervisor_stop(struct supervisor *s, bool at_once, int code, const char *reason);
bool supervisor_is_stopping(const struct supervisor *s);

#endif
