/*
 * How long until somebody else's first job runs? Measured beside the floor: a
 * bare libpq client that waits in pg_advisory_lock(), is granted the lock
 * because its holder was killed, and spawns the same command. Floor and fault
 * take turns, so that a noisy machine is noisy for both.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/bench/crowd.h"
#include "tests/bench/floor.h"
#include "tests/bench/table.h"
#include "tests/support/wait.h"

enum { TRIALS = 30, FEW = 3, MANY = 100 };

/* Whom the fault hits is looked up before the clock is started. */
struct fault {
    int signal;
    size_t (*find)(const struct instance *leader, pid_t *ret_pids, size_t room);
    bool ends; /* the instance, which is then started anew */
};

static size_t whole_tree(const struct instance *leader, pid_t *ret_pids, size_t room)
{
    return processes_below(leader->supervisor.guard, ret_pids, room);
}

static size_t worker_alone(const struct instance *leader, pid_t *ret_pids, size_t room)
{
    (void)room;
    ret_pids[0] = instance_child(leader, "leader worker");
    cr_assert(ret_pids[0] > 0);
    return 1;
}

static size_t supervisor_alone(const struct instance *leader, pid_t *ret_pids, size_t room)
{
    (void)room;
    ret_pids[0] = leader->supervisor.pid;
    return 1;
}

static const struct fault tree_killed = {SIGKILL, whole_tree, true};
static const struct fault worker_killed = {SIGKILL, worker_alone, false};
static const struct fault asked_to_stop = {SIGTERM, supervisor_alone, true};

static dur_ns one_takeover(struct crowd *c, const struct fault *fault)
{
    pid_t hit[CROWD_PROCESSES_MAX];
    struct instance *leader = crowd_settled(c);
    size_t count = fault->find(leader, hit, CROWD_PROCESSES_MAX);
    size_t before = stamps_count(&c->stamps);
    mono_ns at = clock_now();

    for (size_t i = 0; i < count; i++) {
        (void)kill(hit[i], fault->signal);
    }
    dur_ns took = stamps_wait(&c->stamps, before) - at;
    if (fault->ends) {
        cr_assert(program_wait_all(&leader->supervisor, WAIT_LIMIT));
        instance_start(leader, NULL);
    }
    return took;
}

static void measure(struct crowd *c, const struct fault *fault, struct series *ret_took,
                    struct series *ret_floor)
{
    *ret_took = *ret_floor = (struct series){.count = 0};
    for (size_t i = 0; i < TRIALS; i++) {
        series_add(ret_took, one_takeover(c, fault));
        (void)crowd_settled(c);
        series_add(ret_floor, floor_takeover(&c->pg, &c->stamps, c->watch));
    }
}

static struct crowd *crowd_of(size_t count, bool work)
{
    static struct crowd c;

    crowd_make(&c);
    char *jobs = crowd_jobs(&c, work);
    struct instance_settings settings = {.election = "takeover_delay = 0\n", .job = jobs};

    crowd_grow(&c, count, &settings);
    free(jobs);
    return &c;
}

Test(bench, takeover, .timeout = 900)
{
    struct crowd *c = crowd_of(FEW, true);
    static struct series took, floor_took;

    measure(c, &tree_killed, &took, &floor_took);
    double few = series_median_ms(&took);
    table_floor("floor: holder of pg_advisory_lock() SIGKILLed → a bare client's command runs",
                &floor_took);
    table_times("leader's tree SIGKILLed → heir's first job runs, 3 instances", &took, &floor_took,
                2.5);
    measure(c, &worker_killed, &took, &floor_took);
    table_times("leader's worker SIGKILLed, its job running", &took, &floor_took, 3);
    measure(c, &asked_to_stop, &took, &floor_took);
    table_times("leader asked to stop, its job running", &took, &floor_took, 2.5);

    char *jobs = crowd_jobs(c, true);
    struct instance_settings settings = {.election = "takeover_delay = 0\n", .job = jobs};
    crowd_grow(c, MANY, &settings);
    free(jobs);
    measure(c, &tree_killed, &took, &floor_took);
    table_times("leader's tree SIGKILLed, 100 instances", &took, &floor_took, 2.5);
    table_beside("100 instances beside 3", series_median_ms(&took), few, 1.5);
}

Test(bench, release, .timeout = 300)
{
    struct crowd *c = crowd_of(FEW, false);
    static struct series took, floor_took;

    measure(c, &asked_to_stop, &took, &floor_took);
    table_times("leader asked to stop, no job running", &took, &floor_took, 2.5);
}
