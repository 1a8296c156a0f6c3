#include "worker/probe/questions.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static struct channel probe;
static struct channel monitor;

static void up(void)
{
    cr_assert_eq(channel_pair(0, FROM_PROBE, FROM_MONITOR, &probe, &monitor), 0);
}

static void down(void)
{
    channel_close(&probe);
    channel_close(&monitor);
}

TestSuite(questions, .init = up, .fini = down, .timeout = 60);

Test(questions, are_answered_in_the_order_of_asking)
{
    static struct questions q;

    for (unsigned round = 0; round < 3; round++) { /* past the end of the ring */
        for (uint64_t i = 1; i <= QUESTIONS_MAX; i++) {
            cr_assert(questions_put(&q, &(struct message_query){.request = i}));
        }
        cr_expect_not(questions_put(&q, &(struct message_query){.request = 99}));
        for (uint64_t i = 1; i <= QUESTIONS_MAX; i++) {
            cr_assert_eq(questions_first(&q)->request, i);
            questions_take(&q);
            if (i == 1 && round == 0) { /* there is room for one again, behind all the others */
                cr_assert(questions_put(&q, &(struct message_query){.request = 41}));
            }
        }
        if (round == 0) {
            cr_assert_eq(questions_first(&q)->request, 41);
            questions_take(&q);
        }
        cr_expect_null(questions_first(&q));
    }
}

Test(questions, an_answer_is_a_descriptor)
{
    struct message_query query = {.request = 7};
    struct message m;
    char text[64] = "";
    int fd = -1;

    answer_known(&probe, &query, json_pack("[{s:s}]", "instance", "a"));
    cr_assert_eq(channel_receive(&monitor, &m, &fd), 1);
    cr_expect_eq(m.u.query_reply.request, 7);
    cr_expect_eq(m.u.query_reply.result, QUERY_KNOWN);
    cr_assert(fd != -1);
    cr_expect_eq(pread(fd, text, sizeof(text) - 1, 0), (ssize_t)m.u.query_reply.size);
    cr_expect_str_eq(text, "[{\"instance\":\"a\"}]");
    (void)close(fd);
}

Test(questions, or_a_reason_why_there_is_none)
{
    struct message_query query = {.request = 8};
    struct message m;
    char text[2 * REASON_MAX];
    int fd = -1;

    (void)memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    answer_unknown(&probe, &query, QUERY_DOWN, text);
    cr_assert_eq(channel_receive(&monitor, &m, &fd), 1);
    cr_expect_eq(m.u.query_reply.request, 8);
    cr_expect_eq(m.u.query_reply.result, QUERY_DOWN);
    cr_expect_eq(strlen(m.u.query_reply.text), REASON_MAX - 1);
    cr_expect_eq(fd, -1);

    answer_known(&probe, &query, NULL);
    cr_assert_eq(channel_receive(&monitor, &m, &fd), 1);
    cr_expect_eq(m.u.query_reply.result, QUERY_FAILED);
    cr_expect_eq(fd, -1);
}
