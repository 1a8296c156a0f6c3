#include "common/config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_ini.h"
#include "common/config_private.h"
#include "common/identity.h"
#include "common/random.h"

#define DEFAULT_FILE "/etc/pgbaton/pgbaton.ini"

struct config *config_new(struct config_problems *problems)
{
    struct config *cfg = calloc(1, sizeof(*cfg));

    if (cfg == NULL) {
        return NULL;
    }
    cfg->private = calloc(1, sizeof(*cfg->private));
    if (cfg->private == NULL) {
        free(cfg);
        return NULL;
    }
    cfg->private->entries.problems = problems;
    return cfg;
}

void config_free(struct config *cfg)
{
    if (cfg == NULL) {
        return;
    }
    config_entries_release(&cfg->private->entries);
    free(cfg->private);
    free(cfg);
}

static const char *variable(char *const *environment, const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, length) == 0 && environment[i][length] == '=') {
            return environment[i] + length + 1;
        }
    }
    return NULL;
}

const char *config_file_of(const struct config_sources *sources)
{
    const char *named = variable(sources->environment, "PGBATON_CONFIG");

    if (sources->file != NULL) {
        return sources->file;
    }
    return named != NULL && named[0] != '\0' ? named : DEFAULT_FILE;
}

const char *config_include_override(const struct config_sources *sources, struct origin *ret_origin)
{
    const char *found = variable(sources->environment, "PGBATON_PGBATON_INCLUDE");

    *ret_origin = (struct origin){.file = CONFIG_FROM_ENVIRONMENT};
    for (size_t i = 0; sources->overrides != NULL && sources->overrides[i] != NULL; i++) {
        int value_at = 0;

        (void)sscanf(sources->overrides[i], " pgbaton . include =%n", &value_at);
        if (value_at > 0) {
            found = sources->overrides[i] + value_at;
            ret_origin->file = CONFIG_FROM_OPTION;
        }
    }
    return found;
}

/* HOSTNAME:PID of the process that reads: an entry of its own, so that the children say the same.
 */
static void add_instance(struct config_entries *entries)
{
    char host[INSTANCE_MAX - 16] = "";

    if (config_entries_find(entries, "pgbaton", "instance") != NULL) {
        return;
    }
    if (gethostname(host, sizeof(host) - 1) == -1 || host[0] == '\0') {
        (void)strcpy(host, "localhost");
    }

    struct config_entry entry = {
        .section = "pgbaton",
        .key = "instance",
        .value = config_memory_format(&entries->memory, "%s:%d", host, (int)getpid()),
        .origin = {.file = CONFIG_FROM_DEFAULT},
    };

    config_entries_put(entries, &entry);
}

void config_take_options(struct config_entries *entries, const struct config_sources *sources)
{
    for (size_t i = 0; sources->overrides != NULL && sources->overrides[i] != NULL; i++) {
        config_entries_option(entries, sources->overrides[i]);
    }
}

/* Returns whether there is a file to speak about. */
static bool read_sources(struct config *cfg, const struct config_sources *sources)
{
    struct config_entries *entries = &cfg->private->entries;
    struct origin include_origin;
    const char *include = config_include_override(sources, &include_origin);

    cfg->private->file = config_memory_text(&entries->memory, config_file_of(sources));
    entries->never_wait = sources->never_wait;
    if (!config_ini_read(entries, cfg->private->file, include, include_origin)) {
        return false;
    }
    config_entries_environment(entries, sources->environment);
    config_take_options(entries, sources);
    add_instance(entries);
    return true;
}

int config_read(const struct config_sources *sources, struct config **ret_config,
                struct config_problems *ret_problems)
{
    *ret_problems = (struct config_problems){0};

    struct config *cfg = config_new(ret_problems);

    if (cfg == NULL) {
        return -ENOMEM;
    }

    int rc = read_sources(cfg, sources) ? config_build(cfg) : -EINVAL;

    cfg->private->entries.problems = NULL;
    config_problems_sort(ret_problems);
    if (rc < 0) {
        config_free(cfg);
        return rc;
    }
    *ret_config = cfg;
    return 0;
}

static void copy_without_jobs(const struct config_entries *from, struct config_entries *to)
{
    const char *file = NULL;

    for (size_t i = 0; i < from->count; i++) {
        struct config_entry entry = from->list[i];

        if (config_section_is_job(entry.section)) {
            continue;
        }
        if (file == NULL || strcmp(file, entry.origin.file) != 0) { /* most are of one file */
            file = config_memory_text(&to->memory, entry.origin.file);
        }
        entry.origin.file = file;
        config_entries_put(to, &entry);
    }
}

int config_without_jobs(const struct config *cfg, struct config **ret_config)
{
    struct config_problems problems = {0};
    struct config *copy = config_new(&problems);

    if (copy == NULL) {
        return -ENOMEM;
    }
    copy_without_jobs(&cfg->private->entries, &copy->private->entries);

    int rc = config_build(copy);

    /* What was right in the whole is right in a part of it. */
    assert(rc == 0 || config_memory_failed(&copy->private->entries.memory));
    config_problems_release(&problems);
    copy->private->entries.problems = NULL;
    if (rc < 0) {
        config_free(copy);
        return -ENOMEM;
    }
    copy->hash = cfg->hash;
    *ret_config = copy;
    return 0;
}

const struct config_job *config_job_find(const struct config *cfg, const char *name)
{
    for (size_t i = 0; i < cfg->job_count; i++) {
        if (strcmp(cfg->jobs[i].name, name) == 0) {
            return &cfg->jobs[i];
        }
    }
    return NULL;
}

bool config_has_user_jobs(const struct config *cfg)
{
    for (size_t i = 0; i < cfg->job_count; i++) {
        if (cfg->jobs[i].enabled && cfg->jobs[i].user != NULL) {
            return true;
        }
    }
    return false;
}

uint64_t config_jobs_hash(const struct config *cfg)
{
    uint64_t hash = cfg->job_count;

    for (size_t i = 0; i < cfg->job_count; i++) {
        hash += random_hash(cfg->jobs[i].name);
    }
    return hash;
}
