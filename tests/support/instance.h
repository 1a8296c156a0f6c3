/*
 * instance.h - an instance of pgbaton: the real binary, in processes of its own.
 *
 * The binary is $PGBATON, else build/pgbaton. Its configuration, run_dir and
 * log are in the test's directory.
 */
#ifndef PGBATON_TESTS_SUPPORT_INSTANCE_H
#define PGBATON_TESTS_SUPPORT_INSTANCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "tests/support/program.h"
#include "tests/support/wait.h"
#include "tests/support/workdir.h"

struct instance {
    char name[32];
    char dir[128];
    char ini[160];
    char run_dir[160];
    char log[160];
    struct program supervisor;      /* `pgbaton run` */
    size_t mark;                    /* where in the log we look from */
    const char *user;               /* run as, when we are root; NULL: as we are */
    const char *const *environment; /* NAME=VALUE, on top of ours; NULL: none */
    const char *const *entrypoint;  /* words in front of the binary's, that run it; NULL: none */
    const char *network;            /* file of a network namespace; NULL: ours */
};

/* The lines of each section of its INI file; NULL: none. job is whole sections. */
struct instance_settings {
    const char *dsn;
    const char *pgbaton;  /* beside instance and run_dir */
    const char *database; /* beside dsn */
    const char *election;
    const char *jobs; /* of [jobs] */
    const char *job;  /* "[job a]\nschedule = ...\n" */
};

/* Numbers of an election that tests can wait for, and whose lease is never in the way: it is longer
 * than a test waits for anything, so that what only comes with its end fails the test. */
#define ELECTION_CALM "retry_interval = 300ms\nlease = 90s\nheartbeat = 500ms\n"
/* And those of one where the lease is what is tested. */
#define ELECTION_SHORT                                                                             \
    "retry_interval = 300ms\nlease = 3s\nheartbeat = 200ms\nstop_grace = 500ms\nloss_grace = "     \
    "200ms\n"                                                                                      \
    "takeover_delay = 1s\n"
/* And of one where the lease may not be lost: a busy machine keeps it too. */
#define ELECTION_STEADY                                                                            \
    "retry_interval = 300ms\nlease = 6s\nheartbeat = 200ms\nstop_grace = 500ms\nloss_grace = "     \
    "200ms\n"                                                                                      \
    "takeover_delay = 1s\n"

/* instance_make - the directory and the INI file; nothing is started. */
void instance_make(struct instance *i, const struct workdir *w, const char *name,
                   const struct instance_settings *settings);

/* instance_configure - write the INI file anew, for a reload. */
void instance_configure(struct instance *i, const struct instance_settings *settings);

/* instance_start - `pgbaton run`; words are the rest of the command line, NULL-terminated, may be
 * NULL. */
void instance_start(struct instance *i, const char *const *words);

/*
 * instance_start_as_pid_1 - the same in a pid namespace of its own, as in a container. False: this
 * kernel or user may not make one. i->supervisor is unshare(1) then, whose exit code is that of
 * PID 1; the supervisor is instance_child(i, "supervisor").
 */
bool instance_start_as_pid_1(struct instance *i, const char *const *words);

/* instance_mark - from now on, look only at what is logged later. */
void instance_mark(struct instance *i);

/* instance_logged - how many lines after the mark have that event and hold that text ("" for any).
 */
size_t instance_logged(const struct instance *i, const char *event, const char *text);

/* instance_time_of - when the first such line after the mark was written, on the wall clock; 0:
 * there is none. */
wall_ns instance_time_of(const struct instance *i, const char *event, const char *text);

/* instance_wait - until at least one such line is there. Ends the test, with the log, at the limit.
 */
void instance_wait(struct instance *i, const char *event, const char *text);

/* instance_wait_text - the same, but in any line of any event. */
void instance_wait_text(struct instance *i, const char *text);

/* instance_leads - what the log says last: elected, or the end of it. Not bound to the mark. */
bool instance_leads(const struct instance *i);

/* instance_term_ended - has its term ended since the mark, in whatever way: lost, fenced or
 * released. On a loaded machine the supervisor may be the first to act. For wait_until(). */
bool instance_term_ended(void *instance);

/* instances_wait_leader - until exactly one of the count leads: that one. Ends the test at the
 * limit. */
struct instance *instances_wait_leader(struct instance *list, size_t count);

/* instance_check_log - no process of it has asserted, or was stopped by a sanitizer: a child would
 * only be started again, and a test could pass all the same; and no text in it ends with a line
 * feed. instance_wait_exit does this too. */
void instance_check_log(const struct instance *i);

/* instance_wait_exit - the exit code. Ends the test, with the log, at the limit. */
int instance_wait_exit(struct instance *i);

/* instance_stop - TERM, and it must exit with 0. */
void instance_stop(struct instance *i);

/* instance_child - the pid of its "probe", "worker", "monitor" or "keeper", by its title; 0: none.
 */
pid_t instance_child(const struct instance *i, const char *role);

/* instance_wait_child - until there is one that is not `before`: its pid. */
pid_t instance_wait_child(struct instance *i, const char *role, pid_t before);

/* What a command said. */
struct outcome {
    int code;
    char out[32768];
    char err[8192];
};

/* instance_command - run `pgbaton COMMAND -c INI WORDS...`; the words end with NULL. */
void instance_command(const struct instance *i, struct outcome *ret, const char *command, ...)
    __attribute__((sentinel));

/* instance_status - what `status --json` says, for json_decref. NULL: it did not answer, or no
 * JSON. */
json_t *instance_status(const struct instance *i);

/* instance_is_warned - has `status` a warning of that name? False, too, when it did not answer. */
bool instance_is_warned(const struct instance *i, const char *name);

/* pgbaton_command - run it with just these words. environment: to add, may be NULL. */
void pgbaton_command(const struct workdir *w, struct outcome *ret, const char *const *words,
                     const char *const *environment);

/* pgbaton_path - the full path of the binary, static. */
const char *pgbaton_path(void);

#endif
