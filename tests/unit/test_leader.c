/* A worker without a database on a real loop, and what it tells its supervisor. */
#include "worker/leader/leader.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/config_fixture.h"
#include "worker/leader/leader_private.h"

static struct {
    struct child child;
    struct channel supervisor;
    struct leader leader;
    ev_io told; /* so that the loop turns when the worker has spoken */
} world;

static void on_told(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)loop;
    (void)io;
    (void)revents;
}

static void make_world(void)
{
    config_fixture_up();
    world.child.name = "worker";
    world.child.loop = ev_loop_new(EVFLAG_AUTO);
    cr_assert_eq(channel_pair(1, FROM_SUPERVISOR, FROM_WORKER, &world.supervisor, &world.child.up),
                 0);
    ev_io_init(&world.told, on_told, world.supervisor.fd, EV_READ);
    ev_io_start(world.child.loop, &world.told);
}

static void end_world(void)
{
    leader_release(&world.leader);
    ev_io_stop(world.child.loop, &world.told);
    channel_close(&world.child.up);
    channel_close(&world.supervisor);
    ev_loop_destroy(world.child.loop);
    config_fixture_down();
}

TestSuite(leader, .init = make_world, .fini = end_world, .timeout = 60);

static void begin(const char *text)
{
    cr_assert_eq(leader_init(&world.leader, &world.child, config_fixture_config(text), 42), 0);
}

static void campaign(uint64_t turn)
{
    const struct message_campaign order = {.turn = turn};

    leader_campaign(&world.leader, &order);
}

/* The next message of that type; others in between are let pass. */
static struct message told(enum message_type type)
{
    struct message m;
    int fd = -1;

    for (;;) {
        int rc = channel_receive(&world.supervisor, &m, &fd);

        if (rc == 1 && (enum message_type)m.header.type == type) {
            cr_expect_eq(fd, -1, "no election has no descriptor");
            return m;
        }
        if (rc != 1) {
            (void)ev_run(world.child.loop, EVRUN_ONCE);
        }
    }
}

/* Nothing is to be told any more: the supervisor is not written to in vain. */
static bool tells(enum message_type type)
{
    struct message m;
    int fd;
    bool found = false;

    while (channel_receive(&world.supervisor, &m, &fd) == 1) {
        found = found || (enum message_type)m.header.type == type;
    }
    return found;
}

static void lead(void)
{
    begin("[database]\ndsn = none\n");
    campaign(7);
    cr_assert_eq(told(MESSAGE_ELECTED).u.elected.turn, 7);
    cr_assert_eq(world.leader.turn.state, WORKER_LEADING);
}

Test(leader, without_an_election_leads_and_releases)
{
    const struct message_stand_down order = {.turn = 7, .over_by = MONO_NEVER, .reason = END_STOP};

    lead();
    leader_stand_down(&world.leader, &order);
    struct message m = told(MESSAGE_RELEASED);
    cr_expect_eq(m.u.ended.turn, 7);
    cr_expect_eq(m.u.ended.reason, END_STOP);
    cr_expect_eq(world.leader.turn.state, WORKER_IDLE);
    cr_expect_null(world.leader.lock);
}

Test(leader, an_order_for_another_turn_is_none)
{
    const struct message_stand_down order = {.turn = 6, .reason = END_STOP};

    lead();
    leader_stand_down(&world.leader, &order);
    cr_expect_eq(world.leader.turn.state, WORKER_LEADING);
}

/* Between the callback that saw the end and the turn of the loop that decides upon it. */
Test(leader, no_job_starts_once_the_key_is_known_to_go)
{
    static const enum turn_event_type going[] = {TURN_LOCK_FAILED, TURN_LEASE_STOPPING,
                                                 TURN_LEASE_KILLING, TURN_LEASE_OVER};

    lead();
    const struct jobs_events events = leader_jobs_events(&world.leader);
    cr_expect(events.may_start(events.ctx));
    leader_happened(&world.leader, (struct turn_event){.type = TURN_RENEWED});
    cr_expect(events.may_start(events.ctx), "a renewal is no reason to miss a tick");
    for (size_t i = 0; i < sizeof(going) / sizeof(going[0]); i++) {
        world.leader.queued = 0;
        leader_happened(&world.leader, (struct turn_event){.type = going[i]});
        cr_expect_not(events.may_start(events.ctx));
    }
    world.leader.queued = 0;
}

/* In one turn of the loop the key is lost and the last job reported gone: there is nothing to end
 * any more, and jobs that were told to end once more would report it in the next term. */
Test(leader, a_key_lost_together_with_the_last_job_ends_no_job_twice)
{
    const struct message_stand_down order = {
        .turn = 7, .drain_until = MONO_NEVER, .over_by = MONO_NEVER, .reason = END_STEP_DOWN};

    lead();
    leader_stand_down(&world.leader, &order);
    cr_assert_eq(world.leader.turn.state, WORKER_DRAINING);
    const struct jobs_events jobs = leader_jobs_events(&world.leader);
    const struct lock_events lock = leader_lock_events(&world.leader);
    lock.on_failed(lock.ctx, END_SESSION_ENDED, "gone");
    jobs.on_idle(jobs.ctx);
    leader_settle(&world.leader);
    cr_expect_eq(world.leader.turn.state, WORKER_IDLE);
    cr_expect(tells(MESSAGE_RELEASED));
}

Test(leader, a_campaign_in_a_turn_is_refused)
{
    lead();
    campaign(8);
    cr_expect_eq(world.leader.turn.number, 7);
    cr_expect_eq(world.leader.turn.state, WORKER_LEADING);
}

Test(leader, a_helper_is_known_to_the_jobs_before_anything_is_reported)
{
    begin("[database]\ndsn = sqlite:ledger\n");
    campaign(7);
    (void)told(MESSAGE_SLICE_ANSWERED); /* it waits: in a process of its own */
    leader_settle(&world.leader);
    cr_assert_neq(world.leader.lock, NULL);
    cr_expect_gt(world.leader.lock->helper, 0);
    cr_expect_eq(world.leader.helper, world.leader.lock->helper);
}

Test(leader, whose_supervisor_takes_no_descriptor_leaves)
{
    begin("[database]\ndsn = none\n");
    campaign(7);
    ev_io_stop(world.child.loop, &world.told);
    channel_close(&world.supervisor);
    (void)ev_run(world.child.loop, 0); /* until it breaks the loop */
    cr_expect(world.leader.exit);
    cr_expect_null(world.leader.lock);
}
