#include "worker/monitor/queries.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/array.h"

static struct ev_loop *loop;
static struct queries queries;
static struct channel probe; /* the probe's end */
static unsigned known;       /* how many answers came */
static uint64_t last_ticket;
static enum query_result last_result;
static size_t last_rows;
static char last_text[REASON_MAX];

static void on_known(void *ctx, uint64_t ticket, const struct message_query *query,
                     const struct query_answer *answer)
{
    (void)ctx;
    cr_assert_neq(query->request, 0);
    known++;
    last_ticket = ticket;
    last_result = answer->result;
    last_rows = answer->result == QUERY_KNOWN ? json_array_size(answer->rows) : 0;
    (void)snprintf(last_text, sizeof(last_text), "%s", answer->text);
}

/* A new pair, as after a restart of the probe. */
static void connect_probe(void)
{
    struct channel ours;

    channel_close(&probe);
    cr_assert_eq(channel_pair(0, FROM_MONITOR, FROM_PROBE, &ours, &probe), 0);
    queries_set_probe(&queries, ours.fd);
}

static void up(void)
{
    loop = ev_loop_new(EVFLAG_AUTO);
    probe = (struct channel){.fd = -1};
    cr_assert_eq(queries_init(&queries, loop), 0);
}

static void down(void)
{
    channel_close(&probe);
    queries_release(&queries);
    ev_loop_destroy(loop);
}

TestSuite(queries, .init = up, .fini = down, .timeout = 60);

static bool ask_within(uint64_t ticket, dur_ns within)
{
    struct message_query query = {.kind = QUERY_WHY, .job = "nightly"};

    return queries_ask(&queries, &query, within, on_known, NULL, ticket);
}

/* The number that the probe got. */
static uint64_t asked(uint64_t ticket)
{
    struct message m;
    int fd;

    cr_assert(ask_within(ticket, DUR_S(20)));
    cr_assert_eq(channel_receive(&probe, &m, &fd), 1);
    cr_assert_eq(m.header.type, MESSAGE_QUERY);
    cr_assert_str_eq(m.u.query.job, "nightly");
    return m.u.query.request;
}

static void reply(uint64_t request, const char *text, uint64_t size)
{
    struct message m = {.u.query_reply = {.request = request, .size = size}};
    int fd = memfd_create("answer", MFD_CLOEXEC);

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(channel_send(&probe, MESSAGE_QUERY_REPLY, &m, fd), 0);
    (void)close(fd);
    ev_run(loop, EVRUN_ONCE);
}

Test(queries, wait_for_a_probe_at_a_start_and_while_it_is_replaced)
{
    struct message m;
    int fd;

    for (unsigned i = 1; i <= 2; i++) {
        cr_assert(ask_within(i, DUR_S(20)));
        connect_probe();
        cr_assert_eq(channel_receive(&probe, &m, &fd), 1);
        cr_expect_eq(known, i - 1);
        reply(m.u.query.request, "[1]", 3);
        cr_expect_eq(last_ticket, i);
        cr_expect_eq(last_result, QUERY_KNOWN);
        cr_expect_eq(channel_receive(&probe, &m, &fd), -EAGAIN, "it was asked twice");
        channel_close(&probe);
        ev_run(loop, EVRUN_ONCE);
        cr_assert_not(queries_has_probe(&queries));
    }
}

Test(queries, what_a_dead_probe_has_not_got_is_asked_of_the_next)
{
    struct message m;
    int fd;

    connect_probe();
    channel_close(&probe);
    cr_assert(ask_within(1, DUR_S(20)));
    ev_run(loop, EVRUN_ONCE);
    cr_expect_eq(known, 0);
    connect_probe();
    cr_expect_eq(channel_receive(&probe, &m, &fd), 1);
    cr_expect_str_eq(m.u.query.job, "nightly");
}

Test(queries, wait_for_a_probe_no_longer_than_their_limit)
{
    struct message m;
    int fd;

    cr_assert(ask_within(1, DUR_MS(20)));
    ev_run(loop, EVRUN_ONCE);
    cr_expect_eq(known, 1);
    cr_expect_eq(last_result, QUERY_DOWN);
    cr_expect_not_null(strstr(last_text, "does not run"), "%s", last_text);
    connect_probe();
    cr_expect_eq(channel_receive(&probe, &m, &fd), -EAGAIN, "it was asked all the same");
}

Test(queries, several_are_outstanding_and_each_gets_its_own_answer)
{
    connect_probe();
    uint64_t first = asked(11);
    uint64_t second = asked(12);

    reply(second, "[1,2]", 5);
    cr_expect_eq(last_ticket, 12);
    cr_expect_eq(last_rows, 2);
    reply(first, "[1]", 3);
    cr_expect_eq(last_ticket, 11);
    cr_expect_eq(last_rows, 1);
    cr_expect_eq(known, 2);
}

Test(queries, an_answer_to_another_question_is_none)
{
    connect_probe();
    uint64_t request = asked(1);

    reply(request + 1, "[]", 2);
    reply(0, "[]", 2);
    cr_expect_eq(known, 0);
    reply(request, "[]", 2);
    reply(request, "[]", 2); /* and it is answered once */
    cr_expect_eq(known, 1);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    uint64_t size;
} bad[] = {
    {"no JSON",                 "instances", 9},
    {"JSON that is no array",   "{}",        2},
    {"nothing at all",          "",          0},
    {"a size that is not there", "[]",       3},
    {"a size beyond all bounds", "[]",       UINT64_MAX},
    {"a size cut short",        "[1,2,3]",   3},
};
/* clang-format on */

Test(queries, an_answer_that_cannot_be_shown_is_a_failure)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        known = 0;
        connect_probe();
        reply(asked(1), bad[i].text, bad[i].size);
        cr_expect_eq(known, 1, "%s", bad[i].title);
        cr_expect_eq(last_result, QUERY_FAILED, "%s", bad[i].title);
    }
}

Test(queries, an_answer_without_a_descriptor_is_a_failure)
{
    struct message m = {.u.query_reply = {.size = 2}};

    connect_probe();
    m.u.query_reply.request = asked(1);
    cr_assert_eq(channel_send(&probe, MESSAGE_QUERY_REPLY, &m, -1), 0);
    ev_run(loop, EVRUN_ONCE);
    cr_expect_eq(last_result, QUERY_FAILED);
}

Test(queries, a_reason_is_passed_on_and_a_number_that_is_none_is_a_failure)
{
    struct message m = {.u.query_reply = {.result = QUERY_DOWN, .text = "away"}};

    connect_probe();
    m.u.query_reply.request = asked(1);
    cr_assert_eq(channel_send(&probe, MESSAGE_QUERY_REPLY, &m, -1), 0);
    ev_run(loop, EVRUN_ONCE);
    cr_expect_eq(last_result, QUERY_DOWN);
    cr_expect_str_eq(last_text, "away");

    m.u.query_reply.request = asked(2);
    m.u.query_reply.result = 77;
    cr_assert_eq(channel_send(&probe, MESSAGE_QUERY_REPLY, &m, -1), 0);
    ev_run(loop, EVRUN_ONCE);
    cr_expect_eq(last_result, QUERY_FAILED);
}

Test(queries, all_are_answered_at_once_when_the_probe_dies)
{
    connect_probe();
    (void)asked(1);
    (void)asked(2);
    channel_close(&probe);
    ev_run(loop, EVRUN_ONCE);
    cr_expect_eq(known, 2);
    cr_expect_eq(last_result, QUERY_DOWN);
    cr_expect_eq(queries.probe.fd, -1);
}

Test(queries, what_was_asked_of_the_probe_before_is_not_answered_by_the_next)
{
    connect_probe();
    uint64_t request = asked(1);

    connect_probe();
    cr_expect_eq(known, 1);
    cr_expect_eq(last_result, QUERY_DOWN);
    reply(request, "[]", 2);
    cr_expect_eq(known, 1);
}

Test(queries, another_monitor_counts_from_another_number)
{
    struct queries next;

    cr_assert_eq(queries_init(&next, loop), 0);
    cr_expect_gt(next.asked, queries.asked);
    queries_release(&next);
}

Test(queries, each_has_a_limit)
{
    connect_probe();
    cr_assert(ask_within(5, DUR_MS(20)));
    ev_run(loop, EVRUN_ONCE); /* the limit's timer is all there is to wait for */
    cr_expect_eq(known, 1);
    cr_expect_eq(last_ticket, 5);
    cr_expect_eq(last_result, QUERY_DOWN);
}

Test(queries, there_is_room_for_so_many_and_no_more)
{
    connect_probe();
    for (unsigned i = 0; i < QUERIES_MAX; i++) {
        cr_assert(ask_within(i, DUR_S(20)));
    }
    cr_expect_not(ask_within(99, DUR_S(20)));
}

static void ask_again(void *ctx, uint64_t ticket, const struct message_query *query,
                      const struct query_answer *answer)
{
    (void)ctx;
    (void)answer;
    known++;
    if (known < 5) {
        (void)queries_ask(&queries, query, DUR_S(20), ask_again, NULL, ticket);
    }
}

Test(queries, one_may_be_asked_from_inside_an_answer)
{
    struct message_query query = {.kind = QUERY_JOBS};
    struct message m;
    int fd;

    connect_probe();
    cr_assert(queries_ask(&queries, &query, DUR_S(20), ask_again, NULL, 1));
    connect_probe(); /* answers it, and so asks again, of the new one */
    cr_expect_eq(known, 1);
    cr_expect_eq(channel_receive(&probe, &m, &fd), 1);
    cr_expect_eq(m.u.query.request, queries.asked);
}

Test(queries, leave_no_descriptor_open)
{
    connect_probe();
    int next = dup(STDERR_FILENO); /* the lowest free number */

    (void)close(next);
    reply(asked(1), "[]", 2);
    int then = dup(STDERR_FILENO);
    cr_expect_eq(then, next);
    (void)close(then);
}
