/* Ticks of the future: a host whose clock is far ahead, and what somebody wrote (DESIGN.md section
 * 6). */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/starts.h"
#include "tests/support/text.h"
#include "tests/support/wall_clock.h"

TestSuite(future, .timeout = 180);

static struct workdir own;
static struct wall_clock wrong;
static struct fleet fleet;
static struct starts starts;
static PGconn *conn;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

#define A_YEAR DUR_S(365 * 86400LL)

/* a leads, by the clock that can be set. */
static void begin(const char *missed)
{
    static const struct instance_settings settings = {.election = ELECTION_CALM};

    workdir_make(&own);
    wall_clock_make(&wrong, &own, "clock");
    fleet_make(&fleet, 2, &settings);
    A->environment = wrong.environment;
    starts_make(&starts, &fleet.dir);
    char *jobs = text_format("[job grid]\nschedule = every 1s\nmissed = %s\n%s"
                             "[job cron]\nschedule = * * * * * *\nmissed = %s\n%s",
                             missed, starts.exec, missed, starts.exec);
    fleet_add_jobs(&fleet, &settings, jobs);
    free(jobs);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    server_do(conn, "SET search_path = pgbaton, pg_catalog, pg_temp");
    starts_wait(&starts, "a", 4);
}

static void nothing_is_in_the_future(void)
{
    no_rows(conn, "runs of the future",
            "SELECT id, job, scheduled_at, last_at, outcome, reason FROM run WHERE "
            "greatest(scheduled_at, last_at) > clock_timestamp() + interval '3 s'");
    no_rows(conn, "last ticks in the future",
            "SELECT job, last_tick FROM job_state WHERE last_tick > clock_timestamp() + interval "
            "'3 s'");
}

static void goes_wrong_under_the_leader(const char *missed)
{
    begin(missed);
    wall_clock_set(&wrong, A_YEAR);

    instance_wait(A, "released", "reason=clock");
    instance_wait(B, "elected", "");
    starts_wait(&starts, "b", 6);
    nothing_is_in_the_future();
    wall_clock_set(&wrong, 0);
    instance_wait(A, "clock_right", "");
    instance_stop(A);
    instance_stop(B);
    starts_check(&starts, conn);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(future, is_not_written_by_a_leader_whose_clock_goes_a_year_ahead)
{
    goes_wrong_under_the_leader("once");
}

Test(future, is_not_run_by_a_leader_whose_clock_goes_a_year_ahead)
{
    goes_wrong_under_the_leader("all");
}

Test(future, is_no_seat_for_an_instance_whose_clock_is_a_year_ahead)
{
    begin("all");
    instance_stop(A);
    instance_wait(B, "elected", "");
    wall_clock_set(&wrong, A_YEAR);
    instance_mark(A);
    instance_start(A, NULL);

    instance_wait(A, "clock_wrong", "");
    starts_wait(&starts, "b", 6);
    cr_expect_eq(instance_logged(A, "seat_taken", ""), 0, "%s", text_tail(A->log));
    nothing_is_in_the_future();
    instance_stop(A);
    instance_stop(B);
    starts_check(&starts, conn);
    PQfinish(conn);
    fleet_check(&fleet);
}

/* The next leader cuts it, for itself and for those after it. */
Test(future, that_somebody_wrote_as_the_last_tick_is_cut_to_the_databases_now)
{
    begin("all");
    election_row_hold(conn); /* no term opens before that is written */
    program_kill_tree(&A->supervisor);
    server_do(conn, "UPDATE job_state SET last_tick = clock_timestamp() + interval '1 year' WHERE "
                    "job IN ('grid', 'cron'); COMMIT");

    instance_wait(B, "last_tick_in_future", "job=grid");
    instance_wait(B, "last_tick_in_future", "job=cron");
    starts_wait(&starts, "b", 4);
    nothing_is_in_the_future();

    instance_mark(A);
    instance_start(A, NULL);
    instance_wait(A, "seat_taken", "");
    program_kill_tree(&B->supervisor);
    instance_wait(A, "elected", "");
    starts_wait(&starts, "a", starts_of(&starts, "a") + 4);
    cr_expect_eq(instance_logged(A, "last_tick_in_future", ""), 0);
    instance_stop(A);
    starts_load(&starts, conn);
    no_rows(
        conn, "seconds of the second failover without a row",
        "SELECT job, second FROM (SELECT job, min(at) AS first, max(at) AS last FROM tick WHERE "
        "id NOT LIKE '1.1-%' GROUP BY job) t, generate_series(first, last, '1 s') second WHERE "
        "NOT EXISTS (SELECT FROM tick k WHERE k.job = t.job AND k.at = second)");
    PQfinish(conn);
    fleet_check(&fleet);
}
