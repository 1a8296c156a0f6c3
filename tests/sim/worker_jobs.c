/* The jobs of the leader, as worker/leader/jobs.c runs them. */
#include "tests/sim/worker_private.h"

#define TICK_EVERY DUR_MS(500) /* a job that is due so often */

void jobs_look(int i)
{
    struct worker_model *w = worker_of(i);

    if (w->jobs > JOBS_GOING && jobs_alive(i) == jobs_orphaned(i)) {
        w->jobs = JOBS_OFF;
        w->jobs_next = MONO_NEVER;
        worker_happened_first(i, (struct turn_event){.type = TURN_JOBS_IDLE});
    }
}

static void jobs_start_due(int i)
{
    struct worker_model *w = worker_of(i);

    if (w->jobs == JOBS_GOING && node_now(i) >= w->jobs_next) {
        w->jobs_next = node_now(i) + TICK_EVERY;
        if (turn_may_start(&w->turn, node_now(i)) && jobs_alive(i) < 6) {
            job_start(i, w->turn.epoch);
        }
    }
}

void jobs_due(int i)
{
    struct worker_model *w = worker_of(i);

    jobs_start_due(i);
    if (w->jobs == JOBS_DRAINING && node_now(i) >= w->jobs_next) {
        w->jobs = JOBS_TERMINATED;
        w->jobs_next = MONO_NEVER;
        jobs_terminate_all(i);
    }
    if (w->jobs == JOBS_KILLED) {
        jobs_kill_all(i, false);
    }
    jobs_look(i);
}

void jobs_become(int i, enum jobs_mode mode, mono_ns next)
{
    worker_of(i)->jobs = mode;
    worker_of(i)->jobs_next = next;
    jobs_due(i);
}
