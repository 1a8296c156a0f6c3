/* A ledger that says nothing, or that was not listened to; and what is written in one go. */
#include <criterion/criterion.h>

#include "tests/unit/jobs_fixture.h"
#include "worker/leader/job.h"

TestSuite(jobs_silence, .init = world_up, .fini = world_down, .timeout = 300);

static struct ledger_kind watched;
static const struct ledger_kind *real;
static struct ledger *held; /* was asked, and has not answered; NULL: it was not asked */
static size_t written[2];   /* rows of the first writes */
static size_t writes;
static ev_timer answer;

static void keep_write(struct ledger *l, const struct ledger_write *write)
{
    if (writes < sizeof(written) / sizeof(written[0])) {
        written[writes] = write->change_count;
    }
    writes++;
    held = l;
}

static void keep_requests(struct ledger *l)
{
    held = l;
}

static bool is_held(const void *ctx)
{
    (void)ctx;
    return held != NULL;
}

static void begin(void)
{
    static const struct schedule manual = {.kind = SCHEDULE_MANUAL};

    world_add("once", manual, "true");
    jobs_configure(world.jobs, &world.cfg);
    world_begin();
    world_wait_for("the state of the jobs", world_has_started, NULL);
    real = world.ledger->kind;
    watched = *real;
    watched.write = keep_write;
    watched.take_requests = keep_requests;
    held = NULL;
    world.ledger->kind = &watched;
}

static void ask_to_write(void)
{
    char id[RUN_ID_MAX];

    jobs_new_id(world.jobs, id);
    (void)jobs_ask_change(world.jobs, LEDGER_UPDATE, id, OUTCOME_SUCCEEDED, NULL);
    jobs_turn_soon(world.jobs);
    world_wait_for("a write", is_held, NULL);
}

/* As if so much time had passed since it was asked. */
static void let_pass(dur_ns length)
{
    world.jobs->asking.patience.asked_at -= length;
    jobs_turn_soon(world.jobs);
}

static void on_answer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)timer;
    (void)revents;
    held->events.on_written(held->events.ctx);
    held = NULL;
}

static bool was_answered(const void *ctx)
{
    (void)ctx;
    return held == NULL;
}

Test(jobs_silence, a_ledger_that_says_nothing_is_away_until_it_answers)
{
    begin();
    ask_to_write();
    let_pass(DUR_S(3));
    world_wait_for_log("ledger_silent");
    cr_expect_not(world.jobs->scheduler.ledger_up);
    held->events.on_written(held->events.ctx);
    world_wait_for_log("ledger_answers");
    cr_expect(world.jobs->scheduler.ledger_up);
    world_kill_all();
}

/* The worker stood still, not the ledger: the answer is there, and comes after the timer. */
Test(jobs_silence, an_answer_that_is_there_is_heard_first)
{
    begin();
    ask_to_write();
    ev_timer_init(&answer, on_answer, 0.005, 0.);
    let_pass(DUR_S(3));
    ev_timer_start(world.loop, &answer);
    world_wait_for("the answer", was_answered, NULL);
    cr_expect_not(world_has_logged("ledger_silent"), "%s", world_log());
    world_kill_all();
}

Test(jobs_silence, requests_that_are_not_answered_and_then_fail_keep_nothing_from_starting)
{
    begin();
    world.jobs->asking.requests_wanted = true;
    jobs_turn_soon(world.jobs);
    world_wait_for("requests to be asked for", is_held, NULL);
    let_pass(DUR_S(3));
    world_wait_for_log("ledger_silent");
    held->events.on_failed(held->events.ctx, "it took too long");
    cr_expect(world_has_logged("requests_not_read"), "%s", world_log());
    cr_expect(world.jobs->scheduler.ledger_up, "nothing would be started");
    cr_expect(world_has_logged("ledger_answers"), "what was said has no end");
    world_kill_all();
}

static bool was_written_twice(const void *ctx)
{
    (void)ctx;
    if (held != NULL && writes == 1) {
        struct ledger *l = held;

        held = NULL;
        l->events.on_written(l->events.ctx);
    }
    return writes == 2;
}

/* A leader that ends between two writes must not leave an end without what follows from it. */
Test(jobs_silence, what_follows_from_a_run_is_written_with_its_end)
{
    begin();
    for (size_t i = 0; i < LEDGER_BATCH_MAX + 2; i++) {
        char id[RUN_ID_MAX];

        jobs_new_id(world.jobs, id);
        struct change *change =
            jobs_ask_change(world.jobs, LEDGER_UPDATE, id, OUTCOME_SUCCEEDED, NULL);
        change->follows = i >= LEDGER_BATCH_MAX; /* from the run before them */
    }
    jobs_turn_soon(world.jobs);
    world_wait_for("two writes", was_written_twice, NULL);
    cr_expect_eq(written[0], LEDGER_BATCH_MAX - 1);
    cr_expect_eq(written[1], 3);
    world_kill_all();
}

Test(jobs_silence, what_follows_is_written_with_the_end_however_much_that_has_printed)
{
    begin();
    for (size_t i = 0; i < 3; i++) {
        char id[RUN_ID_MAX];

        jobs_new_id(world.jobs, id);
        struct change *change =
            jobs_ask_change(world.jobs, LEDGER_UPDATE, id, OUTCOME_FAILED, NULL);
        change->is.output_head_bytes = i == 1 ? LEDGER_WRITE_BYTES_MAX + 1 : 0;
        change->follows = i == 2;
    }
    jobs_turn_soon(world.jobs);
    world_wait_for("two writes", was_written_twice, NULL);
    cr_expect_eq(written[0], 1);
    cr_expect_eq(written[1], 2);
    world_kill_all();
}

static void fail_first(struct ledger *l, const struct ledger_claim *claims, size_t count)
{
    if (writes++ == 0) {
        l->events.on_failed(l->events.ctx, "for now");
    } else {
        real->claim(l, claims, count);
    }
}

/* The ledger may be back at once: that is waited for as for the end of a run. */
Test(jobs_silence, a_released_job_whose_claim_failed_once_runs)
{
    world_add("bye", released, "> $DIR/bye");
    begin();
    watched = *real;
    watched.claim = fail_first;
    world_drain(0, DUR_S(30));
    cr_expect(world_has_file("bye"), "%s", world_log());
}
