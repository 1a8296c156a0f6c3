#include "worker/leader/scheduler_private.h"

#include <assert.h>
#include <stddef.h>

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
    case STOP_REPLACED:
        return "replaced";
    case STOP_CANCELLED:
        return "cancelled";
    case STOP_PAUSED:
        return "paused";
    }
    return "";
}

void scheduler_init(struct scheduler *s, uint64_t seed)
{
    *s = (struct scheduler){
        .drain_until = MONO_NEVER, .over_by = MONO_NEVER, .max_running = UINT32_MAX};
    prng_seed(&s->random, seed);
}

void scheduler_job_init(struct scheduler_job *job, void *owner)
{
    *job = (struct scheduler_job){
        .owner = owner,
        .next_tick = WALL_NEVER,
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

/* @elected before services, when both are due at once. */
static uint64_t order_of(const struct scheduler_job *job, size_t row)
{
    uint64_t rank = job->schedule.kind == SCHEDULE_ALWAYS ? 1 : 0;

    return rank << 32 | row;
}

void scheduler_set_job_alarm(struct scheduler *s, struct scheduler_job *job, mono_ns at)
{
    uint64_t row = job->alarm.order & UINT32_MAX;

    heap_put(&s->job_alarms, &job->alarm, MONO_NEVER);
    job->alarm.order = order_of(job, row);
    heap_put(&s->job_alarms, &job->alarm, at);
}

void scheduler_replace(struct scheduler *s, struct scheduler_job **jobs, size_t count,
                       struct heap_item **ticks, struct heap_item **alarms)
{
    unsigned with_runs = 0;

    /* Gaps are begun anew from the last tick that was decided. */
    for (size_t i = 0; i < s->count; i++) {
        scheduler_forget_gap(s, s->jobs[i]);
    }
    s->jobs = jobs;
    s->count = count;
    s->ticks = (struct heap){.items = ticks, .room = count};
    s->job_alarms = (struct heap){.items = alarms, .room = count};
    for (size_t i = 0; i < count; i++) {
        put_anew(&s->ticks, &jobs[i]->tick, i);
        put_anew(&s->job_alarms, &jobs[i]->alarm, order_of(jobs[i], i));
        for (const struct scheduler_run *run = jobs[i]->runs; run != NULL; run = run->next) {
            with_runs++;
        }
    }
    assert(with_runs == s->known); /* a run that was left out would never be stopped */
    s->look_at_waiting = true;     /* by other policies there may be room */
}

bool scheduler_is_paused(const struct scheduler *s, const struct scheduler_job *job)
{
    return job->paused || s->all_paused;
}

static bool is_service(const struct scheduler_job *job)
{
    return job->schedule.kind == SCHEDULE_ALWAYS;
}

static void look_now(struct scheduler *s, struct scheduler_run *run)
{
    if (run->stage == RUN_GRANTED || run->stage == RUN_WAITING || run->stage == RUN_DELAYED) {
        heap_put(&s->starts, &run->start, INT64_MIN);
    }
}

/* Stop those that run; what has not started is dropped. How many it was. */
static unsigned stop_all(struct scheduler *s, struct scheduler_job *job, enum stop_reason why,
                         mono_ns mono)
{
    unsigned stopped = 0;

    for (struct scheduler_run *run = job->runs; run != NULL; run = run->next) {
        if (run->stage == RUN_GOING) {
            run->why = why;
            scheduler_stop_at(s, run, mono);
            stopped++;
        } else if (!scheduler_has_process(run)) {
            run->why = why;
            run->unwanted = true;
            look_now(s, run);
            stopped++;
        }
    }
    return stopped;
}

static void stop_services(struct scheduler *s, struct scheduler_job *job, enum stop_reason why,
                          mono_ns mono)
{
    for (struct scheduler_run *run = job->runs; run != NULL; run = run->next) {
        if (run->stage == RUN_GOING && run->is_service) {
            run->why = why;
            scheduler_stop_at(s, run, mono);
        }
    }
}

static bool has_service_run(const struct scheduler_job *job)
{
    for (const struct scheduler_run *run = job->runs; run != NULL; run = run->next) {
        if (run->is_service) {
            return true;
        }
    }
    return false;
}

void scheduler_serve(struct scheduler *s, struct scheduler_job *job, mono_ns at)
{
    if (s->phase != SCHEDULER_LEADING || !is_service(job) || !job->enabled ||
        has_service_run(job)) {
        return;
    }
    if (!job->known) {
        job->starts_when_known = true;
    } else if (!scheduler_is_paused(s, job)) {
        scheduler_set_job_alarm(s, job, at);
    }
}

void scheduler_define(struct scheduler *s, struct scheduler_job *job, bool changed, wall_ns wall,
                      mono_ns mono)
{
    if (!job->enabled || changed) {
        scheduler_set_job_alarm(s, job, MONO_NEVER);
        /* Of an @elected one that is not known yet the term has its start still to come. */
        job->starts_when_known =
            job->starts_when_known && job->enabled && job->schedule.kind == SCHEDULE_ELECTED;
    }
    if (!job->enabled) {
        (void)stop_all(s, job, STOP_REMOVED, mono);
    } else if (changed) {
        stop_services(s, job, STOP_CHANGED, mono);
        job->given_up = false;
    }
    scheduler_follow(s, job, wall);
    if (changed) {
        backoff_reset(&job->restart);
        scheduler_serve(s, job, mono);
    }
}

void scheduler_know(struct scheduler *s, struct scheduler_job *job, wall_ns last_tick,
                    wall_ns unknown_until, bool paused, wall_ns wall)
{
    assert(s->phase == SCHEDULER_LEADING);
    job->known = true;
    job->paused = paused;
    job->last_tick = last_tick;
    job->unknown_until = unknown_until;
    job->is_new = false;
    scheduler_follow(s, job, wall);
    if (job->starts_when_known && is_service(job)) {
        scheduler_serve(s, job, 0); /* the leader before may have left a start of it */
    } else if (job->starts_when_known) {
        scheduler_set_job_alarm(s, job, 0);
    }
    job->starts_when_known = false;
}

void scheduler_ledger(struct scheduler *s, bool up, wall_ns wall)
{
    if (s->ledger_up && !up) {
        s->no_ledger_until = wall;
    } else if (!s->ledger_up && up && s->no_ledger_until != 0) {
        s->no_ledger_until = wall;
    }
    s->ledger_up = up;
    s->look_at_waiting = true;
}

bool scheduler_database_clock(struct scheduler *s, wall_ns database_clock, wall_ns wall,
                              mono_ns mono, dur_ns skew_most)
{
    bool agrees = wall <= database_clock + skew_most;

    s->database_clock = database_clock;
    s->database_at = mono;
    s->skew_most = skew_most;
    if (agrees) { /* else it is asked again when SCHEDULER_DOUBT is over, and not sooner */
        s->doubt_until = 0;
    }
    return agrees;
}

void scheduler_clock_set(struct scheduler *s, wall_ns wall)
{
    for (size_t i = 0; i < s->count; i++) {
        struct scheduler_job *job = s->jobs[i];

        if (job->is_new && !job->in_gap && wall < job->last_tick) {
            job->last_tick = wall; /* nothing was decided that could be repeated */
        }
        if (!job->in_gap) {
            scheduler_follow(s, job, wall);
        }
    }
}

static void pause_service(struct scheduler *s, struct scheduler_job *job, mono_ns mono)
{
    if (!is_service(job) || s->phase != SCHEDULER_LEADING) {
        return;
    }
    if (scheduler_is_paused(s, job)) {
        scheduler_set_job_alarm(s, job, MONO_NEVER);
        stop_services(s, job, STOP_PAUSED, mono);
    } else {
        backoff_reset(&job->restart);
        scheduler_serve(s, job, mono);
    }
}

void scheduler_pause(struct scheduler *s, struct scheduler_job *job, bool paused, mono_ns mono)
{
    if (job != NULL) {
        if (job->paused != paused) {
            job->paused = paused;
            pause_service(s, job, mono);
        }
        return;
    }
    if (s->all_paused == paused) { /* a service that waits for its restart goes on waiting */
        return;
    }
    s->all_paused = paused;
    for (size_t i = 0; i < s->count; i++) {
        pause_service(s, s->jobs[i], mono);
    }
}

unsigned scheduler_cancel(struct scheduler *s, struct scheduler_job *job, mono_ns mono)
{
    return stop_all(s, job, STOP_CANCELLED, mono);
}

void scheduler_begin(struct scheduler *s, wall_ns wall, mono_ns mono)
{
    assert(s->phase == SCHEDULER_RESTING);
    assert(s->known == 0);

    (void)wall;
    (void)mono;
    s->phase = SCHEDULER_LEADING;
    s->drain_until = MONO_NEVER;
    s->over_by = MONO_NEVER;
    s->no_time_left = false;
    s->ledger_up = false;
    s->no_ledger_until = 0;
    s->database_clock = 0;
    s->doubt_until = 0;
    s->all_paused = false;
    for (size_t i = 0; i < s->count; i++) {
        struct scheduler_job *job = s->jobs[i];

        backoff_reset(&job->restart);
        job->known = false;
        job->paused = false;
        job->given_up = false;
        job->starts_when_known =
            job->enabled && (job->schedule.kind == SCHEDULE_ELECTED || is_service(job));
    }
}

/* Nothing that waits to start is started any more: it is handed over. */
static void forget_starts(struct scheduler *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct scheduler_job *job = s->jobs[i];

        scheduler_forget_gap(s, job);
        job->starts_when_known = false;
        scheduler_set_job_alarm(s, job, MONO_NEVER);
        for (struct scheduler_run *run = job->runs; run != NULL; run = run->next) {
            look_now(s, run);
        }
    }
}

static void forget_ticks(struct scheduler *s)
{
    for (size_t i = 0; i < s->count; i++) {
        heap_put(&s->ticks, &s->jobs[i]->tick, WALL_NEVER);
    }
}

mono_ns scheduler_kill_limit(const struct scheduler *s)
{
    return s->over_by == MONO_NEVER ? MONO_NEVER : s->over_by - SCHEDULER_KILL_MARGIN;
}

/* When a run of a @released job is told to stop: its grace counts within what is left, but takes no
 * more than half of that. */
mono_ns scheduler_release_limit(const struct scheduler *s, dur_ns grace, mono_ns mono)
{
    dur_ns left = scheduler_kill_limit(s) - mono;
    dur_ns cut = grace < left / 2 ? grace : left / 2;

    if (scheduler_kill_limit(s) == MONO_NEVER) {
        return MONO_NEVER;
    }
    return scheduler_later(mono, scheduler_kill_limit(s) - cut);
}

static void drain_run(struct scheduler *s, struct scheduler_run *run, mono_ns mono)
{
    mono_ns until = scheduler_earlier(s->drain_until, scheduler_kill_limit(s));

    if (s->phase == SCHEDULER_RELEASING) {
        until = scheduler_release_limit(s, run->run_grace, mono);
    }
    if (run->stage == RUN_GOING) {
        scheduler_stop_at(s, run, run->is_service ? mono : scheduler_later(mono, until));
    } else if (run->stage == RUN_STOPPING) {
        heap_put(&s->run_alarms, &run->alarm,
                 scheduler_earlier(run->alarm.key, scheduler_kill_limit(s)));
    }
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
    s->drain_until = scheduler_earlier(s->drain_until, drain_until);
    s->over_by = scheduler_earlier(s->over_by, over_by);
    for (size_t i = 0; i < s->count; i++) {
        for (struct scheduler_run *run = s->jobs[i]->runs; run != NULL; run = run->next) {
            drain_run(s, run, mono);
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
    forget_ticks(s);
    for (size_t i = 0; i < s->count; i++) {
        for (struct scheduler_run *run = s->jobs[i]->runs; run != NULL; run = run->next) {
            scheduler_stop_at(s, run, mono);
        }
    }
}

void scheduler_kill(struct scheduler *s)
{
    s->phase = SCHEDULER_ENDING;
    forget_starts(s);
    forget_ticks(s);
    for (size_t i = 0; i < s->count; i++) {
        for (struct scheduler_run *run = s->jobs[i]->runs; run != NULL; run = run->next) {
            if (!scheduler_has_process(run)) {
                continue;
            }
            if (run->why == STOP_NOT) {
                run->why = STOP_LOST;
            }
            run->stage = RUN_KILLING;
            heap_put(&s->run_alarms, &run->alarm, MONO_NEVER);
        }
    }
}

void scheduler_rest(struct scheduler *s)
{
    assert(s->running == 0);
    assert(s->known == 0);
    assert(s->holding == 0);
    forget_starts(s);
    forget_ticks(s);
    s->phase = SCHEDULER_RESTING;
    s->ledger_up = false;
}

/* DRAINING is over when the last run has ended: then the @released jobs have their turn. */
static void release(struct scheduler *s, mono_ns mono)
{
    s->phase = SCHEDULER_RELEASING;
    for (size_t i = 0; i < s->count; i++) {
        struct scheduler_job *job = s->jobs[i];

        if (job->enabled && job->known && job->schedule.kind == SCHEDULE_RELEASED) {
            scheduler_set_job_alarm(s, job, mono);
        }
    }
}

static void advance(struct scheduler *s, mono_ns mono)
{
    if (s->phase == SCHEDULER_DRAINING && s->running == 0) {
        release(s, mono);
    }
    if (s->phase == SCHEDULER_RELEASING && mono >= scheduler_kill_limit(s)) {
        s->no_time_left = true;
    }
}

static bool is_beyond_help(const struct scheduler_job *job)
{
    return job->policy.critical && !job->given_up &&
           job->restart.failures >= SCHEDULER_CRITICAL_FAILURES;
}

/* @elected, @released, or a service's next start. */
static struct scheduler_decision ring_job(struct scheduler *s, struct scheduler_job *job,
                                          wall_ns wall)
{
    struct scheduler_decision out = {.job = job, .scheduled_at = wall, .last_at = wall, .count = 1};

    if (is_service(job) && is_beyond_help(job)) {
        job->given_up = true; /* and goes on being started, until we are told to end */
        out.verdict = SCHEDULER_CRITICAL;
        return out;
    }
    scheduler_set_job_alarm(s, job, MONO_NEVER);
    out.origin = is_service(job) ? ORIGIN_SERVICE : ORIGIN_SCHEDULE;
    if (job->enabled && !scheduler_is_paused(s, job)) {
        out.verdict = SCHEDULER_TICK;
    }
    return out;
}

static bool run_alarm_due(struct scheduler *s, mono_ns mono, struct scheduler_decision *out)
{
    struct heap_item *item = heap_first(&s->run_alarms);

    if (item == NULL || item->key > mono) {
        return false;
    }
    *out = scheduler_ring(s, item->owner, mono);
    return true;
}

static bool job_alarm_due(struct scheduler *s, wall_ns wall, mono_ns mono,
                          struct scheduler_decision *out)
{
    struct heap_item *item;

    while (s->ledger_up && (item = heap_first(&s->job_alarms)) != NULL && item->key <= mono) {
        *out = ring_job(s, item->owner, wall);
        if (out->verdict != SCHEDULER_NOTHING) {
            return true;
        }
    }
    return false;
}

static bool start_due(struct scheduler *s, wall_ns wall, mono_ns mono,
                      struct scheduler_decision *out)
{
    struct heap_item *item;

    while ((item = heap_first(&s->starts)) != NULL && item->key <= wall) {
        *out = scheduler_come_to(s, item->owner, mono);
        if (out->verdict != SCHEDULER_NOTHING) {
            return true;
        }
    }
    return false;
}

/* What must stop comes before what starts, and what starts before what is claimed. */
struct scheduler_decision scheduler_next(struct scheduler *s, wall_ns wall, mono_ns mono)
{
    struct scheduler_decision out = {.verdict = SCHEDULER_NOTHING};

    advance(s, mono);
    if (run_alarm_due(s, mono, &out) || start_due(s, wall, mono, &out) ||
        job_alarm_due(s, wall, mono, &out) || scheduler_look_at_waiting(s, &out) ||
        scheduler_tick_due(s, wall, mono, &out) || scheduler_gap_step(s, &out)) {
        return out;
    }
    return (struct scheduler_decision){.verdict = SCHEDULER_NOTHING};
}

bool scheduler_is_over(const struct scheduler *s, mono_ns mono)
{
    bool last_phase = s->phase == SCHEDULER_RELEASING || s->phase == SCHEDULER_ENDING;

    if (!last_phase || s->running > 0) {
        return false;
    }
    if (s->phase == SCHEDULER_ENDING || mono >= scheduler_kill_limit(s)) {
        return true;
    }
    if (!s->ledger_up) { /* whatever the answer will be, it comes too late */
        return s->known == s->asked;
    }
    return s->known == 0 && heap_first(&s->job_alarms) == NULL;
}

/* What is to be looked at whatever the time is has an instant all the same. */
static wall_ns due_at(const struct heap_item *start)
{
    const struct scheduler_run *run = start->owner;

    return start->key == INT64_MIN ? run->scheduled_at : start->key;
}

wall_ns scheduler_next_due(const struct scheduler *s)
{
    const struct heap_item *tick = heap_first(&s->ticks);
    const struct heap_item *start = heap_first(&s->starts);
    wall_ns at = tick != NULL ? ((const struct scheduler_job *)tick->owner)->next_tick : WALL_NEVER;

    return start != NULL && due_at(start) < at ? due_at(start) : at;
}

wall_ns scheduler_wake_wall(const struct scheduler *s)
{
    bool ticks = s->ledger_up && s->doubt_until == 0;
    const struct heap_item *tick = ticks ? heap_first(&s->ticks) : NULL;
    const struct heap_item *start = heap_first(&s->starts);
    wall_ns at = tick != NULL ? tick->key : WALL_NEVER;

    return start != NULL && start->key < at ? start->key : at;
}

mono_ns scheduler_wake_mono(const struct scheduler *s)
{
    const struct heap_item *run = heap_first(&s->run_alarms);
    const struct heap_item *job = s->ledger_up ? heap_first(&s->job_alarms) : NULL;
    mono_ns at = run != NULL ? run->key : MONO_NEVER;
    bool starts = s->phase == SCHEDULER_LEADING || s->phase == SCHEDULER_RELEASING;
    bool more = s->ledger_up && starts &&
                (s->first_gap != NULL || (s->look_at_waiting && s->first_waiting != NULL));

    if (more || (s->phase == SCHEDULER_DRAINING && s->running == 0)) {
        return 0; /* the next phase has nothing to wait for */
    }
    at = job != NULL && job->key < at ? job->key : at;
    if (s->ledger_up && s->doubt_until != 0) {
        at = scheduler_earlier(at, s->doubt_until);
    }
    if (s->phase == SCHEDULER_RELEASING && s->known > 0 && !s->no_time_left) {
        /* it does not wait beyond that */
        at = scheduler_earlier(at, scheduler_kill_limit(s));
    }
    return at;
}
