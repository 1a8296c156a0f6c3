#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/leader/job.h"

/* A worker that has no memory for its table of jobs cannot go on; it is fenced and started again.
 */
static void *must_have(void *memory)
{
    if (memory == NULL) {
        log_error("out_of_memory", "%s", "for=jobs");
        abort();
    }
    return memory;
}

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
        known = must_have(calloc(1, sizeof(*known)));
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
    struct job *job = must_have(calloc(1, sizeof(*job)));

    scheduler_job_init(&job->plan, job);
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

/* The jobs there were, for looking up by name. */
struct index {
    struct job **sorted; /* owned */
    size_t count;
};

static struct index make_index(const struct jobs *jobs)
{
    struct index index = {.count = jobs->count};

    if (index.count > 0) {
        index.sorted = must_have(reallocarray(NULL, index.count, sizeof(struct job *)));
        (void)memcpy(index.sorted, jobs->list, index.count * sizeof(struct job *));
        qsort(index.sorted, index.count, sizeof(struct job *), by_name);
    }
    return index;
}

static struct job *find_job(const struct index *index, const char *name)
{
    struct job key = {.row = 0};
    const struct job *wanted = &key;

    (void)snprintf(key.board.name, sizeof(key.board.name), "%s", name);
    struct job **found = index->count == 0 ? NULL
                                           : bsearch(&wanted, index->sorted, index->count,
                                                     sizeof(struct job *), by_name);
    return found != NULL ? *found : NULL;
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
    job->plan.timeout = definition->timeout;
    job->plan.grace = definition->grace;
    /* Now, not in the instant of a start: the user database may be slow. */
    job->account = jobs_account(jobs, definition->user, reason, sizeof(reason));
    return changed;
}

static void forget_definition(struct job *job)
{
    job->definition = NULL;
    job->account = NULL;
    job->plan.enabled = false;
}

/* The new table: first the rows of the configuration, then what was removed and still runs. */
struct table {
    struct job **list;
    bool *changed;
    size_t count;
};

static void fill_table(struct jobs *jobs, const struct index *before, const struct config *cfg,
                       struct table *table)
{
    for (size_t i = 0; i < before->count; i++) {
        before->sorted[i]->listed = false;
    }
    for (size_t i = 0; i < cfg->job_count; i++) {
        struct job *job = find_job(before, cfg->jobs[i].name);

        if (job == NULL) {
            job = make_job(cfg->jobs[i].name);
        }
        assert(!job->listed); /* two jobs of one name do not pass the configuration */
        job->listed = true;
        table->changed[table->count] = define(jobs, job, &cfg->jobs[i], (unsigned)i);
        table->list[table->count++] = job;
    }
    for (size_t i = 0; i < before->count; i++) {
        struct job *job = before->sorted[i];

        if (!job->listed && job->run != NULL) {
            forget_definition(job);
            table->changed[table->count] = true;
            table->list[table->count++] = job;
        }
    }
}

static void install(struct jobs *jobs, const struct table *table, size_t room)
{
    struct scheduler_job **plans = must_have(calloc(room, sizeof(*plans)));
    struct heap_item **ticks = must_have(calloc(room, sizeof(*ticks)));
    struct heap_item **alarms = must_have(calloc(room, sizeof(*alarms)));

    for (size_t i = 0; i < table->count; i++) {
        plans[i] = &table->list[i]->plan;
    }
    scheduler_replace(&jobs->scheduler, plans, table->count, ticks, alarms);
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

void jobs_configure(struct jobs *jobs, const struct config *cfg)
{
    size_t room = cfg->job_count + jobs->count + 1;
    struct index before = make_index(jobs);
    struct table table = {
        .list = must_have(calloc(room, sizeof(*table.list))),
        .changed = must_have(calloc(room, sizeof(*table.changed))),
    };

    jobs_forget_accounts(jobs->accounts);
    jobs->accounts = NULL;
    jobs->world.config = cfg;
    fill_table(jobs, &before, cfg, &table);
    install(jobs, &table, room);
    for (size_t i = 0; i < table.count; i++) {
        scheduler_define(&jobs->scheduler, &table.list[i]->plan, table.changed[i], clock_wall(),
                         clock_now());
        jobs_show(jobs, table.list[i]);
    }
    for (size_t i = 0; i < before.count; i++) {
        if (!before.sorted[i]->listed && before.sorted[i]->run == NULL) {
            free(before.sorted[i]);
        }
    }
    free(before.sorted);
    free(table.changed);
    jobs_turn_soon(jobs);
}
