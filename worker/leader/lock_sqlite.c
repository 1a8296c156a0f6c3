/*
 * The key is byte 0 of PATH.lock. A forked waiter waits for it, so that the
 * loop need not; it shares our file description, so what it locks is ours.
 * There is no lease: the kernel keeps the lock for as long as a copy is open.
 */
#include "worker/leader/lock.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/timer.h"
#include "worker/database/lock_file.h"

/* How often it is looked whether PATH.lock still is the file that we have open. */
#define LOOK_INTERVAL DUR_MS(500)
/* A waiter that was killed is not replaced faster than this. */
#define WAITER_PAUSE DUR_MS(100)

enum step { STEP_OPENING, STEP_WAITING, STEP_HELD, STEP_RELEASED, STEP_ENDED };

struct lock_sqlite {
    struct lock lock;
    enum step step;
    struct timer timer;
};

static struct lock_sqlite *of(struct lock *l)
{
    return (struct lock_sqlite *)l;
}

static const char *path_of(const struct lock_sqlite *s)
{
    return s->lock.options.config->database.dsn;
}

static void fail(struct lock_sqlite *s, enum end_reason why, const char *text)
{
    s->step = STEP_ENDED;
    timer_arm(&s->timer, MONO_NEVER);
    s->lock.events.on_failed(s->lock.events.ctx, why, text);
}

/* The waiter may have the lock by now, or get it: its death closes its copy. */
static void end_waiter(struct lock_sqlite *s)
{
    pid_t waiter = s->lock.helper;

    s->lock.helper = 0;
    /* Only what is still our child is killed: once it was reaped, the pid may be anybody's. */
    if (waiter > 0 && waitpid(waiter, NULL, WNOHANG) == 0) {
        (void)kill(waiter, SIGKILL);
        (void)waitpid(waiter, NULL, 0); /* at once: nothing there holds back a SIGKILL */
    }
}

static void close_all(struct lock_sqlite *s)
{
    end_waiter(s);
    if (s->lock.fd != -1) {
        (void)close(s->lock.fd);
        s->lock.fd = -1;
    }
}

static void granted(struct lock_sqlite *s)
{
    s->step = STEP_HELD;
    timer_arm(&s->timer, clock_now() + LOOK_INTERVAL);
    s->lock.events.on_granted(s->lock.events.ctx);
}

static void try_once(struct lock_sqlite *s)
{
    int rc = lock_file_try(s->lock.fd, LOCK_BYTE_LEADER);

    if (rc == 0) {
        granted(s);
    } else if (rc == -EAGAIN) {
        fail(s, END_NOT_GRANTED, "another instance has the lock");
    } else {
        fail(s, END_INTERNAL, strerror(-rc));
    }
}

static void begin(struct lock_sqlite *s)
{
    char reason[REASON_MAX];
    int fd = lock_file_open(path_of(s), reason, sizeof(reason));

    if (fd < 0) {
        fail(s, fd == -EREMOTE ? END_REFUSED : END_CONNECT_FAILED, reason);
        return;
    }
    s->lock.fd = fd;
    if (s->lock.options.poll) {
        try_once(s);
        return;
    }
    pid_t waiter = lock_file_wait(fd, LOCK_BYTE_LEADER);
    if (waiter < 0) {
        fail(s, END_INTERNAL, strerror(-(int)waiter));
        return;
    }
    s->lock.helper = waiter;
    s->step = STEP_WAITING;
    timer_arm(&s->timer, clock_now() + LOOK_INTERVAL);
    s->lock.events.on_slice(s->lock.events.ctx);
}

/* Another file of that name has another lock: whoever opens it now does not meet ours. */
static bool was_replaced(struct lock_sqlite *s)
{
    return !lock_file_is_same(s->lock.fd, path_of(s));
}

static void on_due(void *ctx)
{
    struct lock_sqlite *s = ctx;
    const struct lock_events *events = &s->lock.events;
    mono_ns now = clock_now();

    switch (s->step) {
    case STEP_OPENING:
        begin(s);
        return;
    case STEP_WAITING:
        if (was_replaced(s)) {
            close_all(s);
            s->step = STEP_OPENING;
        }
        timer_arm(&s->timer, now + LOOK_INTERVAL);
        events->on_slice(events->ctx);
        return;
    case STEP_HELD:
        if (was_replaced(s)) {
            fail(s, END_SESSION_ENDED, "the lock file was replaced by another one");
            return;
        }
        timer_arm(&s->timer, now + LOOK_INTERVAL);
        events->on_renewed(events->ctx, now, MONO_NEVER);
        return;
    case STEP_RELEASED:
        events->on_released(events->ctx);
        return;
    case STEP_ENDED:
        return;
    }
}

static void sqlite_helper_ended(struct lock *l, int wait_status)
{
    struct lock_sqlite *s = of(l);

    if (s->step != STEP_WAITING) {
        return;
    }
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 && !was_replaced(s)) {
        granted(s);
        return;
    }
    close_all(s);
    s->step = STEP_OPENING;
    timer_arm(&s->timer, clock_now() + WAITER_PAUSE);
}

static void sqlite_beat(struct lock *l)
{
    if (of(l)->step == STEP_HELD) {
        timer_arm(&of(l)->timer, clock_now());
    }
}

static void sqlite_release(struct lock *l)
{
    struct lock_sqlite *s = of(l);

    if (l->fd != -1) {
        /* Closing would not do: the supervisor has a copy. */
        (void)lock_file_unlock(l->fd, LOCK_BYTE_LEADER);
    }
    close_all(s);
    s->step = STEP_RELEASED;
    timer_arm(&s->timer, clock_now());
}

static void sqlite_close(struct lock *l)
{
    close_all(of(l));
    timer_release(&of(l)->timer);
    free(of(l));
}

static const struct lock_kind sqlite = {
    .beat = sqlite_beat,
    .release = sqlite_release,
    .close = sqlite_close,
    .helper_ended = sqlite_helper_ended,
};

struct lock *lock_sqlite_new(void)
{
    struct lock_sqlite *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->lock.kind = &sqlite;
    return &s->lock;
}

void lock_sqlite_start(struct lock *l)
{
    int rc = timer_init(&of(l)->timer, l->loop, on_due, l);

    assert(rc == 0); /* no descriptor left in a child that has a handful */
    timer_arm(&of(l)->timer, clock_now());
}
