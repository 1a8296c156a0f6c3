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
