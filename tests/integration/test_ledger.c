/* The ledger of runs: what a leader may rely on, whatever keeps it. Each rule is a test of every
 * kind of ledger that keeps anything: ledger_postgres/ and ledger_sqlite/. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/ledger_rule.h"

LEDGER_RULE(a_tick_is_claimed_once)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_claim claim = a_tick("1.1-1", "nightly", at);

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "claimed"));
    cr_expect(ledger_run_is(f, "1.1-1", "job", "nightly"));
    cr_expect(ledger_run_is(f, "1.1-1", "origin", "schedule"));
    cr_expect(ledger_run_is(f, "1.1-1", "instance", f->cfg->pgbaton.instance));
    cr_expect(ledger_run_is(f, "1.1-1", "incarnation", "00000000000000a1"));
    cr_expect_eq(ledger_run_at(f, "1.1-1", "scheduled_at"), at);

    claim.id = "1.1-2";
    ledger_user_claim_one(&u, &claim, LEDGER_TAKEN);
    claim.attempt = 2;
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    claim.id = "1.1-3";
    claim.job = "other";
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect_eq(ledger_count(f, "run", "true"), 3);
    ledger_user_close(&u);
}

LEDGER_RULE(a_claim_that_is_asked_again_is_granted_again)
{
    struct ledger_user u;
    struct ledger_claim claim = a_tick("1.1-1", "nightly", a_past());
    struct ledger_change running = an_update("1.1-1", OUTCOME_RUNNING);

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect_eq(ledger_count(f, "run", "true"), 1);
    ledger_user_change_one(&u, &running);
    ledger_user_claim_one(&u, &claim, LEDGER_TAKEN);
    ledger_user_close(&u);
}

LEDGER_RULE(one_batch_has_a_verdict_for_each)
{
    struct ledger_user u;
    wall_ns at = a_past();
    wall_ns far = clock_wall() + DUR_S(3600);
    const struct ledger_claim before = a_tick("1.1-0", "b", at);
    struct ledger_claim claims[] = {
        a_tick("1.1-9", "a", at),
        a_tick("1.1-8", "b", at),
        a_tick("1.1-7", "c", far),
        a_tick("1.1-6", "a", at),
        a_tick("1.1-5", "a", at + DUR_S(60)),
        a_tick("1.1-9", "d", at),
        a_tick("1.1-4", "a", far),
    };
    static const enum ledger_verdict expected[] = {
        LEDGER_GRANTED, LEDGER_TAKEN, LEDGER_AHEAD, LEDGER_TAKEN,
        LEDGER_GRANTED, LEDGER_TAKEN, LEDGER_AHEAD,
    };

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_claim_one(&u, &before, LEDGER_GRANTED);
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

LEDGER_RULE(the_last_tick_goes_on_over_what_was_taken_but_not_over_what_is_ahead)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_claim claims[] = {
        a_tick("1.1-1", "a", at),
        a_tick("1.1-2", "a", at + DUR_S(20)),
        a_tick("1.1-3", "a", at + DUR_S(10)),
        a_tick("1.1-4", "a", clock_wall() + DUR_S(3600)),
        a_tick("1.1-5", "quiet", at),
    };

    claims[4].advances = false;
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    cr_assert_eq(ledger_user_claim(&u, claims, 5), TOLD_CLAIMED, "%s", u.text);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_assert_eq(u.job_count, 1);
    cr_expect_str_eq(u.jobs[0].job, "a");
    cr_expect_eq(u.jobs[0].last_tick, at + DUR_S(20));
    cr_expect_eq(u.jobs[0].schedule_hash, 0x0123456789abcdef);

    /* Taken by a row that is there, and later; then granted, and earlier. */
    struct ledger_claim later = a_tick("1.1-6", "a", at + DUR_S(30));
    struct ledger_change there = an_insert("x", "a", at + DUR_S(30), OUTCOME_SKIPPED);
    ledger_user_change_one(&u, &there);
    ledger_user_claim_one(&u, &later, LEDGER_TAKEN);
    struct ledger_claim earlier = a_tick("1.1-7", "a", at + DUR_S(5));
    earlier.schedule_hash = 7;
    ledger_user_claim_one(&u, &earlier, LEDGER_GRANTED);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_expect_eq(u.jobs[0].last_tick, at + DUR_S(30));
    cr_expect_eq(u.jobs[0].schedule_hash, 0x0123456789abcdef);
    ledger_user_close(&u);
}

LEDGER_RULE(who_is_not_the_leader_any_more_gets_nothing_in)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_claim claim = a_tick("1.1-1", "a", at);
    struct ledger_claim late = a_tick("1.1-2", "a", at + DUR_S(1));
    struct ledger_change end = an_update("1.1-1", OUTCOME_SUCCEEDED);

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    f->backend->open_term(f, ledger_second, LEDGER_THEIRS);
    cr_expect_eq(ledger_user_claim(&u, &late, 1), TOLD_OVER);
    cr_expect_eq(ledger_user_change(&u, &end, 1), TOLD_OVER);
    cr_expect_eq(ledger_user_prune(&u, "a"), TOLD_OVER);
    cr_expect_eq(ledger_count(f, "run", "true"), 1);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "claimed"));
    ledger_user_close(&u);
}

LEDGER_RULE(another_incarnation_of_the_same_epoch_is_somebody_else)
{
    struct ledger_user u;
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    f->backend->open_term(f, ledger_first, LEDGER_THEIRS);
    cr_expect_eq(ledger_user_claim(&u, &claim, 1), TOLD_OVER);
    cr_expect_eq(ledger_count(f, "run", "true"), 0);
    ledger_user_close(&u);
}

LEDGER_RULE(a_queued_run_is_promoted_once)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_claim claim = a_tick("1.1-1", "a", at);
    struct ledger_change queued = an_update("1.1-1", OUTCOME_QUEUED);
    struct ledger_change retrying = an_insert("1.1-2", "a", at + 1000, OUTCOME_RETRYING);
    struct ledger_change closed = an_update("1.1-2", OUTCOME_CANCELLED);

    queued.reason = "overlap";
    retrying.due_at = at + DUR_S(10);
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    ledger_user_change_one(&u, &queued);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "queued"));
    cr_expect(ledger_run_is(f, "1.1-1", "reason", "overlap"));
    ledger_user_change_one(&u, &retrying);
    ledger_user_close(&u);

    ledger_user_open(&u, f, ledger_second, LEDGER_THEIRS);
    claim.promotes = true;
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "claimed"));
    cr_expect(ledger_run_is(f, "1.1-1", "number", "2"));
    cr_expect(ledger_run_is(f, "1.1-1", "incarnation", "00000000000000b2"));
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED); /* asked again */
    claim = a_tick("1.1-2", "a", at + 1000);
    claim.promotes = true;
    ledger_user_change_one(&u, &closed);
    ledger_user_claim_one(&u, &claim, LEDGER_TAKEN);
    claim.id = "never was";
    ledger_user_claim_one(&u, &claim, LEDGER_TAKEN);
    ledger_user_close(&u);
}

LEDGER_RULE(an_end_is_written_once)
{
    static const char head[] = "one\0\xff'\"\\{},\n";
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_claim claim = a_tick("1.1-1", "a", at);
    struct ledger_change running = an_update("1.1-1", OUTCOME_RUNNING);
    struct ledger_change end = an_update("1.1-1", OUTCOME_FAILED);
    struct ledger_change again = an_update("1.1-1", OUTCOME_SUCCEEDED);

    running.started_at = at + 2000;
    end.ended_at = at + DUR_S(3) + 4000;
    end.reason = "exit code 3";
    end.code = 3;
    end.output_head = head;
    end.output_head_bytes = sizeof(head) - 1;
    end.output_bytes = 4000000000;
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    ledger_user_change_one(&u, &running);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "running"));
    cr_expect(ledger_run_is(f, "1.1-1", "code", NULL));
    ledger_user_change_one(&u, &end);
    ledger_user_change_one(&u, &again);
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

LEDGER_RULE(a_run_that_was_started_never_waits_again)
{
    struct ledger_user u;
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());
    struct ledger_change started = an_update("1.1-1", OUTCOME_RUNNING);
    struct ledger_change queued = an_update("1.1-1", OUTCOME_QUEUED);
    struct ledger_change ended = an_update("1.1-1", OUTCOME_SUCCEEDED);

    started.started_at = claim.scheduled_at;
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    ledger_user_change_one(&u, &started);
    ledger_user_change_one(&u, &queued);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "running"));
    ledger_user_change_one(&u, &ended);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "succeeded"));
    ledger_user_close(&u);
}

LEDGER_RULE(what_is_said_of_one_run_twice_in_a_batch_comes_in_that_order)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_claim claims[] = {a_tick("1.1-1", "a", at), a_tick("1.1-2", "b", at),
                                    a_tick("1.1-3", "c", at)};
    struct ledger_change changes[] = {
        an_update("1.1-1", OUTCOME_RUNNING),    an_update("1.1-2", OUTCOME_RUNNING),
        an_update("1.1-1", OUTCOME_SUCCEEDED),  an_insert("1.1-4", "d", at, OUTCOME_QUEUED),
        an_update("1.1-4", OUTCOME_SKIPPED),    an_update("1.1-3", OUTCOME_RUNNING),
        {.kind = LEDGER_DELETE, .id = "1.1-3"},
    };

    changes[0].started_at = at + 1000;
    changes[2].ended_at = at + 2000;
    changes[2].code = 0;
    changes[4].reason = "overlap";
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
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

LEDGER_RULE(what_follows_from_a_run_is_there_when_its_end_is)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_claim claim = a_tick("1.1-1", "a", at);
    struct ledger_change changes[] = {
        an_update("1.1-1", OUTCOME_SUCCEEDED),
        an_insert("1.1-2", "b", at + 1000, OUTCOME_QUEUED),
        an_insert("1.1-3", "a", at, OUTCOME_RETRYING),
    };

    changes[1].origin = ORIGIN_AFTER;
    changes[1].parent = "1.1-1";
    changes[2].origin = ORIGIN_RETRY;
    changes[2].attempt = 2;
    changes[2].due_at = at + DUR_S(10);
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    f->backend->refuse_writes(f, true);
    cr_assert_eq(ledger_user_change(&u, changes, 3), TOLD_FAILED);
    f->backend->refuse_writes(f, false);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "claimed"));
    cr_expect_eq(ledger_count(f, "run", "true"), 1);

    for (int i = 0; i < 2; i++) { /* and again */
        cr_assert_eq(ledger_user_change(&u, changes, 3), TOLD_WRITTEN, "%s", u.text);
    }
    cr_expect_eq(ledger_count(f, "run", "true"), 3);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "succeeded"));
    cr_expect(ledger_run_is(f, "1.1-2", "outcome", "queued"));
    cr_expect(ledger_run_is(f, "1.1-2", "origin", "after"));
    cr_expect(ledger_run_is(f, "1.1-2", "parent", "1.1-1"));
    cr_expect(ledger_run_is(f, "1.1-3", "attempt", "2"));
    cr_expect_eq(ledger_run_at(f, "1.1-3", "due_at"), at + DUR_S(10));
    ledger_user_close(&u);
}

LEDGER_RULE(a_row_of_missed_ticks_stands_for_many)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_change missed = an_insert("1.1-1", "a", at, OUTCOME_MISSED);
    struct ledger_job_change job = {
        .job = "a", .sets_tick = true, .last_tick = at + DUR_S(300), .schedule_hash = 5};
    const struct ledger_write write = {
        .changes = &missed, .change_count = 1, .jobs = &job, .job_count = 1};

    missed.last_at = at + DUR_S(300);
    missed.count = 301;
    missed.reason = "no leader";
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    cr_assert_eq(ledger_user_write(&u, &write), TOLD_WRITTEN, "%s", u.text);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "missed"));
    cr_expect(ledger_run_is(f, "1.1-1", "count", "301"));
    cr_expect(ledger_run_is(f, "1.1-1", "reason", "no leader"));
    cr_expect_eq(ledger_run_at(f, "1.1-1", "scheduled_at"), at);
    cr_expect_eq(ledger_run_at(f, "1.1-1", "last_at"), at + DUR_S(300));
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_expect_eq(u.run_count, 0, "it is not open");
    cr_expect_eq(u.jobs[0].last_tick, at + DUR_S(300));
    ledger_user_close(&u);
}

LEDGER_RULE(a_database_that_refuses_writes_starts_nothing_and_is_asked_again)
{
    struct ledger_user u;
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    f->backend->refuse_writes(f, true);
    cr_expect_eq(ledger_user_claim(&u, &claim, 1), TOLD_FAILED);
    cr_expect_neq(u.text[0], '\0');
    cr_expect_eq(ledger_user_claim(&u, &claim, 1), TOLD_FAILED);
    cr_expect_eq(ledger_count(f, "run", "true"), 0);
    cr_expect_eq(ledger_count(f, "job_state", "true"), 0);
    f->backend->refuse_writes(f, false);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    ledger_user_close(&u);
}

LEDGER_RULE(a_batch_may_be_full)
{
    static struct ledger_user u;
    static struct ledger_claim claims[LEDGER_BATCH_MAX];
    static struct ledger_change changes[LEDGER_BATCH_MAX];
    static char ids[LEDGER_BATCH_MAX][16];
    wall_ns at = a_past();

    for (int i = 0; i < LEDGER_BATCH_MAX; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "1.1-%d", i);
        claims[i] = a_tick(ids[i], i % 2 == 0 ? "a" : "b", at + i * DUR_S(1) - DUR_S(7200));
        changes[i] = an_update(ids[i], OUTCOME_SUCCEEDED);
        changes[i].ended_at = at;
        changes[i].code = 0;
    }
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    cr_assert_eq(ledger_user_claim(&u, claims, LEDGER_BATCH_MAX), TOLD_CLAIMED, "%s", u.text);
    for (int i = 0; i < LEDGER_BATCH_MAX; i++) {
        cr_assert_eq(u.verdicts[i], LEDGER_GRANTED);
    }
    cr_assert_eq(ledger_user_change(&u, changes, LEDGER_BATCH_MAX), TOLD_WRITTEN, "%s", u.text);
    cr_expect_eq(ledger_count(f, "run", "outcome = 'succeeded' AND code = 0"), LEDGER_BATCH_MAX);
    ledger_user_close(&u);
}
