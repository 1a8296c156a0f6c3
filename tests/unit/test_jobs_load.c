/* What a new leader makes of the rows that the terms before have left. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/array.h"
#include "tests/unit/jobs_fixture.h"
#include "worker/leader/job.h"

TestSuite(jobs_load, .init = world_up, .fini = world_down, .timeout = 300);

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
