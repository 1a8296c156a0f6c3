/* What a new leader makes of the rows that the terms before have left. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/array.h"
#include "tests/unit/jobs_fixture.h"
#include "worker/leader/job.h"

TestSuite(jobs_load, .init = world_up, .fini = world_down, .timeout = 300);

static const struct schedule monthly = {.kind = SCHEDULE_EVERY, .every = DUR_S(30 * 86400LL)};

static void (*tell_loaded)(void *ctx, const struct ledger_state *state);
static const struct ledger_open_run *left;
static size_t left_count;

static void with_what_is_left(void *ctx, const struct ledger_state *state)
{
    struct ledger_state old = *state;

    old.runs = left;
    old.run_count = left_count;
    tell_loaded(ctx, &old);
}

/* A term begins, and finds these rows. */
static void begin_with(const struct ledger_open_run *runs, size_t count)
{
    left = runs;
    left_count = count;
    world_begin();
    tell_loaded = world.ledger->events.on_loaded;
    world.ledger->events.on_loaded = with_what_is_left;
}

static size_t times_logged(const char *what)
{
    size_t times = 0;

    for (const char *at = strstr(world_log(), what); at != NULL; at = strstr(at + 1, what)) {
        times++;
    }
    return times;
}

static struct ledger_open_run queued(const char *id, const char *job, enum run_origin origin)
{
    return (struct ledger_open_run){.id = id,
                                    .job = job,
                                    .scheduled_at = clock_wall() - DUR_S(5),
                                    .attempt = 1,
                                    .outcome = OUTCOME_QUEUED,
                                    .reason = "mutex",
                                    .origin = origin,
                                    .epoch = {1, 6}};
}

static struct ledger_open_run second_attempt(const char *id, const char *job, enum outcome outcome)
{
    struct ledger_open_run run = queued(id, job, ORIGIN_RETRY);

    run.outcome = outcome;
    run.reason = "retry";
    run.attempt = 2;
    return run;
}

/* It has its own @elected and @released runs; one that somebody asked for is another thing. */
Test(jobs_load, what_belongs_to_an_older_term_is_not_run_in_this)
{
    const struct ledger_open_run runs[] = {
        queued("1.6-1", "hello", ORIGIN_SCHEDULE),
        second_attempt("1.6-2", "hello", OUTCOME_RETRYING),
        second_attempt("1.6-3", "bye", OUTCOME_RETRYING),
        second_attempt("1.6-4", "hello", OUTCOME_RUNNING),
        queued("1.6-5", "bye", ORIGIN_TRIGGER),
    };

    world_add("hello", elected, "true")->on_interrupt = INTERRUPT_RERUN;
    world_add("bye", released, "true");
    begin_with(runs, ARRAY_LEN(runs));
    world_wait_for_log("job_ended job=hello run=1.7-1 ");
    world_wait_for_log("job_ended job=bye run=1.6-5 ");
    world_drain(0, DUR_S(30));
    cr_expect_eq(times_logged("outcome=cancelled reason=\"its term has ended\""), 3, "%s",
                 world_log());
    cr_expect_eq(times_logged("job_started job=hello"), 1, "%s", world_log());
    cr_expect_eq(times_logged("job_started job=bye"), 2, "%s", world_log());
}

/* ---- missed ticks ---- */

static struct ledger_open_run missed(const char *id, wall_ns scheduled_at, const char *reason)
{
    struct ledger_open_run run = queued(id, "late", ORIGIN_SCHEDULE);

    run.scheduled_at = scheduled_at;
    run.reason = reason;
    return run;
}

static bool have_all_ended(const void *what)
{
    return times_logged(what) == left_count;
}

/* No run started while another one was there. */
static bool ran_one_after_the_other(void)
{
    const char *start = strstr(world_log(), "job_started ");

    while (start != NULL) {
        const char *end = strstr(start, "job_ended ");
        const char *next = strstr(start + 1, "job_started ");

        if (next != NULL && (end == NULL || next < end)) {
            return false;
        }
        start = next;
    }
    return true;
}

/* Whatever each of them waited for; else a crowd of them would start at once. */
Test(jobs_load, missed_ticks_that_a_leader_had_queued_run_one_after_the_other)
{
    wall_ns now = clock_wall();
    const struct ledger_open_run runs[] = {
        missed("1.6-1", now - DUR_S(60), "max_running"),
        missed("1.6-2", now - DUR_S(50), "overlap"),
        missed("1.6-3", now - DUR_S(40), "overlap"),
        missed("1.6-4", now - DUR_S(30), LEFT_OVER_HAND_OVER),
        missed("1.6-5", now - DUR_S(20), LEFT_OVER_HAND_OVER),
    };
    struct config_job *job = world_add("late", monthly, "sleep 0.05");

    job->overlap = OVERLAP_ALLOW;
    job->missed = MISSED_ALL;
    begin_with(runs, ARRAY_LEN(runs));
    world_wait_for("all of them", have_all_ended, "job_ended job=late");
    cr_expect(ran_one_after_the_other(), "%s", world_log());
    world_kill_all();
}
