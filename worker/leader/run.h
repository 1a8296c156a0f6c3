/*
 * run.h - one run of a job: its process, what it prints, how all of it is stopped.
 *
 * A run ends when its process has been reaped. One that was told to stop, and a
 * service's, ends when also everything is gone that was found below it, in its
 * group or in its cgroup. What any other run leaves behind is left alone; it
 * dies with the term.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_RUN_H
#define PGBATON_WORKER_LEADER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/config.h"
#include "worker/leader/account.h"
#include "worker/leader/cgroup.h"
#include "worker/leader/excerpt.h"
#include "worker/leader/ledger.h"
#include "worker/leader/output.h"
#include "worker/leader/run_sql.h"
#include "worker/leader/snapshot.h"

struct run {
    struct run *next; /* in the table by pid */
    void *owner;      /* the job */
    pid_t pid;        /* also its process group */
    bool is_sql;      /* its job may be another one meanwhile, by a reload */
    bool reaped;
    int status; /* as waitpid() gave it, once it is reaped */
    uint64_t number;
    char id[RUN_ID_MAX];
    mono_ns started_at;
    wall_ns started_wall;
    struct output *standard_output; /* NULL: none */
    struct output *standard_error;
    struct excerpt excerpt; /* of what it prints */
    int file;               /* output = FILE; -1: none */
    off_t file_from;        /* where it ended when the run began */
    int report_fd;          /* of an SQL job; -1: none */
    struct run_report report;
    bool in_cgroup;
    struct family family; /* of a run that was told to stop */
};

/* What all runs of a worker share. */
struct run_world {
    const struct config *config;
    struct outputs outputs;
    struct cgroup cgroup;
    struct server_address server; /* of the lock's session, for SQL jobs; all "": wherever the dsn
                                     leads */
};

struct run_order {
    const struct config_job *job;
    const struct account *account;
    const char *epoch; /* "1.7" */
    const char *id;    /* of its row in the ledger */
    uint64_t number;   /* unique in the life of the worker */
    unsigned attempt;
    wall_ns scheduled_at;
    char *const *more;            /* of its environment: NAME=VALUE, NULL-terminated; NULL: none */
    bool (*may_start)(void *ctx); /* asked last of all, immediately before the fork */
    void *ctx;
};

/* run_start - NULL with the reason in reterr ("": may_start said no); nothing is left of it then.
 */
struct run *run_start(struct run_world *world, const struct run_order *order, void *owner,
                      char *reterr, size_t size);

/* run_free - it is over: the rest of its output is logged. */
void run_free(struct run_world *world, struct run *run);

/*
 * run_signal - SIGTERM or SIGKILL to all of it: the group and everything below,
 * as this look (NULL: none could be had) and the ones before have found them.
 */
void run_signal(const struct run_world *world, struct run *run, int signal_number,
                const struct snapshot *now);

/* run_example - a pid of it that still lives, as far as is known. */
pid_t run_example(const struct run *run);

/* run_reaped - waitpid() said so and gave run->status; now: a look taken since, or NULL. */
void run_reaped(const struct run_world *world, struct run *run, const struct snapshot *now);

/* run_is_gone - reaped, and nothing of its family lives. For a run that was signalled. */
bool run_is_gone(const struct run_world *world, struct run *run, const struct snapshot *now);

/*
 * run_excerpt - the beginning and the end of what it has printed until now, standard output and
 * error together in the order in which they were read: half of output_limit each. Of output = FILE
 * it is what was added to the file since the run began, by others too; of output = none, of a FILE
 * that is no regular file, and with output_limit = 0 it is empty. After output_flush() of both
 * streams it is complete; a FILE is read in the first call, so that comes after the run's end.
 * Valid until run_free().
 */
const struct excerpt *run_excerpt(struct run *run);

/* run_result - of an SQL job that was reaped: what its last statement did, "UPDATE 42". run_reason
 * - why it failed: "23505 duplicate key value violates ...". "": there is none. */
const char *run_result(const struct run *run);
const char *run_reason(const struct run *run);

/* run_code - what a shell would call it: the exit code, or 128 + signal. */
int run_code(const struct run *run);

#endif
