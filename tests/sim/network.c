#include "tests/sim/network.h"

#include <assert.h>
#include <stdlib.h>

#include "tests/sim/checks.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"

enum { CONNS_MAX = 4096, HELD_MAX = 4096 };

/* How long TCP waits for an acknowledgement: at first, and after doubling it again and again. */
#define RESEND_LEAST DUR_MS(200)
#define RESEND_MOST DUR_S(120)
/* What sessions ask for: tcp_keepalives_idle, a lease in whole seconds, and interval. */
#define KEEPALIVE_AGAIN DUR_S(75)

struct conn {
    int node;
    enum process process;
    uint64_t generation;
    unsigned copies;
    bool listening; /* its process takes answers */
    bool powered;   /* its host is there */
    bool forgotten; /* the server knows of no such session */
    bool resends;   /* what was sent to a host that is not there; what follows waits behind it */
    dur_ns resend_after;
    mono_ns asked_at;
    mono_ns heard_at;
    mono_ns last[DIRECTION_COUNT];
    unsigned held[DIRECTION_COUNT]; /* waiting for the cable, or on their way since it was mended */
};

struct link {
    bool cut[DIRECTION_COUNT];
    dur_ns delay;
    struct happening *held[DIRECTION_COUNT];
    unsigned count[DIRECTION_COUNT];
};

static struct conn conns[CONNS_MAX];
static int conn_count;
static struct link links[NODES_MAX];

void network_reset(void)
{
    conn_count = 0;
    for (int i = 0; i < NODES_MAX; i++) {
        struct link *l = &links[i];

        for (int d = 0; d < DIRECTION_COUNT; d++) {
            if (l->held[d] == NULL) {
                l->held[d] = calloc(HELD_MAX, sizeof(struct happening));
                assert(l->held[d] != NULL);
            }
            l->cut[d] = false;
            l->count[d] = 0;
        }
        l->delay = between(DUR_US(100), DUR_MS(2));
    }
}

static struct conn *at(int conn)
{
    assert(conn >= 0 && conn < conn_count);
    return &conns[conn];
}

int network_node(int conn)
{
    return at(conn)->node;
}

bool network_host_is_gone(int conn)
{
    return !at(conn)->powered;
}

mono_ns network_asked_at(int conn)
{
    return at(conn)->asked_at;
}

mono_ns network_heard_at(int conn)
{
    return at(conn)->heard_at;
}

/* A lost segment is sent again, which takes a while; nothing overtakes it. */
static mono_ns arrives_at(struct conn *c, enum direction d, dur_ns after)
{
    dur_ns delay = after + links[c->node].delay + between(0, DUR_US(200));
    mono_ns when;

    if (chance(3)) {
        delay += between(DUR_MS(200), DUR_MS(900));
    }
    when = world.now + delay;
    if (when < c->last[d]) {
        when = c->last[d];
    }
    c->last[d] = when;
    return when;
}

int network_open(int node, enum process process, uint64_t generation)
{
    const struct request hello = {.type = REQUEST_CONNECT};
    int conn = conn_count++;

    assert(conn < CONNS_MAX);
    conns[conn] = (struct conn){
        .node = node,
        .process = process,
        .generation = generation,
        .copies = 1,
        .listening = true,
        .powered = true,
        .asked_at = world.now,
        .heard_at = NEVER_UNHEARD,
    };
    network_ask(conn, &hello);
    return conn;
}

void network_ask(int conn, const struct request *request)
{
    struct conn *c = at(conn);
    struct happening h = {.kind = HAPPENS_REQUEST, .node = c->node, .conn = conn};

    if (!c->powered) {
        return;
    }
    c->asked_at = world.now;
    h.at = arrives_at(c, DIRECTION_UP, 0);
    h.u.request = *request;
    world_schedule(&h);
}

void network_answer(int conn, const struct answer *answer, dur_ns after)
{
    struct conn *c = at(conn);
    struct happening h = {.kind = HAPPENS_ANSWER, .node = c->node, .conn = conn};

    h.at = arrives_at(c, DIRECTION_DOWN, after);
    h.u.answer = *answer;
    world_schedule(&h);
}

void network_duplicate(int conn)
{
    assert(at(conn)->copies > 0);
    at(conn)->copies++;
}

void network_abandon(int conn)
{
    at(conn)->listening = false;
}

void network_close(int conn)
{
    const struct request farewell = {.type = REQUEST_FAREWELL};
    struct conn *c = at(conn);

    assert(c->copies > 0);
    if (--c->copies == 0) {
        c->listening = false;
        network_ask(conn, &farewell);
    }
}

void network_forget(int conn)
{
    at(conn)->forgotten = true;
}

void network_cut(int node, enum direction direction)
{
    links[node].cut[direction] = true;
    checks_link_cut(node);
}

static void hold(struct link *l, enum direction d, const struct happening *h)
{
    assert(l->count[d] < HELD_MAX);
    l->held[d][l->count[d]++] = *h;
}

void network_mend(int node, enum direction direction)
{
    struct link *l = &links[node];
    unsigned count = l->count[direction];

    l->cut[direction] = false;
    l->count[direction] = 0;
    if (!network_is_cut(node)) {
        checks_link_mended(node);
    }
    for (unsigned i = 0; i < count; i++) {
        struct happening h = l->held[direction][i];

        h.released = true;
        h.at = arrives_at(at(h.conn), direction, 0);
        world_schedule(&h);
    }
}

bool network_is_cut(int node)
{
    return links[node].cut[DIRECTION_UP] || links[node].cut[DIRECTION_DOWN];
}

void network_slow(int node, dur_ns delay)
{
    links[node].delay = delay;
}

/* The server's kernel asks whether anybody is there, by its own clock: a host that has its power
 * again knows nothing of the connection. */
static void keepalive(int conn, uint64_t asked)
{
    if (at(conn)->forgotten) {
        return;
    }
    if (nodes[at(conn)->node].powered || asked > 0) {
        server_client_gone(conn);
    } else {
        world_call(world.now + KEEPALIVE_AGAIN, keepalive, conn, asked + 1);
    }
}

void network_power_off(int node)
{
    for (int i = 0; i < conn_count; i++) {
        if (conns[i].node == node && conns[i].powered) {
            conns[i].powered = false;
            conns[i].listening = false;
            world_call(world.now + world.settings.lease + DUR_S(1), keepalive, i, 0);
        }
    }
}

/* False: it waits for the cable, or behind something that does. */
static bool passes(struct conn *c, enum direction d, const struct happening *h)
{
    struct link *l = &links[c->node];
    struct happening again = *h;

    if (l->cut[d]) {
        if (!h->released) {
            c->held[d]++;
        }
        again.released = true;
        hold(l, d, &again);
        return false;
    }
    if (c->held[d] > 0 && !h->released) {
        c->held[d]++;
        again.released = true;
        /* Not before what was sent before it. */
        again.at = c->last[d] > world.now ? c->last[d] : world.now;
        world_schedule(&again);
        return false;
    }
    if (h->released) {
        c->held[d]--;
    }
    return true;
}

/* As TCP does it: later each time, and only this, until somebody answers. */
static void send_again(struct conn *c, const struct happening *h)
{
    struct happening again = *h;

    c->resend_after = c->resends ? 2 * c->resend_after : RESEND_LEAST;
    if (c->resend_after > RESEND_MOST) {
        c->resend_after = RESEND_MOST;
    }
    c->resends = true;
    c->heard_at = MONO_NEVER;
    again.at = world.now + c->resend_after;
    again.again = true;
    again.released = false;
    world_schedule(&again);
}

/* The server's host is asked for a connection that it does not know, or is not there at all. */
static void arrives_nowhere(int conn, const struct happening *h)
{
    const struct answer reset = {.type = ANSWER_END};
    struct conn *c = at(conn);

    if (c->copies == 0 || (c->resends && !h->again)) {
        return;
    }
    if (!server_host_answers()) {
        send_again(c, h);
        return;
    }
    network_answer(conn, &reset, 0);
    if (c->resends) {
        c->resends = false;
        c->heard_at = c->last[DIRECTION_DOWN];
    }
}

bool network_deliver_request(const struct happening *h)
{
    struct conn *c = at(h->conn);

    if (!c->powered || !passes(c, DIRECTION_UP, h)) {
        return false;
    }
    if (c->forgotten) {
        arrives_nowhere(h->conn, h);
        return false;
    }
    return true;
}

bool network_deliver_answer(const struct happening *h, struct happening *ret_for_process)
{
    struct conn *c = at(h->conn);

    if (!passes(c, DIRECTION_DOWN, h) || !c->listening) {
        return false;
    }
    *ret_for_process = *h;
    ret_for_process->node = c->node;
    ret_for_process->process = c->process;
    ret_for_process->generation = c->generation;
    return true;
}
