#include "worker/leader/lock.h"

#include <assert.h>
#include <stddef.h>

static struct lock *new_lock(const struct config *cfg, void (**ret_start)(struct lock *l))
{
    if (!cfg->election.enabled) {
        *ret_start = lock_none_start;
        return lock_none_new();
    }
    switch (cfg->database.kind) {
    case DATABASE_POSTGRES:
        *ret_start = lock_session_start;
        return lock_session_new();
    case DATABASE_SQLITE:
        *ret_start = lock_sqlite_start;
        return lock_sqlite_new();
    case DATABASE_NONE:
        *ret_start = lock_none_start;
        return lock_none_new();
    }
    return NULL;
}

struct lock *lock_open(struct ev_loop *loop, const struct lock_options *options,
                       const struct lock_events *events)
{
    void (*start)(struct lock * l) = NULL;
    struct lock *l = new_lock(options->config, &start);

    if (l == NULL) {
        return NULL;
    }
    assert(l->kind != NULL);
    l->events = *events;
    l->loop = loop;
    l->options = *options;
    l->fd = -1;
    start(l);
    return l;
}

void lock_beat(struct lock *l)
{
    l->kind->beat(l);
}

void lock_release(struct lock *l)
{
    l->kind->release(l);
}

void lock_helper_ended(struct lock *l, int wait_status)
{
    l->helper = 0;
    if (l->kind->helper_ended != NULL) {
        l->kind->helper_ended(l, wait_status);
    }
}

void lock_close(struct lock *l)
{
    if (l != NULL) {
        l->kind->close(l);
    }
}
