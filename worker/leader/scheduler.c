#include "worker/leader/scheduler.h"

#include <assert.h>

const char *stop_reason_name(enum stop_reason why)
{
    switch (why) {
    case STOP_NOT:
        return "";
    case STOP_TIMEOUT:
        return "timeout";
    case STOP_DRAIN:
        return "drain";
    case STOP_LOST:
        return "lost";
    case STOP_CHANGED:
        return "changed";
    case STOP_REMOVED:
        return "removed";
    }
    return "";
}

static mono_ns earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

static mono_ns later(mono_ns a, mono_ns b)
{
    return a > b ? a : b;
}

static mono_ns after(mono_ns moment, dur_ns length)
{
    return moment > MONO_NEVER - length ? MONO_NEVER : moment + length;
}

void scheduler_init(struct scheduler *s, uint64_t seed)
{
    *s = (struct scheduler){.drain_until = MONO_NEVER, .over_by = MONO_NEVER};
    prng_seed(&s->random, seed);
}

void scheduler_job_init(struct scheduler_job *job, void *owner)
{
    *job = (struct scheduler_job){
        .owner = owner,
        .timeout_at = MONO_NEVER,
        .restart = {.least = SCHEDULER_RESTART_LEAST, .most = SCHEDULER_RESTART_MOST},
    };
    heap_item_init(&job->tick, job);
    heap_item_init(&job->alarm, job);
}

/* The items remember their moments, not their places: those are of the old heap. */
static void put_anew(struct heap *h, struct heap_item *item, uint64_t order)
{
    int64_t key = item->key;

    item->key = HEAP_NEVER;
    item->order = order;
    heap_put(h, item, key);
}

/* @elected before services, when both are due at once; what must stop before what starts. */
static uint64_t rank(const struct scheduler_job *job)
{
    if (job->stage != RUN_ABSENT) {
        return 0;
    }
    return job->schedule.kind == SCHEDULE_ALWAYS ? 2 : 1;
}

static uint64_t order_of(const struct scheduler_job *job, size_t row)
{
    return rank(job) << 32 | row;
}

static void set_alarm(struct scheduler *s, struct scheduler_job *job, mono_ns at)
{
    uint64_t row = job->alarm.order & UINT32_MAX;

    heap_put(&s->alarms, &job->alarm, MONO_NEVER);
    job->alarm.order = order_of(job, row);
    heap_put(&s->alarms, &job->alarm, at);
}

void scheduler_replace(struct scheduler *s, struct scheduler_job **jobs, size_t count,
                       struct heap_item **ticks, struct heap_item **alarms)
{
    unsigned running = 0;

    s->jobs = jobs;
    s->count = count;
    s->ticks = (struct heap){.items = ticks, .room = count};
    s->alarms = (struct heap){.items = alarms, .room = count};
    for (size_t i = 0; i < count; i++) {
        put_anew(&s->ticks, &jobs[i]->tick, i);
        put_anew(&s->alarms, &jobs[i]->alarm, order_of(jobs[i], i));
        running += jobs[i]->stage != RUN_ABSENT;
    }
    assert(running == s->running); /* a run that was left out would never be stopped */
}

/* Tell a run to stop, at that moment; the reason is fixed when it comes. */
static void stop_at(struct scheduler *s, struct scheduler_job *job, mono_ns at)
{
    if (job->stage == RUN_GOING) {
        set_alarm(s, job, earlier(at, job->alarm.key)); /* its timeout may come first */
    }
}

/* The first tick of a job in a term: what was before has gone by. */
static void follow(struct scheduler *s, struct scheduler_job *job, wall_ns wall)
{
    wall_ns from = job->last_tick > wall ? job->last_tick : wall;

    heap_put(&s->ticks, &job->tick, schedule_next(&job->schedule, from));
}

void scheduler_define(struct scheduler *s, struct scheduler_job *job, bool changed, wall_ns wall,
                      mono_ns mono)
{
    bool service = job->schedule.kind == SCHEDULE_ALWAYS;

    if (!job->enabled || changed) {
        heap_put(&s->ticks, &job->tick, WALL_NEVER);
        if (job->stage == RUN_ABSENT) {
            set_alarm(s, job, MONO_NEVER);
        }
    }
    if (job->stage == RUN_GOING && (!job->enabled || (changed && job->is_service))) {
        job->why = job->enabled ? STOP_CHANGED : STOP_REMOVED;
        stop_at(s, job, mono);
    }
    if (s->phase != SCHEDULER_LEADING || !job->enabled || !changed) {
        return;
    }
    follow(s, job, wall);
    if (service && job->stage == RUN_ABSENT) {
        backoff_reset(&job->restart);
        set_alarm(s, job, mono);
    }
}

void scheduler_clock_set(struct scheduler *s, wall_ns wall)
{
    for (size_t i = 0; i < s->count; i++) {
        /* One that is due stays due: only what waits for a moment that was computed
         * from a clock that was ahead is looked at anew. */
        if (s->jobs[i]->tick.key != WALL_NEVER && s->jobs[i]->tick.key > wall) {
            follow(s, s->jobs[i], wall);
        }
    }
}

void scheduler_begin(struct scheduler *s, wall_ns wall, mono_ns mono)
{
    assert(s->phase == SCHEDULER_RESTING);
    assert(s->running == 0);

    s->phase = SCHEDULER_LEADING;
    s->drain_until = MONO_NEVER;
    s->over_by = MONO_NEVER;
    for (size_t i = 0; i < s->count; i++) {
        struct scheduler_job *job = s->jobs[i];

        backoff_reset(&job->restart);
        if (!job->enabled) {
            continue;
        }
        /* A clock that was ahead in the last term must not silence the job until it gets there. */
        if (job->last_tick > wall) {
            job->last_tick = wall;
        }
        follow(s, job, wall);
        if (job->schedule.kind == SCHEDULE_ELECTED || job->schedule.kind == SCHEDULE_ALWAYS) {
            set_alarm(s, job, mono);
        }
    }
}

/* Nothing that waits to start is started any more. */
static void forget_starts(struct scheduler *s)
{
    for (size_t i = 0; i < s->count; i++) {
        heap_put(&s->ticks, &s->jobs[i]->tick, WALL_NEVER);
        if (s->jobs[i]->stage == RUN_ABSENT) {
            set_alarm(s, s->jobs[i], MONO_NEVER);
        }
    }
}

/* The last moment at which a run may be killed so that it is dead in time. */
static mono_ns kill_limit(const struct scheduler *s)
{
    return s->over_by == MONO_NEVER ? MONO_NEVER : s->over_by - SCHEDULER_KILL_MARGIN;
}

void scheduler_drain(struct scheduler *s, mono_ns mono, mono_ns drain_until, mono_ns over_by)
{
    if (s->phase == SCHEDULER_ENDING) {
        return;
    }
    if (s->phase == SCHEDULER_RESTING || s->phase == SCHEDULER_LEADING) {
        s->phase = SCHEDULER_DRAINING;
        forget_starts(s);
    }
    /* Asked again (a second signal): only sooner, never later. */
    s->drain_until = earlier(s->drain_until, drain_until);
    s->over_by = earlier(s->over_by, over_by);
    for (size_t i = 0; i < s->count; i++) {
        struct scheduler_job *job = s->jobs[i];
        mono_ns until = earlier(s->drain_until, kill_limit(s));

        if (s->phase == SCHEDULER_RELEASING) {
            until = kill_limit(s);
        }
        if (job->stage == RUN_GOING) {
            stop_at(s, job, job->is_service ? mono : later(mono, until));
        } else if (job->stage == RUN_STOPPING) {
            set_alarm(s, job, earlier(job->alarm.key, kill_limit(s)));
        }
    }
}

void scheduler_end(struct scheduler *s, mono_ns mono)
{
    if (s->phase == SCHEDULER_ENDING) {
        return;
    }
    s->phase = SCHEDULER_ENDING;
    forget_starts(s);
    for (size_t i = 0; i < s->count; i++) {
        stop_at(s, s->jobs[i], mono);
    }
}

void scheduler_kill(struct scheduler *s)
{
    s->phase = SCHEDULER_ENDING;
    forget_starts(s);
    for (size_t i = 0; i < s->count; i++) {
        struct scheduler_job *job = s->jobs[i];

        if (job->stage == RUN_ABSENT) {
            continue;
        }
        if (job->why == STOP_NOT) {
            job->why = STOP_LOST;
        }
        job->stage = RUN_KILLING;
        set_alarm(s, job, MONO_NEVER);
    }
}

void scheduler_rest(struct scheduler *s)
{
    assert(s->running == 0);
    forget_starts(s);
    s->phase = SCHEDULER_RESTING;
}

static enum stop_reason reason_of(const struct scheduler *s, const struct scheduler_job *job,
                                  mono_ns mono)
{
    if (job->why != STOP_NOT) {
        return job->why;
    }
    if (job->timeout_at <= mono) {
        return STOP_TIMEOUT;
    }
    return s->phase == SCHEDULER_ENDING ? STOP_LOST : STOP_DRAIN;
}

static bool may_start(const struct scheduler *s, const struct scheduler_job *job, mono_ns mono)
{
    switch (s->phase) {
    case SCHEDULER_LEADING:
        return job->enabled;
    case SCHEDULER_RELEASING: /* one that would be killed at once does more harm than good */
        return job->enabled && mono < kill_limit(s);
    case SCHEDULER_RESTING:
    case SCHEDULER_DRAINING:
    case SCHEDULER_ENDING:
        return false;
    }
    return false;
}

/* SIGTERM was sent: SIGKILL follows. */
static void stopping(struct scheduler *s, struct scheduler_job *job, mono_ns mono)
{
    job->stage = RUN_STOPPING;
    job->kills = 0;
    set_alarm(s, job, later(mono, earlier(after(mono, job->run_grace), kill_limit(s))));
}

/* Nothing outlives SIGKILL but what the kernel holds: looking ever more seldom is enough. */
static void killing(struct scheduler *s, struct scheduler_job *job, mono_ns mono)
{
    dur_ns longer = job->kill_wait * 2;

    if (job->kills++ == 0) {
        job->kill_wait = SCHEDULER_KILL_AGAIN;
    } else {
        job->kill_wait = longer < SCHEDULER_KILL_AGAIN_MOST ? longer : SCHEDULER_KILL_AGAIN_MOST;
    }
    job->stage = RUN_KILLING;
    set_alarm(s, job, after(mono, job->kill_wait));
}

static struct scheduler_decision ring(struct scheduler *s, struct scheduler_job *job, wall_ns wall,
                                      mono_ns mono)
{
    struct scheduler_decision out = {.job = job, .scheduled_at = wall};

    switch (job->stage) {
    case RUN_ABSENT:
        set_alarm(s, job, MONO_NEVER);
        if (may_start(s, job, mono)) {
            out.verdict = SCHEDULER_START;
        } else if (s->phase == SCHEDULER_RELEASING) {
            out.verdict = SCHEDULER_SKIP;
        }
        break;
    case RUN_GOING:
        job->why = reason_of(s, job, mono);
        stopping(s, job, mono);
        out.verdict = SCHEDULER_TERM;
        break;
    case RUN_STOPPING:
    case RUN_KILLING:
        killing(s, job, mono);
        out.verdict = SCHEDULER_KILL;
        break;
    }
    return out;
}

/*
 * The latest instant of the grid that is not in the future: after a suspend or
 * a step of the clock one tick is started, not all that were run past.
 */
static wall_ns latest(const struct scheduler_job *job, wall_ns due, wall_ns wall)
{
    dur_ns every = job->schedule.every;

    assert(job->schedule.kind == SCHEDULE_EVERY); /* no other kind has ticks yet */
    assert(every > 0);
    assert(due <= wall);
    return due + (wall - due) / every * every;
}

static struct scheduler_decision tick(struct scheduler *s, struct scheduler_job *job, wall_ns wall)
{
    wall_ns due = job->tick.key;
    wall_ns instant = latest(job, due, wall);

    assert(due > job->last_tick); /* a tick is never repeated, whatever the clock did */
    job->last_tick = instant;
    heap_put(&s->ticks, &job->tick, schedule_next(&job->schedule, instant));
    assert(job->tick.key > wall);
    return (struct scheduler_decision){
        .verdict = job->stage == RUN_ABSENT ? SCHEDULER_START : SCHEDULER_SKIP,
        .job = job,
        .scheduled_at = instant,
        .passed_over = (uint64_t)((instant - due) / job->schedule.every),
    };
}

/* DRAINING is over when the last run has ended: then the @released jobs have their turn. */
static void advance(struct scheduler *s, mono_ns mono)
{
    if (s->phase != SCHEDULER_DRAINING || s->running > 0) {
        return;
    }
    s->phase = SCHEDULER_RELEASING;
    for (size_t i = 0; i < s->count; i++) {
        if (s->jobs[i]->enabled && s->jobs[i]->schedule.kind == SCHEDULE_RELEASED) {
            set_alarm(s, s->jobs[i], mono);
        }
    }
}

struct scheduler_decision scheduler_next(struct scheduler *s, wall_ns wall, mono_ns mono)
{
    struct heap_item *item;

    advance(s, mono);
    while ((item = heap_first(&s->alarms)) != NULL && item->key <= mono) {
        struct scheduler_decision out = ring(s, item->owner, wall, mono);

        if (out.verdict != SCHEDULER_NOTHING) {
            return out;
        }
    }
    item = heap_first(&s->ticks);
    if (item != NULL && item->key <= wall) {
        assert(s->phase == SCHEDULER_LEADING);
        return tick(s, item->owner, wall);
    }
    return (struct scheduler_decision){.verdict = SCHEDULER_NOTHING};
}

void scheduler_started(struct scheduler *s, struct scheduler_job *job, mono_ns mono)
{
    assert(job->stage == RUN_ABSENT);
    assert(s->phase == SCHEDULER_LEADING || s->phase == SCHEDULER_RELEASING);

    job->stage = RUN_GOING;
    job->why = STOP_NOT;
    job->is_service = job->schedule.kind == SCHEDULE_ALWAYS;
    job->started_at = mono;
    job->run_grace = job->grace;
    job->timeout_at = job->timeout > 0 ? after(mono, job->timeout) : MONO_NEVER;
    s->running++;

    mono_ns stop = job->timeout_at;
    if (s->phase == SCHEDULER_RELEASING) {
        /* Its grace counts within what is left, but takes no more than half of that. */
        dur_ns left = kill_limit(s) - mono;
        dur_ns grace = job->grace < left / 2 ? job->grace : left / 2;
        stop = earlier(stop, later(mono, kill_limit(s) - grace));
    }
    set_alarm(s, job, stop);
}

void scheduler_ended(struct scheduler *s, struct scheduler_job *job, mono_ns mono)
{
    enum stop_reason why = job->why;

    if (job->stage != RUN_ABSENT) {
        assert(s->running > 0);
        s->running--;
        if (mono - job->started_at >= SCHEDULER_HEALTHY_AFTER) {
            backoff_reset(&job->restart);
        }
    }
    job->stage = RUN_ABSENT;
    job->why = STOP_NOT;
    job->timeout_at = MONO_NEVER;
    set_alarm(s, job, MONO_NEVER);
    if (s->phase != SCHEDULER_LEADING || !job->enabled || job->schedule.kind != SCHEDULE_ALWAYS) {
        return;
    }
    if (why == STOP_CHANGED || why == STOP_REMOVED) {
        backoff_reset(&job->restart);
        set_alarm(s, job, mono);
    } else {
        set_alarm(s, job, after(mono, backoff_next(&job->restart, &s->random)));
    }
}

void scheduler_left(struct scheduler *s, struct scheduler_job *job, mono_ns mono)
{
    assert(job->stage == RUN_GOING);
    stopping(s, job, mono);
}

bool scheduler_is_over(const struct scheduler *s)
{
    bool last_phase = s->phase == SCHEDULER_RELEASING || s->phase == SCHEDULER_ENDING;

    return last_phase && s->running == 0 && heap_first(&s->alarms) == NULL;
}

wall_ns scheduler_wake_wall(const struct scheduler *s)
{
    const struct heap_item *item = heap_first(&s->ticks);

    return item != NULL ? item->key : WALL_NEVER;
}

mono_ns scheduler_wake_mono(const struct scheduler *s)
{
    const struct heap_item *item = heap_first(&s->alarms);

    return item != NULL ? item->key : MONO_NEVER;
}
