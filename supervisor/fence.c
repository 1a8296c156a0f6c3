#include "supervisor/fence.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#include "common/log.h"
#include "common/offspring.h"

/* A killed process is gone within microseconds; one that is not needs no hurry. */
#define PAUSE_LEAST DUR_MS(1)
#define PAUSE_MOST DUR_MS(20)
/* Whatever has not gone by then is said to refuse. */
#define PATIENCE DUR_S(1)
#define COMPLAIN_EVERY DUR_S(10)

void fence_init(struct fence *f)
{
    *f = (struct fence){.next_at = MONO_NEVER};
}

void fence_begin(struct fence *f, mono_ns now)
{
    *f = (struct fence){
        .active = true,
        .began_at = now,
        .next_at = now,
        .pause = PAUSE_LEAST,
        .reaped = UINT64_MAX, /* no pass yet */
        .complain_at = now + PATIENCE,
    };
}

static void complain(struct fence *f, mono_ns now)
{
    if (f->seen == 0 || now < f->complain_at) {
        return;
    }
    f->complain_at = now + COMPLAIN_EVERY;
    log_error("unkillable", "processes=%u not_permitted=%u pid=%d since_ms=%lld", f->seen,
              f->refused, (int)f->example, (long long)((now - f->began_at) / DUR_MS(1)));
}

/*
 * A look through /proc misses a process that forks and ends as fast as it can;
 * the list of our children does not. Where the kernel has no such list: one that
 * was missed and ended was reaped, and then there may be a child of its own.
 */
static bool is_nothing_left(const struct fence *f, const struct pid_set *keep,
                            uint64_t strangers_reaped)
{
    if (f->seen > 0) {
        return false;
    }
    int left = offspring_left(keep);

    return left < 0 ? f->reaped == strangers_reaped : left == 0;
}

bool fence_pass(struct fence *f, const struct pid_set *keep, uint64_t strangers_reaped, mono_ns now)
{
    struct process_sweep sweep = {0};

    assert(f->active);
    int rc = process_sweep_children(keep, &sweep);
    if (rc < 0) {
        log_warn("sweep_failed", "error=%s", log_text(strerror(-rc)).is);
        sweep.seen = f->seen > 0 ? f->seen : 1; /* not known is not none */
    }
    f->seen = sweep.seen;
    f->refused = sweep.refused;
    f->example = sweep.example;

    if (is_nothing_left(f, keep, strangers_reaped)) {
        fence_init(f);
        return true;
    }
    complain(f, now);
    f->reaped = strangers_reaped;
    f->next_at = now + f->pause;
    f->pause = f->pause * 2 < PAUSE_MOST ? f->pause * 2 : PAUSE_MOST;
    return false;
}

void fence_kill_below(pid_t worker)
{
    struct pid_set below = {0};

    assert(worker > 0);
    /* A pass: what is missed is a child of what dies here, and met by the sweep once it is ours. */
    if (process_living_below(worker, &below) == 0 && pid_set_add(&below, worker) == 0) {
        for (size_t i = 0; i + 1 < below.count; i++) {
            (void)process_signal(below.pids[i], SIGKILL, &below);
        }
    }
    pid_set_release(&below);
}

unsigned fence_unkillable(const struct fence *f, mono_ns now)
{
    return f->active && now >= f->began_at + PATIENCE ? f->seen : 0;
}
