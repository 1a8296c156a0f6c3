/*
 * program.h - a program that a test starts, and everything below it.
 *
 * Between the test and the program stands a guard: a child subreaper, so that
 * whatever the program leaves behind comes to the guard. When the test ends,
 * however it ends, the guard kills all of it: no test leaves a process over,
 * not even a stopped one.
 */
#ifndef PGBATON_TESTS_SUPPORT_PROGRAM_H
#define PGBATON_TESTS_SUPPORT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/clock.h"

struct program_spec {
    const char *const *argv;        /* found by PATH */
    const char *const *environment; /* NAME=VALUE, on top of ours; may be NULL */
    const char *output;             /* file for stdout, appended to; NULL: /dev/null */
    const char *errors;             /* file for stderr, may be the same; NULL: /dev/null */
    const char *user;               /* run as, when we are root; NULL: as we are */
    const char *network;            /* file of a network namespace to run in; NULL: in ours */
    int end_signal; /* what the guard sends first when the test is gone; 0: SIGKILL to all at once
                     */
};

struct program {
    pid_t pid;   /* of the program itself */
    pid_t guard; /* its parent */
    int line;    /* to the guard; -1: not started, or all of it is gone */
    bool ended;  /* status is valid */
    int status;  /* as from waitpid */
};

/* program_start - ends the test if it cannot be. That the program cannot be executed is exit code
 * 127. */
void program_start(struct program *p, const struct program_spec *spec);

/* program_signal - to the program alone. */
void program_signal(const struct program *p, int signal_number);

/* program_signal_tree - to the program and everything below it. */
void program_signal_tree(const struct program *p, int signal_number);

/* program_wait - the exit code of the program (128 + signal if it was killed), or -1 if it still
 * runs then. */
int program_wait(struct program *p, dur_ns within);

/* program_wait_all - true when the program and everything below it is gone. */
bool program_wait_all(struct program *p, dur_ns within);

/*
 * program_kill_tree - the death of the whole machine: everything is stopped
 * first, then killed, so that nothing in it sees anything else die. Returns
 * when all of it is gone.
 */
void program_kill_tree(struct program *p);

/* program_run - start, wait for the end, return the exit code. Ends the test if it takes longer
 * than WAIT_LIMIT. */
int program_run(const struct program_spec *spec);

/* processes_below - the descendants of root (itself not among them), at most room of them. How
 * many.
 */
size_t processes_below(pid_t root, pid_t *ret_pids, size_t room);

/* zombies_below - how many dead children nobody has taken, of root and all below it. */
size_t zombies_below(pid_t root);

/* process_title - what ps shows, as a static string; "" when it is gone. */
const char *process_title(pid_t pid);

/* process_lives - it exists and is no zombie. */
bool process_lives(pid_t pid);

#endif
