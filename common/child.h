/*
 * child.h - what every child of the supervisor starts with, and its first acts.
 *
 * Runs in: the children, between fork (or exec) and their own loop.
 */
#ifndef PGBATON_COMMON_CHILD_H
#define PGBATON_COMMON_CHILD_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/channel.h"
#include "common/config.h"
#include "common/message.h"
#include "common/scoreboard.h"

/* The exit codes of a child: the one part of its death that it can choose. */
enum child_exit {
    CHILD_EXIT_ASKED = 0,    /* told to stop, or the supervisor is gone */
    CHILD_EXIT_FAILED = 1,   /* anything that may pass: started again, with back-off */
    CHILD_EXIT_CONFIG = 2,   /* would fail the same way again: waits for a reload */
    CHILD_EXIT_PROTOCOL = 3, /* another build at the far end: the instance must be restarted */
};

/* Worker and monitor say ALIVE this often: one that comes 4 s late is in time. */
#define ALIVE_INTERVAL DUR_S(6)
#define HELLO_LIMIT DUR_S(5) /* started is not ready: HELLO, and its answer CONFIG, by then */

/* Handed to the main function of a child. */
struct child {
    const char *name;         /* "probe", "worker", "monitor", "keeper" */
    struct channel up;        /* to the supervisor */
    pid_t supervisor;         /* pid noted before the fork */
    struct scoreboard *board; /* NULL in the keeper */
    struct ev_loop *loop;     /* the child's own: made by child_enter() */
    int signal_fd; /* the child's own signalfd: TERM, INT, QUIT, CHLD are blocked and read here */
    int argc;      /* keeper: CMD and its arguments; else 0 */
    char **argv;
    uint64_t seed; /* of this child's random numbers */
};

/*
 * child_enter - the first call of each child's main function (for the monitor
 * monitor_entry makes it): the first acts of a child, in the order that DESIGN.md section 2
 * gives: close everything but keep[] (and 0, 1, 2, the channel, the log; the
 * scoreboard is a mapping, no descriptor), the signal mask and signalfd, the
 * parent-death signal (SIGTERM), a look whether the parent still lives, a loop
 * of its own. Ends the process where any of it fails: nothing may run half-fenced.
 */
void child_enter(struct child *c, const int *keep, size_t keep_count);

/*
 * child_watch_parent - ask for the parent-death signal (SIGTERM) and look
 * whether the parent still lives; if not, the process ends. child_enter() does
 * it; the kernel forgets it at each change of user, group or capabilities, so
 * whoever drops privileges calls it again.
 */
void child_watch_parent(struct child *c);

/* child_title - what ps shows: "pgbaton: TITLE". child_title_init is called once by main with
 * its argv, before anything else. */
void child_title_init(int argc, char **argv);
void child_title(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * child_hello - say HELLO and wait for CONFIG, at most 5 s.
 * On success *ret_config is the caller's (config_free). Otherwise the process
 * exits: CHILD_EXIT_ASKED at end of file, CHILD_EXIT_PROTOCOL where the message
 * or the configuration cannot be read. *ret_first is the CONFIG message.
 */
void child_hello(struct child *c, struct config **ret_config, struct message *ret_first);

/* child_die - LAST_WORDS with this text, then _exit(code). */
_Noreturn void child_die(struct child *c, enum child_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* child_take_log - a LOG message came with this descriptor: log there from now on. Takes it over.
 */
void child_take_log(int fd);

/*
 * child_alive_at - the next moment after now at which to say ALIVE. It is the
 * same for all children of one supervisor, so that it wakes up once for all of
 * them, and another one for the next instance on the machine.
 */
mono_ns child_alive_at(const struct child *c, mono_ns now);

/* The main functions: each returns the exit code of its process. Joined in supervisor/main.c. */
typedef int child_main(struct child *c);
int probe_main(struct child *c);   /* worker/probe/probe.c */
int worker_main(struct child *c);  /* worker/leader/worker.c */
int monitor_main(struct child *c); /* worker/monitor/monitor.c */
int keeper_main(struct child *c);  /* worker/keeper/keeper.c */

/*
 * monitor_entry - main() of the exec'd monitor: `pgbaton --monitor CHANNEL_FD
 * BOARD_FD LISTEN_FD SUPERVISOR_PID GENERATION LOG_FD`, with argc and argv as
 * main() got them. Numbers are decimal; LOG_FD may be 2. All other descriptors
 * are closed. Returns the exit code of the process. In worker/monitor/entry.c.
 */
int monitor_entry(int argc, char **argv);

#endif
