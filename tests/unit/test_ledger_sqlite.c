/* The ledger in a SQLite file, used as the leader's worker uses it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/config_fixture.h"
#include "tests/unit/sqlite_user.h"

TestSuite(ledger_sqlite, .init = config_fixture_up, .fini = config_fixture_down, .timeout = 120);

/* A moment in the past, with more digits than are kept. */
#define AT ((wall_ns)1700000000 * DUR_S(1) + 123456789)
#define AT_MICROS 1700000000123456LL

static struct ledger_claim tick(const char *id, wall_ns at)
{
    return (struct ledger_claim){
        .id = id,
        .job = "nightly",
        .scheduled_at = at,
        .attempt = 1,
        .advances = true,
        .schedule_hash = 0xabc,
    };
}

static struct ledger_claim promotion(const char *id)
{
    return (struct ledger_claim){
        .id = id, .job = "nightly", .scheduled_at = AT, .attempt = 1, .promotes = true};
}

static struct ledger_change queued(const char *id, wall_ns at)
{
    return (struct ledger_change){
        .kind = LEDGER_INSERT,
        .id = id,
        .outcome = OUTCOME_QUEUED,
        .reason = "overlap",
        .job = "nightly",
        .scheduled_at = at,
        .attempt = 1,
        .code = -1,
    };
}

static struct ledger_change becomes(const char *id, enum outcome outcome)
{
    return (struct ledger_change){.kind = LEDGER_UPDATE, .id = id, .outcome = outcome, .code = -1};
}

Test(ledger_sqlite, grants_a_tick_once)
{
    struct sqlite_user u;
    struct ledger_claim first = tick("1.7-1", AT);
    struct ledger_claim second = tick("1.7-2", AT);

    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim_one(&u, &first), LEDGER_GRANTED);
    cr_expect_eq(user_claim_one(&u, &second), LEDGER_TAKEN, "of the same instant");
    second.attempt = 2;
    cr_expect_eq(user_claim_one(&u, &second), LEDGER_GRANTED, "another attempt");
    cr_expect_str_eq(user_text("SELECT id || ' ' || job || ' ' || outcome || ' ' || origin || ' '"
                               " || generation || '.' || number || ' ' || incarnation || ' ' ||"
                               " instance FROM run WHERE attempt = 1"),
                     "1.7-1 nightly claimed schedule 1.7 0000000000000007 i7");
    cr_expect_eq(user_number("SELECT scheduled_at FROM run"), AT_MICROS, "rounded down");
    cr_expect_gt(user_number("SELECT created_at FROM run"), AT_MICROS);
    user_close(&u);
}

Test(ledger_sqlite, grants_again_what_was_granted_to_the_same_question)
{
    struct sqlite_user u;
    struct ledger_claim claim = tick("1.7-1", AT);
    struct ledger_change running = becomes("1.7-1", OUTCOME_RUNNING);

    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_eq(user_change(&u, &running), HEARD_WRITTEN);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_TAKEN, "it was started meanwhile");
    claim.scheduled_at += DUR_S(1);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_TAKEN, "an id is used once");
    user_close(&u);
}

Test(ledger_sqlite, promotes_what_waits_and_nothing_else)
{
    struct sqlite_user u;
    struct ledger_change waits = queued("1.7-1", AT);
    struct ledger_change done = becomes("1.7-1", OUTCOME_SUCCEEDED);
    struct ledger_claim claim = promotion("1.7-1");

    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_TAKEN, "no row");
    cr_expect_eq(user_change(&u, &waits), HEARD_WRITTEN);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_str_eq(user_text("SELECT outcome FROM run"), "claimed");
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED, "asked again");
    cr_expect_eq(user_change(&u, &done), HEARD_WRITTEN);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_TAKEN, "it is closed");
    cr_expect_eq(user_number("SELECT count(*) FROM job_state"), 0, "it was not to advance");
    user_close(&u);
}

Test(ledger_sqlite, takes_over_what_waits_from_the_term_before)
{
    struct sqlite_user before;
    struct sqlite_user u;
    struct ledger_change waits = queued("1.7-1", AT);
    struct ledger_claim claim = promotion("1.7-1");

    user_elect(&before, 7, 7);
    cr_expect_eq(user_change(&before, &waits), HEARD_WRITTEN);
    user_close(&before);
    user_elect(&u, 8, 8);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_str_eq(user_text("SELECT number || ' ' || incarnation || ' ' || instance FROM run"),
                     "8 0000000000000008 i8");
    user_close(&u);
}

Test(ledger_sqlite, refuses_what_is_ahead_of_the_clock)
{
    struct sqlite_user u;
    wall_ns now = clock_wall();
    struct ledger_claim claims[] = {
        tick("1.7-1", now + DUR_S(3600)),
        tick("1.7-2", now + DUR_S(1)), /* max_clock_skew is 2 s */
        tick("1.7-3", now),
    };

    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim(&u, claims, 3), HEARD_CLAIMED);
    cr_expect_eq(u.verdict_count, 3);
    cr_expect_eq(u.verdicts[0], LEDGER_AHEAD);
    cr_expect_eq(u.verdicts[1], LEDGER_GRANTED);
    cr_expect_eq(u.verdicts[2], LEDGER_GRANTED);
    cr_expect_geq(u.clock, now);
    cr_expect_eq(user_number("SELECT count(*) FROM run"), 2);
    cr_expect_lt(user_number("SELECT last_tick FROM job_state"), now / 1000 + 2000000);
    user_close(&u);
}

Test(ledger_sqlite, the_last_tick_only_goes_forward_and_over_taken_ones_too)
{
    struct sqlite_user u;
    struct ledger_claim later = tick("1.7-1", AT + DUR_S(60));
    struct ledger_claim earlier = tick("1.7-2", AT);
    struct ledger_claim taken = tick("1.7-3", AT + DUR_S(60));

    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim_one(&u, &later), LEDGER_GRANTED);
    cr_expect_eq(user_claim_one(&u, &earlier), LEDGER_GRANTED);
    cr_expect_eq(user_number("SELECT last_tick FROM job_state"), AT_MICROS + 60000000);
    cr_expect_str_eq(user_text("SELECT schedule_hash FROM job_state"), "0000000000000abc");
    user_sql("DELETE FROM job_state");
    cr_expect_eq(user_claim_one(&u, &taken), LEDGER_TAKEN);
    cr_expect_eq(user_number("SELECT last_tick FROM job_state"), AT_MICROS + 60000000);
    user_close(&u);
}

Test(ledger_sqlite, answers_the_largest_batch_in_its_order)
{
    struct sqlite_user u;
    static struct ledger_claim claims[LEDGER_BATCH_MAX];
    static char ids[LEDGER_BATCH_MAX][24];

    user_elect(&u, 7, 7);
    for (size_t i = 0; i < LEDGER_BATCH_MAX; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "1.7-%zu", i);
        claims[i] = tick(ids[i], AT + (wall_ns)(i / 2) * DUR_S(1));
    }
    cr_assert_eq(user_claim(&u, claims, LEDGER_BATCH_MAX), HEARD_CLAIMED, "%s", u.failed);
    cr_assert_eq(u.verdict_count, LEDGER_BATCH_MAX);
    for (size_t i = 0; i < LEDGER_BATCH_MAX; i++) {
        cr_assert_eq(u.verdicts[i], i % 2 == 0 ? LEDGER_GRANTED : LEDGER_TAKEN, "claim %zu", i);
    }
    user_close(&u);
}

Test(ledger_sqlite, an_end_keeps_what_was_known_of_the_run)
{
    struct sqlite_user u;
    struct ledger_claim claim = tick("1.7-1", AT);
    struct ledger_change running = becomes("1.7-1", OUTCOME_RUNNING);
    struct ledger_change failed = becomes("1.7-1", OUTCOME_FAILED);

    running.started_at = AT + DUR_MS(5);
    failed.ended_at = AT + DUR_S(5);
    failed.reason = "exit code 3";
    failed.code = 3;
    failed.result = "UPDATE 42";
    failed.output_head = "a\0b";
    failed.output_head_bytes = 3;
    failed.output_tail = "z";
    failed.output_tail_bytes = 1;
    failed.output_bytes = 1000;
    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_eq(user_change(&u, &running), HEARD_WRITTEN);
    cr_expect_eq(user_change(&u, &failed), HEARD_WRITTEN);
    cr_expect_str_eq(
        user_text("SELECT outcome || ' ' || reason || ' ' || started_at || ' ' || ended_at ||"
                  " ' ' || code || ' ' || result || ' ' || hex(output_head) || ' ' ||"
                  " hex(output_tail) || ' ' || output_bytes FROM run"),
        "failed exit code 3 1700000000128456 1700000005123456 3 UPDATE 42 610062 7A 1000");
    user_close(&u);
}

Test(ledger_sqlite, what_is_closed_is_not_changed_again)
{
    struct sqlite_user u;
    struct ledger_claim claim = tick("1.7-1", AT);
    struct ledger_change changes[] = {
        becomes("1.7-1", OUTCOME_SUCCEEDED),
        becomes("1.7-1", OUTCOME_FAILED),
        {.kind = LEDGER_DELETE, .id = "1.7-1"},
        queued("1.7-1", AT), /* one that is there stays */
        queued("1.7-9", AT), /* also under another id */
    };
    const struct ledger_write write = {.changes = changes, .change_count = 5};

    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_eq(user_write(&u, &write), HEARD_WRITTEN);
    cr_expect_eq(user_number("SELECT count(*) FROM run"), 1);
    cr_expect_str_eq(user_text("SELECT outcome FROM run"), "succeeded");
    user_close(&u);
}

Test(ledger_sqlite, a_run_that_is_not_to_be_kept_goes)
{
    struct sqlite_user u;
    struct ledger_claim claim = tick("1.7-1", AT);
    struct ledger_change gone = {.kind = LEDGER_DELETE, .id = "1.7-1"};

    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_eq(user_change(&u, &gone), HEARD_WRITTEN);
    cr_expect_eq(user_number("SELECT count(*) FROM run"), 0);
    cr_expect_eq(user_number("SELECT last_tick FROM job_state"), AT_MICROS);
    user_close(&u);
}

Test(ledger_sqlite, a_range_of_missed_ticks_is_one_row)
{
    struct sqlite_user u;
    struct ledger_change missed = {
        .kind = LEDGER_INSERT,
        .id = "1.7-1",
        .outcome = OUTCOME_MISSED,
        .reason = "no leader",
        .job = "nightly",
        .scheduled_at = AT,
        .last_at = AT + DUR_S(600),
        .count = 11,
        .attempt = 1,
        .code = -1,
    };

    user_elect(&u, 7, 7);
    cr_expect_eq(user_change(&u, &missed), HEARD_WRITTEN);
    cr_expect_str_eq(user_text("SELECT outcome || ' ' || reason || ' ' || scheduled_at || ' ' ||"
                               " last_at || ' ' || count FROM run"),
                     "missed no leader 1700000000123456 1700000600123456 11");
    user_close(&u);
}

Test(ledger_sqlite, a_write_is_all_or_nothing)
{
    struct sqlite_user u;
    struct ledger_claim claim = tick("1.7-1", AT);
    struct ledger_change changes[] = {
        becomes("1.7-1", OUTCOME_SUCCEEDED),
        queued("1.7-2", AT + DUR_S(1)),
    };
    const struct ledger_job_change job = {.job = "nightly", .sets_paused = true, .paused = true};
    const struct ledger_write write = {
        .changes = changes, .change_count = 2, .jobs = &job, .job_count = 1};

    user_elect(&u, 7, 7);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    user_sql("CREATE TRIGGER t BEFORE UPDATE ON job_state BEGIN SELECT raise(ABORT, 'no'); END");
    cr_expect_eq(user_write(&u, &write), HEARD_FAILED);
    cr_expect_not_null(strstr(u.failed, "no"), "%s", u.failed);
    cr_expect_str_eq(user_text("SELECT group_concat(outcome) FROM run"), "claimed");
    user_sql("DROP TRIGGER t");
    cr_expect(ledger_is_free(u.ledger));
    cr_expect_eq(user_write(&u, &write), HEARD_WRITTEN);
    cr_expect_str_eq(user_text("SELECT group_concat(outcome) FROM run"), "succeeded,queued");
    cr_expect_eq(user_number("SELECT paused FROM job_state"), 1);
    user_close(&u);
}

Test(ledger_sqlite, of_a_job_only_what_is_set_changes)
{
    struct sqlite_user u;
    const struct ledger_job_change changes[] = {
        {.job = "a", .sets_paused = true, .paused = true},
        {.job = "a", .sets_failures = true, .failures = 3},
        {.job = "a", .sets_tick = true, .last_tick = AT, .schedule_hash = 0xffffffffffffffff},
        {.job = "a", .sets_tick = true, .last_tick = AT - DUR_S(60), .schedule_hash = 5},
        {.job = "", .sets_paused = true, .paused = true},
    };
    const struct ledger_write write = {.jobs = changes, .job_count = 5};

    user_elect(&u, 7, 7);
    cr_expect_eq(user_write(&u, &write), HEARD_WRITTEN, "%s", u.failed);
    cr_expect_eq(user_load(&u), HEARD_LOADED);
    cr_assert_eq(u.job_count, 2);
    cr_expect_str_eq(u.jobs[0].job, "");
    cr_expect(u.jobs[0].state.paused);
    cr_expect_eq(u.jobs[0].state.last_tick, 0);
    cr_expect_str_eq(u.jobs[1].job, "a");
    cr_expect(u.jobs[1].state.paused);
    cr_expect_eq(u.jobs[1].state.failures, 3);
    cr_expect_eq(u.jobs[1].state.last_tick, (AT_MICROS - 60000000) * 1000, "whatever it was");
    cr_expect_eq(u.jobs[1].state.schedule_hash, 5);
    user_close(&u);
}

Test(ledger_sqlite, loads_the_open_runs_in_the_order_of_their_instants)
{
    struct sqlite_user before;
    struct sqlite_user u;
    struct ledger_claim claims[] = {tick("1.7-1", AT + DUR_S(20)), tick("1.7-2", AT + DUR_S(10))};
    struct ledger_change waits = queued("1.8-1", AT);
    struct ledger_change running = becomes("1.7-2", OUTCOME_RUNNING);

    waits.due_at = AT + DUR_S(30);
    waits.origin = ORIGIN_RETRY;
    running.started_at = AT + DUR_S(11);
    user_elect(&before, 7, 7);
    cr_expect_eq(user_claim(&before, claims, 2), HEARD_CLAIMED);
    cr_expect_eq(user_change(&before, &running), HEARD_WRITTEN);
    user_close(&before);
    user_elect(&u, 8, 8);
    cr_expect_eq(user_change(&u, &waits), HEARD_WRITTEN);
    user_sql("INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, origin) VALUES"
             " ('other', 'x', 'y', 1, 1, 'queued', 'schedule'),"
             " ('main', 'x', 'y', 1, 1, 'failed', 'schedule')");
    cr_expect_eq(user_load(&u), HEARD_LOADED);
    cr_assert_eq(u.run_count, 3);
    cr_expect_str_eq(u.runs[0].id, "1.8-1");
    cr_expect_eq(u.runs[0].run.outcome, OUTCOME_QUEUED);
    cr_expect_eq(u.runs[0].run.origin, ORIGIN_RETRY);
    cr_expect_eq(u.runs[0].run.due_at, (AT_MICROS + 30000000) * 1000);
    cr_expect_eq(u.runs[0].run.started_at, 0);
    cr_expect(u.runs[0].run.ours);
    cr_expect_str_eq(u.runs[1].id, "1.7-2");
    cr_expect_eq(u.runs[1].run.outcome, OUTCOME_RUNNING);
    cr_expect_eq(u.runs[1].run.started_at, (AT_MICROS + 11000000) * 1000);
    cr_expect_eq(u.runs[1].run.epoch.number, 7);
    cr_expect_not(u.runs[1].run.ours);
    cr_expect_str_eq(u.runs[2].id, "1.7-1");
    cr_expect_eq(u.runs[2].run.outcome, OUTCOME_CLAIMED);
    cr_expect_str_eq(u.runs[2].job, "nightly");
    cr_expect_gt(u.clock, AT);
    user_close(&u);
}

Test(ledger_sqlite, hands_on_the_requests_oldest_first_until_they_are_answered)
{
    struct sqlite_user u;
    const struct ledger_request_answer answers[] = {
        {.request = 1, .done = true, .run_id = "1.7-5", .text = "started"},
        {.request = 2, .done = false, .text = "there is no such job"},
    };
    const struct ledger_write write = {.answers = answers, .answer_count = 2};

    user_elect(&u, 7, 7);
    user_sql("INSERT INTO request (election, kind, job, requested_by) VALUES"
             " ('main', 'trigger', 'a', 'i2'), ('main', 'cancel', 'b', NULL),"
             " ('other', 'cancel', 'b', 'i2'), ('main', 'sing', 'b', 'i2'),"
             " ('main', 'pause', '', 'i2'), ('main', 'resume', 'c', 'i2')");
    cr_expect_eq(user_take_requests(&u), HEARD_REQUESTS);
    cr_assert_eq(u.request_count, 4);
    cr_expect_eq(u.requests[0].request.id, 1);
    cr_expect_eq(u.requests[0].request.kind, LEDGER_TRIGGER);
    cr_expect_str_eq(u.requests[0].job, "a");
    cr_expect_str_eq(u.requests[0].requested_by, "i2");
    cr_expect_gt(u.requests[0].request.requested_at, AT);
    cr_expect_eq(u.requests[1].request.kind, LEDGER_CANCEL);
    cr_expect_str_eq(u.requests[1].requested_by, "");
    cr_expect_eq(u.requests[2].request.kind, LEDGER_PAUSE);
    cr_expect_eq(u.requests[3].request.kind, LEDGER_RESUME);
    cr_expect_eq(user_write(&u, &write), HEARD_WRITTEN);
    cr_expect_eq(user_take_requests(&u), HEARD_REQUESTS);
    cr_expect_eq(u.request_count, 2);
    cr_expect_str_eq(user_text("SELECT done || run_id || answer FROM request WHERE id = 1"),
                     "11.7-5started");
    cr_expect_str_eq(user_text("SELECT done || answer FROM request WHERE id = 2"),
                     "0there is no such job");
    user_close(&u);
}

static void add_runs(const char *job, unsigned count, const char *outcome, const char *age)
{
    char sql[600];

    (void)snprintf(sql, sizeof(sql),
                   "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                   " INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, origin,"
                   " ended_at) SELECT 'main', '%s-%s%s-' || i, '%s',"
                   " (strftime('%%s', 'now', '%s') + i) * 1000000, 1, '%s', 'schedule',"
                   " (strftime('%%s', 'now', '%s') + i) * 1000000 FROM n",
                   count, job, outcome, age, job, age, outcome, age);
    user_sql(sql);
}

static void set_history(struct sqlite_user *u, dur_ns history, int runs)
{
    u->cfg->runs.history = history;
    u->cfg->runs.history_runs = runs;
    ledger_limit(u->ledger, u->cfg);
}

Test(ledger_sqlite, prunes_what_is_older_than_the_configuration_keeps)
{
    struct sqlite_user u;

    user_elect(&u, 7, 7);
    set_history(&u, DUR_S(3600), 10000);
    add_runs("a", 20, "failed", "-1 day");
    add_runs("a", 5, "failed", "-10 minutes");
    add_runs("a", 1, "running", "-2 days");
    add_runs("b", 3, "failed", "-1 day");
    user_sql("UPDATE run SET ended_at = NULL, last_at = strftime('%s') * 1000000 WHERE id ="
             " 'a-failed-1 day-20'"); /* a range that reaches up to now */
    cr_expect_eq(user_prune(&u, NULL), HEARD_PRUNED);
    cr_expect_eq(u.pruned, 22);
    cr_expect_eq(user_number("SELECT count(*) FROM run WHERE job = 'a'"), 7);
    cr_expect_eq(user_number("SELECT count(*) FROM run WHERE job = 'b'"), 0);
    cr_expect_eq(user_prune(&u, NULL), HEARD_PRUNED);
    cr_expect_eq(u.pruned, 0);
    user_close(&u);
}

Test(ledger_sqlite, prunes_what_are_more_than_the_configuration_keeps)
{
    struct sqlite_user u;

    user_elect(&u, 7, 7);
    set_history(&u, DUR_S(360000), 10);
    add_runs("a", 1, "queued", "-1 day");
    add_runs("a", 1200, "failed", "-1 hour");
    cr_expect_eq(user_prune(&u, "a"), HEARD_PRUNED);
    cr_expect_eq(u.pruned, LEDGER_PRUNE_MAX, "in small batches");
    for (int i = 0; i < 20 && u.pruned > 0; i++) {
        cr_expect_eq(user_prune(&u, "a"), HEARD_PRUNED);
    }
    cr_expect_eq(user_number("SELECT count(*) FROM run WHERE outcome = 'failed'"), 10);
    cr_expect_eq(user_number("SELECT count(*) FROM run WHERE outcome = 'queued'"), 1);
    cr_expect_str_eq(user_text("SELECT id FROM run ORDER BY scheduled_at DESC"),
                     "a-failed-1 hour-1200");
    user_close(&u);
}

Test(ledger_sqlite, prunes_old_requests)
{
    struct sqlite_user u;

    user_elect(&u, 7, 7);
    user_sql("INSERT INTO request (election, kind, requested_at, answered_at) VALUES"
             " ('main', 'pause', 1, 1), ('main', 'pause', 1, NULL),"
             " ('main', 'pause', strftime('%s') * 1000000, strftime('%s') * 1000000),"
             " ('main', 'pause', strftime('%s') * 1000000, NULL)");
    cr_expect_eq(user_prune(&u, NULL), HEARD_PRUNED);
    cr_expect_str_eq(user_text("SELECT group_concat(id) FROM request"), "3,4");
    user_close(&u);
}

/* Two elections may share a file; neither sees the other's. */
Test(ledger_sqlite, keeps_elections_apart)
{
    struct sqlite_user main_one;
    struct sqlite_user other;
    struct ledger_claim claim = tick("1.7-1", AT);

    user_elect(&main_one, 7, 7);
    user_open(&other, 8, "[election]\nname = other\n");
    cr_expect_eq(user_begin(&other, 1, 1), HEARD_READY, "%s", other.failed);
    cr_expect_eq(user_claim_one(&main_one, &claim), LEDGER_GRANTED);
    cr_expect_eq(user_claim_one(&other, &claim), LEDGER_GRANTED);
    cr_expect_eq(user_load(&other), HEARD_LOADED);
    cr_expect_eq(other.run_count, 1);
    user_close(&main_one);
    user_close(&other);
}
