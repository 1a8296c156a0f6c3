/* Two versions of the configuration in one fleet: the leader's is the one that counts, and nothing
 * that only the other has is lost. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/starts.h"
#include "tests/support/text.h"

TestSuite(mixed_jobs, .timeout = 180);

static struct fleet fleet;
static struct starts starts;
static struct outcome told;
static PGconn *conn;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* a leads with an old version, b waits with a new one. */
static void begin(void)
{
    static const struct instance_settings calm = {.jobs = "grace = 500ms\n"};

    fleet_make(&fleet, 2, &calm);
    starts_make(&starts, &fleet.dir);
    char *old =
        text_format("[job shared]\nschedule = manual\ncommand = echo old\n"
                    "[job removed]\nschedule = every 1s\nmissed = all\noverlap = allow\n%s%s",
                    starts.exec, fleet.diary.job);
    char *new = text_format("[job shared]\nschedule = manual\ncommand = echo new\n"
                            "[job added]\nschedule = every 1s\nmissed = all\n%s"
                            "[job asked]\nschedule = manual\n%s%s",
                            starts.exec, starts.exec, fleet.diary.job);
    struct instance_settings settings = fleet_settings(&fleet, &calm);
    settings.job = old;
    instance_configure(A, &settings);
    settings.job = new;
    instance_configure(B, &settings);
    free(new);
    free(old);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    server_do(conn, "SET search_path = pgbaton, pg_catalog, pg_temp");
    starts_wait(&starts, "a", 2);
}

static void end(void)
{
    instance_stop(A);
    PQfinish(conn);
    fleet_check(&fleet);
}

static void lead_with_the_new_version(void)
{
    instance_stop(A);
    instance_wait(B, "elected", "");
    starts_wait(&starts, "b", 2);
}

static void lead_with_the_old_version(void)
{
    instance_mark(A);
    instance_start(A, NULL);
    instance_wait(A, "seat_taken", "");
    instance_stop(B);
    instance_wait(A, "elected", "");
}

static size_t starts_of_job(const char *job)
{
    char *text = text_read(starts.file);
    char *name = text_format("%s ", job);
    size_t count = text_count(text, name);

    free(name);
    free(text);
    return count;
}

Test(mixed_jobs, the_leaders_definition_counts_whoever_is_asked)
{
    begin();
    instance_command(B, &told, "trigger", "shared", "--wait", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(A, "output", "old");
    cr_expect_eq(instance_logged(B, "output", "new"), 0);
    cr_expect_eq(starts_of_job("added"), 0);

    lead_with_the_new_version();
    cr_expect_gt(starts_of_job("added"), 0);
    instance_command(B, &told, "trigger", "shared", "--wait", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(B, "output", "new");
    instance_stop(B);
    starts_load(&starts, conn);
    no_rows(conn, "ticks of a job before anybody who had it led",
            "SELECT id, at, outcome FROM tick WHERE job = 'added' AND at < (SELECT started_at FROM "
            "term WHERE number = 2) - interval '1 s'");
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(mixed_jobs, a_job_that_the_leader_does_not_have_is_refused_with_the_reason)
{
    begin();
    instance_command(B, &told, "trigger", "asked", "--wait", NULL);
    cr_expect_eq(told.code, 1, "%s%s", told.out, told.err);
    cr_expect_not_null(strstr(told.err, "the leader has no such job"), "%s", told.err);
    cr_expect_eq(starts_of_job("asked"), 0);
    instance_stop(B);
    end();
}

/* The seconds of the term that did not have the job, and what became of each. */
#define SECONDS_UNDER_B                                                                            \
    "(SELECT second, (SELECT string_agg(concat_ws(' ', outcome, reason), ', ') FROM run WHERE "    \
    "job = 'removed' AND attempt = 1 AND second BETWEEN scheduled_at AND coalesce(last_at, "       \
    "scheduled_at)) AS became FROM term one, term two, generate_series(date_trunc('second', "      \
    "one.started_at) + interval '1 s', two.started_at, '1 s') second WHERE one.number = 2 AND "    \
    "two.number = 3) s"

static bool are_made_up_for(void *ctx)
{
    (void)ctx;
    return strcmp(server_scalar(conn, "SELECT count(*) FROM " SECONDS_UNDER_B
                                      " WHERE became IS DISTINCT FROM 'succeeded'"),
                  "0") == 0;
}

/* The job was not removed: another leader did not know it. So it has a past. */
Test(mixed_jobs, what_a_leader_without_the_job_left_out_is_made_up_for_by_one_that_has_it)
{
    begin();
    lead_with_the_new_version();
    size_t before = starts_of_job("removed");
    starts_wait(&starts, "b", starts_of(&starts, "b") + 2);
    cr_expect_eq(starts_of_job("removed"), before);
    lead_with_the_old_version();
    cr_expect(wait_until(are_made_up_for, NULL, WAIT_LIMIT), "%s",
              server_scalar(conn, "SELECT string_agg(to_char(second, 'MI:SS ') || coalesce(became, "
                                  "'no row'), '; ') FROM " SECONDS_UNDER_B));
    cr_expect_str_eq(server_scalar(conn, "SELECT count(*) >= 2 FROM " SECONDS_UNDER_B), "t");
    cr_expect_gt(starts_of_job("removed"), before);
    instance_stop(A);
    starts_check(&starts, conn);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(mixed_jobs, queued_rows_of_a_job_that_the_leader_does_not_have_wait_for_one_that_has_it)
{
    begin();
    lead_with_the_new_version();
    server_do(conn, "INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, reason, "
                    "origin, generation, number) VALUES ('main', '1.2-queued', 'asked', "
                    "date_trunc('second', clock_timestamp()), 1, 'queued', 'hand-over', 'trigger', "
                    "1, 2)");
    lead_with_the_old_version();
    starts_wait(&starts, "a", starts_of(&starts, "a") + 2);
    cr_expect_str_eq(server_scalar(conn, "SELECT outcome FROM run WHERE id = '1.2-queued'"),
                     "queued");
    instance_mark(B);
    instance_start(B, NULL);
    instance_wait(B, "seat_taken", "");
    program_kill_tree(&A->supervisor);
    instance_wait(B, "elected", "epoch=1.4");
    instance_wait(B, "job_ended", "run=1.2-queued");
    instance_stop(B);
    cr_expect_str_eq(
        server_scalar(conn, "SELECT outcome || ' ' || number FROM run WHERE id = '1.2-queued'"),
        "succeeded 4");
    cr_expect_eq(starts_of_job("asked"), 1);
    starts_check(&starts, conn);
    PQfinish(conn);
    fleet_check(&fleet);
}
