/* What is kept in the ledger of runs: states of jobs, open runs, requests, and for how long. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ledger_rule.h"

LEDGER_RULE(a_job_keeps_what_is_not_said_of_it)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_job_change jobs[] = {
        {.job = "a", .sets_tick = true, .last_tick = at, .schedule_hash = 0xfedcba9876543210},
        {.job = "a", .sets_failures = true, .failures = 3},
        {.job = "", .sets_paused = true, .paused = true},
    };
    struct ledger_job_change paused = {.job = "a", .sets_paused = true, .paused = true};
    struct ledger_job_change back = {.job = "a", .sets_tick = true, .last_tick = at - 1000};
    struct ledger_write write = {.jobs = jobs, .job_count = 3};

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    cr_assert_eq(ledger_user_write(&u, &write), TOLD_WRITTEN, "%s", u.text);
    write = (struct ledger_write){.jobs = &paused, .job_count = 1};
    cr_assert_eq(ledger_user_write(&u, &write), TOLD_WRITTEN, "%s", u.text);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_assert_eq(u.job_count, 2);
    const struct ledger_job_state *a = u.jobs[0].job[0] == 'a' ? &u.jobs[0] : &u.jobs[1];
    const struct ledger_job_state *all = a == &u.jobs[0] ? &u.jobs[1] : &u.jobs[0];
    cr_expect_str_eq(a->job, "a");
    cr_expect(a->paused);
    cr_expect_eq(a->failures, 3);
    cr_expect_eq(a->last_tick, at);
    cr_expect(a->schedule_hash == 0xfedcba9876543210);
    cr_expect_str_eq(all->job, "");
    cr_expect(all->paused);
    cr_expect_eq(all->last_tick, 0);

    write = (struct ledger_write){.jobs = &back, .job_count = 1};
    cr_assert_eq(ledger_user_write(&u, &write), TOLD_WRITTEN, "%s", u.text);
    cr_expect_eq(ledger_count(f, "job_state", "job = 'a' AND failures = 3 AND paused"), 1);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    a = u.jobs[0].job[0] == 'a' ? &u.jobs[0] : &u.jobs[1];
    cr_expect_eq(a->last_tick, at - 1000, "a write sets it back, too");
    ledger_user_close(&u);
}

/* By which a leader looks for them; neither their ticks nor a locale has a say. */
LEDGER_RULE(states_of_jobs_come_in_the_order_of_their_names)
{
    static const char *const sorted[] = {"", "B", "a", "a-b", "ab", "c"};
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_job_change jobs[] = {
        {.job = "c", .sets_tick = true, .last_tick = at, .schedule_hash = 1},
        {.job = "ab", .sets_tick = true, .last_tick = at + 1000, .schedule_hash = 1},
        {.job = "B", .sets_tick = true, .last_tick = at + 2000, .schedule_hash = 1},
        {.job = "a-b", .sets_tick = true, .last_tick = at + 3000, .schedule_hash = 1},
        {.job = "a", .sets_failures = true, .failures = 1},
        {.job = "", .sets_paused = true, .paused = true},
    };
    struct ledger_write write = {.jobs = jobs, .job_count = 6};

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    cr_assert_eq(ledger_user_write(&u, &write), TOLD_WRITTEN, "%s", u.text);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_assert_eq(u.job_count, 6);
    for (size_t i = 0; i < 6; i++) {
        cr_expect_str_eq(u.jobs[i].job, sorted[i]);
    }
    ledger_user_close(&u);
}

LEDGER_RULE(the_next_leader_finds_what_is_open)
{
    struct ledger_user u;
    wall_ns at = a_past();
    struct ledger_claim claims[] = {a_tick("1.1-1", "a", at + DUR_S(2)), a_tick("1.1-2", "b", at),
                                    a_tick("1.1-3", "c", at + DUR_S(1))};
    struct ledger_change changes[] = {an_update("1.1-1", OUTCOME_RUNNING),
                                      an_update("1.1-2", OUTCOME_SUCCEEDED),
                                      an_insert("1.1-4", "d", at + DUR_S(3), OUTCOME_RETRYING)};
    struct ledger_change interrupted = an_update("1.1-1", OUTCOME_INTERRUPTED);

    changes[0].started_at = at + DUR_S(2) + 5000;
    changes[2].due_at = at + DUR_S(9);
    changes[2].origin = ORIGIN_RETRY;
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    cr_assert_eq(ledger_user_claim(&u, claims, 3), TOLD_CLAIMED, "%s", u.text);
    cr_assert_eq(ledger_user_change(&u, changes, 3), TOLD_WRITTEN, "%s", u.text);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_expect(u.runs[0].ours);
    ledger_user_close(&u);

    ledger_user_open(&u, f, ledger_second, LEDGER_THEIRS);
    cr_assert_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_assert_eq(u.run_count, 3);
    cr_expect_str_eq(u.runs[0].id, "1.1-3");
    cr_expect_eq(u.runs[0].outcome, OUTCOME_CLAIMED);
    cr_expect_eq(u.runs[0].started_at, 0);
    cr_expect_eq(u.runs[0].due_at, 0);
    cr_expect_str_eq(u.runs[1].id, "1.1-1");
    cr_expect_str_eq(u.runs[1].job, "a");
    cr_expect_eq(u.runs[1].outcome, OUTCOME_RUNNING);
    cr_expect_eq(u.runs[1].origin, ORIGIN_SCHEDULE);
    cr_expect_eq(u.runs[1].attempt, 1);
    cr_expect_eq(u.runs[1].scheduled_at, at + DUR_S(2));
    cr_expect_eq(u.runs[1].started_at, at + DUR_S(2) + 5000);
    cr_expect(epoch_equal(u.runs[1].epoch, ledger_first));
    cr_expect_not(u.runs[1].ours);
    cr_expect_eq(u.runs[2].outcome, OUTCOME_RETRYING);
    cr_expect_eq(u.runs[2].origin, ORIGIN_RETRY);
    cr_expect_eq(u.runs[2].due_at, at + DUR_S(9));
    cr_expect_lt(clock_wall() - u.database_clock, DUR_S(60));

    ledger_user_change_one(&u, &interrupted);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "interrupted"));
    cr_expect(ledger_run_is(f, "1.1-1", "number", "1"), "who ran it is still known");
    ledger_user_close(&u);
}

LEDGER_RULE(requests_are_taken_until_they_are_answered)
{
    struct ledger_user u;

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    cr_assert_eq(ledger_user_requests(&u), TOLD_REQUESTS, "%s", u.text);
    cr_expect_eq(u.request_count, 0);
    (void)ledger_scalar(f, "INSERT INTO request (election, kind, job, requested_by) VALUES "
                           "('main', 'trigger', 'a', 'somebody'), ('main', 'pause', '', 'else'), "
                           "('other', 'cancel', 'a', 'x'), ('main', 'cancel', 'b', NULL)");
    cr_assert_eq(ledger_user_requests(&u), TOLD_REQUESTS, "%s", u.text);
    cr_assert_eq(u.request_count, 3);
    cr_expect_eq(u.requests[0].kind, LEDGER_TRIGGER);
    cr_expect_str_eq(u.requests[0].job, "a");
    cr_expect_str_eq(u.requests[0].requested_by, "somebody");
    cr_expect_lt(clock_wall() - u.requests[0].requested_at, DUR_S(60));
    cr_expect_eq(u.requests[1].kind, LEDGER_PAUSE);
    cr_expect_str_eq(u.requests[1].job, "");
    cr_expect_eq(u.requests[2].kind, LEDGER_CANCEL);

    const struct ledger_request_answer answers[] = {
        {.request = u.requests[0].id, .done = true, .run_id = "1.1-5", .text = "it's \"queued\""},
        {.request = u.requests[2].id, .done = false, .text = "no job 'b'"},
    };
    const struct ledger_write write = {.answers = answers, .answer_count = 2};
    cr_assert_eq(ledger_user_write(&u, &write), TOLD_WRITTEN, "%s", u.text);
    cr_expect_eq(ledger_count(f, "request",
                              "run_id = '1.1-5' AND answer = 'it''s \"queued\"' AND done AND "
                              "answered_at IS NOT NULL"),
                 1);
    cr_expect_eq(ledger_count(f, "request", "run_id IS NULL AND answer IS NOT NULL AND NOT done"),
                 1);
    cr_assert_eq(ledger_user_requests(&u), TOLD_REQUESTS, "%s", u.text);
    cr_assert_eq(u.request_count, 1);
    cr_expect_eq(u.requests[0].kind, LEDGER_PAUSE);
    ledger_user_close(&u);
}

/* Also the broken ones: bytes that are no characters would have the statement refused for ever. */
LEDGER_RULE(any_text_comes_through)
{
    static const char *const texts[] = {
        "it's",   "a \"quoted\" word",  "back\\slash\\", "{a,NULL,\"b\"}", "NULL", "",
        "a\nb\t", "gr\xc3\xbc\xc3\x9f", "\\x00",         "$1 %s $S",
    };
    struct ledger_user u;
    wall_ns at = a_past();

    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "1.1-%zu", i);
        struct ledger_change change = an_insert(id, texts[i], at, OUTCOME_SKIPPED);
        change.reason = texts[i];
        ledger_user_change_one(&u, &change);
        cr_expect(ledger_run_is(f, id, "reason", texts[i]));
        cr_expect(ledger_run_is(f, id, "job", texts[i]));
    }
    struct ledger_change broken = an_insert("1.1-x", "a", at, OUTCOME_SKIPPED);
    broken.reason = "cut \xc3";
    ledger_user_change_one(&u, &broken);
    cr_expect_not_null(ledger_run(f, "1.1-x", "reason"));
    ledger_user_close(&u);
}

/* Closed runs: the number in their id is how many seconds ago they were scheduled. */
static void fill(struct ledger_user *u, int count)
{
    static char ids[256][16];
    static struct ledger_change changes[256];
    static wall_ns now; /* the second time it adds to the first */

    now = now == 0 ? clock_wall() : now;
    for (int i = 0; i < count; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "%d", 100 + i);
        changes[i] = an_insert(ids[i], "a", now - DUR_S(100 + i), OUTCOME_SKIPPED);
    }
    cr_assert_eq(ledger_user_change(u, changes, (size_t)count), TOLD_WRITTEN, "%s", u->text);
}

/* NULL: by age, of all jobs. */
static size_t prune_all(struct ledger_user *u, const char *job)
{
    size_t gone = 0;

    do {
        cr_assert_eq(ledger_user_prune(u, job), TOLD_PRUNED, "%s", u->text);
        gone += u->pruned;
    } while (u->pruned > 0);
    return gone;
}

LEDGER_RULE(old_runs_go_and_open_ones_stay)
{
    struct ledger_user u;
    wall_ns now = clock_wall();
    struct ledger_change rest[] = {
        an_insert("open", "a", now - DUR_S(86400), OUTCOME_QUEUED),
        an_insert("other", "b", now - DUR_S(86400), OUTCOME_SKIPPED),
        an_insert("long", "a", now - DUR_S(86401), OUTCOME_QUEUED),
        an_insert("old", "a", now - DUR_S(86402), OUTCOME_QUEUED),
    };
    struct ledger_change ends[] = {an_update("long", OUTCOME_SUCCEEDED),
                                   an_update("old", OUTCOME_SUCCEEDED)};

    f->cfg->runs.history = DUR_S(3600);
    f->cfg->runs.history_runs = 10000;
    ends[0].ended_at = now;
    ends[1].ended_at = now - DUR_S(3601);
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    cr_assert_eq(ledger_user_change(&u, rest, 4), TOLD_WRITTEN, "%s", u.text);
    cr_assert_eq(ledger_user_change(&u, ends, 2), TOLD_WRITTEN, "%s", u.text);
    fill(&u, 10);
    cr_expect_eq(prune_all(&u, NULL), 2);
    cr_expect_eq(ledger_count(f, "run", "id IN ('old', 'other')"), 0);
    cr_expect_eq(ledger_count(f, "run", "true"), 12);
    ledger_user_close(&u);
}

LEDGER_RULE(of_each_job_only_so_many_runs_are_kept)
{
    struct ledger_user u;
    struct ledger_change open = an_insert("open", "a", clock_wall() - DUR_S(86400), OUTCOME_QUEUED);

    f->cfg->runs.history = DUR_S(360000);
    f->cfg->runs.history_runs = 7;
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    ledger_user_change_one(&u, &open);
    fill(&u, 6);
    cr_expect_eq(prune_all(&u, "a"), 0);
    fill(&u, 20);
    cr_expect_eq(prune_all(&u, "a"), 13);
    cr_expect_eq(ledger_count(f, "run", "true"), 8);
    cr_expect_not_null(ledger_run(f, "100", "outcome"));
    cr_expect_not_null(ledger_run(f, "106", "outcome"));
    cr_expect_null(ledger_run(f, "107", "outcome"));
    cr_expect_not_null(ledger_run(f, "open", "outcome"));
    ledger_user_close(&u);
}

/* A tick that is due waits until they are gone. */
LEDGER_RULE(many_runs_go_a_few_at_a_time)
{
    struct ledger_user u;

    f->cfg->runs.history = DUR_S(3600);
    f->cfg->runs.history_runs = 10;
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    fill(&u, 250);
    cr_assert_eq(ledger_user_prune(&u, "a"), TOLD_PRUNED, "%s", u.text);
    cr_expect_eq(u.pruned, LEDGER_PRUNE_MAX);
    cr_expect_eq(prune_all(&u, "a"), 240 - LEDGER_PRUNE_MAX);

    f->cfg->runs.history = DUR_S(60);
    ledger_limit(u.ledger, f->cfg);
    fill(&u, 250);
    cr_assert_eq(ledger_user_prune(&u, NULL), TOLD_PRUNED, "%s", u.text);
    cr_expect_eq(u.pruned, LEDGER_PRUNE_MAX);
    cr_expect_eq(prune_all(&u, NULL), 250 - LEDGER_PRUNE_MAX);
    ledger_user_close(&u);
}
