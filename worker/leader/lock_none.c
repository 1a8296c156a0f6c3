/* No election: the key is granted for the asking, and never lost. */
#include "worker/leader/lock.h"

#include <assert.h>
#include <stdlib.h>

#include "common/timer.h"

struct lock_none {
    struct lock lock;
    struct timer timer; /* events come from the loop */
    bool granted;
    bool beat;
    bool released;
};

static struct lock_none *of(struct lock *l)
{
    return (struct lock_none *)l;
}

static void on_due(void *ctx)
{
    struct lock_none *n = ctx;
    const struct lock_events *events = &n->lock.events;

    if (!n->granted) {
        n->granted = true;
        events->on_granted(events->ctx);
    } else if (n->released) {
        events->on_released(events->ctx);
    } else if (n->beat) {
        n->beat = false;
        events->on_renewed(events->ctx, clock_now(), MONO_NEVER);
    }
}

static void none_beat(struct lock *l)
{
    of(l)->beat = true;
    timer_arm(&of(l)->timer, clock_now());
}

static void none_release(struct lock *l)
{
    of(l)->released = true;
    timer_arm(&of(l)->timer, clock_now());
}

static void none_close(struct lock *l)
{
    timer_release(&of(l)->timer);
    free(of(l));
}

static const struct lock_kind none = {
    .beat = none_beat,
    .release = none_release,
    .close = none_close,
};

struct lock *lock_none_new(void)
{
    struct lock_none *n = calloc(1, sizeof(*n));

    if (n == NULL) {
        return NULL;
    }
    n->lock.kind = &none;
    return &n->lock;
}

void lock_none_start(struct lock *l)
{
    int rc = timer_init(&of(l)->timer, l->loop, on_due, l);

    assert(rc == 0); /* no descriptor left in a child that has a handful */
    timer_arm(&of(l)->timer, clock_now());
}
