/* In which order the ledger is told things: a leader may end between any two of them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/jobs_fixture.h"
#include "worker/leader/job.h"

TestSuite(jobs_order, .init = world_up, .fini = world_down, .timeout = 300);

static struct ledger_kind watched;
static const struct ledger_kind *real;
static void (*tell_loaded)(void *ctx, const struct ledger_state *state);
static struct ledger_job_state before;

/* What was seen. */
static size_t rows_of_missed;   /* the first write that has any */
static wall_ns first_last_tick; /* the first that was written */
static bool claimed_too_early;
static bool claimed;

static void with_a_past(void *ctx, const struct ledger_state *state)
{
    struct ledger_state past = *state;

    past.jobs = &before;
    past.job_count = 1;
    tell_loaded(ctx, &past);
}

static void watch_claim(struct ledger *l, const struct ledger_claim *claims, size_t count)
{
    claimed_too_early = claimed_too_early || rows_of_missed == 0;
    claimed = true;
    real->claim(l, claims, count);
}

static void watch_write(struct ledger *l, const struct ledger_write *write)
{
    for (size_t i = 0; i < write->change_count && rows_of_missed == 0; i++) {
        rows_of_missed += write->changes[i].outcome == OUTCOME_MISSED;
    }
    for (size_t i = 0; i < write->job_count && first_last_tick == 0; i++) {
        first_last_tick = write->jobs[i].last_tick;
        cr_expect_eq(rows_of_missed, before.last_tick < clock_wall(), "not with its rows");
    }
    real->write(l, write);
}

static bool has_claimed(const void *ctx)
{
    (void)ctx;
    return claimed;
}

static void begin_with_a_past(wall_ns last_tick)
{
    static const struct schedule seldom = {.kind = SCHEDULE_EVERY, .every = DUR_S(1)};

    world_add("late", seldom, "true");
    jobs_configure(world.jobs, &world.cfg);
    world.jobs->list[0]->schedule_hash = 5;
    before = (struct ledger_job_state){.job = "late", .last_tick = last_tick, .schedule_hash = 5};
    world_begin_term((struct epoch){1, 7});
    real = world.ledger->kind;
    watched = *real;
    watched.claim = watch_claim;
    watched.write = watch_write;
    world.ledger->kind = &watched;
    tell_loaded = world.ledger->events.on_loaded;
    world.ledger->events.on_loaded = with_a_past;
    world_wait_for("a claim", has_claimed, NULL);
}

Test(jobs_order, ticks_that_were_missed_are_written_before_a_later_one_is_claimed)
{
    wall_ns second = clock_wall() / DUR_S(1) * DUR_S(1);

    begin_with_a_past(second - DUR_S(60));
    cr_expect_eq(rows_of_missed, 1);
    cr_expect_not(claimed_too_early, "who ends now leaves ticks that nobody knows of");
    cr_expect_geq(first_last_tick, second - DUR_S(2));
    world_kill_all();
}

Test(jobs_order, a_last_tick_in_the_future_is_cut_in_the_ledger_too)
{
    begin_with_a_past(clock_wall() + DUR_S(365 * 86400LL));
    cr_expect(world_has_logged("last_tick_in_future job=late"), "%s", world_log());
    cr_expect_neq(first_last_tick, 0, "the next leader would find it again");
    cr_expect_leq(first_last_tick, clock_wall());
    world_kill_all();
}

/* ---- what is asked while the term ends ---- */

static const struct ledger_claim *asked;

/* Its answer is on its way for ever. */
static void keep_claim(struct ledger *l, const struct ledger_claim *claims, size_t count)
{
    (void)l;
    (void)count;
    asked = claims;
}

static bool has_asked(const void *ctx)
{
    (void)ctx;
    return asked != NULL;
}

/* A ledger compares its answer with what was claimed. */
Test(jobs_order, a_claim_outlives_its_tick)
{
    enum { BLOCKS = 100 };
    char *blocks[BLOCKS];

    world_add("once", elected, "true");
    jobs_configure(world.jobs, &world.cfg);
    world_begin_term((struct epoch){1, 7});
    watched = *world.ledger->kind;
    watched.claim = keep_claim;
    world.ledger->kind = &watched;
    world_wait_for("a claim", has_asked, NULL);

    world_kill_all();
    for (size_t i = 0; i < BLOCKS; i++) { /* what was freed is others' now */
        blocks[i] = malloc(sizeof(struct tick));
        memset(blocks[i], 'x', sizeof(struct tick));
    }
    cr_expect_str_eq(asked->id, "1.7-1");
    cr_expect_str_eq(asked->job, "once");
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
}

static struct ledger_write written; /* the last one that was asked for */
static size_t writes;
static size_t changes_written;
static size_t most_changes;

static void keep_write(struct ledger *l, const struct ledger_write *write)
{
    (void)l;
    written = *write;
    writes++;
}

static bool has_asked_to_write(const void *ctx)
{
    (void)ctx;
    return writes > 0;
}

static void pause_once(bool paused)
{
    const struct ledger_request request = {
        .kind = paused ? LEDGER_PAUSE : LEDGER_RESUME, .job = "once", .requested_by = "test"};
    struct jobs_answer answer;

    jobs_command(world.jobs, &request, &answer);
}

static void begin_with_write(void (*write)(struct ledger *l, const struct ledger_write *write))
{
    static const struct schedule manual = {.kind = SCHEDULE_MANUAL};

    world_add("once", manual, "true");
    jobs_configure(world.jobs, &world.cfg);
    world_begin_term((struct epoch){1, 7});
    real = world.ledger->kind;
    watched = *real;
    watched.write = write;
    world.ledger->kind = &watched;
}

Test(jobs_order, a_write_keeps_its_names_whatever_is_asked_for_meanwhile)
{
    enum { BLOCKS = 100, PAUSES = 200 };
    char *blocks[BLOCKS];

    begin_with_write(keep_write);
    pause_once(true);
    world_wait_for("a write", has_asked_to_write, NULL);
    cr_assert_eq(written.job_count, 1);
    for (int i = 0; i < PAUSES; i++) {
        pause_once(i % 2 == 0);
    }
    for (size_t i = 0; i < BLOCKS; i++) { /* what was freed is others' now */
        blocks[i] = malloc((i + 1) * sizeof(struct job_change));
        memset(blocks[i], 'x', (i + 1) * sizeof(struct job_change));
    }
    cr_expect_str_eq(written.jobs[0].job, "once");
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    world_kill_all();
}

/* ---- how much is asked at once ---- */

static void count_write(struct ledger *l, const struct ledger_write *write)
{
    writes++;
    changes_written += write->change_count;
    most_changes = write->change_count > most_changes ? write->change_count : most_changes;
    real->write(l, write);
}

enum { MANY = 100 };

static bool has_written_many(const void *ctx)
{
    (void)ctx;
    return changes_written == MANY;
}

Test(jobs_order, large_outputs_are_written_a_few_at_a_time)
{
    begin_with_write(count_write);
    for (int i = 0; i < MANY; i++) {
        char id[RUN_ID_MAX];

        jobs_new_id(world.jobs, id);
        struct change *change =
            jobs_ask_change(world.jobs, LEDGER_UPDATE, id, OUTCOME_SUCCEEDED, NULL);
        change->is.output_head_bytes = LEDGER_WRITE_BYTES_MAX / (i == 50 ? 1 : 10) + 1;
    }
    jobs_turn_soon(world.jobs);
    world_wait_for("all of them", has_written_many, NULL);
    cr_expect_leq(most_changes, 9);
    cr_expect_geq(most_changes, 2);
    world_kill_all();
}

/* ---- what fails at the end ---- */

static void fail_first(struct ledger *l, const struct ledger_write *write)
{
    if (writes++ == 0) {
        l->events.on_failed(l->events.ctx, "for now");
    } else {
        changes_written += write->change_count;
        real->write(l, write);
    }
}

static void fail_always(struct ledger *l, const struct ledger_write *write)
{
    (void)write;
    writes++;
    l->events.on_failed(l->events.ctx, "for ever");
}

static void drain_with_an_end_to_write(void)
{
    char id[RUN_ID_MAX];

    jobs_new_id(world.jobs, id);
    (void)jobs_ask_change(world.jobs, LEDGER_UPDATE, id, OUTCOME_SUCCEEDED, NULL);
    world_drain(0, DUR_S(20));
}

Test(jobs_order, a_term_that_ends_in_peace_writes_again_what_could_not_be_written)
{
    begin_with_write(fail_first);
    drain_with_an_end_to_write();
    cr_expect_eq(changes_written, 1);
}

Test(jobs_order, a_term_does_not_wait_long_for_a_ledger_that_goes_on_failing)
{
    mono_ns begun = clock_now();

    begin_with_write(fail_always);
    drain_with_an_end_to_write();
    cr_expect_gt(writes, 1);
    cr_expect_geq(clock_now() - begun, LEDGER_GIVE_UP_AFTER);
}
