/*
 * crowd.h - a server and any number of instances without observers: what is
 * measured must not be disturbed.
 */
#ifndef PGBATON_TESTS_BENCH_CROWD_H
#define PGBATON_TESTS_BENCH_CROWD_H

#include <libpq-fe.h>

#include "tests/bench/stamps.h"
#include "tests/support/instance.h"
#include "tests/support/server.h"
#include "tests/support/workdir.h"

enum { CROWD_MAX = 100, CROWD_PROCESSES_MAX = 32 };

struct crowd {
    struct workdir dir;
    struct server pg;
    PGconn *watch; /* a superuser's session */
    struct stamps stamps;
    struct instance member[CROWD_MAX]; /* called m0, m1, … */
    size_t count;
};

/* crowd_make - the server is up and nobody is there yet. */
void crowd_make(struct crowd *c);

/* crowd_jobs - "[job first]", @elected, which stamps; and, if wanted, "[job work]", which runs on
 * and on. For free(). */
char *crowd_jobs(const struct crowd *c, bool work);

/* crowd_grow - up to so many of them, configured like that, started. A dsn that is NULL is by TLS.
 */
void crowd_grow(struct crowd *c, size_t count, const struct instance_settings *settings);

/* crowd_settled - the leader, when somebody waits in line behind it and all the others follow. */
struct instance *crowd_settled(struct crowd *c);

/* crowd_role - the one whose probe says that it is a "follower", "heir" or "leader". */
struct instance *crowd_role(struct crowd *c, const char *role);

/* The processes of an instance; jobs are none of them. How many. */
size_t instance_processes(const struct instance *i, pid_t ret_pids[CROWD_PROCESSES_MAX]);

/* process_number - the number behind NAME in a file of /proc/PID. */
long long process_number(pid_t pid, const char *file, const char *name);

#endif
