/* The ledger in PostgreSQL: what only a server and a connection to it can do to it. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/ledger_rule.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"
#include "worker/database/schema.h"
#include "worker/leader/ledger_connection.h"

static struct ledger_fixture fixture;
static struct ledger_fixture *const f = &fixture;
static struct ledger_user u;

/* As a term does. What is asked next is asked at once: its statement is prepared. */
static void begin(struct ledger_user *user)
{
    cr_assert_eq(ledger_user_load(user), TOLD_LOADED);
    user->told = TOLD_NOTHING;
}

static void up(void)
{
    ledger_fixture_up(f, &ledger_backend_postgres, "");
    ledger_user_open(&u, f, ledger_first, LEDGER_OURS);
    begin(&u);
}

static void down(void)
{
    ledger_user_close(&u);
    ledger_fixture_down(f);
}

TestSuite(ledger_in_postgres, .init = up, .fini = down);

static bool waits_for(const char *what)
{
    return strcmp(ledger_scalar(f,
                                "SELECT count(*) FROM pg_stat_activity WHERE application_name "
                                "LIKE 'pgbaton ledger %%' AND state = 'active' AND %s",
                                what),
                  "0") != 0;
}

static bool waits_for_standby(void *ctx)
{
    (void)ctx;
    return waits_for("wait_event = 'SyncRep'");
}

static bool waits_for_lock(void *ctx)
{
    (void)ctx;
    return waits_for("wait_event_type = 'Lock'");
}

static bool has_commit_unanswered(void *conn)
{
    PGconn *canary = conn;

    cr_assert_eq(PQconsumeInput(canary), 1);
    if (PQisBusy(canary) == 0) { /* nothing was asked, or it was answered: again */
        PGresult *result;

        while ((result = PQgetResult(canary)) != NULL) {
            PQclear(result);
        }
        cr_assert_eq(PQsendQuery(canary, "SELECT pg_logical_emit_message(true, 'canary', '')"), 1);
    }
    return strcmp(ledger_scalar(f, "SELECT count(*) FROM pg_stat_activity WHERE "
                                   "application_name = 'canary' AND wait_event = 'SyncRep'"),
                  "1") == 0;
}

/* A commit that nobody confirms: it is done, and not answered. Sessions read of the setting before
 * the checkpointer, which has it obeyed. */
static void leave_commits_unanswered(bool unanswered)
{
    server_do(f->admin, unanswered ? "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
                                   : "ALTER SYSTEM RESET synchronous_standby_names");
    server_do(f->admin, "SELECT pg_reload_conf()");
    /* This session's own statements are not to wait. */
    server_do(f->admin, "SET synchronous_commit = local");
    if (unanswered) {
        PGconn *canary = server_connect(&f->server, "canary");

        cr_assert(wait_until(has_commit_unanswered, canary, WAIT_LIMIT));
        PQfinish(canary);
    }
}

Test(ledger_in_postgres, a_claim_whose_answer_was_lost_is_granted_when_it_is_asked_again)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());

    leave_commits_unanswered(true);
    u.told = TOLD_NOTHING;
    ledger_claim(u.ledger, &claim, 1);
    /* The loop does not run: the statement is sent, and its answer not read. */
    cr_assert(wait_until(waits_for_standby, NULL, WAIT_LIMIT));
    f->backend->cut(f);
    leave_commits_unanswered(false);
    cr_expect_eq(ledger_user_wait(&u), TOLD_FAILED);
    cr_expect_not(ledger_is_free(u.ledger));
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "claimed"), "it was not lost with the answer");

    u.ready = false;
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect(u.ready);
    cr_expect_eq(ledger_count(f, "run", "true"), 1);
}

Test(ledger_in_postgres, a_write_whose_answer_was_lost_is_done_once)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());
    struct ledger_change changes[] = {
        an_update("1.1-1", OUTCOME_FAILED),
        an_insert("1.1-2", "a", claim.scheduled_at, OUTCOME_RETRYING),
    };
    const struct ledger_write write = {.changes = changes, .change_count = 2};

    changes[1].attempt = 2;
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    leave_commits_unanswered(true);
    u.told = TOLD_NOTHING;
    ledger_write(u.ledger, &write);
    cr_assert(wait_until(waits_for_standby, NULL, WAIT_LIMIT));
    f->backend->cut(f);
    leave_commits_unanswered(false);
    cr_expect_eq(ledger_user_wait(&u), TOLD_FAILED);

    cr_expect_eq(ledger_user_change(&u, changes, 2), TOLD_WRITTEN, "%s", u.text);
    cr_expect_eq(ledger_count(f, "run", "true"), 2);
    cr_expect(ledger_run_is(f, "1.1-1", "outcome", "failed"));
    cr_expect(ledger_run_is(f, "1.1-2", "outcome", "retrying"));
}

static void let_log_in(const char *role, bool may)
{
    char *sql = text_format("ALTER ROLE %s %s", role, may ? "LOGIN" : "NOLOGIN");

    server_do(f->admin, sql);
    free(sql);
}

/* Nothing is asked of a connection that is not there: without a word nobody would know that no tick
 * can be claimed. */
Test(ledger_in_postgres, a_connection_that_does_not_come_back_is_told_though_nothing_was_asked)
{
    char *role = text_format(
        "%s", ledger_scalar(f, "SELECT usename FROM pg_stat_activity WHERE application_name LIKE "
                               "'pgbaton ledger %%'"));

    u.told = TOLD_NOTHING;
    let_log_in(role, false);
    f->backend->cut(f);
    cr_expect_eq(ledger_user_wait(&u), TOLD_FAILED);
    cr_expect_not(ledger_is_free(u.ledger));
    u.told = TOLD_NOTHING;
    u.ready = false;
    let_log_in(role, true);
    cr_expect_eq(ledger_user_load(&u), TOLD_LOADED, "%s", u.text);
    cr_expect(u.ready);
    free(role);
}

/* The connection is gone on this side only: the server still works for it. */
Test(ledger_in_postgres, a_claim_whose_first_attempt_is_still_under_way_is_granted)
{
    static struct ledger_user again;
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());

    ledger_user_join(&again, f, ledger_first, LEDGER_OURS);
    begin(&again);
    leave_commits_unanswered(true);
    ledger_claim(u.ledger, &claim, 1);
    cr_assert(wait_until(waits_for_standby, NULL, WAIT_LIMIT));

    again.told = TOLD_NOTHING;
    ledger_claim(again.ledger, &claim, 1);
    cr_assert(wait_until(waits_for_lock, NULL, WAIT_LIMIT));
    leave_commits_unanswered(false);
    if (ledger_user_wait(&again) == TOLD_FAILED) { /* the lock was in the way for too long */
        (void)ledger_user_claim(&again, &claim, 1);
    }

    cr_assert_eq(again.told, TOLD_CLAIMED);
    cr_expect_eq(again.verdicts[0], LEDGER_GRANTED);
    cr_expect_eq(ledger_count(f, "run", "true"), 1);
    ledger_user_close(&again);
}

/* Trial 5 of the design, with two connections. */
Test(ledger_in_postgres, a_claim_in_flight_is_seen_by_the_next_term_and_the_next_one_refused)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());
    struct ledger_claim late = a_tick("1.1-2", "a", a_past() + DUR_S(1));
    PGconn *next = server_connect(&f->server, "next");

    leave_commits_unanswered(true);
    server_do(next, "SET synchronous_commit = local; SET search_path = pgbaton");
    u.told = TOLD_NOTHING;
    ledger_claim(u.ledger, &claim, 1);
    cr_assert(wait_until(waits_for_standby, NULL, WAIT_LIMIT));

    cr_assert_eq(PQsendQuery(next, "UPDATE election SET number = 2, incarnation = 'next'"), 1);
    while (strcmp(ledger_scalar(f, "SELECT count(*) FROM pg_stat_activity WHERE "
                                   "application_name = 'next' AND wait_event_type = 'Lock'"),
                  "1") != 0) {
        cr_assert_eq(PQconsumeInput(next), 1);
        cr_assert(PQisBusy(next), "the opening did not wait for the claim");
    }
    leave_commits_unanswered(false);
    PGresult *result = PQgetResult(next);
    cr_assert_eq(PQresultStatus(result), PGRES_COMMAND_OK, "%s", PQresultErrorMessage(result));
    PQclear(result);
    cr_assert_null(PQgetResult(next));
    cr_expect_str_eq(server_scalar(next, "SELECT outcome FROM run WHERE id = '1.1-1'"), "claimed");

    cr_expect_eq(ledger_user_wait(&u), TOLD_CLAIMED);
    cr_expect_eq(u.verdicts[0], LEDGER_GRANTED);
    cr_expect_eq(ledger_user_claim(&u, &late, 1), TOLD_OVER);
    cr_expect_eq(ledger_count(f, "run", "true"), 1);
    PQfinish(next);
}

Test(ledger_in_postgres, a_cut_connection_is_made_again_and_the_ledger_goes_on)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());

    f->backend->cut(f);
    u.ready = false;
    while (!u.ready) { /* nothing was asked, so nothing fails */
        cr_assert_eq(u.told, TOLD_NOTHING);
        (void)ev_run(f->loop, EVRUN_ONCE);
    }
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
}

static void say_paused(bool paused)
{
    const struct ledger_job_change change = {.job = "a", .sets_paused = true, .paused = paused};
    const struct ledger_write write = {.jobs = &change, .job_count = 1};

    cr_assert_eq(ledger_user_write(&u, &write), TOLD_WRITTEN, "%s", u.text);
}

static bool is_gone(void *pid)
{
    return strcmp(ledger_scalar(f, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d",
                                *(int *)pid),
                  "0") == 0;
}

/* It is in the socket of a backend that hangs, when the session is given up. */
Test(ledger_in_postgres, a_question_that_was_given_up_is_not_carried_out_later)
{
    const struct ledger_job_change pause = {.job = "a", .sets_paused = true, .paused = true};
    const struct ledger_write write = {.jobs = &pause, .job_count = 1};
    struct session *session = ledger_connection_session(ledger_connection_of(u.ledger));
    int backend = session_backend_pid(session);

    say_paused(false);
    cr_assert_eq(kill(backend, SIGSTOP), 0);
    u.told = TOLD_NOTHING;
    ledger_write(u.ledger, &write);
    cr_assert_eq(shutdown(PQsocket(session_connection(session)), SHUT_RDWR), 0);
    cr_expect_eq(ledger_user_wait(&u), TOLD_FAILED);

    say_paused(true);
    say_paused(false);
    cr_assert_not(is_gone(&backend), "it was to be there still");
    cr_assert_eq(kill(backend, SIGCONT), 0);
    cr_assert(wait_until(is_gone, &backend, WAIT_LIMIT));
    cr_expect_eq(ledger_count(f, "job_state", "job = 'a' AND NOT paused"), 1);
}

Test(ledger_in_postgres, tables_that_were_dropped_may_be_made_again)
{
    const struct config cfg = {.database = {.schema = "pgbaton"}};
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());
    char *sql = schema_create_sql(&cfg);
    char *grants = schema_grant_sql(&cfg, "baton");

    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    server_do(f->admin, "DROP TABLE run, job_state CASCADE");
    cr_expect_eq(ledger_user_claim(&u, &claim, 1), TOLD_FAILED);
    cr_expect_not_null(strstr(u.text, "pgbaton init-db"), "%s", u.text);
    cr_expect_eq(ledger_user_load(&u), TOLD_FAILED);
    server_do(f->admin, sql);
    server_do(f->admin, grants);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    cr_expect_eq(ledger_user_load(&u), TOLD_LOADED);
    free(sql);
    free(grants);
}

Test(ledger_in_postgres, a_role_without_the_rights_is_told_which_command_lists_them)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());

    server_do(f->admin, "REVOKE INSERT ON run FROM baton");
    cr_expect_eq(ledger_user_claim(&u, &claim, 1), TOLD_FAILED);
    cr_expect_not_null(strstr(u.text, "init-db --print"), "%s", u.text);
    server_do(f->admin, "GRANT INSERT ON run TO baton");
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
}

Test(ledger_in_postgres, a_row_that_others_hold_is_waited_for_and_then_said)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());

    server_do(f->admin, "BEGIN; SELECT FROM election FOR UPDATE");
    cr_expect_eq(ledger_user_claim(&u, &claim, 1), TOLD_FAILED);
    cr_expect_not_null(strstr(u.text, "lock timeout"), "%s", u.text);
    server_do(f->admin, "ROLLBACK");
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
}

Test(ledger_in_postgres, who_takes_the_database_for_read_only_is_told_and_asks_again)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());

    server_reload(&f->server, "default_transaction_read_only = on\n");
    while (ledger_user_claim(&u, &claim, 1) == TOLD_CLAIMED) { /* until it is heard of */
        claim.scheduled_at += DUR_S(1);
        claim.id = "1.1-2";
    }
    cr_expect_eq(u.told, TOLD_FAILED);
    cr_expect_not_null(strstr(u.text, "read-only"), "%s", u.text);
    server_reload(&f->server, "default_transaction_read_only = off\n");
    while (ledger_user_claim(&u, &claim, 1) == TOLD_FAILED) {
        cr_assert_not_null(strstr(u.text, "read-only"), "%s", u.text);
    }
    cr_expect_eq(u.told, TOLD_CLAIMED);
}

/* What was refused as ahead of the clock is asked again, what is taken is not. */
Test(ledger_in_postgres, a_claim_is_judged_by_the_limit_that_it_was_asked_with)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", clock_wall() + DUR_S(3600));
    struct config reloaded = *f->cfg;

    reloaded.database.max_clock_skew = DUR_S(2 * 3600);
    ledger_user_claim_one(&u, &claim, LEDGER_AHEAD);
    u.told = TOLD_NOTHING;
    ledger_claim(u.ledger, &claim, 1);
    ledger_limit(u.ledger, &reloaded); /* the answer was not read yet */
    cr_assert_eq(ledger_user_wait(&u), TOLD_CLAIMED);
    cr_expect_eq(u.verdicts[0], LEDGER_AHEAD);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
}

static long rows_read(void)
{
    return strtol(ledger_scalar(f, "SELECT sum(idx_tup_read)::bigint + (SELECT seq_tup_read FROM "
                                   "pg_stat_user_tables WHERE relname = 'run') "
                                   "FROM pg_stat_user_indexes WHERE relname = 'run'"),
                  NULL, 10);
}

/* The counts of a session are there when it has ended. */
static bool counts_are_there(void *ctx)
{
    (void)ctx;
    return rows_read() > 0;
}

/* Though it was prepared while the tables were empty, and nobody has told the planner since. */
Test(ledger_in_postgres, each_row_is_found_by_its_key)
{
    struct ledger_claim claim = a_tick("1.1-1", "a", a_past());
    struct ledger_change change = an_update("1.1-1", OUTCOME_SUCCEEDED);

    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    server_do(f->admin, "ALTER TABLE run SET (autovacuum_enabled = off)");
    server_do(f->admin,
              "INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, origin) "
              "SELECT 'main', 'x' || i, 'j' || i % 7, to_timestamp(i), 1, "
              "CASE WHEN i % 2 = 0 THEN 'queued' ELSE 'succeeded' END, 'schedule' "
              "FROM generate_series(1, 20000) i");
    (void)ledger_scalar(f, "SELECT pg_stat_reset()");
    ledger_user_change_one(&u, &change);
    claim.id = "x2";
    claim.promotes = true;
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED);
    ledger_user_claim_one(&u, &claim, LEDGER_GRANTED); /* by a look at the row itself */

    f->backend->cut(f);
    cr_assert(wait_until(counts_are_there, NULL, WAIT_LIMIT));
    cr_expect_lt(rows_read(), 1000, "%ld", rows_read());
}
