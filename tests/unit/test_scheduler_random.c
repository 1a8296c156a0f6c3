/* A scheduler that anything happens to, and a model that knows what must hold whatever happens. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/scheduler_fixture.h"

enum { JOBS = 9, MUTEXES = 2, STEPS = 60000, LIVE_MOST = 120 };

/* What the model knows of a job beside what the scheduler says of it. */
static struct {
    struct plan p;
    struct prng random;
    struct scheduler_mutex mutexes[MUTEXES];
    wall_ns accounted[JOBS];  /* the latest instant that was asked, recorded or left */
    bool pending_grant[1024]; /* of the run of this place: the ledger was asked for it */
    bool redefined[JOBS];     /* while it had runs: they were let in by other rules */
    unsigned step;
    uint64_t seed;
    unsigned verdicts[SCHEDULER_CRITICAL + 1];
} m;

#define MUST(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            cr_log_error("seed %llu step %u", (unsigned long long)m.seed, m.step);                 \
            cr_assert(condition, __VA_ARGS__);                                                     \
        }                                                                                          \
    } while (0)

static uint64_t below(uint64_t limit)
{
    return prng_below(&m.random, limit);
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

static bool has_process(const struct scheduler_run *run)
{
    return run->stage == RUN_GOING || run->stage == RUN_STOPPING || run->stage == RUN_KILLING;
}

static bool is_paused(const struct scheduler_job *job)
{
    return job->paused || m.p.s.all_paused;
}

/* ---- what must hold ---- */

static void check_job(const struct scheduler_job *job, unsigned *known, unsigned *running,
                      unsigned *holding)
{
    unsigned holds = 0;
    unsigned waits = 0;
    unsigned services = 0;

    for (const struct scheduler_run *run = job->runs; run != NULL; run = run->next) {
        MUST(run->job == job, "a run of another job");
        MUST(run->stage != RUN_OVER, "a run that is over is still there");
        holds += run->holds;
        waits += run->stage == RUN_WAITING;
        services += run->is_service;
        (*known)++;
        *running += has_process(run);
        *holding += run->holds && !run->is_service;
        MUST(!has_process(run) || run->holds, "it runs without room");
    }
    MUST(job->holding == holds && job->waiting == waits, "the counters of a job");
    m.redefined[job - m.p.jobs] = m.redefined[job - m.p.jobs] && job->runs != NULL;
    MUST(services <= 1, "a service twice");
}

static void check_counters(void)
{
    struct scheduler *s = &m.p.s;
    unsigned known = 0;
    unsigned running = 0;
    unsigned holding = 0;
    unsigned waiting = 0;
    unsigned in_line = 0;

    for (size_t i = 0; i < JOBS; i++) {
        check_job(&m.p.jobs[i], &known, &running, &holding);
        waiting += m.p.jobs[i].waiting;
    }
    MUST(s->known == known && s->running == running && s->holding == holding, "the counters");
    for (const struct scheduler_run *run = s->first_waiting; run != NULL; run = run->next_waiting) {
        MUST(run->stage == RUN_WAITING, "it stands in the line and does not wait");
        in_line++;
    }
    MUST(in_line == waiting, "%u stand in the line of %u", in_line, waiting);
    for (size_t i = 0; i < MUTEXES; i++) {
        unsigned holders = 0;

        for (size_t j = 0; j < JOBS; j++) {
            for (struct scheduler_run *run = m.p.jobs[j].runs; run != NULL; run = run->next) {
                holders += run->mutex == &m.mutexes[i];
            }
        }
        MUST(holders <= 1, "a mutex has %u holders", holders);
        MUST((holders == 1) == (m.mutexes[i].holder != NULL), "a mutex that nobody holds is held");
    }
}

/* Nothing that could be done now was left undone. */
static void check_rest(void)
{
    struct scheduler *s = &m.p.s;
    bool leads = s->phase == SCHEDULER_LEADING && s->ledger_up;

    MUST(scheduler_wake_wall(s) > m.p.wall, "the shell would spin");
    MUST(scheduler_wake_mono(s) > m.p.mono, "the shell would spin");
    for (size_t i = 0; i < JOBS && leads; i++) {
        struct scheduler_job *job = &m.p.jobs[i];
        bool serves = false;

        if (!job->known || !job->enabled) {
            continue;
        }
        MUST(!job->held_back || job->unclaimed > 0, "job %zu: nobody lets its ticks go on", i);
        MUST(!schedule_is_clocked(&job->schedule) || s->doubt_until > m.p.mono || job->held_back ||
                 schedule_next(&job->schedule, m.accounted[i]) > m.p.wall,
             "job %zu: a tick that is due was not asked for", i);
        for (struct scheduler_run *run = job->runs; run != NULL; run = run->next) {
            bool overlaps = job->holding > 0 && job->policy.overlap != OVERLAP_ALLOW;
            bool blocked = job->mutex != NULL && job->mutex->holder != NULL;
            bool full = !run->is_service && s->holding >= s->max_running;

            serves = serves || run->is_service;
            MUST(run->stage != RUN_WAITING || !run->settled || run->made_up || overlaps ||
                     blocked || full,
                 "it waits for nothing");
        }
        MUST(job->schedule.kind != SCHEDULE_ALWAYS || is_paused(job) || serves ||
                 job->alarm.key != MONO_NEVER,
             "job %zu: nobody starts the service again", i);
    }
    for (size_t i = 0; i < JOBS && s->phase == SCHEDULER_ENDING; i++) {
        for (struct scheduler_run *run = m.p.jobs[i].runs; run != NULL; run = run->next) {
            MUST(run->stage == RUN_STOPPING || run->stage == RUN_KILLING || run->stage == RUN_ASKED,
                 "an end that leaves a run in stage %d", (int)run->stage);
        }
    }
}

/* ---- what is decided ---- */

static uint64_t ticks_between(const struct schedule *schedule, wall_ns first, wall_ns last)
{
    uint64_t count = 1;

    if (schedule->kind == SCHEDULE_EVERY) {
        return (uint64_t)((last - first) / schedule->every) + 1;
    }
    while (first < last) {
        first = schedule_next(schedule, first);
        count++;
    }
    return first == last ? count : 0;
}

/* Each instant once, in their order, and none left out. */
static void account(const struct scheduler_decision *d)
{
    size_t i = (size_t)(d->job - m.p.jobs);
    const struct schedule *schedule = &d->job->schedule;

    MUST(m.p.s.ledger_up, "it is asked while the ledger is down");
    MUST(d->job->known && d->job->enabled, "a job that is not known, or not enabled");
    if (!schedule_is_clocked(schedule)) {
        return;
    }
    MUST(d->scheduled_at == schedule_next(schedule, m.accounted[i]),
         "job %zu: an instant twice, or none at all: %lld after %lld, verdict %d, kind %d, made_up "
         "%d, %s",
         i, (long long)d->scheduled_at, (long long)m.accounted[i], (int)d->verdict,
         (int)schedule->kind, d->made_up, d->reason ? d->reason : "");
    MUST(d->last_at >= d->scheduled_at, "a range from behind");
    MUST(d->count == ticks_between(schedule, d->scheduled_at, d->last_at), "another count");
    MUST(d->verdict == SCHEDULER_LEAVE
             ? d->scheduled_at <= m.p.wall
             : d->scheduled_at - SCHEDULER_AHEAD <= m.p.wall || d->job->in_gap,
         "too early");
    m.accounted[i] = d->last_at;
}

static void check_start(const struct scheduler_run *run)
{
    const struct scheduler_job *job = run->job;
    const struct scheduler *s = &m.p.s;
    unsigned alive = 0;
    unsigned running = 0;

    MUST(s->phase == SCHEDULER_LEADING ||
             (s->phase == SCHEDULER_RELEASING && job->schedule.kind == SCHEDULE_RELEASED),
         "a start in phase %d", (int)s->phase);
    MUST(run->scheduled_at <= m.p.wall, "before its instant");
    MUST(job->enabled && !run->unwanted, "nobody wants it");
    MUST(run->mutex == job->mutex, "it starts with a mutex of before");
    MUST(run->origin == ORIGIN_TRIGGER || !is_paused(job), "it is paused");
    for (size_t i = 0; i < JOBS; i++) {
        for (struct scheduler_run *other = m.p.jobs[i].runs; other != NULL; other = other->next) {
            if (!has_process(other)) {
                continue;
            }
            alive += other->job == job;
            running += !other->is_service;
            MUST(job->mutex == NULL || other->mutex != job->mutex, "two with one mutex");
        }
    }
    MUST(alive == 0 || job->policy.overlap == OVERLAP_ALLOW || m.redefined[job - m.p.jobs],
         "its last run still runs");
    MUST(run->is_service || running < s->max_running, "more than max_running");
}

static void check_wait(const struct scheduler_run *run)
{
    /* What did not come from a tick waits whatever overlap says: that was looked at before. */
    bool patient = run->made_up || run->origin != ORIGIN_SCHEDULE;

    MUST(run->stage == RUN_WAITING && !run->settled, "it does not wait");
    MUST(patient || run->job->policy.overlap != OVERLAP_QUEUE || run->job->holding == 0 ||
             run->job->waiting == 1,
         "one waits at most");
    MUST(patient || run->job->policy.overlap != OVERLAP_SKIP || run->job->holding == 0,
         "it was to be skipped");
}

static void asked(const struct scheduler_run *run, bool pending)
{
    m.pending_grant[run - m.p.runs] = pending;
}

static void database_clock_comes(void)
{
    (void)scheduler_database_clock(&m.p.s, m.p.wall, m.p.wall, m.p.mono, DUR_S(2));
}

static enum scheduler_verdict decide(void)
{
    struct scheduler_decision d = scheduler_next(&m.p.s, m.p.wall, m.p.mono);

    m.verdicts[d.verdict]++;
    switch (d.verdict) {
    case SCHEDULER_TICK: {
        const struct scheduler_about about = {.scheduled_at = d.scheduled_at,
                                              .attempt = 1,
                                              .origin = d.origin,
                                              .stage = RUN_ASKED,
                                              .made_up = d.made_up,
                                              .in_time = d.in_time,
                                              .settled = true};
        account(&d);
        asked(plan_add(&m.p, (size_t)(d.job - m.p.jobs), &about), true);
        break;
    }
    case SCHEDULER_LEAVE:
        MUST(m.p.s.phase == SCHEDULER_DRAINING || m.p.s.phase == SCHEDULER_RELEASING,
             "the leader leaves what is its own");
        account(&d);
        break;
    case SCHEDULER_RECORD:
        account(&d);
        break;
    case SCHEDULER_START:
        check_start(d.run);
        if (one_in(10)) {
            plan_ended(&m.p, d.run); /* it could not be started */
        } else {
            scheduler_started(&m.p.s, d.run, m.p.mono);
        }
        break;
    case SCHEDULER_WAIT:
        check_wait(d.run);
        break;
    case SCHEDULER_PROMOTE:
        MUST(m.p.s.ledger_up && d.run->settled, "promoted before its row is there");
        asked(d.run, true);
        break;
    case SCHEDULER_DROP:
        MUST(d.outcome != OUTCOME_MISSED || d.run->in_time, "what is made up for is missed again");
        scheduler_remove(&m.p.s, d.run);
        break;
    case SCHEDULER_HAND_OVER:
        scheduler_remove(&m.p.s, d.run);
        break;
    case SCHEDULER_TERM:
    case SCHEDULER_KILL:
        MUST(has_process(d.run), "a signal to nobody");
        break;
    case SCHEDULER_DOUBT_CLOCK:
        MUST(m.p.s.ledger_up && m.p.s.phase == SCHEDULER_LEADING, "nobody can be asked");
        if (one_in(2)) {
            database_clock_comes();
        }
        break;
    default:
        break;
    }
    check_counters();
    return d.verdict;
}

static void decide_all(void)
{
    enum scheduler_verdict verdict;

    do {
        verdict = decide();
    } while (verdict != SCHEDULER_NOTHING && m.p.s.known < LIVE_MOST);
    if (verdict == SCHEDULER_NOTHING) {
        check_rest();
    }
}

/* ---- what happens ---- */

static struct scheduler_run *some_run(void)
{
    size_t start = below(m.p.room);

    for (size_t i = 0; i < m.p.room; i++) {
        struct scheduler_run *run = &m.p.runs[(start + i) % m.p.room];

        if (run->stage != RUN_OVER) {
            return run;
        }
    }
    return NULL;
}

static void happens_to_a_run(void)
{
    struct scheduler_run *run = some_run();

    if (run == NULL) {
        return;
    }
    if (has_process(run)) {
        if (run->stage == RUN_GOING && run->is_service && one_in(8)) {
            scheduler_left(&m.p.s, run, m.p.mono);
        } else if (!one_in(3)) {
            plan_ended(&m.p, run);
        }
    } else if (run->stage == RUN_ASKED && m.pending_grant[run - m.p.runs]) {
        m.pending_grant[run - m.p.runs] = false;
        if (one_in(12)) {
            scheduler_remove(&m.p.s, run); /* taken */
        } else {
            scheduler_granted(&m.p.s, run, m.p.wall);
        }
    } else if (!run->settled) {
        scheduler_settled(&m.p.s, run);
    }
}

static void define_anew(struct scheduler_job *job)
{
    static const dur_ns grids[] = {DUR_MS(100), DUR_MS(700), DUR_S(1), DUR_S(3), DUR_S(60)};
    size_t i = (size_t)(job - m.p.jobs);

    m.redefined[i] = m.redefined[i] || job->runs != NULL;
    job->policy.overlap = (enum job_overlap)below(4);
    job->policy.missed = (enum job_missed)below(3);
    job->policy.missed_max = 1 + (unsigned)below(5);
    job->policy.missed_window = DUR_S(1 + (dur_ns)below(100));
    job->policy.on_interrupt = (enum job_interrupt)below(2);
    job->policy.timeout = one_in(2) ? DUR_S(1 + (dur_ns)below(5)) : 0;
    job->policy.grace = DUR_MS((dur_ns)below(3000));
    job->policy.critical = one_in(3);
    job->enabled = !one_in(5);
    job->mutex = one_in(2) ? &m.mutexes[below(MUTEXES)] : NULL;
    switch (below(8)) {
    case 0:
    case 1:
        job->schedule = (struct schedule){.kind = SCHEDULE_ALWAYS};
        break;
    case 2:
        job->schedule = (struct schedule){.kind = SCHEDULE_ELECTED};
        break;
    case 3:
        job->schedule = (struct schedule){.kind = SCHEDULE_RELEASED};
        break;
    case 4:
        cr_assert_eq(schedule_parse("*/2 * * * * *", NULL, &job->schedule, NULL, 0), 0);
        break;
    default:
        job->schedule = (struct schedule){.kind = SCHEDULE_EVERY, .every = grids[below(5)]};
        break;
    }
    job->last_tick = m.accounted[i] = m.p.wall;
    job->unknown_until = 0;
}

static void know(struct scheduler_job *job)
{
    size_t i = (size_t)(job - m.p.jobs);
    wall_ns unknown = one_in(3) ? m.accounted[i] + (wall_ns)below((uint64_t)DUR_S(20)) : 0;

    if (job->known) {
        return;
    }
    if (m.accounted[i] > m.p.wall + SCHEDULER_AHEAD) { /* as the shell does */
        m.accounted[i] = m.p.wall;
    }
    if (one_in(4)) { /* it has no past */
        m.accounted[i] = m.p.wall;
        scheduler_know(&m.p.s, job, 0, 0, false, m.p.wall);
        return;
    }
    scheduler_know(&m.p.s, job, m.accounted[i], unknown, one_in(8), m.p.wall);
}

static void reload(void)
{
    bool changed[JOBS] = {false};

    for (size_t i = 0; i < JOBS; i++) {
        changed[i] = one_in(4);
        if (changed[i]) {
            define_anew(&m.p.jobs[i]);
        }
        size_t j = below(JOBS);
        struct scheduler_job *other = m.p.list[i];
        m.p.list[i] = m.p.list[j];
        m.p.list[j] = other;
    }
    plan_replace(&m.p);
    for (size_t i = 0; i < JOBS; i++) {
        scheduler_define(&m.p.s, &m.p.jobs[i], changed[i], m.p.wall, m.p.mono);
    }
}

static void come_from_elsewhere(void)
{
    size_t i = below(JOBS);
    const struct scheduler_about trigger = {.scheduled_at = m.p.wall,
                                            .attempt = 1,
                                            .origin = ORIGIN_TRIGGER,
                                            .stage = RUN_WAITING,
                                            .settled = one_in(3)};
    const struct scheduler_about retry = {.scheduled_at = m.p.wall - DUR_S(1),
                                          .attempt = 2,
                                          .origin = one_in(2) ? ORIGIN_RETRY : ORIGIN_RERUN,
                                          .stage = RUN_DELAYED,
                                          .settled = one_in(3),
                                          .due_at = m.p.wall + (wall_ns)below(DUR_S(3))};

    if (m.p.s.phase == SCHEDULER_LEADING && m.p.jobs[i].enabled) {
        (void)plan_add(&m.p, i, one_in(2) ? &trigger : &retry);
    }
}

static void step_clock(void)
{
    dur_ns far = one_in(4) ? DUR_S(600) : DUR_S(5);
    dur_ns by = (dur_ns)below((uint64_t)far);

    m.p.wall += one_in(2) ? by : -by;
    for (size_t i = 0; i < JOBS; i++) {
        struct scheduler_job *job = &m.p.jobs[i];

        if (job->is_new && !job->in_gap && m.p.wall < m.accounted[i]) {
            m.accounted[i] = m.p.wall;
        }
    }
    scheduler_clock_set(&m.p.s, m.p.wall);
}

static void go_on(void)
{
    mono_ns wake = scheduler_wake_mono(&m.p.s);
    wall_ns wake_wall = scheduler_wake_wall(&m.p.s);
    dur_ns length = (dur_ns)below((uint64_t)DUR_MS(one_in(5) ? 4000 : 200));

    if (one_in(3) && wake != MONO_NEVER && wake > m.p.mono) {
        length = wake - m.p.mono;
    } else if (one_in(3) && wake_wall != WALL_NEVER && wake_wall > m.p.wall) {
        length = wake_wall - m.p.wall;
    }
    plan_pass(&m.p, length < DUR_S(100) ? length : DUR_S(100));
    if (one_in(5)) {
        database_clock_comes();
    }
}

/* All processes have ended, and nobody waits for what has not begun. */
static void next_term(void)
{
    while (m.p.s.known > 0) {
        struct scheduler_run *run = some_run();

        if (has_process(run)) {
            plan_ended(&m.p, run);
        } else {
            scheduler_remove(&m.p.s, run);
        }
    }
    scheduler_rest(&m.p.s);
    decide_all();
    if (one_in(2)) {
        reload();
    }
    plan_pass(&m.p, (dur_ns)below((uint64_t)DUR_S(30)));
    m.p.s.max_running = 1 + (unsigned)below(4);
    scheduler_begin(&m.p.s, m.p.wall, m.p.mono);
}

static void end_term(void)
{
    dur_ns until = (dur_ns)below((uint64_t)DUR_S(4));

    switch (below(4)) {
    case 0:
        scheduler_end(&m.p.s, m.p.mono);
        break;
    case 1:
        scheduler_kill(&m.p.s);
        break;
    default:
        scheduler_drain(&m.p.s, m.p.mono, m.p.mono + until, m.p.mono + until + DUR_S(1));
        break;
    }
}

static void happens_to_the_leader(void)
{
    struct scheduler_job *job = &m.p.jobs[below(JOBS)];
    bool leads = m.p.s.phase == SCHEDULER_LEADING;

    switch (below(12)) {
    case 0:
    case 1:
        step_clock();
        break;
    case 2:
        reload();
        break;
    case 3:
        scheduler_pause(&m.p.s, one_in(3) ? NULL : job, one_in(2), m.p.mono);
        break;
    case 4:
        (void)scheduler_cancel(&m.p.s, job, m.p.mono);
        break;
    case 5:
        scheduler_ledger(&m.p.s, false, m.p.wall);
        break;
    case 6:
        end_term();
        break;
    default:
        scheduler_ledger(&m.p.s, m.p.s.phase != SCHEDULER_RESTING, m.p.wall);
        if (leads && job->enabled) {
            know(job);
        }
        break;
    }
}

static void happen(void)
{
    if (scheduler_is_over(&m.p.s, m.p.mono) || m.p.s.known >= LIVE_MOST) {
        next_term();
    }
    switch (below(20)) {
    case 0:
        happens_to_the_leader();
        break;
    case 1:
        come_from_elsewhere();
        break;
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        go_on();
        break;
    default:
        happens_to_a_run();
        break;
    }
}

static unsigned verdicts[SCHEDULER_CRITICAL + 1]; /* of all models */

static void run_model(uint64_t seed)
{
    memset(&m, 0, sizeof(m));
    m.seed = seed;
    prng_seed(&m.random, seed);
    m.p = plan_made(JOBS);
    m.p.wall += (wall_ns)below((uint64_t)DUR_S(2000000000));
    m.p.s.max_running = 3;
    for (size_t i = 0; i < JOBS; i++) {
        m.accounted[i] = m.p.wall;
    }
    plan_replace(&m.p);
    reload();
    scheduler_begin(&m.p.s, m.p.wall, m.p.mono);
    for (m.step = 0; m.step < STEPS; m.step++) {
        happen();
        check_counters();
        decide_all();
    }
    for (int i = 0; i <= SCHEDULER_CRITICAL; i++) {
        verdicts[i] += m.verdicts[i];
    }
    plan_release(&m.p);
}

TestSuite(scheduler_random, .timeout = 300);

Test(scheduler_random, whatever_happens_each_tick_is_accounted_for_once)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        run_model(seed);
    }
    for (int i = 0; i <= SCHEDULER_CRITICAL; i++) {
        cr_expect(verdicts[i] > 0, "verdict %d never came: the model tests less than it says", i);
    }
}
