#include "worker/leader/jobs.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/job.h"

static void turn(struct jobs *jobs);

static void on_due(void *ctx)
{
    turn(ctx);
}

static void on_clock_set(void *ctx)
{
    struct jobs *jobs = ctx;

    scheduler_clock_set(&jobs->scheduler, clock_wall());
    turn(jobs);
}

static void find_containment(struct jobs *jobs)
{
    cgroup_find(&jobs->world.cgroup);
    if (cgroup_is_delegated(&jobs->world.cgroup)) {
        (void)snprintf(jobs->containment, sizeof(jobs->containment), "cgroup v2 %s",
                       jobs->world.cgroup.path);
    } else {
        (void)snprintf(jobs->containment, sizeof(jobs->containment),
                       "process groups and subreaper");
    }
}

struct jobs *jobs_new(struct ev_loop *loop, struct scoreboard *board,
                      const struct jobs_events *events, uint64_t seed)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));

    if (jobs == NULL) {
        return NULL;
    }
    jobs->loop = loop;
    jobs->board = board;
    jobs->events = *events;
    jobs->world.outputs.loop = loop;
    jobs->swept = true;
    jobs->linger_at = MONO_NEVER;
    jobs->sweep_at = MONO_NEVER;
    scheduler_init(&jobs->scheduler, seed);
    prng_seed(&jobs->random, seed + 1);
    jobs_forget_questions(jobs);
    if (timer_init(&jobs->mono_timer, loop, on_due, jobs) < 0 ||
        timer_init_wall(&jobs->wall_timer, loop, on_due, on_clock_set, jobs) < 0 ||
        hooks_init(&jobs->hooks, loop, &jobs->world) < 0) {
        jobs_free(jobs);
        return NULL;
    }
    /* Orphans of jobs come to us, so that nothing of a job gets out of reach. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    find_containment(jobs);
    return jobs;
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    assert(jobs->running == 0);
    hooks_release(&jobs->hooks);
    outputs_close(&jobs->world.outputs);
    cgroup_sweep(&jobs->world.cgroup);
    timer_release(&jobs->mono_timer);
    timer_release(&jobs->wall_timer);
    jobs_forget_questions(jobs);
    for (size_t i = 0; i < jobs->count; i++) {
        jobs_free_job(jobs->list[i]);
    }
    while (jobs->mutexes != NULL) {
        struct named_mutex *next = jobs->mutexes->next;

        free(jobs->mutexes);
        jobs->mutexes = next;
    }
    free(jobs->starts);
    free(jobs->run_alarms);
    free(jobs->by_name);
    free(jobs->list);
    free(jobs->plans);
    free(jobs->ticks);
    free(jobs->alarms);
    jobs_forget_accounts(jobs->accounts);
    jobs_forget_snapshot(jobs);
    pid_set_release(&jobs->helpers);
    free(jobs);
}

const struct snapshot *jobs_snapshot(struct jobs *jobs)
{
    if (!jobs->snapshot_taken) {
        jobs->snapshot_taken = snapshot_take(&jobs->snapshot) == 0;
    }
    return jobs->snapshot_taken ? &jobs->snapshot : NULL;
}

void jobs_forget_snapshot(struct jobs *jobs)
{
    if (jobs->snapshot_taken) {
        snapshot_release(&jobs->snapshot);
        jobs->snapshot_taken = false;
    }
}

void *jobs_must_have(void *memory)
{
    if (memory == NULL) {
        log_error("out_of_memory", "%s", "for=jobs");
        abort();
    }
    return memory;
}

void *jobs_grow(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return array;
    }
    *room = *room == 0 ? 16 : *room * 2;
    return jobs_must_have(reallocarray(array, *room, size));
}

void jobs_show(struct jobs *jobs, struct job *job)
{
    job->board.running = 0;
    job->board.pid = 0;
    job->board.next_at = job->plan.next_tick;
    job->board.paused = jobs->scheduler.all_paused ? BOARD_ALL_PAUSED
                        : job->plan.paused         ? BOARD_PAUSED
                                                   : BOARD_GOES_ON;
    for (const struct scheduler_run *run = job->plan.runs; run != NULL; run = run->next) {
        const struct tick *tick = run->owner;

        if (tick->run != NULL) {
            job->board.running++;
            job->board.pid = tick->run->pid;
        }
    }
    if (jobs->board != NULL && job->definition != NULL && job->row < BOARD_JOBS_MAX) {
        scoreboard_put_job(jobs->board, job->row, &job->board);
    }
}

/* ---- Decisions become deeds. ---- */

static void give_up_critical(struct jobs *jobs, const struct job *job)
{
    log_error("critical_job_failed", "job=%s failures=%d", log_text(job->board.name).is,
              (int)SCHEDULER_CRITICAL_FAILURES);
    jobs->events.on_critical(jobs->events.ctx, job->board.name);
}

/* The answer has the database's clock in it. Until it agrees with ours this comes again and again,
 * and is said once. */
static void doubt_clock(struct jobs *jobs)
{
    const struct scheduler *s = &jobs->scheduler;

    if (!jobs->clock_doubted) {
        log_warn("clock_doubted", "clock=%s database_clock=%s effect=%s",
                 instant_text(clock_wall()).is,
                 instant_text(s->database_clock + (clock_now() - s->database_at)).is,
                 "\"no tick is made until the database was asked\"");
    }
    jobs->clock_doubted = true;
    jobs_ask_load(jobs);
}

static void carry_out(struct jobs *jobs, const struct scheduler_decision *decision)
{
    struct tick *tick = decision->run != NULL ? decision->run->owner : NULL;

    switch (decision->verdict) {
    case SCHEDULER_NOTHING:
    case SCHEDULER_BUSY:
        return;
    case SCHEDULER_TICK:
        jobs_carry_out_tick(jobs, decision);
        return;
    case SCHEDULER_LEAVE:
        jobs_carry_out_leave(jobs, decision);
        return;
    case SCHEDULER_RECORD:
        jobs_carry_out_record(jobs, decision);
        return;
    case SCHEDULER_START:
        jobs_carry_out_start(jobs, tick);
        return;
    case SCHEDULER_WAIT:
        jobs_carry_out_wait(jobs, tick, decision->reason);
        return;
    case SCHEDULER_PROMOTE:
        jobs_carry_out_promote(jobs, tick);
        return;
    case SCHEDULER_DROP:
        jobs_carry_out_drop(jobs, tick, decision->outcome, decision->reason);
        return;
    case SCHEDULER_HAND_OVER:
        jobs_carry_out_hand_over(jobs, tick);
        return;
    case SCHEDULER_TERM:
        jobs_carry_out_term(jobs, tick);
        return;
    case SCHEDULER_KILL:
        jobs_carry_out_kill(jobs, tick);
        return;
    case SCHEDULER_DOUBT_CLOCK:
        doubt_clock(jobs);
        return;
    case SCHEDULER_CRITICAL:
        give_up_critical(jobs, decision->job->owner);
        return;
    }
}

/* A question that is on its way keeps nothing from being decided: one report in so many meets one,
 * and would say that all is well with a schedule that stands still. */
struct message_progress jobs_progress(const struct jobs *jobs)
{
    return (struct message_progress){
        .next_due = scheduler_next_due(&jobs->scheduler),
        .decisions = jobs->decisions,
        .leads = jobs->scheduler.phase == SCHEDULER_LEADING,
        .waits = !jobs->scheduler.ledger_up,
    };
}

enum went { WENT_ON, WENT_IDLE, WENT_BUSY };

static enum went decide(struct jobs *jobs)
{
    struct scheduler_decision decision =
        scheduler_next(&jobs->scheduler, clock_wall(), clock_now());

    if (decision.verdict == SCHEDULER_NOTHING) {
        return WENT_IDLE;
    }
    jobs->decisions++;
    carry_out(jobs, &decision);
    return decision.verdict == SCHEDULER_BUSY ? WENT_BUSY : WENT_ON;
}

/* Those that never started, and that nobody can be told of any more. */
static void forget_ticks(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        while (jobs->list[i]->plan.runs != NULL) {
            jobs_drop_tick(jobs, jobs->list[i]->plan.runs->owner);
        }
    }
}

static void become_idle(struct jobs *jobs)
{
    assert(jobs->running == 0);
    forget_ticks(jobs);
    jobs->ending = ENDING_NOT;
    jobs->sweeping = false;
    jobs->sweep_at = MONO_NEVER;
    scheduler_rest(&jobs->scheduler); /* pipes that were let go are read to their ends, later */
    cgroup_sweep(&jobs->world.cgroup);
    jobs_arm(jobs);
    jobs->events.on_idle(jobs->events.ctx); /* last: it may begin anew, or free us */
}

/* A term that ends gracefully tells the ledger of its last runs first, since the next leader would
 * take them for interrupted, and lets their hooks end. After a loss the processes are what counts.
 */
static bool has_said_all(const struct jobs *jobs, mono_ns now)
{
    /* A ledger that has failed just now may be back at once, and grant what it was asked for. */
    bool waits = !jobs_asked_all(jobs) || (jobs->asking.failed && jobs_claims_wait(jobs));

    return jobs->ending != ENDING_DRAIN || now >= jobs->over_by - SCHEDULER_KILL_MARGIN ||
           ((!waits || now >= jobs_gives_up_asking_at(jobs)) && hooks_running(&jobs->hooks) == 0);
}

/* Runs are over: what they left behind dies with the term. Returns true if we may be freed by now.
 */
static bool come_to_rest(struct jobs *jobs, mono_ns now)
{
    if (jobs->ending == ENDING_NOT) {
        return false;
    }
    if (!jobs->sweeping && scheduler_is_over(&jobs->scheduler, now) && has_said_all(jobs, now)) {
        jobs_sweep_start(jobs, now);
    }
    if (jobs->sweeping && now >= jobs->sweep_at) {
        jobs_sweep_step(jobs, now);
    }
    if (jobs->sweeping && jobs->swept && jobs->running == 0) {
        become_idle(jobs);
        return true;
    }
    return false;
}

/* Nothing more is due: neither to be decided nor to be claimed. */
static void tell_started(struct jobs *jobs)
{
    if (!jobs->told_started && jobs->asking.loaded && !jobs_claims_wait(jobs)) {
        jobs->told_started = true;
        jobs->events.on_started(jobs->events.ctx);
    }
}

static void turn(struct jobs *jobs)
{
    unsigned left = DECISIONS_A_TURN;

    jobs_mind_silence(jobs, clock_now());
    while (left > 0 && decide(jobs) == WENT_ON) {
        left--;
    }
    if (left > 0) {
        tell_started(jobs);
    }
    mono_ns now = clock_now();
    if (now >= jobs->linger_at) {
        jobs_look_at_lingering(jobs, now);
    }
    jobs_forget_snapshot(jobs);
    jobs_ask_now(jobs);
    if (!come_to_rest(jobs, now)) {
        jobs_arm(jobs);
    }
}

static mono_ns earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

/* The next phase of an ending has nothing to wait for. */
static bool may_go_on(const struct jobs *jobs)
{
    mono_ns now = clock_now();

    if (jobs->ending == ENDING_NOT || jobs->sweeping || jobs->running > 0) {
        return false;
    }
    return jobs->scheduler.phase == SCHEDULER_DRAINING ||
           (scheduler_is_over(&jobs->scheduler, now) && has_said_all(jobs, now));
}

void jobs_arm(struct jobs *jobs)
{
    mono_ns wake = scheduler_wake_mono(&jobs->scheduler);

    wake = earlier(wake, jobs->linger_at);
    wake = earlier(wake, jobs->sweep_at);
    wake = earlier(wake, jobs_ask_next(jobs));
    if (jobs->ending == ENDING_DRAIN && !jobs->sweeping && jobs->running == 0) {
        wake = earlier(wake, jobs->over_by - SCHEDULER_KILL_MARGIN);
        mono_ns given_up_at = jobs_gives_up_asking_at(jobs);

        if (given_up_at > clock_now()) { /* after it only hooks are waited for, which tell */
            wake = earlier(wake, given_up_at);
        }
    }
    if (may_go_on(jobs)) {
        wake = 0;
    }
    timer_arm(&jobs->mono_timer, wake);
    timer_arm(&jobs->wall_timer, scheduler_wake_wall(&jobs->scheduler));
}

void jobs_turn_soon(struct jobs *jobs)
{
    timer_arm(&jobs->mono_timer, 0);
}

/* ---- What the worker asks for. ---- */

void jobs_server(struct jobs *jobs, const struct server_address *address)
{
    jobs->world.server = *address;
}

void jobs_begin(struct jobs *jobs, struct epoch epoch, struct ledger *ledger, wall_ns unknown_until)
{
    struct asking *a = &jobs->asking;

    assert(jobs->ending == ENDING_NOT);
    assert(jobs->world.config != NULL);

    jobs->epoch = epoch;
    jobs->unknown_until = unknown_until;
    jobs->told_started = false;
    bool ready = a->ready; /* it may have said so already */
    jobs_forget_questions(jobs);
    a->ledger = ledger;
    ledger_limit(ledger, jobs->world.config); /* it may have been reloaded since it was opened */
    a->ready = ready;
    a->requests_at = 0;
    a->prune_at = clock_now() + PRUNE_AFTER;
    a->prune_aged_at = a->prune_at;
    scheduler_begin(&jobs->scheduler, clock_wall(), clock_now());
    jobs_ask_load(jobs);
    jobs_ask_prunes(jobs);
    for (size_t i = 0; i < jobs->count; i++) {
        jobs_show(jobs, jobs->list[i]);
    }
    jobs_turn_soon(jobs);
}

void jobs_forget_ledger(struct jobs *jobs)
{
    jobs_forget_questions(jobs);
    scheduler_ledger(&jobs->scheduler, false, clock_wall());
}

void jobs_drain(struct jobs *jobs, mono_ns drain_until, mono_ns over_by)
{
    if (jobs->ending > ENDING_DRAIN) {
        return;
    }
    jobs->over_by = jobs->ending == ENDING_DRAIN ? earlier(jobs->over_by, over_by) : over_by;
    jobs->ending = ENDING_DRAIN;
    scheduler_drain(&jobs->scheduler, clock_now(), drain_until, over_by);
    jobs_turn_soon(jobs);
}

void jobs_terminate(struct jobs *jobs)
{
    if (jobs->ending >= ENDING_TERMINATE) {
        return;
    }
    jobs->ending = ENDING_TERMINATE;
    scheduler_end(&jobs->scheduler, clock_now());
    /* Not on the next turn: what follows may be the last milliseconds of a lease. */
    while (decide(jobs) == WENT_ON) {
    }
    jobs_forget_snapshot(jobs);
    jobs_ask_now(jobs);
    jobs_turn_soon(jobs);
}

void jobs_kill(struct jobs *jobs)
{
    if (jobs->ending == ENDING_KILL) {
        return;
    }
    jobs->ending = ENDING_KILL;
    scheduler_kill(&jobs->scheduler);
    jobs_sweep_start(jobs, clock_now());
    jobs_sweep_step(jobs, clock_now());
    jobs_turn_soon(jobs);
}

unsigned jobs_running(const struct jobs *jobs)
{
    return jobs->running;
}

bool jobs_idle(const struct jobs *jobs)
{
    return jobs->running == 0 && jobs->swept;
}

const char *jobs_containment(const struct jobs *jobs)
{
    return jobs->containment;
}
