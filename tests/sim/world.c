#include "tests/sim/world.h"

#include <assert.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "tests/sim/queue.h"
#include "tests/sim/server.h"

struct world world;

uint64_t draw(uint64_t limit)
{
    return prng_below(&world.random, limit);
}

bool chance(unsigned per_mille)
{
    return draw(1000) < per_mille;
}

dur_ns between(dur_ns least, dur_ns most)
{
    return least + (dur_ns)draw((uint64_t)(most - least) + 1);
}

void trace(const char *format, ...)
{
    va_list args;

    if (!world.tracing) {
        return;
    }
    (void)fprintf(stderr, "%10.4f  ", (double)world.now / 1e9);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

void world_schedule(const struct happening *h)
{
    assert(h->at >= world.now);
    queue_push(h);
}

void world_call(mono_ns at, void (*call)(int node, uint64_t token), int node, uint64_t token)
{
    const struct happening h = {
        .at = at, .kind = HAPPENS_CALL, .node = node, .token = token, .call = call};

    world_schedule(&h);
}

static void deliver(const struct happening *h)
{
    struct happening for_process;

    switch (h->kind) {
    case HAPPENS_NOTE:
    case HAPPENS_TIMER:
        node_deliver(h);
        return;
    case HAPPENS_REQUEST:
        if (!network_deliver_request(h)) {
            return;
        }
        if (h->u.request.type == REQUEST_FAREWELL) {
            server_client_gone(h->conn);
        } else {
            server_take(h->conn, &h->u.request);
        }
        return;
    case HAPPENS_ANSWER:
        if (network_deliver_answer(h, &for_process)) {
            node_deliver(&for_process);
        }
        return;
    case HAPPENS_CALL:
        h->call(h->node, h->token);
        return;
    }
}

void world_run_until(mono_ns until)
{
    struct happening h;

    while (queue_peek_at() <= until && queue_pop(&h)) {
        world.now = h.at;
        world.steps++;
        deliver(&h);
    }
    world.now = until;
}
