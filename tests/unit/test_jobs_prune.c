/* When the ledger is asked to delete rows that are too many. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/jobs_fixture.h"
#include "worker/leader/job.h"

TestSuite(jobs_prune, .init = world_up, .fini = world_down, .timeout = 300);

static const struct schedule manual = {.kind = SCHEDULE_MANUAL};

static const struct ledger_kind *real;
static struct ledger_kind watched;
static void (*tell_pruned)(void *ctx, size_t rows);

/* What was seen. */
static unsigned of_one; /* how often it was asked for the rows of the job "one" */
static size_t rows;     /* that go with the next question */
static mono_ns next_at; /* when it is asked again, after those */
static mono_ns told_by;

static void count_prune(struct ledger *l, const char *job)
{
    of_one += job != NULL && strcmp(job, "one") == 0;
    real->prune(l, job);
}

static void with_rows(void *ctx, size_t none)
{
    (void)none;
    if (rows > 0 && next_at == 0) {
        tell_pruned(ctx, rows);
        next_at = world.jobs->asking.prune_at;
        told_by = clock_now();
    } else {
        tell_pruned(ctx, 0);
    }
}

static void watch_prunes(void)
{
    real = world.ledger->kind;
    watched = *real;
    watched.prune = count_prune;
    world.ledger->kind = &watched;
    tell_pruned = world.ledger->events.on_pruned;
    world.ledger->events.on_pruned = with_rows;
    world.jobs->asking.prune_at = 0; /* the first seconds of a term belong to its runs */
}

static bool has_asked(const void *times)
{
    return of_one >= *(const unsigned *)times;
}

static void wait_for_prunes(unsigned times)
{
    world_wait_for("a question about the rows of one", has_asked, &times);
    cr_expect_eq(of_one, times);
}

static bool has_pruned(const void *ctx)
{
    (void)ctx;
    return next_at != 0;
}

Test(jobs_prune, where_a_full_batch_went_the_next_one_follows_soon)
{
    struct job *one;

    world_add("one", manual, "true");
    world_begin();
    watch_prunes();
    one = jobs_find(world.jobs, "one");
    one->closed++;
    rows = LEDGER_PRUNE_MAX;
    world_wait_for("rows that go", has_pruned, NULL);
    cr_expect_leq(next_at - told_by, PRUNE_MORE_AFTER);
    cr_expect_gt(one->closed, 0, "there may be more");
    world_kill_all();
}

Test(jobs_prune, each_term_begins_with_a_look_at_each_job)
{
    world_add("one", manual, "true");
    world_begin();
    watch_prunes();
    wait_for_prunes(1);
    world_drain(0, DUR_S(5));
    world_begin_term((struct epoch){1, 9}); /* in the one before it others have added rows */
    watch_prunes();
    wait_for_prunes(2);
    world_kill_all();
}

Test(jobs_prune, another_limit_holds_for_jobs_that_do_not_run)
{
    world_add("one", manual, "true");
    world.cfg.runs.history_runs = 50;
    world_begin();
    watch_prunes();
    wait_for_prunes(1);
    jobs_configure(world.jobs, &world.cfg);
    cr_expect_eq(jobs_find(world.jobs, "one")->closed, 0, "the limit is what it was");
    world.cfg.runs.history_runs = 10;
    jobs_configure(world.jobs, &world.cfg);
    wait_for_prunes(2);
    world_kill_all();
}

Test(jobs_prune, a_request_that_is_skipped_leaves_a_row_too)
{
    const struct ledger_request trigger = {
        .kind = LEDGER_TRIGGER, .job = "one", .requested_at = clock_wall(), .requested_by = "test"};
    struct jobs_answer answer;

    world_add("one", manual, "touch $DIR/runs; eval $WAIT");
    world_begin();
    watch_prunes();
    wait_for_prunes(1);
    jobs_command(world.jobs, &trigger, &answer);
    cr_expect(answer.done, "%s", answer.text);
    world_wait_for_file("runs");
    cr_expect_eq(jobs_find(world.jobs, "one")->closed, 0);
    jobs_command(world.jobs, &trigger, &answer);
    cr_expect_not(answer.done, "%s", answer.text);
    wait_for_prunes(2);
    world_kill_all();
}

/* ---- what the terms before have left ---- */

static void (*tell_loaded)(void *ctx, const struct ledger_state *state);
static struct ledger_open_run left = {
    .id = "1.6-1",
    .job = "one",
    .attempt = 1,
    .reason = "its leader ended",
    .origin = ORIGIN_SCHEDULE,
    .epoch = {1, 6},
};

static void with_one_left(void *ctx, const struct ledger_state *state)
{
    struct ledger_state old = *state;

    old.runs = &left;
    old.run_count = 1;
    tell_loaded(ctx, &old);
}

static void expect_row_counted(enum outcome outcome)
{
    struct job *one;

    left.outcome = outcome;
    left.scheduled_at = clock_wall() - DUR_S(5);
    world_add("one", released, "true"); /* a term's runs end with it */
    world_begin();
    one = jobs_find(world.jobs, "one");
    one->closed = 0;
    tell_loaded = world.ledger->events.on_loaded;
    world.ledger->events.on_loaded = with_one_left;
    watch_prunes();
    wait_for_prunes(1);
    world_kill_all();
}

Test(jobs_prune, a_run_that_was_interrupted_is_a_row_more)
{
    expect_row_counted(OUTCOME_RUNNING);
}

Test(jobs_prune, a_run_that_was_left_over_is_a_row_more)
{
    expect_row_counted(OUTCOME_RETRYING);
}

static void fail_first(struct ledger *l, const char *job)
{
    bool fails = job != NULL && of_one == 0;

    of_one += job != NULL && strcmp(job, "one") == 0;
    if (fails) {
        l->events.on_failed(l->events.ctx, "somebody locks the table");
    } else {
        real->prune(l, job);
    }
}

static bool has_failed(const void *ctx)
{
    (void)ctx;
    return world.jobs->asking.prune_failed;
}

/* A job that does not run has no other reason to be asked about. */
Test(jobs_prune, a_question_that_failed_is_asked_again)
{
    world_add("one", manual, "true");
    world_begin();
    watch_prunes();
    watched.prune = fail_first;
    world_wait_for("the failure", has_failed, NULL);
    world.jobs->asking.prune_at = 0; /* it is a minute */
    wait_for_prunes(2);
    world_kill_all();
}
