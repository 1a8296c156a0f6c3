/* What becomes of a run: from the claim to its end. */
#include "worker/leader/scheduler_private.h"

#include <assert.h>
#include <stddef.h>

/* ---- the list of those that wait ---- */

static void wait_in_line(struct scheduler *s, struct scheduler_run *run)
{
    run->stage = RUN_WAITING;
    run->next_waiting = NULL;
    run->last_waiting = s->last_waiting;
    if (s->last_waiting != NULL) {
        s->last_waiting->next_waiting = run;
    } else {
        s->first_waiting = run;
    }
    s->last_waiting = run;
    run->job->waiting++;
    s->look_at_waiting = true;
}

static void leave_line(struct scheduler *s, struct scheduler_run *run)
{
    assert(run->stage == RUN_WAITING);
    assert(run->job->waiting > 0);
    run->job->waiting--;
    if (run->last_waiting != NULL) {
        run->last_waiting->next_waiting = run->next_waiting;
    } else {
        s->first_waiting = run->next_waiting;
    }
    if (run->next_waiting != NULL) {
        run->next_waiting->last_waiting = run->last_waiting;
    } else {
        s->last_waiting = run->last_waiting;
    }
}

/* ---- room ---- */

static void take_room(struct scheduler *s, struct scheduler_run *run)
{
    struct scheduler_job *job = run->job;

    assert(!run->holds);
    run->holds = true;
    job->holding++;
    run->mutex = job->mutex;
    if (run->mutex != NULL) {
        assert(run->mutex->holder == NULL);
        run->mutex->holder = run;
    }
    if (!run->is_service) {
        s->holding++;
    }
}

static void give_room(struct scheduler *s, struct scheduler_run *run)
{
    struct scheduler_job *job = run->job;

    if (!run->holds) {
        return;
    }
    run->holds = false;
    assert(job->holding > 0);
    job->holding--;
    if (run->mutex != NULL) {
        assert(run->mutex->holder == run);
        run->mutex->holder = NULL;
        run->mutex = NULL;
    }
    if (!run->is_service) {
        assert(s->holding > 0);
        s->holding--;
    }
    s->look_at_waiting = true;
}

/* Why there is no room for it, apart from its own job's runs; NULL: there is. */
static const char *no_room(const struct scheduler *s, const struct scheduler_job *job,
                           bool is_service)
{
    if (job->mutex != NULL && job->mutex->holder != NULL) {
        return "mutex";
    }
    return !is_service && s->holding >= s->max_running ? "max_running" : NULL;
}

/* ---- into the scheduler and out of it ---- */

void scheduler_run_room(struct scheduler *s, struct heap_item **starts, struct heap_item **alarms,
                        size_t room)
{
    assert(room >= s->starts.count && room >= s->run_alarms.count);
    for (size_t i = 0; i < s->starts.count; i++) {
        starts[i] = s->starts.items[i];
    }
    for (size_t i = 0; i < s->run_alarms.count; i++) {
        alarms[i] = s->run_alarms.items[i];
    }
    s->starts.items = starts;
    s->starts.room = room;
    s->run_alarms.items = alarms;
    s->run_alarms.room = room;
}

void scheduler_add(struct scheduler *s, struct scheduler_run *run, struct scheduler_job *job,
                   const struct scheduler_about *about, void *owner)
{
    assert(s->known < s->starts.room);
    *run = (struct scheduler_run){
        .owner = owner,
        .job = job,
        .next = job->runs,
        .scheduled_at = about->scheduled_at,
        .attempt = about->attempt,
        .origin = about->origin,
        .stage = about->stage,
        .made_up = about->made_up,
        .in_time = about->in_time,
        .settled = about->settled,
        .told = about->settled,
        .is_service = about->origin == ORIGIN_SERVICE,
        .at_release = s->phase == SCHEDULER_RELEASING,
        .timeout_at = MONO_NEVER,
    };
    heap_item_init(&run->start, run);
    heap_item_init(&run->alarm, run);
    run->start.order = run->alarm.order = s->sequence++;
    job->runs = run;
    s->known++;
    if (about->stage == RUN_ASKED) {
        run->unclaimed = true;
        job->unclaimed++;
        s->asked++;
    }
    if (about->stage == RUN_WAITING) {
        wait_in_line(s, run);
    } else if (about->stage == RUN_DELAYED) {
        heap_put(&s->starts, &run->start, about->due_at);
    }
}

/* The claim is answered, or nobody waits for the answer any more. */
static void answered(struct scheduler *s, struct scheduler_run *run)
{
    struct scheduler_job *job = run->job;

    if (run->stage != RUN_ASKED) {
        return;
    }
    assert(s->asked > 0);
    s->asked--;
    if (!run->unclaimed) {
        return;
    }
    run->unclaimed = false;
    assert(job->unclaimed > 0);
    if (--job->unclaimed == 0 && job->held_back) {
        scheduler_follow(s, job, job->last_tick);
    }
}

static void forget(struct scheduler *s, struct scheduler_run *run)
{
    struct scheduler_run **link = &run->job->runs;

    while (*link != run) {
        assert(*link != NULL);
        link = &(*link)->next;
    }
    *link = run->next;
    answered(s, run);
    if (run->stage == RUN_WAITING) {
        leave_line(s, run);
    }
    give_room(s, run);
    heap_put(&s->starts, &run->start, WALL_NEVER);
    heap_put(&s->run_alarms, &run->alarm, MONO_NEVER);
    run->stage = RUN_OVER;
    s->known--;
}

void scheduler_remove(struct scheduler *s, struct scheduler_run *run)
{
    struct scheduler_job *job = run->job;

    assert(!scheduler_has_process(run));
    forget(s, run);
    if (job->alarm.key == MONO_NEVER) { /* a service must not end with a run that never began */
        scheduler_serve(s, job, 0);
    }
}

/* What the term's own end is for may start then; of all others nothing does. */
static bool may_start(const struct scheduler *s, const struct scheduler_run *run)
{
    return s->phase == SCHEDULER_LEADING || (s->phase == SCHEDULER_RELEASING && run->at_release &&
                                             run->job->schedule.kind == SCHEDULE_RELEASED);
}

/* The ledger was away, and answers so late that the tick would be a missed one, had it been asked
 * for only now. A promoted run waited for something else. */
static bool was_held_back(const struct scheduler *s, const struct scheduler_run *run, wall_ns wall)
{
    bool by_ledger = !s->ledger_up || run->scheduled_at <= s->no_ledger_until;

    return run->in_time && !run->holds && by_ledger && wall - run->scheduled_at > SCHEDULER_LATE;
}

/* NULL: it is run all the same, as gap.c would. */
static const char *missed_by_policy(const struct scheduler_job *job, wall_ns tick, wall_ns wall)
{
    bool once = job->policy.missed == MISSED_ONCE;

    if (wall - tick > job->policy.missed_window) {
        return "window";
    }
    if (job->policy.missed == MISSED_SKIP ||
        (once && schedule_next(&job->schedule, tick) <= wall)) {
        return "no ledger";
    }
    return NULL;
}

void scheduler_granted(struct scheduler *s, struct scheduler_run *run, wall_ns wall)
{
    bool at_once = run->unwanted || !may_start(s, run);

    assert(run->stage == RUN_ASKED);
    if (was_held_back(s, run, wall)) {
        run->missed = missed_by_policy(run->job, run->scheduled_at, wall);
        run->made_up = run->job->policy.missed == MISSED_ALL;
    }
    answered(s, run);
    run->stage = RUN_GRANTED;
    heap_put(&s->starts, &run->start, at_once ? INT64_MIN : run->scheduled_at);
}

void scheduler_settled(struct scheduler *s, struct scheduler_run *run)
{
    run->settled = true;
    s->look_at_waiting = true;
    if (run->stage == RUN_DELAYED && run->start.key == WALL_NEVER) {
        wait_in_line(s, run);
    }
}

/* ---- may it start? ---- */

enum admission { ADMIT, ADMIT_WAITS, ADMIT_DROPS };

static void replace(struct scheduler *s, struct scheduler_run *by, mono_ns mono)
{
    for (struct scheduler_run *run = by->job->runs; run != NULL; run = run->next) {
        if (run == by) {
            continue;
        }
        if (run->stage == RUN_GOING) {
            run->why = STOP_REPLACED;
            scheduler_stop_at(s, run, mono);
        } else if (run->stage == RUN_WAITING && run->origin != ORIGIN_RETRY) {
            run->why = STOP_REPLACED;
            run->unwanted = true;
            heap_put(&s->starts, &run->start, INT64_MIN);
        }
    }
}

/* One of several missed ticks that are made up for runs after the others, whatever overlap says. */
static bool is_after_another(const struct scheduler_run *run)
{
    const struct scheduler_run *other = run->made_up ? run->job->runs : NULL;

    while (other != NULL && (other == run || !other->made_up || !other->holds)) {
        other = other->next;
    }
    return other != NULL;
}

static bool stands_in_line(const struct scheduler_run *run)
{
    return run->job->policy.overlap == OVERLAP_ALLOW ? is_after_another(run)
                                                     : run->job->holding > 0;
}

/* Its job's other runs stand in the way, or do not. */
static enum admission by_overlap(struct scheduler *s, struct scheduler_run *run, mono_ns mono,
                                 const char **ret_reason)
{
    const struct scheduler_job *job = run->job;
    bool patient = run->made_up || run->is_service || run->origin == ORIGIN_RETRY ||
                   run->origin == ORIGIN_RERUN;

    *ret_reason = SCHEDULER_OVERLAP;
    if (job->policy.overlap == OVERLAP_ALLOW) {
        return is_after_another(run) || (run->made_up && job->waiting > 0) ? ADMIT_WAITS : ADMIT;
    }
    if (job->holding == 0 && job->waiting == 0) {
        return ADMIT;
    }
    if (patient) {
        return ADMIT_WAITS;
    }
    switch (job->policy.overlap) {
    case OVERLAP_SKIP:
        return ADMIT_DROPS;
    case OVERLAP_QUEUE: /* one waits: more of them would only be later and later */
        return job->waiting > 0 ? ADMIT_DROPS : ADMIT_WAITS;
    case OVERLAP_REPLACE:
        replace(s, run, mono);
        return job->holding > 0 ? ADMIT_WAITS : ADMIT;
    case OVERLAP_ALLOW:
        break;
    }
    return ADMIT;
}

static bool minds_a_pause(const struct scheduler_run *run)
{
    return run->origin != ORIGIN_TRIGGER;
}

static struct scheduler_decision drop(struct scheduler_run *run, enum outcome outcome,
                                      const char *reason)
{
    return (struct scheduler_decision){.verdict = SCHEDULER_DROP,
                                       .job = run->job,
                                       .run = run,
                                       .outcome = outcome,
                                       .reason = reason};
}

static struct scheduler_decision start(struct scheduler_run *run)
{
    return (struct scheduler_decision){
        .verdict = SCHEDULER_START, .job = run->job, .run = run, .scheduled_at = run->scheduled_at};
}

/* The ledger is told why; until that is written, it has no room. */
static struct scheduler_decision waits(struct scheduler_run *run, const char *reason)
{
    assert(run->stage == RUN_WAITING);
    run->settled = false;
    run->told = true;
    return (struct scheduler_decision){
        .verdict = SCHEDULER_WAIT, .job = run->job, .run = run, .reason = reason};
}

/* Ours, and its instant has come. One that was promoted has room already. */
static struct scheduler_decision admit(struct scheduler *s, struct scheduler_run *run, mono_ns mono)
{
    const char *reason = NULL;
    enum admission admission = ADMIT;

    if (scheduler_is_paused(s, run->job) && minds_a_pause(run)) {
        return drop(run, OUTCOME_SKIPPED, "paused");
    }
    if (s->phase == SCHEDULER_RELEASING && mono >= scheduler_kill_limit(s)) {
        return drop(run, OUTCOME_SKIPPED, "no time left"); /* it would be killed at once */
    }
    if (run->holds && run->mutex == run->job->mutex) {
        return start(run);
    }
    if (run->holds) { /* a reload has given its job another mutex since then */
        give_room(s, run);
    } else {
        admission = by_overlap(s, run, mono, &reason);
    }
    if (admission == ADMIT && (reason = no_room(s, run->job, run->is_service)) != NULL) {
        admission = ADMIT_WAITS;
    }
    if (admission == ADMIT_DROPS) {
        return drop(run, OUTCOME_SKIPPED, reason);
    }
    if (admission == ADMIT) {
        take_room(s, run);
        return start(run);
    }
    wait_in_line(s, run);
    return waits(run, reason);
}

/* Its moment in the heap of starts has come. */
struct scheduler_decision scheduler_come_to(struct scheduler *s, struct scheduler_run *run,
                                            mono_ns mono)
{
    heap_put(&s->starts, &run->start, WALL_NEVER);
    if (run->unwanted || !run->job->enabled) {
        return drop(run, OUTCOME_CANCELLED,
                    stop_reason_name(run->job->enabled ? run->why : STOP_REMOVED));
    }
    if (!may_start(s, run)) {
        return (struct scheduler_decision){
            .verdict = SCHEDULER_HAND_OVER, .job = run->job, .run = run};
    }
    if (run->stage == RUN_GRANTED && run->missed != NULL) {
        return drop(run, OUTCOME_MISSED, run->missed);
    }
    if (run->stage == RUN_GRANTED) {
        return admit(s, run, mono);
    }
    if (run->stage == RUN_DELAYED && run->settled) {
        wait_in_line(s, run);
    }
    return (struct scheduler_decision){.verdict = SCHEDULER_NOTHING};
}

/* Why it cannot start now, though its row is there and nothing is against it; NULL: it can. */
static const char *stands_back(const struct scheduler *s, const struct scheduler_run *run)
{
    return stands_in_line(run) ? SCHEDULER_OVERLAP : no_room(s, run->job, run->is_service);
}

bool scheduler_look_at_waiting(struct scheduler *s, struct scheduler_decision *out)
{
    if (!s->look_at_waiting || !s->ledger_up) {
        return false;
    }
    for (struct scheduler_run *run = s->first_waiting; run != NULL; run = run->next_waiting) {
        const char *reason = NULL;

        if (!run->settled || run->unwanted || !may_start(s, run)) {
            continue;
        }
        reason = stands_back(s, run);
        if (reason != NULL && run->told) {
            continue;
        }
        if (reason != NULL) { /* what was asked for, follows or is tried again waits in line too */
            *out = waits(run, reason);
            return true;
        }
        leave_line(s, run);
        run->stage = RUN_ASKED;
        s->asked++;
        take_room(s, run);
        *out =
            (struct scheduler_decision){.verdict = SCHEDULER_PROMOTE, .job = run->job, .run = run};
        return true;
    }
    s->look_at_waiting = false;
    return false;
}

bool scheduler_would_skip(const struct scheduler_job *job)
{
    return job->policy.overlap == OVERLAP_SKIP && (job->holding > 0 || job->waiting > 0);
}

bool scheduler_lets_pass(const struct scheduler_job *job)
{
    return scheduler_would_skip(job) || (job->policy.overlap == OVERLAP_QUEUE && job->waiting > 0);
}

const char *scheduler_would_wait(const struct scheduler *s, const struct scheduler_job *job)
{
    if (job->policy.overlap != OVERLAP_ALLOW && (job->holding > 0 || job->waiting > 0)) {
        return SCHEDULER_OVERLAP;
    }
    return no_room(s, job, false);
}

/* ---- processes ---- */

/* Tell a run to stop, at that moment; the reason is fixed when it comes. */
void scheduler_stop_at(struct scheduler *s, struct scheduler_run *run, mono_ns at)
{
    if (run->stage == RUN_GOING) {
        heap_put(&s->run_alarms, &run->alarm,
                 scheduler_earlier(at, run->alarm.key)); /* its timeout may come first */
    }
}

static enum stop_reason reason_of(const struct scheduler *s, const struct scheduler_run *run,
                                  mono_ns mono)
{
    if (run->why != STOP_NOT) {
        return run->why;
    }
    if (run->timeout_at <= mono) {
        return STOP_TIMEOUT;
    }
    return s->phase == SCHEDULER_ENDING ? STOP_LOST : STOP_DRAIN;
}

/* SIGTERM was sent: SIGKILL follows. */
static void stopping(struct scheduler *s, struct scheduler_run *run, mono_ns mono)
{
    mono_ns kill_at =
        scheduler_earlier(scheduler_after(mono, run->run_grace), scheduler_kill_limit(s));

    run->stage = RUN_STOPPING;
    run->kills = 0;
    heap_put(&s->run_alarms, &run->alarm, scheduler_later(mono, kill_at));
}

/* Nothing outlives SIGKILL but what the kernel holds: looking ever more seldom is enough. */
static void killing(struct scheduler *s, struct scheduler_run *run, mono_ns mono)
{
    dur_ns longer = run->kill_wait * 2;

    if (run->kills++ == 0) {
        run->kill_wait = SCHEDULER_KILL_AGAIN;
    } else {
        run->kill_wait = longer < SCHEDULER_KILL_AGAIN_MOST ? longer : SCHEDULER_KILL_AGAIN_MOST;
    }
    run->stage = RUN_KILLING;
    heap_put(&s->run_alarms, &run->alarm, scheduler_after(mono, run->kill_wait));
}

struct scheduler_decision scheduler_ring(struct scheduler *s, struct scheduler_run *run,
                                         mono_ns mono)
{
    struct scheduler_decision out = {.job = run->job, .run = run};

    assert(scheduler_has_process(run));
    if (run->stage == RUN_GOING) {
        run->why = reason_of(s, run, mono);
        stopping(s, run, mono);
        out.verdict = SCHEDULER_TERM;
    } else {
        killing(s, run, mono);
        out.verdict = SCHEDULER_KILL;
    }
    return out;
}

void scheduler_started(struct scheduler *s, struct scheduler_run *run, mono_ns mono)
{
    const struct scheduler_policy *policy = &run->job->policy;

    assert(run->stage == RUN_GRANTED && run->holds);
    assert(s->phase == SCHEDULER_LEADING || s->phase == SCHEDULER_RELEASING);

    run->stage = RUN_GOING;
    run->why = STOP_NOT;
    run->started_at = mono;
    run->run_grace = policy->grace;
    run->timeout_at = policy->timeout > 0 ? scheduler_after(mono, policy->timeout) : MONO_NEVER;
    s->running++;

    mono_ns stop = run->timeout_at;
    if (s->phase == SCHEDULER_RELEASING) {
        stop = scheduler_earlier(stop, scheduler_release_limit(s, policy->grace, mono));
    }
    heap_put(&s->run_alarms, &run->alarm, stop);
}

static void restart_service(struct scheduler *s, struct scheduler_job *job, enum stop_reason why,
                            mono_ns mono)
{
    if (why == STOP_NOT || why == STOP_TIMEOUT) {
        scheduler_serve(s, job, scheduler_after(mono, backoff_next(&job->restart, &s->random)));
    } else { /* it did not end by itself */
        backoff_reset(&job->restart);
        scheduler_serve(s, job, mono);
    }
}

void scheduler_ended(struct scheduler *s, struct scheduler_run *run, mono_ns mono)
{
    struct scheduler_job *job = run->job;
    bool was_service = run->is_service;

    if (scheduler_has_process(run)) {
        assert(s->running > 0);
        s->running--;
        if (mono - run->started_at >= SCHEDULER_HEALTHY_AFTER) {
            backoff_reset(&job->restart);
        }
    }
    forget(s, run);
    if (was_service) {
        restart_service(s, job, run->why, mono);
    }
}

void scheduler_left(struct scheduler *s, struct scheduler_run *run, mono_ns mono)
{
    assert(run->stage == RUN_GOING);
    stopping(s, run, mono);
}
