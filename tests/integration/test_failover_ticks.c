/*
 * The leader ends in the very second of a tick, in one way or another: every second has its row,
 * and no tick is started twice (DESIGN.md section 6). The ways and the moments come from a seed.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/random.h"
#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/starts.h"
#include "tests/support/text.h"

enum { ROUNDS = 4, ROUNDS_LONG = 50, AROUND_MS = 300 };

TestSuite(failover_ticks, .timeout = 1500);

static struct fleet fleet;
static struct prng chance;
static PGconn *conn;
static struct starts starts;

/* Nobody is dead, stopped, or without its worker for longer than a round. */
enum way { KILL_ALL, KILL_WORKER, STOP_ALL, STEP_DOWN, END_SESSION, WAYS };

static const char *const way_names[WAYS] = {
    [KILL_ALL] = "kill all",
    [KILL_WORKER] = "kill the worker",
    [STOP_ALL] = "stop all for a while",
    [STEP_DOWN] = "step-down",
    [END_SESSION] = "pg_terminate_backend",
};

static uint64_t seed_of_this_run(void)
{
    const char *text = getenv("PGBATON_TEST_SEED");

    return text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
}

static size_t rounds_of_this_run(void)
{
    return getenv("PGBATON_TEST_LONG") != NULL ? ROUNDS_LONG : ROUNDS;
}

/* ---- the fleet ---- */

static void begin(void)
{
    static const struct instance_settings settings = {.election = ELECTION_SHORT};

    fleet_make(&fleet, 3, &settings);
    starts_make(&starts, &fleet.dir);
    char *jobs = text_format("[job grid]\nschedule = every 1s\nmissed = all\n"
                             "on_interrupt = rerun\n%s"
                             "[job cron]\nschedule = * * * * * *\nmissed = all\n%s",
                             starts.exec, starts.exec);
    fleet_add_jobs(&fleet, &settings, jobs);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    free(jobs);
}

/* Who holds the key: what a log says last may be of a life before this one. NULL: nobody. */
static struct instance *holder(void)
{
    char *sql = text_format("SELECT split_part(application_name, ' ', 5) FROM pg_stat_activity "
                            "WHERE pid = %d",
                            leader_pid(conn));
    const char *name = server_scalar(conn, sql);
    struct instance *found = NULL;

    for (size_t i = 0; i < fleet.count; i++) {
        if (name != NULL && strcmp(fleet.member[i].name, name) == 0) {
            found = &fleet.member[i];
        }
    }
    free(sql);
    return found;
}

struct working_leader {
    size_t before[FLEET_MAX];
    size_t more;
    struct instance *found;
};

static bool works(void *ctx)
{
    struct working_leader *w = ctx;

    w->found = holder();
    return w->found != NULL &&
           starts_of(&starts, w->found->name) >= w->before[w->found - fleet.member] + w->more;
}

/* A leader that has started so many from now on. */
static struct instance *wait_working_leader(size_t more)
{
    struct working_leader wanted = {.more = more};

    for (size_t i = 0; i < fleet.count; i++) {
        wanted.before[i] = starts_of(&starts, fleet.member[i].name);
    }
    cr_assert(wait_until(works, &wanted, WAIT_LIMIT), "nobody starts anything:\n%s",
              text_tail(fleet.member[0].log));
    return wanted.found;
}

static bool heir_waits(void *ctx)
{
    (void)ctx;
    return backend_waiting(conn) != 0;
}

/* ---- the end of a leader ---- */

static void wait_for_moment(void)
{
    wall_ns second = (clock_wall() / DUR_S(1) + 2) * DUR_S(1);
    dur_ns off = DUR_MS((int64_t)prng_below(&chance, 2 * AROUND_MS + 1) - AROUND_MS);
    wall_ns at = second + off;
    const struct timespec until = {.tv_sec = at / DUR_S(1), .tv_nsec = at % DUR_S(1)};

    (void)clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
}

static void end_leader(struct instance *leader, enum way way, pid_t worker, int session)
{
    static struct outcome told;

    switch (way) {
    case KILL_ALL:
        program_kill_tree(&leader->supervisor);
        break;
    case KILL_WORKER:
        cr_assert_eq(kill(worker, SIGKILL), 0);
        break;
    case STOP_ALL:
        program_signal_tree(&leader->supervisor, SIGSTOP);
        break;
    case STEP_DOWN:
        instance_command(leader, &told, "step-down", "--force", "--for", "2s", NULL);
        /* On a busy machine it may have lost its lease a moment ago. */
        cr_assert(told.code == 0 || instance_term_ended(leader), "%s%s", told.out, told.err);
        break;
    case END_SESSION:
        backend_terminate(conn, session);
        break;
    case WAYS:
        break;
    }
}

struct wanted_terms {
    long more_than;
};

static long terms(void)
{
    return strtol(server_scalar(conn, "SELECT max(number) FROM pgbaton.term"), NULL, 10);
}

static bool term_is_new(void *ctx)
{
    return terms() > ((struct wanted_terms *)ctx)->more_than;
}

static void make_well(struct instance *leader, enum way way)
{
    if (way == KILL_ALL) {
        instance_start(leader, NULL);
    } else if (way == STOP_ALL) {
        program_signal_tree(&leader->supervisor, SIGCONT);
        cr_assert(wait_until(instance_term_ended, leader, WAIT_LIMIT), "%s",
                  text_tail(leader->log));
    }
}

static void play_round(size_t number)
{
    enum way way = (enum way)prng_below(&chance, WAYS);

    cr_assert(wait_until(heir_waits, NULL, WAIT_LIMIT), "nobody waits");
    struct instance *leader = wait_working_leader(2);
    struct wanted_terms now = {.more_than = terms()};
    pid_t worker = instance_wait_child(leader, "worker", 0);
    int session = leader_pid(conn);
    instance_mark(leader);
    wait_for_moment();
    fprintf(stderr, "round %zu: %s of %s\n", number, way_names[way], leader->name);
    end_leader(leader, way, worker, session);
    cr_assert(wait_until(term_is_new, &now, WAIT_LIMIT), "nobody leads after %s of %s:\n%s",
              way_names[way], leader->name, text_tail(leader->log));
    make_well(leader, way);
}

Test(failover_ticks, every_second_has_one_row_and_no_tick_is_started_twice)
{
    uint64_t seed = seed_of_this_run();
    size_t rounds = rounds_of_this_run();

    fprintf(stderr, "PGBATON_TEST_SEED=%" PRIu64 "\n", seed);
    prng_seed(&chance, seed);
    begin();
    for (size_t i = 0; i < rounds; i++) {
        play_round(i);
    }
    (void)wait_working_leader(4);
    for (size_t i = 0; i < fleet.count; i++) {
        instance_stop(&fleet.member[i]);
    }

    starts_check(&starts, conn);
    no_rows(conn, "a second attempt where none was to be",
            "SELECT job, at FROM tick WHERE job = 'cron' AND attempt > 1");
    cr_expect_geq(terms(), (long)rounds + 1);
    cr_expect_str_eq(server_scalar(conn, "SELECT count(DISTINCT job) FROM note"), "2");
    PQfinish(conn);
    /* Not the diary: what a stopped instance's jobs do between its waking and its first heartbeat
     * is not covered (DESIGN.md section 4). */
    poller_check(&fleet.poller);
}
