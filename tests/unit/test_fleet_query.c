#include "worker/monitor/fleet_query.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct ev_loop *loop;
static struct queries queries;
static struct fleet_query fleet;
static struct channel probe; /* the probe's end */
static unsigned known;

static void on_known(void *ctx)
{
    (void)ctx;
    known++;
}

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
    fleet_query_init(&fleet, &queries, on_known, NULL);
}

static void down(void)
{
    channel_close(&probe);
    fleet_query_release(&fleet);
    queries_release(&queries);
    ev_loop_destroy(loop);
}

TestSuite(fleet_query, .init = up, .fini = down, .timeout = 60);

static uint64_t asked(void)
{
    struct message m;
    int fd;

    cr_assert_not(fleet_query_ask(&fleet));
    cr_assert_eq(channel_receive(&probe, &m, &fd), 1);
    cr_assert_eq(m.header.type, MESSAGE_QUERY);
    cr_assert_eq(m.u.query.kind, QUERY_FLEET);
    return m.u.query.request;
}

static void reply(uint64_t request, const char *text)
{
    struct message m = {.u.query_reply = {.request = request, .size = strlen(text)}};
    int fd = memfd_create("fleet", MFD_CLOEXEC);

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(channel_send(&probe, MESSAGE_QUERY_REPLY, &m, fd), 0);
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
    connect_probe();
    reply(asked(), "[{\"instance\":\"web1\"}]");
    cr_expect_eq(known, 1);
    cr_expect_eq(json_array_size(fleet.instances), 1);
}

Test(fleet_query, an_answer_serves_whoever_asks_within_a_second)
{
    struct message m;
    int fd;

    connect_probe();
    reply(asked(), "[]");
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

Test(fleet_query, is_unknown_where_the_answer_cannot_be_read)
{
    connect_probe();
    reply(asked(), "instances");
    cr_expect_eq(known, 1);
    cr_expect(fleet.instances == NULL);
}

Test(fleet_query, is_unknown_at_once_when_the_probe_is_replaced)
{
    connect_probe();
    (void)asked();
    connect_probe();
    cr_expect_eq(known, 1);
    fleet.asked_at = 0;
    reply(asked(), "[]");
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
