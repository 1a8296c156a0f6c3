/* No ledger: everything is granted and nothing is remembered, not even for the next question. */
#include <assert.h>
#include <stdlib.h>

#include "common/timer.h"
#include "worker/leader/ledger.h"

enum question { NOTHING, BEGINNING, LOADING, CLAIMING, WRITING, TAKING_REQUESTS, PRUNING };

struct ledger_none {
    struct ledger ledger;
    struct timer timer; /* answers come from the loop */
    bool ready;
    enum question asked;
    size_t claim_count;
};

static struct ledger_none *of(struct ledger *l)
{
    return (struct ledger_none *)l;
}

static void on_due(void *ctx)
{
    static const enum ledger_verdict granted[LEDGER_BATCH_MAX] = {LEDGER_GRANTED};
    struct ledger_none *n = ctx;
    const struct ledger_events *events = &n->ledger.events;
    const struct ledger_state empty = {.database_clock = clock_wall()};
    enum question asked = n->asked;

    n->asked = NOTHING;
    switch (asked) {
    case NOTHING:
        return;
    case BEGINNING:
        n->ready = true;
        events->on_ready(events->ctx);
        return;
    case LOADING:
        events->on_loaded(events->ctx, &empty);
        return;
    case CLAIMING:
        events->on_claimed(events->ctx, granted, n->claim_count, empty.database_clock);
        return;
    case WRITING:
        events->on_written(events->ctx);
        return;
    case TAKING_REQUESTS:
        events->on_requests(events->ctx, NULL, 0);
        return;
    case PRUNING:
        events->on_pruned(events->ctx, 0);
        return;
    }
}

static void ask(struct ledger *l, enum question question)
{
    assert(of(l)->asked == NOTHING);
    of(l)->asked = question;
    timer_arm(&of(l)->timer, clock_now());
}

static int none_open(struct ledger *l)
{
    return timer_init(&of(l)->timer, l->loop, on_due, l);
}

static void none_begin(struct ledger *l)
{
    ask(l, BEGINNING);
}

static bool none_is_free(const struct ledger *l)
{
    const struct ledger_none *n = (const struct ledger_none *)l;

    return n->ready && n->asked == NOTHING;
}

static void none_load(struct ledger *l)
{
    ask(l, LOADING);
}

static void none_claim(struct ledger *l, const struct ledger_claim *claims, size_t count)
{
    (void)claims;
    assert(count > 0 && count <= LEDGER_BATCH_MAX);
    of(l)->claim_count = count;
    ask(l, CLAIMING);
}

static void none_write(struct ledger *l, const struct ledger_write *write)
{
    (void)write;
    ask(l, WRITING);
}

static void none_take_requests(struct ledger *l)
{
    ask(l, TAKING_REQUESTS);
}

static void none_prune(struct ledger *l, const char *job)
{
    (void)job;
    ask(l, PRUNING);
}

static void none_close(struct ledger *l)
{
    timer_release(&of(l)->timer);
    free(of(l));
}

static const struct ledger_kind none = {
    .open = none_open,
    .begin = none_begin,
    .is_free = none_is_free,
    .load = none_load,
    .claim = none_claim,
    .write = none_write,
    .take_requests = none_take_requests,
    .prune = none_prune,
    .close = none_close,
};

struct ledger *ledger_none_new(void)
{
    struct ledger_none *n = calloc(1, sizeof(*n));

    if (n == NULL) {
        return NULL;
    }
    n->ledger.kind = &none;
    return &n->ledger;
}
