#include "worker/leader/ledger_connection.h"

#include <assert.h>
#include <stdlib.h>

#include "common/backoff.h"
#include "common/log.h"
#include "common/timer.h"

#define RETRY_LEAST DUR_MS(200)

struct ledger_connection {
    struct ev_loop *loop;
    const struct config *config;
    struct server_address address;
    struct server_identity expect;
    struct ledger_connection_events events;
    struct session *session; /* NULL: waiting for the timer */
    bool ready;
    bool retrying; /* the timer stands for the next attempt */
    struct timer timer;
    struct backoff backoff;
    struct prng random;
};

static void on_ready(void *ctx)
{
    struct ledger_connection *l = ctx;

    if (l->backoff.failures > 0) {
        log_info("ledger_up", "backend_pid=%d", session_backend_pid(l->session));
    }
    backoff_reset(&l->backoff);
    l->ready = true;
    l->events.on_ready(l->events.ctx);
}

static void on_failed(void *ctx, enum session_failure why, const char *text)
{
    struct ledger_connection *l = ctx;

    (void)why;
    l->ready = false;
    session_close(l->session);
    l->session = NULL;
    if (l->backoff.failures == 0) { /* once; the attempts that follow say the same */
        log_warn("ledger_down", "error=%s", log_text(text).is);
    }
    l->retrying = true;
    timer_arm(&l->timer, clock_now() + backoff_next(&l->backoff, &l->random));
    l->events.on_down(l->events.ctx, text);
}

static void on_due(void *ctx)
{
    struct ledger_connection *l = ctx;
    const struct session_options options = {
        .config = l->config,
        .purpose = SESSION_LEDGER,
        .role = "ledger",
        .address = &l->address,
        .expect = l->expect,
    };
    const struct session_events events = {.on_ready = on_ready, .on_failed = on_failed, .ctx = l};

    assert(l->session == NULL);
    l->retrying = false;
    l->session = session_open(l->loop, &options, &events);
    assert(l->session != NULL);
}

struct ledger_connection *ledger_connection_open(struct ev_loop *loop, const struct config *config,
                                                 const struct server_address *address,
                                                 const struct server_identity *expect,
                                                 uint64_t seed,
                                                 const struct ledger_connection_events *events)
{
    struct ledger_connection *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->loop = loop;
    l->config = config;
    l->address = *address;
    l->expect = *expect;
    l->events = *events;
    l->backoff = (struct backoff){.least = RETRY_LEAST, .most = config->election.backoff_max};
    prng_seed(&l->random, seed);
    if (timer_init(&l->timer, loop, on_due, l) < 0) {
        free(l);
        return NULL;
    }
    on_due(l);
    return l;
}

struct session *ledger_connection_session(const struct ledger_connection *l)
{
    return l->ready ? l->session : NULL;
}

void ledger_connection_hurry(struct ledger_connection *l)
{
    if (l->retrying) {
        timer_arm(&l->timer, clock_now());
    }
}

void ledger_connection_close(struct ledger_connection *l)
{
    if (l == NULL) {
        return;
    }
    session_close(l->session);
    timer_release(&l->timer);
    free(l);
}
