#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/config_private.h"

static bool is_sql(const struct config_job *job)
{
    return job->action == ACTION_SQL;
}

static bool is_service(const struct config_job *job)
{
    return job->schedule_text != NULL && job->schedule.kind == SCHEDULE_ALWAYS;
}

static bool is_no_service(const struct config_job *job)
{
    return job->schedule_text != NULL && job->schedule.kind != SCHEDULE_ALWAYS;
}

static bool is_no_sql(const struct config_job *job)
{
    return job->command != NULL && !is_sql(job);
}

/*
 * Keys that say nothing to some jobs. As an error where a reader of the file would believe in
 * something that is not so; as a warning where it is merely in vain. What [jobs] says for all of
 * them is no problem: it is for those whom it concerns.
 */
static const struct {
    const char *key;
    bool (*is_in_vain)(const struct config_job *job);
    bool warning;
    const char *text;
} vain[] = {
    {"sql_role", is_no_sql, false, "is for sql only; who runs a command is said by user"},
    {"sql_transaction", is_no_sql, false, "is for sql only"},
    {"critical", is_no_service, false, "is for a service only (schedule = always)"},
    {"overlap", is_service, true, "says nothing to a service: one of it runs at a time"},
    {"missed", is_service, true, "says nothing to a service: it has no ticks"},
    {"missed_window", is_service, true, "says nothing to a service: it has no ticks"},
    {"missed_max", is_service, true, "says nothing to a service: it has no ticks"},
    {"on_interrupt", is_service, true, "says nothing to a service: the next leader starts it"},
    {"retries", is_service, true, "says nothing to a service: it is always started again"},
    {"retry_delay", is_service, true, "says nothing to a service: it is always started again"},
};

static void complain(struct config *cfg, const struct config_job *job, const char *key,
                     bool warning, const char *text)
{
    const char *section = config_memory_format(&cfg->private->entries.memory, "job %s", job->name);

    config_problem_add(cfg->private->entries.problems, warning,
                       config_job_setting_of(cfg, job, key)->origin, section, key, "%s", text);
}

/* The default does no harm, whoever says it: check --print does. */
static bool says_anything(const struct config *cfg, const struct config_job *job, const char *key)
{
    const struct config_setting *setting = config_job_setting_of(cfg, job, key);
    const struct config_setting *defaults = cfg->private->job_defaults;
    size_t rows = config_row_count - config_job_row_first();
    char ignored[512];

    if (setting->text == NULL || (setting >= defaults && setting < defaults + rows)) {
        return false; /* not said, or by [jobs], which says it of others too */
    }

    const char *preset = config_table_find(SECTION_JOB, key, ignored, sizeof(ignored))->preset;

    return preset == NULL || strcmp(setting->text, preset) != 0;
}

void config_job_check(struct config *cfg, struct config_job *job)
{
    for (size_t i = 0; i < ARRAY_LEN(vain); i++) {
        if (vain[i].is_in_vain(job) && says_anything(cfg, job, vain[i].key)) {
            complain(cfg, job, vain[i].key, vain[i].warning, vain[i].text);
        }
    }
    if (is_sql(job) && cfg->database.kind != DATABASE_POSTGRES) {
        complain(cfg, job, "sql", false,
                 "needs PostgreSQL, and [database] dsn names none; use command or exec, or give "
                 "dsn a server");
    }
    if (!is_sql(job)) {
        job->sql_role = NULL;
        job->sql_transaction = false;
    }
    job->critical = job->critical && is_service(job);
}
