/*
 * timer.h - a libev watcher that fires at a moment of CLOCK_BOOTTIME or of
 * the wall clock.
 *
 * libev's own timers run on CLOCK_MONOTONIC, which stands still while the
 * machine is suspended; a lease may not. Each timer is a timerfd.
 *
 * Runs in: every process with a loop.
 */
#ifndef PGBATON_COMMON_TIMER_H
#define PGBATON_COMMON_TIMER_H

#include <ev.h>

#include "common/clock.h"

struct timer {
    struct ev_loop *loop; /* NULL: not initialised */
    ev_io io;
    int fd;     /* owned */
    int64_t at; /* armed for; *_NEVER: not armed, or it has fired */
    void (*on_due)(void *ctx);
    /* wall timers only: the wall clock was set, so every wall time that was
     * computed must be looked at anew; may be NULL */
    void (*on_clock_set)(void *ctx);
    void *ctx;
};

/*
 * timer_init - a timer on CLOCK_BOOTTIME that is not armed yet.
 * timer_init_wall - the same on CLOCK_REALTIME; on_clock_set is called when
 * the clock was stepped (TFD_TIMER_CANCEL_ON_SET, timerfd_create(2)).
 *
 * Return 0 or a negative errno. The struct must not move afterwards.
 */
int timer_init(struct timer *t, struct ev_loop *loop, void (*on_due)(void *ctx), void *ctx);
int timer_init_wall(struct timer *t, struct ev_loop *loop, void (*on_due)(void *ctx),
                    void (*on_clock_set)(void *ctx), void *ctx);

/*
 * timer_arm - fire once at that moment; one in the past fires on the next turn
 * of the loop. MONO_NEVER (or WALL_NEVER) disarms. Replaces what was armed.
 */
void timer_arm(struct timer *t, int64_t at);

/* timer_release - disarm and close. Takes one that was never initialised (all zero). */
void timer_release(struct timer *t);

#endif
