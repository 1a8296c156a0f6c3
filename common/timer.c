#include "common/timer.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static void on_timerfd(struct ev_loop *loop, ev_io *io, int revents)
{
    struct timer *t = io->data;
    uint64_t expirations;

    (void)loop;
    if (revents & EV_CUSTOM) { /* fed by timer_arm() */
        t->on_clock_set(t->ctx);
        return;
    }
    ssize_t n = read(t->fd, &expirations, sizeof(expirations));

    if (n == (ssize_t)sizeof(expirations)) {
        t->at = MONO_NEVER;
        t->on_due(t->ctx);
        return;
    }
    /* The clock was set. One that is still to come stays armed, but of one that was due already the
     * kernel forgets that it was: armed again, it is due again. Anything else is a wake-up without
     * a cause: armed anew between the poll and the read. */
    if (errno == ECANCELED && t->on_clock_set != NULL) {
        timer_arm(t, t->at);
        t->on_clock_set(t->ctx);
    }
}

static int init(struct timer *t, struct ev_loop *loop, clockid_t clock, void (*on_due)(void *ctx),
                void (*on_clock_set)(void *ctx), void *ctx)
{
    assert(loop != NULL);
    assert(on_due != NULL);

    int fd = timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd == -1) {
        return -errno;
    }
    *t = (struct timer){
        .loop = loop,
        .fd = fd,
        .at = MONO_NEVER,
        .on_due = on_due,
        .on_clock_set = on_clock_set,
        .ctx = ctx,
    };
    ev_io_init(&t->io, on_timerfd, fd, EV_READ);
    t->io.data = t;
    ev_io_start(loop, &t->io);
    return 0;
}

int timer_init(struct timer *t, struct ev_loop *loop, void (*on_due)(void *ctx), void *ctx)
{
    return init(t, loop, CLOCK_BOOTTIME, on_due, NULL, ctx);
}

int timer_init_wall(struct timer *t, struct ev_loop *loop, void (*on_due)(void *ctx),
                    void (*on_clock_set)(void *ctx), void *ctx)
{
    int rc = init(t, loop, CLOCK_REALTIME, on_due, on_clock_set, ctx);

    if (rc == 0) {
        timer_arm(t, WALL_NEVER); /* or steps before the first arming would go unseen */
    }
    return rc;
}

void timer_arm(struct timer *t, int64_t at)
{
    assert(t->loop != NULL);

    int flags = TFD_TIMER_ABSTIME;
    struct itimerspec when = {.it_value = {0}};

    t->at = at;
    if (t->on_clock_set != NULL) {
        flags |= TFD_TIMER_CANCEL_ON_SET;
    }
    if (at != MONO_NEVER) {
        if (at < 1) {
            at = 1; /* 0 would disarm */
        }
        when.it_value.tv_sec = at / DUR_S(1);
        when.it_value.tv_nsec = at % DUR_S(1);
    } else if (t->on_clock_set != NULL) {
        /* A disarmed timer does not report that the clock was set: one in the far future does. */
        when.it_value.tv_sec = INT64_MAX / DUR_S(1);
    }
    if (timerfd_settime(t->fd, flags, &when, NULL) == -1) {
        /* Armed all the same, but the clock was set since the last read, and this answer has used
         * that news up: pass it on from the loop, never from inside a caller's own reckoning. */
        assert(errno == ECANCELED);
        assert(t->on_clock_set != NULL);
        ev_feed_event(t->loop, &t->io, EV_CUSTOM);
    }
}

void timer_release(struct timer *t)
{
    if (t->loop == NULL) {
        return;
    }
    ev_io_stop(t->loop, &t->io);
    (void)close(t->fd);
    *t = (struct timer){.fd = -1};
}
