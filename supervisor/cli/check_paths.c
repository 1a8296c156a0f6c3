#include "supervisor/cli/check_paths.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config_private.h"

/* Where a warning goes. */
struct about {
    struct config_problems *problems;
    const struct config_setting *setting;
    const char *section;
    const char *key;
};

/* What [jobs] says is said once, not again for each job. */
static void warn(const struct about *about, const char *path, int error)
{
    struct config_problems *problems = about->problems;
    size_t count = problems->count;

    config_problem_add(problems, true, about->setting->origin, about->section, about->key,
                       "'%.200s': %s", path, strerror(error));
    for (size_t i = 0; i < count && problems->count > count; i++) {
        if (strcmp(problems->list[i].text, problems->list[count].text) == 0) {
            problems->count = count;
        }
    }
}

/* NULL: there is no such path. */
static void need_access(const struct about *about, const char *path, int mode)
{
    if (path != NULL && access(path, mode) == -1) {
        warn(about, path, errno);
    }
}

/* The file itself is made where it is missing; its directory is not. */
static void need_directory_of(const struct about *about, const char *path)
{
    char directory[PATH_MAX];
    const char *slash = path == NULL ? NULL : strrchr(path, '/');

    if (slash == NULL || (size_t)(slash - path) >= sizeof(directory)) {
        return; /* none, or a path without a working directory */
    }
    (void)snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - path), path);
    need_access(about, directory, F_OK); /* with the slash it has to be a directory */
}

/* A name without a slash is looked for in the PATH of the job, which is not known here. */
static void need_program(const struct about *about, const char *path)
{
    struct stat st;

    if (path == NULL || path[0] != '/') {
        return;
    }
    if (access(path, X_OK) == -1 || stat(path, &st) == -1) {
        warn(about, path, errno);
    } else if (!S_ISREG(st.st_mode)) {
        warn(about, path, S_ISDIR(st.st_mode) ? EISDIR : EACCES);
    }
}

void check_paths_warn(const struct config *cfg, struct config_problems *problems)
{
    const struct about log = {problems, config_setting_of(cfg, SECTION_PGBATON, "log_file"),
                              "pgbaton", "log_file"};
    const struct about dsn = {problems, config_setting_of(cfg, SECTION_DATABASE, "dsn"), "database",
                              "dsn"};
    const struct about password = {problems,
                                   config_setting_of(cfg, SECTION_DATABASE, "password_file"),
                                   "database", "password_file"};

    need_directory_of(&log, cfg->pgbaton.log_file);
    need_access(&password, cfg->database.password_file, R_OK);
    if (cfg->database.kind == DATABASE_SQLITE) {
        need_directory_of(&dsn, cfg->database.dsn);
    }
}

static bool needs_shell(const struct config_job *job)
{
    return job->action == ACTION_COMMAND || job->on_failure != NULL || job->on_recovery != NULL ||
           job->on_success != NULL;
}

/* NULL: what is said is for other jobs. */
static const char *if_used(const struct config *cfg, const struct config_job *job, const char *key,
                           const char *path)
{
    return config_job_may_say(job, key, config_job_setting_of(cfg, job, key)->text) ? path : NULL;
}

static void need_readable(const struct about *about, const char *path)
{
    need_access(about, path, R_OK);
}

static void need_directory(const struct about *about, const char *path)
{
    need_access(about, path, X_OK);
}

void check_paths_warn_of_job(const struct config *cfg, const struct config_job *job,
                             struct config_problems *problems)
{
    char section[JOB_NAME_MAX + 8];
    const struct {
        const char *key;
        const char *path;
        void (*need)(const struct about *about, const char *path);
    } paths[] = {
        {"directory", if_used(cfg, job, "directory", job->directory), need_directory},
        {"environment_file", if_used(cfg, job, "environment_file", job->environment_file),
         need_readable},
        {"output", job->output == OUTPUT_FILE ? job->output_file : NULL, need_directory_of},
        {"exec", job->action == ACTION_EXEC ? job->words[0] : NULL, need_program},
        {"shell", needs_shell(job) ? job->shell[0] : NULL, need_program},
    };

    (void)snprintf(section, sizeof(section), "job %s", job->name);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const struct config_setting *setting = config_job_setting_of(cfg, job, paths[i].key);
        const struct about about = {
            .problems = problems,
            .setting = setting,
            .section = config_job_is_default(cfg, setting) ? "jobs" : section,
            .key = paths[i].key,
        };

        paths[i].need(&about, paths[i].path);
    }
}
