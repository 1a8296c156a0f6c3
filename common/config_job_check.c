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

/* A hook of such a job is run by a shell, as the job's user, in its directory, with its
 * environment. */
static bool is_sql_without_hook(const struct config_job *job)
{
    return is_sql(job) && job->on_failure == NULL && job->on_recovery == NULL &&
           job->on_success == NULL;
}

#define SQL_HAS_NO "says nothing to statements: it is for a command and for hooks"

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
    {"success_codes", is_sql, false, "says nothing to statements: they have no exit code"},
    {"user", is_sql_without_hook, false,
     "is for a command and for hooks; who runs statements is said by sql_role"},
    {"shell", is_sql_without_hook, false, SQL_HAS_NO},
    {"directory", is_sql_without_hook, false, SQL_HAS_NO},
    {"umask", is_sql_without_hook, false, SQL_HAS_NO},
    {"environment", is_sql_without_hook, false, SQL_HAS_NO},
    {"environment_file", is_sql_without_hook, false, SQL_HAS_NO},
    {"clean_environment", is_sql_without_hook, false, SQL_HAS_NO},
    {"pass_database", is_sql_without_hook, false, SQL_HAS_NO},
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
static bool is_preset(const char *key, const char *text)
{
    char ignored[512];
    const char *preset = config_table_find(SECTION_JOB, key, ignored, sizeof(ignored))->preset;

    return text == NULL || (preset != NULL && strcmp(text, preset) == 0);
}

bool config_job_is_default(const struct config *cfg, const struct config_setting *setting)
{
    const struct config_setting *defaults = cfg->private->job_defaults;

    return setting >= defaults && setting < defaults + config_row_count - config_job_row_first();
}

static bool says_anything(const struct config *cfg, const struct config_job *job, const char *key)
{
    const struct config_setting *setting = config_job_setting_of(cfg, job, key);

    if (config_job_is_default(cfg, setting)) {
        return false; /* not said, or by [jobs], which says it of others too */
    }
    return !is_preset(key, setting->text);
}

bool config_job_may_say(const struct config_job *job, const char *key, const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(vain); i++) {
        if (strcmp(vain[i].key, key) == 0 && vain[i].is_in_vain(job) && !vain[i].warning) {
            return is_preset(key, text);
        }
    }
    return true;
}

/* Other programs have other comments. */
static bool is_posix_shell(char *const *shell)
{
    static const char *const names[] = {"sh", "bash", "dash", "ksh", "zsh", "ash", "busybox"};

    if (shell == NULL || shell[0] == NULL) {
        return false;
    }

    const char *slash = strrchr(shell[0], '/');
    const char *name = slash == NULL ? shell[0] : slash + 1;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What a shell reads ends where a comment in it begins, and its lines have been joined. */
static void check_comments(struct config *cfg, const struct config_job *job)
{
    static const char *const keys[] = {"command", "on_failure", "on_recovery", "on_success"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct config_setting *setting = config_job_setting_of(cfg, job, keys[i]);
        struct origin at = setting->origin;

        if (setting->text == NULL || at.swallowed_at == 0 || !is_posix_shell(job->shell)) {
            continue;
        }
        at.line = at.swallowed_at;
        config_problem_add(
            cfg->private->entries.problems, false, at,
            config_memory_format(&cfg->private->entries.memory, "job %s", job->name), keys[i],
            "has a comment that begins with # here; lines are joined, so it would take in all "
            "that follows: put the # at the very start of its line");
    }
}

void config_job_check(struct config *cfg, struct config_job *job)
{
    check_comments(cfg, job);
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
