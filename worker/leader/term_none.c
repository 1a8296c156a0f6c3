/* No election: every instance leads, in epoch 0.0, after nobody. */
#include "worker/leader/term.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/timer.h"

struct term_none {
    struct term term;
    struct timer timer; /* events come from the loop */
    bool begun;
    bool stamp;
};

static struct term_none *of(struct term *t)
{
    return (struct term_none *)t;
}

static void on_due(void *ctx)
{
    struct term_none *n = ctx;
    const struct term_events *events = &n->term.events;

    if (n->begun) {
        n->begun = false;
        events->on_opened(events->ctx, (struct epoch){0});
        events->on_looked(events->ctx, (struct takeover){.reason = TAKEOVER_CLEAN});
    }
    if (n->stamp) {
        n->stamp = false;
        events->on_stamped(events->ctx);
    }
}

static void soon(struct term *t)
{
    timer_arm(&of(t)->timer, clock_now());
}

static void none_begin(struct term *t)
{
    of(t)->begun = true;
    soon(t);
}

static void none_announce(struct term *t)
{
    (void)t;
}

static void none_stamp(struct term *t)
{
    of(t)->stamp = true;
    soon(t);
}

static void none_close(struct term *t)
{
    timer_release(&of(t)->timer);
    free(of(t));
}

static const struct term_kind none = {
    .begin = none_begin,
    .announce = none_announce,
    .stamp = none_stamp,
    .close = none_close,
};

struct term *term_none_new(void)
{
    struct term_none *n = calloc(1, sizeof(*n));

    if (n == NULL) {
        return NULL;
    }
    n->term.kind = &none;
    return &n->term;
}

void term_none_start(struct term *t)
{
    int rc = timer_init(&of(t)->timer, t->loop, on_due, t);

    assert(rc == 0); /* no descriptor left in a child that has a handful */
}
