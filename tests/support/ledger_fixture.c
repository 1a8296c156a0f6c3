#include "tests/support/ledger_fixture.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/text.h"
#include "tests/support/wait.h"
#include "worker/database/session.h"

/* ---- the fixture ---- */

static void configure(struct ledger_fixture *f, const char *more)
{
    char *path = text_format("%s/ledger.ini", f->dir.path);
    /* A label that needs to be quoted, wherever it is written. */
    char *text = text_format("[pgbaton]\ninstance = o'hara\\\"{a,b}\"\nrun_dir = %s\n"
                             "[database]\ndsn = %s\n[election]\nname = main\n%s\n",
                             f->dir.path, f->dsn, more);
    const struct config_sources sources = {.file = path};
    struct config_problems problems;

    text_write(path, text);
    int rc = config_read(&sources, &f->cfg, &problems);
    config_problems_print(&problems, stderr);
    cr_assert_eq(rc, 0);
    config_problems_release(&problems);
    free(text);
    free(path);
}

void ledger_fixture_up(struct ledger_fixture *f, const struct ledger_backend *backend,
                       const char *more)
{
    *f = (struct ledger_fixture){.backend = backend};
    workdir_make(&f->dir);
    backend->set_up(f);
    configure(f, more);
    f->loop = ev_loop_new(EVFLAG_AUTO);
    cr_assert_not_null(f->loop);
}

void ledger_fixture_down(struct ledger_fixture *f)
{
    session_close_retired();
    f->backend->tear_down(f);
    config_free(f->cfg);
    ev_loop_destroy(f->loop);
}

/* ---- what is told ---- */

static const char *keep(struct ledger_user *u, const char *text)
{
    size_t size = strlen(text) + 1;
    char *at = u->strings + u->strings_used;

    cr_assert_leq(u->strings_used + size, sizeof(u->strings));
    memcpy(at, text, size);
    u->strings_used += size;
    return at;
}

static void tell(struct ledger_user *u, enum ledger_told told)
{
    cr_assert_eq(u->told, TOLD_NOTHING, "one question has two answers");
    u->told = told;
}

static void on_loaded(void *ctx, const struct ledger_state *state)
{
    struct ledger_user *u = ctx;

    tell(u, TOLD_LOADED);
    u->database_clock = state->database_clock;
    u->job_count = state->job_count;
    u->run_count = state->run_count;
    for (size_t i = 0; i < state->job_count && i < USER_ROWS_MAX; i++) {
        u->jobs[i] = state->jobs[i];
        u->jobs[i].job = keep(u, state->jobs[i].job);
    }
    for (size_t i = 0; i < state->run_count && i < USER_ROWS_MAX; i++) {
        u->runs[i] = state->runs[i];
        u->runs[i].id = keep(u, state->runs[i].id);
        u->runs[i].job = keep(u, state->runs[i].job);
    }
}

static void on_claimed(void *ctx, const enum ledger_verdict *verdicts, size_t count,
                       wall_ns database_clock)
{
    struct ledger_user *u = ctx;

    tell(u, TOLD_CLAIMED);
    u->verdict_count = count;
    memcpy(u->verdicts, verdicts, count * sizeof(*verdicts));
    u->database_clock = database_clock;
}

static void on_written(void *ctx)
{
    tell(ctx, TOLD_WRITTEN);
}

static void on_requests(void *ctx, const struct ledger_request *requests, size_t count)
{
    struct ledger_user *u = ctx;

    tell(u, TOLD_REQUESTS);
    u->request_count = count;
    for (size_t i = 0; i < count && i < USER_ROWS_MAX; i++) {
        u->requests[i] = requests[i];
        u->requests[i].job = keep(u, requests[i].job);
        u->requests[i].requested_by = keep(u, requests[i].requested_by);
    }
}

static void on_pruned(void *ctx, size_t rows)
{
    struct ledger_user *u = ctx;

    tell(u, TOLD_PRUNED);
    u->pruned = rows;
}

static void on_failed(void *ctx, const char *text)
{
    struct ledger_user *u = ctx;

    tell(u, TOLD_FAILED);
    cr_expect_null(strchr(text, '\n'), "one line: %s", text);
    (void)snprintf(u->text, sizeof(u->text), "%s", text);
}

static void on_ready(void *ctx)
{
    struct ledger_user *u = ctx;

    u->ready = true;
}

static void on_term_over(void *ctx)
{
    tell(ctx, TOLD_OVER);
}

/* ---- a user ---- */

static void on_limit(struct ev_loop *loop, ev_timer *limit, int revents)
{
    (void)limit;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static void run_loop(struct ledger_user *u, bool (*holds)(const struct ledger_user *u),
                     const char *what)
{
    mono_ns until = clock_now() + WAIT_LIMIT;
    ev_timer limit;

    ev_timer_init(&limit, on_limit, (double)WAIT_LIMIT / 1e9, 0.);
    ev_now_update(u->fixture->loop);
    ev_timer_start(u->fixture->loop, &limit);
    while (!holds(u)) {
        cr_assert_lt(clock_now(), until, "%s", what);
        (void)ev_run(u->fixture->loop, EVRUN_ONCE);
    }
    ev_timer_stop(u->fixture->loop, &limit);
}

static bool has_told(const struct ledger_user *u)
{
    return u->told != TOLD_NOTHING;
}

static bool is_free(const struct ledger_user *u)
{
    return ledger_is_free(u->ledger);
}

enum ledger_told ledger_user_wait(struct ledger_user *u)
{
    run_loop(u, has_told, "the ledger does not answer");
    return u->told;
}

void ledger_user_wait_free(struct ledger_user *u)
{
    run_loop(u, is_free, "the ledger cannot be asked");
}

void ledger_user_join(struct ledger_user *u, struct ledger_fixture *f, struct epoch epoch,
                      uint64_t incarnation)
{
    const struct ledger_options options = {
        .config = f->cfg,
        .address = f->address,
        .incarnation = incarnation,
        .seed = incarnation,
    };
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

    *u = (struct ledger_user){.fixture = f, .epoch = epoch, .incarnation = incarnation};
    u->ledger = ledger_open(f->loop, &options, &events);
    cr_assert_not_null(u->ledger);
    ledger_begin(u->ledger, epoch);
    cr_assert(!u->ready, "it is told from inside of ledger_begin()");
    ledger_user_wait_free(u);
    cr_assert(u->ready, "it is free, and on_ready has not come");
}

void ledger_user_open(struct ledger_user *u, struct ledger_fixture *f, struct epoch epoch,
                      uint64_t incarnation)
{
    f->backend->open_term(f, epoch, incarnation);
    ledger_user_join(u, f, epoch, incarnation);
}

void ledger_user_close(struct ledger_user *u)
{
    ledger_close(u->ledger);
    u->ledger = NULL;
}

static void about_to_ask(struct ledger_user *u)
{
    ledger_user_wait_free(u);
    u->told = TOLD_NOTHING;
    u->strings_used = 0;
}

static enum ledger_told asked(struct ledger_user *u)
{
    cr_assert_eq(u->told, TOLD_NOTHING, "it is told from inside of the question");
    cr_assert(!ledger_is_free(u->ledger));
    return ledger_user_wait(u);
}

enum ledger_told ledger_user_claim(struct ledger_user *u, const struct ledger_claim *claims,
                                   size_t count)
{
    about_to_ask(u);
    ledger_claim(u->ledger, claims, count);
    return asked(u);
}

enum ledger_told ledger_user_write(struct ledger_user *u, const struct ledger_write *write)
{
    about_to_ask(u);
    ledger_write(u->ledger, write);
    return asked(u);
}

enum ledger_told ledger_user_change(struct ledger_user *u, const struct ledger_change *changes,
                                    size_t count)
{
    const struct ledger_write write = {.changes = changes, .change_count = count};

    return ledger_user_write(u, &write);
}

enum ledger_told ledger_user_load(struct ledger_user *u)
{
    about_to_ask(u);
    ledger_load(u->ledger);
    return asked(u);
}

enum ledger_told ledger_user_requests(struct ledger_user *u)
{
    about_to_ask(u);
    ledger_take_requests(u->ledger);
    return asked(u);
}

enum ledger_told ledger_user_prune(struct ledger_user *u, const char *job)
{
    about_to_ask(u);
    ledger_prune(u->ledger, job);
    return asked(u);
}

/* ---- what is in the tables ---- */

const char *ledger_scalar(struct ledger_fixture *f, const char *format, ...)
{
    char *sql = NULL;
    va_list args;

    va_start(args, format);
    cr_assert_geq(vasprintf(&sql, format, args), 0);
    va_end(args);
    const char *value = f->backend->scalar(f, sql);
    free(sql);
    return value;
}

const char *ledger_run(struct ledger_fixture *f, const char *id, const char *column)
{
    return ledger_scalar(f, "SELECT %s FROM run WHERE election = 'main' AND id = '%s'", column, id);
}

bool ledger_run_is(struct ledger_fixture *f, const char *id, const char *column, const char *text)
{
    const char *value = ledger_run(f, id, column);
    bool same = text == NULL ? value == NULL : value != NULL && strcmp(value, text) == 0;

    if (!same) {
        (void)fprintf(stderr, "%s of run %s is %s, and should be %s\n", column, id,
                      value == NULL ? "null" : value, text == NULL ? "null" : text);
    }
    return same;
}

wall_ns ledger_run_at(struct ledger_fixture *f, const char *id, const char *column)
{
    char *moment = text_format("%s%s%s", f->backend->micros[0], column, f->backend->micros[1]);
    const char *value = ledger_run(f, id, moment);

    free(moment);
    return value == NULL ? 0 : strtoll(value, NULL, 10) * LEDGER_RESOLUTION;
}

bool ledger_run_has(struct ledger_fixture *f, const char *id, const char *column, const char *hex)
{
    char *digits = text_format("%s%s%s", f->backend->hex[0], column, f->backend->hex[1]);
    bool same = ledger_run_is(f, id, digits, hex);

    free(digits);
    return same;
}

long ledger_count(struct ledger_fixture *f, const char *table, const char *condition)
{
    return strtol(ledger_scalar(f, "SELECT count(*) FROM %s WHERE %s", table, condition), NULL, 10);
}
