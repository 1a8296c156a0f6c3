#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/leader/job.h"

void jobs_forget_accounts(struct known_account *accounts)
{
    while (accounts != NULL) {
        struct known_account *next = accounts->next;

        account_free(accounts->account);
        free(accounts);
        accounts = next;
    }
}

static bool same_user(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* A directory service that does not answer may take seconds to say so: it is not asked for every
 * job, nor at every start. */
static void look_up(struct known_account *known)
{
    known->account = account_find(known->user, known->reason, sizeof(known->reason));
    known->looked_at = clock_now();
}

const struct account *jobs_account(struct jobs *jobs, const char *user, char *reterr, size_t size)
{
    struct known_account *known = jobs->accounts;

    while (known != NULL && !same_user(known->user, user)) {
        known = known->next;
    }
    if (known == NULL) {
        known = jobs_must_have(calloc(1, sizeof(*known)));
        *known = (struct known_account){.next = jobs->accounts, .user = user};
        jobs->accounts = known;
        look_up(known);
    } else if (known->account == NULL && clock_now() - known->looked_at >= ACCOUNT_AGAIN) {
        look_up(known);
    }
    if (known->account == NULL) {
        (void)snprintf(reterr, size, "%s", known->reason);
    }
    return known->account;
}

static struct job *make_job(const char *name)
{
    struct job *job = jobs_must_have(calloc(1, sizeof(*job)));

    scheduler_job_init(&job->plan, job);
    job->closed = 1; /* it may have been here before */
    (void)snprintf(job->board.name, sizeof(job->board.name), "%s", name);
    job->board.next_at = WALL_NEVER;
    return job;
}

static int by_name(const void *left, const void *right)
{
    const struct job *const *a = left;
    const struct job *const *b = right;

    return strcmp((*a)->board.name, (*b)->board.name);
}

struct job *jobs_find(const struct jobs *jobs, const char *name)
{
    size_t low = 0;
    size_t high = jobs->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(jobs->by_name[middle]->board.name, name);

        if (order == 0) {
            return jobs->by_name[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

void jobs_free_job(struct job *job)
{
    free(job->children);
    free(job);
}

/* One that is no longer named stays: a run may hold it. */
static struct named_mutex *find_mutex(struct jobs *jobs, const char *name)
{
    struct named_mutex *mutex = jobs->mutexes;

    while (mutex != NULL && strcmp(mutex->name, name) != 0) {
        mutex = mutex->next;
    }
    if (mutex == NULL) {
        mutex = jobs_must_have(calloc(1, sizeof(*mutex)));
        (void)snprintf(mutex->name, sizeof(mutex->name), "%s", name);
        mutex->next = jobs->mutexes;
        jobs->mutexes = mutex;
    }
    return mutex;
}

static struct scheduler_policy policy_of(const struct config_job *definition)
{
    return (struct scheduler_policy){
        .timeout = definition->timeout,
        .grace = definition->grace,
        .overlap = definition->overlap,
        .missed = definition->missed,
        .missed_window = definition->missed_window,
        .missed_max = (unsigned)definition->missed_max,
        .on_interrupt = definition->on_interrupt,
        .retries = (unsigned)definition->retries,
        .retry_delay = definition->retry_delay,
        .critical = definition->critical,
    };
}

static uint64_t schedule_hash_of(const struct config_job *definition)
{
    uint64_t hash = schedule_hash(&definition->schedule);

    return hash != 0 ? hash : 1;
}

/* What is claimed ahead is decided: an instant that the new schedule has too must not come twice.
 */
static wall_ns last_decided(const struct job *job, wall_ns now)
{
    bool ahead = job->plan.last_tick > now && job->plan.last_tick <= now + SCHEDULER_AHEAD;

    return ahead ? job->plan.last_tick : now;
}

/* Returns whether it is another definition than before. */
static bool define(struct jobs *jobs, struct job *job, const struct config_job *definition,
                   unsigned row)
{
    char reason[RUN_REASON_MAX];
    bool enabled = definition->enabled && jobs->world.config->jobs_enabled;
    bool changed =
        job->definition == NULL || job->hash != definition->hash || job->plan.enabled != enabled;

    job->definition = definition;
    job->hash = definition->hash;
    job->row = row;
    job->plan.schedule = definition->schedule;
    job->plan.enabled = enabled;
    job->plan.policy = policy_of(definition);
    job->plan.mutex = definition->mutex != NULL ? &find_mutex(jobs, definition->mutex)->plan : NULL;
    /* Of one that is disabled there is none: when it is enabled again it has no past. */
    uint64_t schedule_hash = enabled ? schedule_hash_of(definition) : 0;
    job->rescheduled = job->schedule_hash != schedule_hash;
    job->schedule_hash = schedule_hash;
    if (job->rescheduled && job->plan.known) { /* what was before is another schedule's */
        job->plan.last_tick = last_decided(job, clock_wall());
        job->plan.unknown_until = 0;
    }
    /* Now, not in the instant of a start: the user database may be slow. */
    job->account = jobs_account(jobs, definition->user, reason, sizeof(reason));
    return changed;
}

static void forget_definition(struct job *job)
{
    job->definition = NULL;
    job->account = NULL;
    job->plan.enabled = false;
    job->plan.schedule =
        (struct schedule){.kind = SCHEDULE_MANUAL}; /* it pointed into the old one */
}

/* One that is added again has no past, even if it is as it was. */
static void tell_removed(struct jobs *jobs, struct job *job)
{
    bool told = job->definition != NULL && job->plan.known;

    if (jobs->scheduler.phase == SCHEDULER_LEADING && told &&
        schedule_is_clocked(&job->plan.schedule)) {
        job->schedule_hash = 0;
        jobs_begin_history(jobs, job, clock_wall());
    }
}

/* The new table: first the rows of the configuration, then what was removed and still runs. */
struct table {
    struct job **list;
    bool *changed;
    size_t count;
};

static void fill_table(struct jobs *jobs, const struct config *cfg, struct table *table)
{
    for (size_t i = 0; i < jobs->count; i++) {
        jobs->list[i]->listed = false;
    }
    for (size_t i = 0; i < cfg->job_count; i++) {
        struct job *job = jobs_find(jobs, cfg->jobs[i].name);

        if (job == NULL) {
            job = make_job(cfg->jobs[i].name);
        }
        assert(!job->listed); /* two jobs of one name do not pass the configuration */
        job->listed = true;
        table->changed[table->count] = define(jobs, job, &cfg->jobs[i], (unsigned)i);
        table->list[table->count++] = job;
    }
    for (size_t i = 0; i < jobs->count; i++) {
        struct job *job = jobs->list[i];

        if (job->listed) {
            continue;
        }
        tell_removed(jobs, job);
        if (job->plan.runs != NULL) {
            forget_definition(job);
            table->changed[table->count] = true;
            table->list[table->count++] = job;
        }
    }
}

static void install(struct jobs *jobs, const struct table *table, size_t room)
{
    struct scheduler_job **plans = jobs_must_have(calloc(room, sizeof(*plans)));
    struct heap_item **ticks = jobs_must_have(calloc(room, sizeof(*ticks)));
    struct heap_item **alarms = jobs_must_have(calloc(room, sizeof(*alarms)));

    for (size_t i = 0; i < table->count; i++) {
        plans[i] = &table->list[i]->plan;
    }
    scheduler_replace(&jobs->scheduler, plans, table->count, ticks, alarms);
    for (size_t i = 0; i < jobs->count; i++) {
        if (!jobs->list[i]->listed && jobs->list[i]->plan.runs == NULL) {
            jobs_free_job(jobs->list[i]);
        }
    }
    free(jobs->by_name);
    jobs->by_name = jobs_must_have(calloc(room, sizeof(struct job *)));
    (void)memcpy(jobs->by_name, table->list, table->count * sizeof(struct job *));
    qsort(jobs->by_name, table->count, sizeof(struct job *), by_name);
    free(jobs->list);
    free(jobs->plans);
    free(jobs->ticks);
    free(jobs->alarms);
    jobs->list = table->list;
    jobs->plans = plans;
    jobs->ticks = ticks;
    jobs->alarms = alarms;
    jobs->count = table->count;
}

static void find_children(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        free(jobs->list[i]->children);
        jobs->list[i]->children = NULL;
        jobs->list[i]->child_count = 0;
    }
    for (size_t i = 0; i < jobs->count; i++) {
        struct job *child = jobs->list[i];
        struct job *parent =
            child->plan.schedule.kind == SCHEDULE_AFTER && child->definition != NULL
                ? jobs_find(jobs, child->plan.schedule.parent)
                : NULL;

        if (parent != NULL) {
            size_t size = (parent->child_count + 1) * sizeof(struct job *);

            parent->children = jobs_must_have(realloc(parent->children, size));
            parent->children[parent->child_count++] = child;
        }
    }
}

/* What the term does not know of a job yet, the ledger may; of one that was changed it has to hear.
 */
static void take_into_term(struct jobs *jobs)
{
    wall_ns now = clock_wall();
    bool news = false;

    if (jobs->scheduler.phase != SCHEDULER_LEADING) {
        return;
    }
    for (size_t i = 0; i < jobs->count; i++) {
        struct job *job = jobs->list[i];

        if (job->definition == NULL) {
            continue;
        }
        news = news || !job->plan.known;
        if (job->rescheduled && job->plan.known && schedule_is_clocked(&job->plan.schedule)) {
            /* Not what is ahead: its claim says that, and may never come. */
            jobs_begin_history(jobs, job, job->plan.last_tick < now ? job->plan.last_tick : now);
        }
    }
    if (news) {
        jobs_ask_load(jobs);
    }
}

static void set_limits(struct jobs *jobs)
{
    struct ledger *ledger = jobs->asking.ledger;

    if (ledger == NULL) {
        return;
    }
    const int runs_before = ledger->limits.history_runs;
    ledger_limit(ledger, jobs->world.config);
    if (ledger->limits.history_runs != runs_before) {
        jobs_ask_prunes(jobs);
    }
}

void jobs_configure(struct jobs *jobs, const struct config *cfg)
{
    size_t room = cfg->job_count + jobs->count + 1;
    struct table table = {
        .list = jobs_must_have(calloc(room, sizeof(*table.list))),
        .changed = jobs_must_have(calloc(room, sizeof(*table.changed))),
    };

    jobs_forget_accounts(jobs->accounts);
    jobs->accounts = NULL;
    jobs->world.config = cfg;
    jobs->scheduler.max_running = (unsigned)cfg->runs.max_running;
    fill_table(jobs, cfg, &table);
    install(jobs, &table, room);
    set_limits(jobs);
    find_children(jobs);
    for (size_t i = 0; i < table.count; i++) {
        scheduler_define(&jobs->scheduler, &table.list[i]->plan, table.changed[i], clock_wall(),
                         clock_now());
        jobs_show(jobs, table.list[i]);
    }
    take_into_term(jobs);
    free(table.changed);
    jobs_turn_soon(jobs);
}
