#include "worker/monitor/fleet_query.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/array.h"

static struct ev_loop *loop;
static struct fleet_query fleet;
static struct channel probe; /* the probe's end */
static unsigned known;

static void on_known(void *ctx)
{
    (void)ctx;
    known++;
}

/* A new pair, as after a restart of the probe. */
static void connect_probe(void)
{
    struct channel ours;

    channel_close(&probe);
    cr_assert_eq(channel_pair(0, FROM_MONITOR, FROM_PROBE, &ours, &probe), 0);
    fleet_query_set_probe(&fleet, ours.fd);
}

static void up(void)
{
    loop = ev_loop_new(EVFLAG_AUTO);
    probe = (struct channel){.fd = -1};
    cr_assert_eq(fleet_query_init(&fleet, loop, on_known, NULL), 0);
}

static void down(void)
{
    channel_close(&probe);
    fleet_query_release(&fleet);
    ev_loop_destroy(loop);
}

TestSuite(fleet_query, .init = up, .fini = down, .timeout = 60);

static uint64_t asked(void)
{
    struct message m;
    int fd;

    cr_assert_not(fleet_query_ask(&fleet));
    cr_assert_eq(channel_receive(&probe, &m, &fd), 1);
    cr_assert_eq(m.header.type, MESSAGE_FLEET_QUERY);
    return m.u.fleet_query.request;
}

static void reply(uint64_t request, const char *text, uint64_t size)
{
    struct message m = {.u.fleet_reply = {.request = request, .size = size}};
    int fd = memfd_create("fleet", MFD_CLOEXEC);

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(channel_send(&probe, MESSAGE_FLEET_REPLY, &m, fd), 0);
    (void)close(fd);
    ev_run(loop, EVRUN_ONCE);
}

Test(fleet_query, is_unknown_without_a_probe)
{
    cr_expect(fleet_query_ask(&fleet));
    cr_expect(fleet.instances == NULL);
}

Test(fleet_query, is_what_the_probe_answers)
{
    const char *text = "[{\"instance\":\"web1\"}]";

    connect_probe();
    reply(asked(), text, strlen(text));
    cr_expect_eq(known, 1);
    cr_expect_eq(json_array_size(fleet.instances), 1);
}

Test(fleet_query, an_answer_serves_whoever_asks_within_a_second)
{
    struct message m;
    int fd;

    connect_probe();
    reply(asked(), "[]", 2);
    cr_expect(fleet_query_ask(&fleet));
    cr_expect(json_is_array(fleet.instances));
    cr_expect_eq(channel_receive(&probe, &m, &fd), -EAGAIN, "the probe was asked again");
}

Test(fleet_query, two_who_ask_are_one_question)
{
    struct message m;
    int fd;

    connect_probe();
    (void)asked();
    cr_expect_not(fleet_query_ask(&fleet));
    cr_expect_eq(channel_receive(&probe, &m, &fd), -EAGAIN);
}

Test(fleet_query, an_answer_to_another_question_is_none)
{
    connect_probe();
    reply(asked() + 1, "[]", 2);
    cr_expect_eq(known, 0);
    cr_expect(fleet.asking);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    uint64_t size;
} unknown[] = {
    {"no JSON is unknown",                       "instances", 9},
    {"JSON that is no array is unknown",         "{}",        2},
    {"nothing at all is unknown",                "",          0},
    {"a size that is not there is unknown",      "[]",        3},
    {"a size beyond all bounds is unknown",      "[]",        UINT64_MAX},
    {"a size cut short is unknown",              "[1,2,3]",   3},
};
/* clang-format on */

Test(fleet_query, answers_that_cannot_be_shown)
{
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        known = 0;
        fleet.asked_at = 0;
        connect_probe();
        reply(asked(), unknown[i].text, unknown[i].size);
        cr_expect_eq(known, 1, "%s", unknown[i].title);
        cr_expect(fleet.instances == NULL, "%s", unknown[i].title);
    }
}

Test(fleet_query, a_reply_without_a_descriptor_is_unknown)
{
    struct message m = {.u.fleet_reply = {.size = 2}};

    connect_probe();
    m.u.fleet_reply.request = asked();
    cr_assert_eq(channel_send(&probe, MESSAGE_FLEET_REPLY, &m, -1), 0);
    ev_run(loop, EVRUN_ONCE);
    cr_expect_eq(known, 1);
    cr_expect(fleet.instances == NULL);
}

Test(fleet_query, is_unknown_at_once_when_the_probe_dies)
{
    connect_probe();
    (void)asked();
    channel_close(&probe);
    ev_run(loop, EVRUN_ONCE);
    cr_expect_eq(known, 1);
    cr_expect_eq(fleet.probe.fd, -1);
}

Test(fleet_query, is_unknown_at_once_when_the_probe_is_replaced)
{
    connect_probe();
    (void)asked();
    connect_probe();
    cr_expect_eq(known, 1);
    fleet.asked_at = 0;
    reply(asked(), "[]", 2);
    cr_expect(json_is_array(fleet.instances));
}

Test(fleet_query, is_unknown_when_no_answer_comes_in_time)
{
    connect_probe();
    (void)asked();
    ev_run(loop, EVRUN_ONCE); /* the limit's timer is all there is to wait for */
    cr_expect_eq(known, 1);
    cr_expect(fleet.instances == NULL);
}

Test(fleet_query, leaves_no_descriptor_open)
{
    connect_probe();
    int next = dup(STDERR_FILENO); /* the lowest free number */

    (void)close(next);
    reply(asked(), "[]", 2);
    int then = dup(STDERR_FILENO);
    cr_expect_eq(then, next);
    (void)close(then);
}
