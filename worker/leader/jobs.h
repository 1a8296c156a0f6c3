/*
 * jobs.h - the jobs of the present term: started when due, watched, stopped.
 *
 * The shell around worker/leader/scheduler.c (PURE: what is due, what is
 * skipped, when a service starts again). Owns every job process of the worker.
 *
 * Runs in: worker. Started only between jobs_begin() and the first of
 * jobs_drain(), jobs_terminate() and jobs_kill().
 */
#ifndef PGBATON_WORKER_LEADER_JOBS_H
#define PGBATON_WORKER_LEADER_JOBS_H

#include <ev.h>
#include <stdbool.h>

#include "common/config.h"
#include "common/identity.h"
#include "common/message.h"
#include "common/process_tree.h"
#include "common/scoreboard.h"
#include "worker/leader/ledger.h"

struct jobs; /* opaque */

struct jobs_events {
    /* Asked immediately before each fork: is the term still ours, by the deadline? */
    bool (*may_start)(void *ctx);
    /* What was due when the term began has been started. */
    void (*on_started)(void *ctx);
    /* After drain, terminate or kill: the last process of every job, and every orphan of theirs, is
     * gone. */
    void (*on_idle)(void *ctx);
    /* A critical service cannot be kept up. */
    void (*on_critical)(void *ctx, const char *job);
    /* The ledger says that another term was opened. */
    void (*on_term_over)(void *ctx);
    void *ctx;
};

/* jobs_new - NULL: out of memory. board may be NULL. */
struct jobs *jobs_new(struct ev_loop *loop, struct scoreboard *board,
                      const struct jobs_events *events, uint64_t seed);
void jobs_free(struct jobs *jobs); /* asserts that none runs */

/*
 * jobs_configure - take this configuration: before a term, or in it (reload:
 * a running job keeps its old definition until it ends, a changed `always` job
 * is restarted, a removed or disabled one gets TERM). cfg must stay valid until
 * the next call of jobs_configure has returned.
 */
void jobs_configure(struct jobs *jobs, const struct config *cfg);

/* jobs_server - where SQL jobs of the next term connect to: where the lock's session is. */
void jobs_server(struct jobs *jobs, const struct server_address *address);

/*
 * jobs_begin - the term is open and its wait over: start @elected and the
 * services, follow the schedule. The ledger was opened with jobs_ledger_events();
 * it stays the caller's, who says jobs_forget_ledger() before closing it. Ticks
 * until unknown_until may have been run, and their record been lost (0: none).
 */
void jobs_begin(struct jobs *jobs, struct epoch epoch, struct ledger *ledger,
                wall_ns unknown_until);
struct ledger_events jobs_ledger_events(struct jobs *jobs);
void jobs_forget_ledger(struct jobs *jobs);

/* jobs_progress - how the schedule goes on, for the supervisor to judge. */
struct message_progress jobs_progress(const struct jobs *jobs);

/* jobs_requests_came - somebody has asked for something: look at the ledger's requests. */
void jobs_requests_came(struct jobs *jobs);

/* jobs_command - one that did not come by the ledger: done at once. Its id is not looked at. */
struct jobs_answer {
    bool done;               /* false: refused */
    char run_id[RUN_ID_MAX]; /* "": none */
    char text[256];
};
void jobs_command(struct jobs *jobs, const struct ledger_request *request,
                  struct jobs_answer *ret_answer);

/*
 * jobs_drain - graceful: start nothing new; running jobs may end until
 * drain_until, then TERM, their grace (cut to what is left), KILL; then the
 * @released jobs; all of it over by over_by. on_idle is called, also when
 * there was nothing to do (never from inside this call).
 */
void jobs_drain(struct jobs *jobs, mono_ns drain_until, mono_ns over_by);

/* jobs_terminate - start nothing new; TERM to every job now, no @released. Repeating it does
 * nothing. on_idle is called when all are gone. */
void jobs_terminate(struct jobs *jobs);

/* jobs_kill - SIGKILL to every process below this one that is not a helper (jobs_keep), again and
 * again until none is left; on_idle is called then. Repeating it does nothing. */
void jobs_kill(struct jobs *jobs);

/* jobs_keep - children of the worker that are no jobs (the SQLite waiter): never killed by the
 * sweeps. */
void jobs_keep(struct jobs *jobs, pid_t helper, bool keep);

/* jobs_reap - SIGCHLD was read: take every dead child but helpers; true if pid_of_helper ended
 * (status in *ret_status). */
bool jobs_reap(struct jobs *jobs, pid_t helper, int *ret_status);

/* jobs_running - how many runs are alive; jobs_idle - nothing of a job is alive, orphans neither.
 */
unsigned jobs_running(const struct jobs *jobs);
bool jobs_idle(const struct jobs *jobs);

/* jobs_containment - what holds the jobs of this worker: "cgroup v2 …", "process groups and
 * subreaper". */
const char *jobs_containment(const struct jobs *jobs);

/*
 * jobs_exec_here - `pgbaton exec JOB`: become the job's command, here and now,
 * with its user, directory, limits and environment (PGBATON_ATTEMPT=1,
 * PGBATON_EPOCH empty), and ended when its timeout is over. Returns only on failure: an exit code,
 * with the reason in reterr. Statements are run in this process, on the configured dsn, and no
 * epoch is asserted: then it returns in any case, with what was done or why not in reterr.
 */
int jobs_exec_here(const struct config *cfg, const struct config_job *job, char *reterr,
                   size_t size);

#endif
