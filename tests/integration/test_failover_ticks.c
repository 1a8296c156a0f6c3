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
#include "tests/support/text.h"

enum { ROUNDS = 4, ROUNDS_LONG = 50, AROUND_MS = 300 };

TestSuite(failover_ticks, .timeout = 1500);

static struct fleet fleet;
static struct prng chance;
static PGconn *conn;
static char *notes; /* a line for each start */

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
    notes = text_format("%s/notes", fleet.dir.path);
    char *script = text_format("%s/note.sh", fleet.dir.path);
    /* One echo is one write(2), so lines never mix. */
    text_write(script, "echo \"$PGBATON_JOB $PGBATON_RUN_ID $PGBATON_SCHEDULED_AT"
                       " $PGBATON_ATTEMPT $PGBATON_INSTANCE\" >>\"$1\"\n");
    text_write(notes, "");
    char *jobs = text_format("[job grid]\nschedule = every 1s\nmissed = all\n"
                             "on_interrupt = rerun\nexec = /bin/sh %s %s\n"
                             "[job cron]\nschedule = * * * * * *\nmissed = all\n"
                             "exec = /bin/sh %s %s\n",
                             script, notes, script, notes);
    fleet_add_jobs(&fleet, &settings, jobs);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    free(jobs);
    free(script);
}

static size_t starts_of(const struct instance *i)
{
    char *text = text_read(notes);
    char *end = text_format(" %s\n", i->name);
    size_t count = text_count(text, end);

    free(end);
    free(text);
    return count;
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
    size_t starts[FLEET_MAX]; /* as they were */
    size_t more;
    struct instance *found;
};

static bool works(void *ctx)
{
    struct working_leader *w = ctx;

    w->found = holder();
    return w->found != NULL && starts_of(w->found) >= w->starts[w->found - fleet.member] + w->more;
}

/* A leader that has started so many from now on. */
static struct instance *wait_working_leader(size_t more)
{
    struct working_leader wanted = {.more = more};

    for (size_t i = 0; i < fleet.count; i++) {
        wanted.starts[i] = starts_of(&fleet.member[i]);
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
        cr_assert_eq(told.code, 0, "%s%s", told.out, told.err);
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

/* ---- what is to be true ---- */

/* Those that say "0", with the first few of what they count. */
static void none(const char *what, const char *from)
{
    char *sql =
        text_format("SELECT string_agg(x::text, ' ') FROM (SELECT * FROM (%s) y LIMIT 5) x", from);
    const char *found = server_scalar(conn, sql);

    cr_expect_null(found, "%s: %s", what, found);
    free(sql);
}

static void load_notes(void)
{
    char *sql = text_format("COPY note FROM '%s' (DELIMITER ' ')", notes);

    server_do(conn, "SET search_path = pgbaton, pg_catalog, pg_temp");
    server_do(conn, "CREATE TEMP TABLE note (job text, id text, at timestamptz, attempt int, "
                    "instance text)");
    server_do(conn, sql);
    /* A row of missed ticks stands for each of them. */
    server_do(conn, "CREATE TEMP VIEW tick AS SELECT job, id, attempt, outcome, reason, "
                    "generate_series(scheduled_at, coalesce(last_at, scheduled_at), '1 s') AS at "
                    "FROM run WHERE job IN ('grid', 'cron')");
    free(sql);
}

static void every_tick_has_one_row(void)
{
    none("ticks with two rows",
         "SELECT job, at, attempt, array_agg(id || ' ' || outcome) FROM tick "
         "GROUP BY 1, 2, 3 HAVING count(*) > 1");
    none(
        "seconds without a row",
        "SELECT job, second FROM (SELECT job, min(at) AS first, max(at) AS last FROM tick GROUP BY "
        "job) t, generate_series(first, last, '1 s') second WHERE NOT EXISTS (SELECT FROM tick k "
        "WHERE k.job = t.job AND k.at = second AND k.attempt = 1)");
    none("rows whose count is another", "SELECT id, count FROM run WHERE job IN ('grid', 'cron') "
                                        "AND count <> 1 + extract(epoch FROM coalesce(last_at, "
                                        "scheduled_at) - scheduled_at)");
    none("runs that are open", "SELECT id, job, at, outcome FROM tick WHERE outcome IN "
                               "('claimed', 'running')");
}

static void no_tick_was_started_twice(void)
{
    none("ticks started twice", "SELECT job, at, attempt, array_agg(id || ' ' || instance) FROM "
                                "note GROUP BY 1, 2, 3 HAVING count(*) > 1");
    none("starts without a row",
         "SELECT * FROM note n WHERE NOT EXISTS (SELECT FROM run r WHERE r.id = n.id AND r.job = "
         "n.job AND r.scheduled_at = n.at AND r.attempt = n.attempt AND r.last_at IS NULL)");
    none("starts of what has no start", "SELECT n.* FROM note n JOIN run r USING (id) WHERE "
                                        "r.outcome IN ('queued', 'retrying', 'skipped', 'missed')");
    none("runs that succeeded and did not start",
         "SELECT id, job, at FROM tick WHERE outcome = 'succeeded' AND id NOT IN (SELECT id FROM "
         "note)");
    none("a second attempt where none was to be",
         "SELECT job, at FROM tick WHERE job = 'cron' AND attempt > 1");
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

    load_notes();
    every_tick_has_one_row();
    no_tick_was_started_twice();
    cr_expect_geq(terms(), (long)rounds + 1);
    cr_expect_str_eq(server_scalar(conn, "SELECT count(DISTINCT job) FROM note"), "2");
    PQfinish(conn);
    free(notes);
    fleet_check(&fleet);
}
