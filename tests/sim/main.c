/*
 * The simulator: many runs of a fleet under faults that a seed chooses.
 *
 *   usage: sim [FIRST-SEED [RUNS]]      one seed alone prints its time-line
 *
 * A run that violates what is promised is run again with its time-line, and the
 * program ends with 1. Ends with 0 when all runs held.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "tests/sim/checks.h"
#include "tests/sim/faults.h"
#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "tests/sim/queue.h"
#include "tests/sim/server.h"

static sigjmp_buf failed;
static char failure[512];
static dur_ns slowest; /* from the last fault to the leader, of all runs */

void violation(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(failure, sizeof(failure), format, args);
    va_end(args);
    trace("VIOLATION  %s", failure);
    siglongjmp(failed, 1);
}

/* An assertion of the code under test: it has said which. */
static void on_abort(int number)
{
    (void)number;
    (void)snprintf(failure, sizeof(failure), "an assertion does not hold");
    siglongjmp(failed, 1);
}

/* Only numbers that `pgbaton check` accepts. */
static void draw_settings(struct settings *s)
{
    struct budget b;
    char text[512];

    do {
        s->lease = between(DUR_S(3), DUR_S(15));
        s->heartbeat = s->lease / 10 < DUR_S(1) ? s->lease / 10 : DUR_S(1);
        s->stop_grace = between(DUR_MS(300), DUR_S(2));
        s->loss_grace = between(DUR_MS(50), DUR_MS(500));
        s->takeover_delay = chance(100) ? s->lease : between(DUR_S(1), DUR_S(3));
        if (chance(50)) {
            s->takeover_delay = 0;
        }
        b = (struct budget){
            .lease = s->lease,
            .heartbeat = s->heartbeat,
            .stop_grace = s->stop_grace,
            .loss_grace = s->loss_grace,
            .takeover_delay = s->takeover_delay,
        };
    } while (budget_check(&b, text, sizeof(text)) != BUDGET_HOLDS);
    s->retry_interval = between(DUR_MS(300), DUR_S(5));
    s->backoff_max = between(DUR_S(5), DUR_S(20));
    s->connect_timeout = between(DUR_S(1), DUR_S(5));
    s->stop_timeout = between(DUR_S(4), DUR_S(10));
    s->job_grace = between(DUR_MS(500), DUR_S(2));
    s->poll = chance(100);
}

static void make_world(uint64_t seed, bool tracing)
{
    world = (struct world){.seed = seed, .tracing = tracing};
    prng_seed(&world.random, seed);
    queue_reset();
    draw_settings(&world.settings);
    world.nodes = 2 + (int)draw(NODES_MAX - 1);
    network_reset();
    server_reset();
    checks_reset();
    for (int i = 0; i < world.nodes; i++) {
        node_reset(i);
    }
    trace("seed %" PRIu64 ": %d nodes, lease %.1f s, takeover_delay %.1f s, mode %s", seed,
          world.nodes, (double)world.settings.lease / 1e9,
          (double)world.settings.takeover_delay / 1e9, world.settings.poll ? "poll" : "heir");
}

/* Stuck backends take two leases each to be found out, the jobs may have to wait for one more. */
static dur_ns somebody_leads_within(void)
{
    const struct settings *s = &world.settings;

    return 6 * s->lease + 3 * s->backoff_max + 4 * s->connect_timeout + DUR_S(10);
}

/* One that lasts: a backend that is stuck already takes a while to show it. */
static void expect_a_leader(void)
{
    mono_ns quiet = world.now;
    mono_ns since = world.now;
    mono_ns limit = world.now + somebody_leads_within();
    int leader = -1;

    while (leader < 0 || world.now < since + 2 * world.settings.lease) {
        world_run_until(world.now + DUR_MS(100));
        if (leader < 0 || checks_leader() != leader) {
            leader = checks_leader();
            since = world.now;
        }
        if (since > limit) {
            violation("nobody leads for good %.1f s after the last fault",
                      (double)(limit - quiet) / 1e9);
        }
    }
    if (since - quiet > slowest) {
        slowest = since - quiet;
    }
}

static void expect_a_graceful_end(void)
{
    const struct note term = {.type = NOTE_SIGNAL, .status = 0};

    faults_keep_alive(false);
    for (int i = 0; i < world.nodes; i++) {
        node_post(i, PROCESS_SUPERVISOR, &term);
    }
    world_run_until(world.now + world.settings.stop_timeout + DUR_S(3));
    for (int i = 0; i < world.nodes; i++) {
        if (!node_is_gone(i)) {
            violation("node %d has not stopped", i);
        }
    }
    if (server_key_node() >= 0) {
        violation("the key is held though every instance has ended");
    }
}

static uint64_t run(uint64_t seed, bool tracing)
{
    mono_ns until;

    make_world(seed, tracing);
    until = between(DUR_S(20), DUR_S(90));
    faults_keep_alive(true);
    faults_begin(until);
    world_run_until(until);
    faults_end();
    expect_a_leader();
    expect_a_graceful_end();
    return world.steps;
}

/* How it came to that, once more from the beginning. */
static int explain(uint64_t seed)
{
    char first[sizeof(failure)];

    memcpy(first, failure, sizeof(first));
    if (sigsetjmp(failed, 1) == 0) {
        (void)run(seed, true);
        (void)fprintf(stderr, "seed %" PRIu64 " held when it was run again: it is no replay\n",
                      seed);
    }
    (void)fprintf(stderr, "FAILED seed=%" PRIu64 ": %s\n", seed, first);
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    static volatile uint64_t i; /* outlives the jump */
    static uint64_t steps;

    (void)signal(SIGABRT, on_abort);
    if (sigsetjmp(failed, 1) != 0) {
        return explain(first + i);
    }
    for (i = 0; i < runs; i++) {
        steps += run(first + i, argc == 2);
    }
    (void)printf("%" PRIu64 " seeds from %" PRIu64 " held, %" PRIu64
                 " steps, slowest recovery %.1f s\n",
                 runs, first, steps, (double)slowest / 1e9);
    return 0;
}
