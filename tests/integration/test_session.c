/* What a session promises to whoever asks on it: several questions at once, and a late end. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/server.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"
#include "tests/support/workdir.h"
#include "worker/database/session.h"

TestSuite(session, .timeout = 180);

enum { ANSWERS_MAX = 4 };

static struct {
    struct workdir dir;
    struct server pg;
    PGconn *observer;
    struct ev_loop *loop;
    struct config cfg;
    struct session *session;
    bool ready;
    bool failed;
    unsigned count;
    char answers[ANSWERS_MAX][32]; /* a value, or a SQLSTATE */
} world;

static void on_ready(void *ctx)
{
    (void)ctx;
    world.ready = true;
}

static void on_failed(void *ctx, enum session_failure why, const char *text)
{
    (void)ctx;
    (void)why;
    (void)text;
    world.failed = true;
}

static void on_answer(void *ctx, PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    (void)ctx;
    cr_assert_lt(world.count, ANSWERS_MAX);
    (void)snprintf(world.answers[world.count++], sizeof(world.answers[0]), "%s",
                   state != NULL ? state : PQgetvalue(result, 0, 0));
}

static void on_limit(struct ev_loop *loop, ev_timer *limit, int revents)
{
    (void)loop;
    (void)limit;
    (void)revents;
    cr_assert_fail("nothing came");
}

static void run_until(const bool *holds, unsigned answers)
{
    ev_timer limit;

    ev_timer_init(&limit, on_limit, (double)WAIT_LIMIT / 1e9, 0.);
    ev_now_update(world.loop);
    ev_timer_start(world.loop, &limit);
    while (!*holds && world.count < answers) {
        (void)ev_run(world.loop, EVRUN_ONCE);
    }
    ev_timer_stop(world.loop, &limit);
}

static void run_until_answers(unsigned count)
{
    run_until(&world.failed, count);
    cr_assert_not(world.failed);
}

static void begin(void)
{
    static char dsn[512];
    const struct session_events events = {.on_ready = on_ready, .on_failed = on_failed};
    const struct session_options options = {
        .config = &world.cfg, .purpose = SESSION_LEDGER, .role = "ledger"};

    workdir_make(&world.dir);
    server_start(&world.pg, &world.dir, "pg", NULL);
    world.observer = server_connect(&world.pg, "observer");
    (void)snprintf(dsn, sizeof(dsn), "host=%s port=%u dbname=%s user=baton", world.pg.dir,
                   world.pg.port, SERVER_DATABASE);
    world.cfg = (struct config){
        .pgbaton = {.instance = "a"},
        .election = {.name = "main", .lease = DUR_S(10)},
        .database = {.dsn = dsn, .connect_timeout = DUR_S(30)},
    };
    world.loop = ev_loop_new(EVFLAG_AUTO);
    world.session = session_open(world.loop, &options, &events);
    cr_assert_not_null(world.session);
    run_until(&world.ready, ANSWERS_MAX);
    cr_assert(world.ready);
}

static void end(void)
{
    session_close(world.session);
    session_close_retired();
    ev_loop_destroy(world.loop);
    PQfinish(world.observer);
    server_stop(&world.pg);
}

static void ask_pipelined(const char *sql)
{
    session_ask_pipelined(world.session, sql, WAIT_LIMIT, on_answer, NULL);
}

static void ask(const char *sql)
{
    session_ask(world.session, sql, 0, NULL, WAIT_LIMIT, on_answer, NULL);
}

Test(session, answers_pipelined_questions_in_order_and_then_any_other)
{
    begin();
    ask_pipelined("SELECT 'first'");
    ask_pipelined("SELECT 'second'");
    cr_expect(session_is_asking(world.session));
    run_until_answers(2);
    cr_expect_not(session_is_asking(world.session));
    ask("SELECT 'x'; SELECT 'third'");
    run_until_answers(3);
    cr_expect_str_eq(world.answers[0], "first");
    cr_expect_str_eq(world.answers[1], "second");
    cr_expect_str_eq(world.answers[2], "third");
    end();
}

/* Each is a transaction of its own: what the one wrote is there though the other fails. */
Test(session, carries_out_a_pipelined_question_whatever_becomes_of_the_one_before)
{
    begin();
    server_do(world.observer,
              "CREATE TABLE public.t AS SELECT 1 AS n; GRANT ALL ON public.t TO baton");
    ask_pipelined("SELECT 1/0");
    ask_pipelined("UPDATE public.t SET n = 2 RETURNING 'written'");
    run_until_answers(2);
    ask_pipelined("UPDATE public.t SET n = n + 1 RETURNING n");
    ask_pipelined("SELECT n/0 FROM public.t");
    run_until_answers(4);
    cr_expect_str_eq(world.answers[0], "22012");
    cr_expect_str_eq(world.answers[1], "written");
    cr_expect_str_eq(world.answers[2], "3");
    cr_expect_str_eq(world.answers[3], "22012");
    cr_expect_str_eq(server_scalar(world.observer, "SELECT n FROM public.t"), "3");
    end();
}

/* The server takes its time for the first: the second does not pay for it. */
Test(session, counts_the_time_of_a_pipelined_question_from_the_answer_before)
{
    begin();
    ask_pipelined("SELECT 'first' FROM pg_sleep(3)");
    session_ask_pipelined(world.session, "SELECT 'second'", DUR_S(2), on_answer, NULL);
    run_until_answers(2);
    cr_expect_str_eq(world.answers[0], "first");
    cr_expect_str_eq(world.answers[1], "second");
    end();
}

Test(session, limits_a_pipelined_question_too)
{
    begin();
    ask_pipelined("SELECT 'first'");
    session_ask_pipelined(world.session, "SELECT pg_sleep(3600)", DUR_MS(100), on_answer, NULL);
    run_until(&world.failed, 2);
    cr_expect(world.failed);
    cr_expect_eq(world.count, 1);
    cr_expect_str_eq(world.answers[0], "first");
    end();
}

static bool is_gone(void *ctx)
{
    return strcmp(server_scalar(world.observer, ctx), "0") == 0;
}

static bool is_gone_if_the_loop_runs(void *ctx)
{
    (void)ev_run(world.loop, EVRUN_NOWAIT);
    return is_gone(ctx);
}

Test(session, that_is_retired_ends_a_while_later_by_itself)
{
    char sql[96];

    begin();
    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_stat_activity WHERE pid = %d",
                   session_backend_pid(world.session));
    session_retire(world.session);
    world.session = NULL;
    cr_expect(wait_never(is_gone, sql, DUR_MS(300)), "only the loop closes it");
    cr_expect(wait_until(is_gone_if_the_loop_runs, sql, WAIT_LIMIT));
    cr_expect_not(world.failed, "nobody is told of it any more");
    end();
}

/* Whoever asked does not wait for the answer any more: what it would bring about is to end soon. */
Test(session, that_is_asked_something_is_not_retired_but_closed)
{
    char sql[96];

    begin();
    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_stat_activity WHERE pid = %d",
                   session_backend_pid(world.session));
    ask("SELECT 'first'");
    session_retire(world.session);
    world.session = NULL;
    cr_expect_not(ev_run(world.loop, EVRUN_NOWAIT), "nothing of it is left in the loop");
    cr_expect(wait_until(is_gone, sql, WAIT_LIMIT));
    end();
}
