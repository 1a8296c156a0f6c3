#include <stdio.h>
#include <string.h>

#include "common/config_private.h"

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static const char *shown(const struct config_row *row, const struct config_setting *setting)
{
    if (setting->text == NULL) {
        return "not set";
    }
    return row->secret ? "***" : setting->text;
}

/* Has this setting changed? A default that was worked out anew (the host has another name) has not.
 */
static bool has_changed(const struct config_row *row, const struct config_setting *now,
                        const struct config_setting *next)
{
    if (same_text(now->text, next->text)) {
        return false;
    }
    return now->given || next->given || strcmp(row->key, "instance") != 0;
}

static void explain(const struct config_row *row, const struct config_setting *now,
                    const struct config_setting *next, char *ret_reason, size_t size)
{
    const char *section = config_section_name(row->section);

    if (row->change == CHANGE_RESTART) {
        (void)snprintf(ret_reason, size,
                       "[%s] %s cannot change while running: is %s; would be %s; a restart would "
                       "do it",
                       section, row->key, shown(row, now), shown(row, next));
    } else {
        (void)snprintf(ret_reason, size, "[%s] %s is now %s; was %s", section, row->key,
                       shown(row, next), shown(row, now));
    }
}

static bool jobs_changed(const struct config *now, const struct config *next)
{
    if (now->job_count != next->job_count) {
        return true;
    }
    for (size_t i = 0; i < now->job_count; i++) {
        if (now->jobs[i].hash != next->jobs[i].hash ||
            strcmp(now->jobs[i].name, next->jobs[i].name) != 0) {
            return true;
        }
    }
    return false;
}

static const char *first_user_job(const struct config *cfg)
{
    for (size_t i = 0; i < cfg->job_count; i++) {
        if (cfg->jobs[i].enabled && cfg->jobs[i].user != NULL) {
            return cfg->jobs[i].name;
        }
    }
    return "";
}

enum config_change config_diff(const struct config *now, const struct config *next,
                               bool can_switch_user, char *ret_reason, size_t size)
{
    enum config_change most = CHANGE_NOTHING;

    if (size > 0) {
        ret_reason[0] = '\0';
    }
    for (size_t i = 0; i < config_job_row_first(); i++) {
        const struct config_row *row = &config_rows[i];
        const struct config_setting *old = &now->private->settings[i];
        const struct config_setting *new = &next->private->settings[i];

        if (row->change > most && has_changed(row, old, new)) {
            most = row->change;
            explain(row, old, new, ret_reason, size);
        }
    }
    if (!can_switch_user && config_has_user_jobs(next) && !config_has_user_jobs(now) &&
        most < CHANGE_RESTART) {
        (void)snprintf(ret_reason, size,
                       "[job %s] user is the first one that a job names, and the privileges for it "
                       "have been given up; a restart would do it",
                       first_user_job(next));
        return CHANGE_RESTART;
    }
    if (most == CHANGE_NOTHING && jobs_changed(now, next)) {
        (void)snprintf(ret_reason, size, "jobs have changed");
        return CHANGE_LIVE;
    }
    return most;
}

/* What a job does may have secrets in it: that it has changed is enough to know. */
static void compare_jobs(const struct config *now, const struct config_job *old,
                         const struct config *next, const struct config_job *new,
                         void (*each)(void *ctx, const char *text), void *ctx)
{
    size_t first = config_job_row_first();
    char text[JOB_NAME_MAX + 64];
    bool told = false;

    for (size_t i = first; i < config_row_count; i++) {
        size_t row = i - first;

        if (!same_text(config_job_setting_at(now, (size_t)(old - now->jobs), row)->text,
                       config_job_setting_at(next, (size_t)(new - next->jobs), row)->text)) {
            told = true;
            (void)snprintf(text, sizeof(text), "[job %s] %s has changed", new->name,
                           config_rows[i].key);
            each(ctx, text);
        }
    }
    if (!told) { /* nothing that was written down */
        (void)snprintf(text, sizeof(text), "[job %s] zone: tzdata has changed", new->name);
        each(ctx, text);
    }
}

static void job_changes(const struct config *now, const struct config *next,
                        void (*each)(void *ctx, const char *text), void *ctx)
{
    char text[JOB_NAME_MAX + 64];

    for (size_t i = 0; i < next->job_count; i++) {
        const struct config_job *new = &next->jobs[i];
        const struct config_job *old = config_job_named(now, new->name);

        if (old == NULL) {
            (void)snprintf(text, sizeof(text), "[job %s] is new", new->name);
            each(ctx, text);
        } else if (old->hash != new->hash) {
            compare_jobs(now, old, next, new, each, ctx);
        }
    }
    for (size_t i = 0; i < now->job_count; i++) {
        if (config_job_named(next, now->jobs[i].name) == NULL) {
            (void)snprintf(text, sizeof(text), "[job %s] is gone", now->jobs[i].name);
            each(ctx, text);
        }
    }
}

void config_changes(const struct config *now, const struct config *next,
                    void (*each)(void *ctx, const char *text), void *ctx)
{
    char text[512];

    for (size_t i = 0; i < config_job_row_first(); i++) {
        const struct config_setting *old = &now->private->settings[i];
        const struct config_setting *new = &next->private->settings[i];

        if (has_changed(&config_rows[i], old, new)) {
            explain(&config_rows[i], old, new, text, sizeof(text));
            each(ctx, text);
        }
    }
    job_changes(now, next, each, ctx);
}

bool config_is_same_election(const struct config *a, const struct config *b)
{
    return a->database.kind == b->database.kind && strcmp(a->election.name, b->election.name) == 0;
}
