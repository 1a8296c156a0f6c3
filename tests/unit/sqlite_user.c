#include "tests/unit/sqlite_user.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/wait.h"
#include "tests/unit/config_fixture.h"

static void hear(struct sqlite_user *u, enum heard what)
{
    u->heard = what;
    u->times++;
    ev_break(u->loop, EVBREAK_ONE);
}

static void on_loaded(void *ctx, const struct ledger_state *state)
{
    struct sqlite_user *u = ctx;

    cr_assert_leq(state->run_count, KEPT_MAX);
    cr_assert_leq(state->job_count, KEPT_MAX);
    u->clock = state->database_clock;
    u->run_count = state->run_count;
    for (size_t i = 0; i < state->run_count; i++) {
        u->runs[i].run = state->runs[i];
        (void)snprintf(u->runs[i].id, sizeof(u->runs[i].id), "%s", state->runs[i].id);
        (void)snprintf(u->runs[i].job, sizeof(u->runs[i].job), "%s", state->runs[i].job);
    }
    u->job_count = state->job_count;
    for (size_t i = 0; i < state->job_count; i++) {
        u->jobs[i].state = state->jobs[i];
        (void)snprintf(u->jobs[i].job, sizeof(u->jobs[i].job), "%s", state->jobs[i].job);
    }
    hear(u, HEARD_LOADED);
}

static void on_claimed(void *ctx, const enum ledger_verdict *verdicts, size_t count, wall_ns clock)
{
    struct sqlite_user *u = ctx;

    memcpy(u->verdicts, verdicts, count * sizeof(*verdicts));
    u->verdict_count = count;
    u->clock = clock;
    hear(u, HEARD_CLAIMED);
}

static void on_written(void *ctx)
{
    hear(ctx, HEARD_WRITTEN);
}

static void on_requests(void *ctx, const struct ledger_request *requests, size_t count)
{
    struct sqlite_user *u = ctx;

    cr_assert_leq(count, KEPT_MAX);
    u->request_count = count;
    for (size_t i = 0; i < count; i++) {
        struct kept_request *kept = &u->requests[i];
        kept->request = requests[i];
        (void)snprintf(kept->job, sizeof(kept->job), "%s", requests[i].job);
        (void)snprintf(kept->requested_by, sizeof(kept->requested_by), "%s",
                       requests[i].requested_by);
    }
    hear(u, HEARD_REQUESTS);
}

static void on_pruned(void *ctx, size_t rows)
{
    ((struct sqlite_user *)ctx)->pruned = rows;
    hear(ctx, HEARD_PRUNED);
}

static void on_failed(void *ctx, const char *text)
{
    struct sqlite_user *u = ctx;

    (void)snprintf(u->failed, sizeof(u->failed), "%s", text);
    cr_expect_null(strchr(text, '\n'), "one line: %s", text);
    hear(u, HEARD_FAILED);
}

static void on_ready(void *ctx)
{
    hear(ctx, HEARD_READY);
}

static void on_term_over(void *ctx)
{
    hear(ctx, HEARD_OVER);
}

void user_open(struct sqlite_user *u, uint64_t incarnation, const char *settings)
{
    char text[1024];
    const struct ledger_events events = {
        .on_loaded = on_loaded,
        .on_claimed = on_claimed,
        .on_written = on_written,
        .on_requests = on_requests,
        .on_pruned = on_pruned,
        .on_failed = on_failed,
        .on_ready = on_ready,
        .on_term_over = on_term_over,
        .ctx = u,
    };

    *u = (struct sqlite_user){.loop = ev_loop_new(EVFLAG_AUTO)};
    (void)snprintf(text, sizeof(text),
                   "[pgbaton]\ninstance = i%llu\n[database]\ndsn = sqlite:ledger\n%s",
                   (unsigned long long)incarnation, settings);
    u->cfg = config_fixture_config(text);
    const struct ledger_options options = {
        .config = u->cfg,
        .incarnation = incarnation,
        .seed = incarnation,
    };
    u->ledger = ledger_open(u->loop, &options, &events);
    cr_assert_not_null(u->ledger);
}

void user_close(struct sqlite_user *u)
{
    ledger_close(u->ledger);
    config_free(u->cfg);
    ev_loop_destroy(u->loop);
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    ev_break(loop, EVBREAK_ONE);
}

enum heard user_wait(struct sqlite_user *u)
{
    unsigned before = u->times;
    ev_timer limit;

    ev_timer_init(&limit, on_limit, (double)WAIT_LIMIT / 1e9, 0);
    ev_timer_start(u->loop, &limit);
    (void)ev_run(u->loop, 0);
    ev_timer_stop(u->loop, &limit);
    cr_assert_eq(u->times, before + 1, "heard once, not %u times", u->times - before);
    return u->heard;
}

static enum heard after_asking(struct sqlite_user *u, unsigned before)
{
    cr_assert_eq(u->times, before, "an answer came from inside the call");
    cr_assert_not(ledger_is_free(u->ledger));
    return user_wait(u);
}

enum heard user_begin(struct sqlite_user *u, uint64_t generation, uint64_t number)
{
    unsigned before = u->times;

    cr_assert_not(ledger_is_free(u->ledger));
    ledger_begin(u->ledger, (struct epoch){.generation = generation, .number = number});
    return after_asking(u, before);
}

enum heard user_load(struct sqlite_user *u)
{
    unsigned before = u->times;

    ledger_load(u->ledger);
    return after_asking(u, before);
}

enum heard user_claim(struct sqlite_user *u, const struct ledger_claim *claims, size_t count)
{
    unsigned before = u->times;

    ledger_claim(u->ledger, claims, count);
    return after_asking(u, before);
}

enum heard user_write(struct sqlite_user *u, const struct ledger_write *write)
{
    unsigned before = u->times;

    ledger_write(u->ledger, write);
    return after_asking(u, before);
}

enum heard user_take_requests(struct sqlite_user *u)
{
    unsigned before = u->times;

    ledger_take_requests(u->ledger);
    return after_asking(u, before);
}

enum heard user_prune(struct sqlite_user *u, const char *job)
{
    unsigned before = u->times;

    ledger_prune(u->ledger, job);
    return after_asking(u, before);
}

enum ledger_verdict user_claim_one(struct sqlite_user *u, const struct ledger_claim *claim)
{
    cr_assert_eq(user_claim(u, claim, 1), HEARD_CLAIMED, "%s", u->failed);
    cr_assert_eq(u->verdict_count, 1);
    cr_assert(ledger_is_free(u->ledger));
    return u->verdicts[0];
}

enum heard user_change(struct sqlite_user *u, const struct ledger_change *change)
{
    const struct ledger_write write = {.changes = change, .change_count = 1};

    return user_write(u, &write);
}

void user_elect(struct sqlite_user *u, uint64_t incarnation, uint64_t number)
{
    user_open(u, incarnation, "");
    cr_assert_eq(user_begin(u, 1, number), HEARD_READY, "%s", u->failed);
    cr_assert(ledger_is_free(u->ledger));
}

static sqlite3 *connected(void)
{
    sqlite3 *db;

    cr_assert_eq(sqlite3_open_v2("ledger", &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, (int)(WAIT_LIMIT / DUR_MS(1)));
    return db;
}

static sqlite3_stmt *first_row(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK, "%s: %s", sql,
                 sqlite3_errmsg(db));
    if (sqlite3_step(statement) == SQLITE_ROW) {
        return statement;
    }
    cr_assert_eq(sqlite3_finalize(statement), SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    return NULL;
}

long long user_number(const char *sql)
{
    sqlite3 *db = connected();
    sqlite3_stmt *row = first_row(db, sql);
    long long number = row == NULL ? -1 : sqlite3_column_int64(row, 0);

    (void)sqlite3_finalize(row);
    (void)sqlite3_close(db);
    return number;
}

const char *user_text(const char *sql)
{
    static char text[1024];
    sqlite3 *db = connected();
    sqlite3_stmt *row = first_row(db, sql);
    const unsigned char *found = row == NULL ? NULL : sqlite3_column_text(row, 0);

    (void)snprintf(text, sizeof(text), "%s", found == NULL ? "" : (const char *)found);
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(db);
    return text;
}

void user_sql(const char *sql)
{
    sqlite3 *db = connected();
    char *error = NULL;

    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, &error), SQLITE_OK, "%s: %s", sql, error);
    (void)sqlite3_close(db);
}
