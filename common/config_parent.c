/*
 * `after JOB`: that the job is there, and that no chain bites its own tail. Thousands of jobs take
 * no longer for it than they take to read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_private.h"

enum { NO_PARENT = UINT32_MAX };

enum visit { UNSEEN, ON_THE_WAY, SEEN };

/* The jobs as a forest: each has one parent at most. */
struct forest {
    struct config *cfg;
    uint32_t *entries; /* of each job, the index of its header among the entries: they ascend */
    uint32_t *parents;
    unsigned char *visits;
};

static void note_headers(struct forest *f)
{
    const struct config_entries *entries = &f->cfg->private->entries;
    size_t job = 0;

    for (size_t i = 0; i < entries->count && job < f->cfg->job_count; i++) {
        if (entries->list[i].key[0] == '\0') {
            f->entries[job++] = (uint32_t)i;
        }
    }
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t job_named(const struct forest *f, const char *name)
{
    const struct config_entries *entries = &f->cfg->private->entries;
    char section[JOB_NAME_MAX + 8];
    const struct config_entry *header;

    if (strlen(name) >= JOB_NAME_MAX) {
        return NO_PARENT;
    }
    (void)snprintf(section, sizeof(section), "job %s", name);
    header = config_entries_find(entries, section, "");
    if (header == NULL) {
        return NO_PARENT;
    }

    uint32_t index = (uint32_t)(header - entries->list);
    const uint32_t *found =
        bsearch(&index, f->entries, f->cfg->job_count, sizeof(*f->entries), by_number);

    return found == NULL ? NO_PARENT : (uint32_t)(found - f->entries);
}

/* Says what is wrong with the name that a job comes after. */
static void complain(const struct forest *f, uint32_t job, const char *what)
{
    const struct config_job *at = &f->cfg->jobs[job];
    char section[JOB_NAME_MAX + 8];

    (void)snprintf(section, sizeof(section), "job %s", at->name);
    config_problem_add(f->cfg->private->entries.problems, false,
                       config_job_setting_of(f->cfg, at, "schedule")->origin, section, "schedule",
                       "'after %.60s' %s", at->schedule.parent, what);
}

static void find_parents(struct forest *f)
{
    for (uint32_t i = 0; i < f->cfg->job_count; i++) {
        const struct schedule *schedule = &f->cfg->jobs[i].schedule;

        f->parents[i] = NO_PARENT;
        if (schedule->kind != SCHEDULE_AFTER) {
            continue;
        }
        f->parents[i] = job_named(f, schedule->parent);
        if (f->parents[i] == NO_PARENT) {
            complain(f, i, "names a job that is not there; name one of this configuration");
        } else if (f->parents[i] == i) {
            f->parents[i] = NO_PARENT;
            complain(f, i, "is after itself; name another job");
        }
    }
}

/* From each job up: who comes back to one that is on the way has found a circle. */
static void find_circles(struct forest *f)
{
    for (uint32_t i = 0; i < f->cfg->job_count; i++) {
        uint32_t at = i;

        while (at != NO_PARENT && f->visits[at] == UNSEEN) {
            f->visits[at] = ON_THE_WAY;
            at = f->parents[at];
        }
        if (at != NO_PARENT && f->visits[at] == ON_THE_WAY) {
            complain(f, at, "closes a circle: that job comes, in the end, after this one");
        }
        for (at = i; at != NO_PARENT && f->visits[at] == ON_THE_WAY; at = f->parents[at]) {
            f->visits[at] = SEEN;
        }
    }
}

int config_check_parents(struct config *cfg)
{
    struct forest f = {.cfg = cfg};
    size_t count = cfg->job_count;
    int rc = -ENOMEM;

    if (count == 0) {
        return 0;
    }
    f.entries = calloc(count, sizeof(*f.entries));
    f.parents = calloc(count, sizeof(*f.parents));
    f.visits = calloc(count, sizeof(*f.visits));
    if (f.entries != NULL && f.parents != NULL && f.visits != NULL) {
        note_headers(&f);
        find_parents(&f);
        find_circles(&f);
        rc = 0;
    }
    free(f.entries);
    free(f.parents);
    free(f.visits);
    return rc;
}
