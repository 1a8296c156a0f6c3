/* The ledger of runs: what a leader may rely on, whatever keeps it. Each rule is tried with every
 * kind of ledger. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/ledger_fixture.h"

/* A rule as a test of each kind. */
#define RULE(name)                                                                                 \
    static void name(struct ledger_fixture *f);                                                    \
    Test(ledger_postgres, name)                                                                    \
    {                                                                                              \
        try(&ledger_backend_postgres, name);                                                       \
    }                                                                                              \
    static void name(struct ledger_fixture *f)

static const struct epoch first = {1, 1};
static const struct epoch second = {1, 2};
enum { OURS = 0xa1, THEIRS = 0xb2 };

static void try(const struct ledger_backend *backend, void (*rule)(struct ledger_fixture *f))
{
    struct ledger_fixture f;

    ledger_fixture_up(&f, backend, "");
    rule(&f);
    ledger_fixture_down(&f);
}

/* An hour ago, with microseconds. */
static wall_ns past(void)
{
    return (clock_wall() / DUR_S(1) - 3600) * DUR_S(1) + DUR_US(123456);
}

static struct ledger_claim tick(const char *id, const char *job, wall_ns at)
{
    return (struct ledger_claim){
        .id = id,
        .job = job,
        .scheduled_at = at,
        .attempt = 1,
        .advances = true,
        .schedule_hash = 0x0123456789abcdef,
    };
}

static struct ledger_change update(const char *id, enum outcome outcome)
{
    return (struct ledger_change){.kind = LEDGER_UPDATE, .id = id, .outcome = outcome, .code = -1};
}

static struct ledger_change insert(const char *id, const char *job, wall_ns at,
                                   enum outcome outcome)
{
    return (struct ledger_change){
        .kind = LEDGER_INSERT,
        .id = id,
        .job = job,
        .scheduled_at = at,
        .count = 1,
        .attempt = 1,
        .outcome = outcome,
        .code = -1,
    };
}

static void claim_one(struct ledger_user *u, const struct ledger_claim *claim,
                      enum ledger_verdict verdict)
{
    cr_assert_eq(ledger_user_claim(u, claim, 1), TOLD_CLAIMED, "%s", u->text);
    cr_assert_eq(u->verdict_count, 1);
    cr_assert_eq(u->verdicts[0], verdict, "the verdict on %s is %d", claim->id, u->verdicts[0]);
}

static void change_one(struct ledger_user *u, const struct ledger_change *change)
{
    cr_assert_eq(ledger_user_change(u, change, 1), TOLD_WRITTEN, "%s", u->text);
}

RULE(a_tick_is_claimed_once)
{
    struct ledger_user u;
    wall_ns at = past();
    struct ledger_claim claim = tick("1.1-1", "nightly", at);

    ledger_user_open(&u, f, first, OURS);
    claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "claimed"));
    cr_expect(ledger_run_is(f, "1.1-1", "job", "nightly"));
    cr_expect(ledger_run_is(f, "1.1-1", "origin", "schedule"));
    cr_expect(ledger_run_is(f, "1.1-1", "instance", f->cfg->pgbaton.instance));
    cr_expect(ledger_run_is(f, "1.1-1", "incarnation", "00000000000000a1"));
    cr_expect_eq(ledger_run_at(f, "1.1-1", "scheduled_at"), at);

    claim.id = "1.1-2";
    claim_one(&u, &claim, LEDGER_TAKEN);
    claim.attempt = 2;
    claim_one(&u, &claim, LEDGER_GRANTED);
    claim.id = "1.1-3";
    claim.job = "other";
    claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect_eq(ledger_count(f, "run", "true"), 3);
    ledger_user_close(&u);
}

RULE(a_claim_that_is_asked_again_is_granted_again)
{
    struct ledger_user u;
    struct ledger_claim claim = tick("1.1-1", "nightly", past());
    struct ledger_change running = update("1.1-1", OUTCOME_RUNNING);

    ledger_user_open(&u, f, first, OURS);
    claim_one(&u, &claim, LEDGER_GRANTED);
    claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect_eq(ledger_count(f, "run", "true"), 1);
    change_one(&u, &running);
    claim_one(&u, &claim, LEDGER_TAKEN);
    ledger_user_close(&u);
}

RULE(one_batch_has_a_verdict_for_each)
{
    struct ledger_user u;
    wall_ns at = past();
    wall_ns far = clock_wall() + DUR_S(3600);
    const struct ledger_claim before = tick("1.1-0", "b", at);
    struct ledger_claim claims[] = {
        tick("1.1-9", "a", at),
        tick("1.1-8", "b", at),
        tick("1.1-7", "c", far),
        tick("1.1-6", "a", at),
        tick("1.1-5", "a", at + DUR_S(60)),
        tick("1.1-9", "d", at),
        tick("1.1-4", "a", far),
    };
    static const enum ledger_verdict expected[] = {
        LEDGER_GRANTED, LEDGER_TAKEN, LEDGER_AHEAD, LEDGER_TAKEN,
        LEDGER_GRANTED, LEDGER_TAKEN, LEDGER_AHEAD,
    };

    ledger_user_open(&u, f, first, OURS);
    claim_one(&u, &before, LEDGER_GRANTED);
    cr_assert_eq(ledger_user_claim(&u, claims, 7), TOLD_CLAIMED, "%s", u.text);
    cr_assert_eq(u.verdict_count, 7);
    for (size_t i = 0; i < 7; i++) {
        cr_expect_eq(u.verdicts[i], expected[i], "claim %zu: %d", i, u.verdicts[i]);
    }
    cr_expect_eq(ledger_count(f, "run", "true"), 3);
    cr_expect_lt(clock_wall() - u.database_clock, DUR_S(60));
    cr_expect_gt(clock_wall() - u.database_clock, -DUR_S(60));
    ledger_user_close(&u);
}

RULE(the_last_tick_goes_on_over_what_was_taken_but_not_over_what_is_ahead)
{
    struct ledger_user u;
    wall_ns at = past();
    struct ledger_claim claims[] = {
        tick("1.1-1", "a", at),
        tick("1.1-2", "a", at + DUR_S(20)),
        tick("1.1-3", "a", at + DUR_S(10)),
        tick("1.1-4", "a", clock_wall() + DUR_S(3600)),
        tick("1.1-5", "quiet", at),
    };

    claims[4].advances = false;
    ledger_user_open(&u, f, first, OURS);
    cr_assert_eq(ledger_user_claim(&u, claims, 5), TOLD_CLAIMED, "%s", u.text);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_assert_eq(u.job_count, 1);
    cr_expect_str_eq(u.jobs[0].job, "a");
    cr_expect_eq(u.jobs[0].last_tick, at + DUR_S(20));
    cr_expect_eq(u.jobs[0].schedule_hash, 0x0123456789abcdef);

    /* Taken by a row that is there, and later; then granted, and earlier. */
    struct ledger_claim later = tick("1.1-6", "a", at + DUR_S(30));
    struct ledger_change there = insert("x", "a", at + DUR_S(30), OUTCOME_SKIPPED);
    change_one(&u, &there);
    claim_one(&u, &later, LEDGER_TAKEN);
    struct ledger_claim earlier = tick("1.1-7", "a", at + DUR_S(5));
    earlier.schedule_hash = 7;
    claim_one(&u, &earlier, LEDGER_GRANTED);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_expect_eq(u.jobs[0].last_tick, at + DUR_S(30));
    cr_expect_eq(u.jobs[0].schedule_hash, 0x0123456789abcdef);
    ledger_user_close(&u);
}

RULE(who_is_not_the_leader_any_more_gets_nothing_in)
{
    struct ledger_user u;
    wall_ns at = past();
    struct ledger_claim claim = tick("1.1-1", "a", at);
    struct ledger_claim late = tick("1.1-2", "a", at + DUR_S(1));
    struct ledger_change end = update("1.1-1", OUTCOME_SUCCEEDED);

    ledger_user_open(&u, f, first, OURS);
    claim_one(&u, &claim, LEDGER_GRANTED);
    f->backend->open_term(f, second, THEIRS);
    cr_expect_eq(ledger_user_claim(&u, &late, 1), TOLD_OVER);
    cr_expect_eq(ledger_user_change(&u, &end, 1), TOLD_OVER);
    cr_expect_eq(ledger_user_prune(&u, "a"), TOLD_OVER);
    cr_expect_eq(ledger_count(f, "run", "true"), 1);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "claimed"));
    ledger_user_close(&u);
}

RULE(another_incarnation_of_the_same_epoch_is_somebody_else)
{
    struct ledger_user u;
    struct ledger_claim claim = tick("1.1-1", "a", past());

    f->backend->open_term(f, first, THEIRS);
    ledger_user_join(&u, f, first, OURS);
    cr_expect_eq(ledger_user_claim(&u, &claim, 1), TOLD_OVER);
    cr_expect_eq(ledger_count(f, "run", "true"), 0);
    ledger_user_close(&u);
}

RULE(a_queued_run_is_promoted_once)
{
    struct ledger_user u;
    wall_ns at = past();
    struct ledger_claim claim = tick("1.1-1", "a", at);
    struct ledger_change queued = update("1.1-1", OUTCOME_QUEUED);
    struct ledger_change retrying = insert("1.1-2", "a", at + 1000, OUTCOME_RETRYING);
    struct ledger_change closed = update("1.1-2", OUTCOME_CANCELLED);

    queued.reason = "overlap";
    retrying.due_at = at + DUR_S(10);
    ledger_user_open(&u, f, first, OURS);
    claim_one(&u, &claim, LEDGER_GRANTED);
    change_one(&u, &queued);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "queued"));
    cr_expect(ledger_run_is(f, "1.1-1", "reason", "overlap"));
    change_one(&u, &retrying);
    ledger_user_close(&u);

    ledger_user_open(&u, f, second, THEIRS);
    claim.promotes = true;
    claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "claimed"));
    cr_expect(ledger_run_is(f, "1.1-1", "number", "2"));
    cr_expect(ledger_run_is(f, "1.1-1", "incarnation", "00000000000000b2"));
    claim_one(&u, &claim, LEDGER_GRANTED); /* asked again */
    claim = tick("1.1-2", "a", at + 1000);
    claim.promotes = true;
    change_one(&u, &closed);
    claim_one(&u, &claim, LEDGER_TAKEN);
    claim.id = "never was";
    claim_one(&u, &claim, LEDGER_TAKEN);
    ledger_user_close(&u);
}

RULE(an_end_is_written_once)
{
    static const char head[] = "one\0\xff'\"\\{},\n";
    struct ledger_user u;
    wall_ns at = past();
    struct ledger_claim claim = tick("1.1-1", "a", at);
    struct ledger_change running = update("1.1-1", OUTCOME_RUNNING);
    struct ledger_change end = update("1.1-1", OUTCOME_FAILED);
    struct ledger_change again = update("1.1-1", OUTCOME_SUCCEEDED);

    running.started_at = at + 2000;
    end.ended_at = at + DUR_S(3) + 4000;
    end.reason = "exit code 3";
    end.code = 3;
    end.output_head = head;
    end.output_head_bytes = sizeof(head) - 1;
    end.output_bytes = 4000000000;
    ledger_user_open(&u, f, first, OURS);
    claim_one(&u, &claim, LEDGER_GRANTED);
    change_one(&u, &running);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "running"));
    cr_expect(ledger_run_is(f, "1.1-1", "code", NULL));
    change_one(&u, &end);
    change_one(&u, &again);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "failed"));
    cr_expect(ledger_run_is(f, "1.1-1", "reason", "exit code 3"));
    cr_expect(ledger_run_is(f, "1.1-1", "code", "3"));
    cr_expect(ledger_run_is(f, "1.1-1", "output_bytes", "4000000000"));
    cr_expect(ledger_run_is(f, "1.1-1", "output_tail", NULL));
    cr_expect_eq(ledger_run_at(f, "1.1-1", "started_at"), at + 2000);
    cr_expect_eq(ledger_run_at(f, "1.1-1", "ended_at"), at + DUR_S(3) + 4000);
    cr_expect(ledger_run_has(f, "1.1-1", "output_head", "6f6e6500ff27225c7b7d2c0a"));
    ledger_user_close(&u);
}

RULE(what_is_said_of_one_run_twice_in_a_batch_comes_in_that_order)
{
    struct ledger_user u;
    wall_ns at = past();
    struct ledger_claim claims[] = {tick("1.1-1", "a", at), tick("1.1-2", "b", at),
                                    tick("1.1-3", "c", at)};
    struct ledger_change changes[] = {
        update("1.1-1", OUTCOME_RUNNING),       update("1.1-2", OUTCOME_RUNNING),
        update("1.1-1", OUTCOME_SUCCEEDED),     insert("1.1-4", "d", at, OUTCOME_QUEUED),
        update("1.1-4", OUTCOME_SKIPPED),       update("1.1-3", OUTCOME_RUNNING),
        {.kind = LEDGER_DELETE, .id = "1.1-3"},
    };

    changes[0].started_at = at + 1000;
    changes[2].ended_at = at + 2000;
    changes[2].code = 0;
    changes[4].reason = "overlap";
    ledger_user_open(&u, f, first, OURS);
    cr_assert_eq(ledger_user_claim(&u, claims, 3), TOLD_CLAIMED, "%s", u.text);
    cr_assert_eq(ledger_user_change(&u, changes, 7), TOLD_WRITTEN, "%s", u.text);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "succeeded"));
    cr_expect(ledger_run_is(f, "1.1-1", "code", "0"));
    cr_expect_eq(ledger_run_at(f, "1.1-1", "started_at"), at + 1000);
    cr_expect_eq(ledger_run_at(f, "1.1-1", "ended_at"), at + 2000);
    cr_expect(ledger_run_is(f, "1.1-2", "outcome", "running"));
    cr_expect(ledger_run_is(f, "1.1-4", "outcome", "skipped"));
    cr_expect(ledger_run_is(f, "1.1-4", "reason", "overlap"));
    cr_expect_eq(ledger_count(f, "run", "id = '1.1-3'"), 0);
    ledger_user_close(&u);
}
