/*
 * Alive but silent is dead: a leader whose heartbeats go on while nothing that is due is started
 * any more (supervisor/lag.c). The wall clock of its worker stands still, so that no tick ever
 * comes; that of everybody else goes on.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/fleet.h"
#include "tests/support/starts.h"
#include "tests/support/text.h"
#include "tests/support/wall_clock.h"

TestSuite(standstill, .timeout = 180);

static struct workdir own;
static struct wall_clock clock_of_a;
static struct fleet fleet;
static struct starts starts;
static PGconn *conn;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* a leads and starts something every second. */
static void begin(size_t count)
{
    static const struct instance_settings settings = {.election = ELECTION_CALM};

    workdir_make(&own);
    wall_clock_make(&clock_of_a, &own, "clock");
    fleet_make(&fleet, count, &settings);
    fleet.member[0].environment = clock_of_a.environment;
    starts_make(&starts, &fleet.dir);
    char *jobs = text_format("[job grid]\nschedule = every 1s\nmissed = all\n%s", starts.exec);
    fleet_add_jobs(&fleet, &settings, jobs);
    free(jobs);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    server_do(conn, "SET search_path = pgbaton, pg_catalog, pg_temp");
    starts_wait(&starts, "a", 2);
}

/* Each second has its row, whoever led; none was started twice. */
static void end(void)
{
    for (size_t i = 0; i < fleet.count; i++) {
        instance_stop(&fleet.member[i]);
    }
    starts_check(&starts, conn);
    PQfinish(conn);
    fleet_check(&fleet);
}

/* Its lease does not run out, its session does not end: nobody else has a reason to end its term.
 */
static pid_t stand_still(void)
{
    pid_t worker = instance_child(A, "leader worker");

    cr_assert_neq(worker, 0);
    instance_mark(A);
    wall_clock_stop(&clock_of_a, worker);
    instance_wait(A, "scheduler_lags", "");
    cr_expect_not(instance_term_ended(A), "%s", text_tail(A->log));
    size_t before = diary_lines(&fleet.diary, "a"); /* a service goes on, and so does the lease */
    diary_wait(&fleet.diary, "a", before + 2);
    return worker;
}

Test(standstill, of_a_schedule_is_said_and_ends_the_term_and_the_next_leader_runs_what_was_due)
{
    begin(2);
    pid_t worker = stand_still();

    instance_wait(A, "scheduler_stuck", "");
    instance_wait(A, "fenced", "epoch=1.1 reason=worker_died");
    cr_expect_eq(instance_logged(A, "scheduler_caught_up", ""), 0, "%s", text_tail(A->log));
    instance_wait(B, "elected", "epoch=1.2");
    starts_wait(&starts, "b", starts_of(&starts, "b") + 3);
    diary_wait(&fleet.diary, "b", 20);

    cr_expect_neq(instance_wait_child(A, "worker", worker), worker);
    instance_wait(A, "seat_taken", "");
    cr_expect_eq(diary_terms(&fleet.diary), 2);
    end();
}

Test(standstill, of_the_only_instance_is_over_when_its_worker_was_restarted)
{
    begin(1);
    pid_t worker = stand_still();

    instance_wait(A, "scheduler_stuck", "");
    instance_wait(A, "elected", "epoch=1.2");
    cr_expect_neq(instance_wait_child(A, "leader worker", worker), worker);
    starts_wait(&starts, "a", starts_of(&starts, "a") + 3);
    end();
}
