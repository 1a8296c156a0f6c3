/* The leader key, its queue, and the seat. */
#include <assert.h>

#include "tests/sim/server_private.h"

#define SLICE DUR_MS(800)
/* So close together either may win: the limit of the wait or the grant. */
#define SAME_INSTANT DUR_US(300)

static void queue_remove(int s)
{
    int kept = 0;

    for (int i = 0; i < server.key_waiters; i++) {
        if (server.key_queue[i] != s) {
            server.key_queue[kept++] = server.key_queue[i];
        }
    }
    server.key_waiters = kept;
}

static void slice_is_over(int s, uint64_t wait);

/* The limit wins: the first who waits goes empty-handed. */
static void let_limits_win(void)
{
    while (server.key_waiters > 0) {
        const struct session *first = session_at(server.key_queue[0]);

        if (first->wait_until - world.now > SAME_INSTANT || chance(500)) {
            return;
        }
        slice_is_over(server.key_queue[0], first->wait);
    }
}

static void key_becomes(int s)
{
    assert(server.key_holder == NO_SESSION);
    server.key_holder = s;
    trace("server     backend %d of node %d has the key", session_at(s)->pid,
          network_node(session_at(s)->conn));
}

static void grant_to(int s)
{
    session_at(s)->waits_for_key = false;
    key_becomes(s);
    session_answer_type(s, ANSWER_YES);
    session_idle(s);
}

static void foreign_is_done(int unused, uint64_t token)
{
    (void)unused;
    (void)token;
    if (server.key_holder == FOREIGN) {
        server.key_holder = NO_SESSION;
        trace("server     the other program gives the key back");
        locks_drop(NO_SESSION);
    }
}

static void foreign_takes(void)
{
    trace("server     another program has the key");
    server.key_holder = FOREIGN;
    world_call(world.now + server.foreign_wants, foreign_is_done, 0, 0);
    server.foreign_wants = 0;
}

/* Whoever waits gets it, in order; somebody who polls may be faster. */
static void grant_next(void)
{
    if (server.key_holder != NO_SESSION || !server.up) {
        return;
    }
    let_limits_win();
    if (server.key_waiters > 0) {
        int s = server.key_queue[0];

        queue_remove(s);
        grant_to(s);
    } else if (server.foreign_wants > 0) {
        foreign_takes();
    }
}

static void slice_is_over(int s, uint64_t wait)
{
    struct session *session = &server.sessions[s];

    if (!session->used || !session->waits_for_key || session->wait != wait) {
        return;
    }
    session->waits_for_key = false;
    queue_remove(s);
    session_answer_type(s, ANSWER_NO);
    session_idle(s);
}

void locks_drop(int s)
{
    if (s >= 0) {
        queue_remove(s);
        server.sessions[s].waits_for_key = false;
    }
    if (server.seat_holder == s && s >= 0) {
        server.seat_holder = NO_SESSION;
    }
    if (server.key_holder == s && s >= 0) {
        server.key_holder = NO_SESSION;
    }
    grant_next();
}

void locks_slice(int s)
{
    struct session *session = session_at(s);

    if (server.key_holder == NO_SESSION) {
        grant_to(s);
        return;
    }
    session->waits_for_key = true;
    session->wait++;
    session->wait_until = world.now + SLICE;
    server.key_queue[server.key_waiters++] = s;
    world_call(session->wait_until, slice_is_over, s, session->wait);
}

void locks_try(int s)
{
    if (server.key_holder == NO_SESSION) {
        key_becomes(s);
    }
    session_answer_type(s, server.key_holder == s ? ANSWER_YES : ANSWER_NO);
    session_idle(s);
}

void locks_unlock(int s)
{
    session_answer_type(s, ANSWER_YES);
    if (server.key_holder == s) {
        server.key_holder = NO_SESSION;
        grant_next();
    }
    session_idle(s);
}

void locks_take_seat(int s)
{
    bool free = server.seat_holder == NO_SESSION || server.seat_holder == s;

    if (free) {
        server.seat_holder = s;
        trace("server     backend %d of node %d has the seat", session_at(s)->pid,
              network_node(session_at(s)->conn));
    }
    session_at(s)->listens = false;
    session_at(s)->idle_timeout = free ? world.settings.lease : 0;
    session_answer_type(s, free ? ANSWER_YES : ANSWER_NO);
    session_idle(s);
}

void locks_give_seat(int s)
{
    if (server.seat_holder == s) {
        server.seat_holder = NO_SESSION;
    }
    session_at(s)->listens = true;
    session_at(s)->idle_timeout = 0;
    session_answer_type(s, ANSWER_YES);
    session_idle(s);
}

void server_foreign(dur_ns length)
{
    server.foreign_wants = length;
    if (server.key_holder == NO_SESSION) {
        foreign_takes();
    }
}
