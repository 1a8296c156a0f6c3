#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/config_private.h"
#include "common/config_words.h"
#include "common/scoreboard.h"

enum { REASON_BYTES = 512 };

static const struct config_job blank_job = {.umask = -1, .nice = INT_MIN};

static size_t row_index(const char *key)
{
    for (size_t i = config_job_row_first(); i < config_row_count; i++) {
        if (strcmp(config_rows[i].key, key) == 0) {
            return i - config_job_row_first();
        }
    }
    assert(false);
    return 0;
}

const struct config_setting *config_job_setting_of(const struct config *cfg,
                                                   const struct config_job *job, const char *key)
{
    assert(job >= cfg->jobs && job < cfg->jobs + cfg->job_count);
    return &cfg->private->job_settings[job - cfg->jobs][row_index(key)];
}

/* What one job is made from. */
struct building {
    struct config *cfg;
    const struct config_entry *header;
    struct config_job *job;
    struct config_setting *settings;
};

static void complain(const struct building *b, const char *key, const char *what)
{
    config_problem_add(b->cfg->private->entries.problems, false, b->header->origin,
                       b->header->section, key, "%s", what);
}

/* The same of a key that somebody has set. */
static void complain_there(const struct building *b, const char *key, const char *what)
{
    config_problem_add(b->cfg->private->entries.problems, false, b->settings[row_index(key)].origin,
                       b->header->section, key, "%s", what);
}

static bool said_in(const struct building *b, const char *section, const char *key)
{
    return config_entries_find(&b->cfg->private->entries, section, key) != NULL;
}

/* What a job does is said by one of these; NULL ends them. */
static const char *const actions[] = {"command", "exec", "sql", NULL};

/* What [jobs] says is a default: a job's own command stands against an exec in [jobs]. */
static void drop_default_action(struct building *b)
{
    const char *own = b->header->section;
    bool has_own = false;

    for (const char *const *key = actions; *key != NULL; key++) {
        has_own = has_own || said_in(b, own, *key);
    }
    for (const char *const *key = actions; has_own && *key != NULL; key++) {
        if (!said_in(b, own, *key)) {
            b->settings[row_index(*key)].text = NULL;
        }
    }
}

/* The shell's words and the text behind them. */
static char **shell_words(struct config_memory *memory, char *const *shell, const char *command)
{
    size_t count = 0;

    while (shell != NULL && shell[count] != NULL) {
        count++;
    }

    char **all = config_memory_take(memory, (count + 2) * sizeof(*all));

    if (all != NULL && count > 0) {
        memcpy(all, shell, count * sizeof(*all));
        /* execve() takes words that it does not change. */
        all[count] = (char *)(uintptr_t)command;
    }
    return all;
}

/* The action that is there; NULL: there is none. More than one are complained about. */
static const char *only_action(struct building *b)
{
    const char *only = NULL;
    bool said = false;

    drop_default_action(b);
    for (const char *const *key = actions; *key != NULL; key++) {
        said = said || said_in(b, b->header->section, *key);
        if (b->settings[row_index(*key)].text == NULL) {
            continue;
        }
        if (only == NULL) {
            only = *key;
        } else {
            config_problem_add(b->cfg->private->entries.problems, false, b->header->origin,
                               b->header->section, *key, "is there beside %s; keep one of them",
                               only);
        }
    }
    if (only == NULL && !said) {
        complain(b, "command",
                 "is missing; a job needs command = TEXT, exec = WORDS or sql = STATEMENTS");
    }
    return only;
}

static void set_action(struct building *b)
{
    struct config_memory *memory = &b->cfg->private->entries.memory;
    const char *shell = b->settings[row_index("shell")].text;
    const char *key = only_action(b);
    size_t count = 0;
    char reason[64];

    if (shell != NULL) { /* else it has been complained about */
        (void)config_words_split(memory, shell, &b->job->shell, &count, reason, sizeof(reason));
    }
    if (key == NULL) {
        return;
    }
    b->job->command = b->settings[row_index(key)].text;
    if (strcmp(key, "command") == 0) {
        b->job->action = ACTION_COMMAND;
        b->job->words = shell_words(memory, b->job->shell, b->job->command);
    } else if (strcmp(key, "exec") == 0) {
        b->job->action = ACTION_EXEC;
        (void)config_words_split(memory, b->job->command, &b->job->words, &count, reason,
                                 sizeof(reason));
    } else {
        b->job->action = ACTION_SQL;
    }
}

/* What is set in [jobs] has been complained about there. */
static const struct zone *zone_of(const struct building *b)
{
    const char *name = b->job->zone;
    char reason[REASON_BYTES] = "";
    const struct zone *zone = NULL;

    if (name != NULL) {
        zone = config_zone(b->cfg, name, reason, sizeof(reason));
        if (zone == NULL && said_in(b, b->header->section, "zone")) {
            complain_there(b, "zone", reason);
        }
    }
    return zone;
}

static void set_schedule(struct building *b)
{
    struct config_job *job = b->job;
    struct schedule *schedule = &job->schedule;
    struct schedule_options options = {
        .job = job->name,
        .zone = zone_of(b),
        .jitter = job->jitter,
        .day_and = job->day_match == DAY_MATCH_AND,
    };
    char reason[REASON_BYTES];

    if (job->schedule_text == NULL || options.zone == NULL) {
        return;
    }
    if (schedule_parse(job->schedule_text, &options, schedule, reason, sizeof(reason)) < 0) {
        complain_there(b, "schedule", reason);
        return;
    }
    if (schedule->kind == SCHEDULE_AFTER) {
        schedule->parent = config_memory_bytes(&b->cfg->private->entries.memory, schedule->parent,
                                               schedule_parent_length(schedule->parent));
    }
}

static uint64_t hash_of(const struct building *b)
{
    uint64_t hash = config_hash_text(0, b->job->name);

    for (size_t i = 0; i < config_row_count - config_job_row_first(); i++) {
        hash = config_hash_text(hash, b->settings[i].text);
    }
    /* What clocks show is part of what they mean: a new tzdata makes another job of these. */
    if (b->job->schedule.kind == SCHEDULE_CRON || b->job->schedule.kind == SCHEDULE_AT) {
        hash ^= config_zone_hash(b->cfg, b->job->zone);
    }
    return hash;
}

static int build_job(struct building *b)
{
    size_t first = config_job_row_first();
    size_t count = config_row_count - first;

    b->settings =
        config_memory_take(&b->cfg->private->entries.memory, count * sizeof(*b->settings));
    if (b->settings == NULL) {
        return -ENOMEM;
    }
    *b->job = blank_job;
    b->job->name = b->header->section + strlen("job ");
    b->job->origin = b->header->origin;
    for (size_t i = 0; i < count; i++) {
        const struct config_row *row = &config_rows[first + i];
        /* "enabled" in [jobs] is about leading, not a default. */
        const char *fallback = strcmp(row->key, "enabled") == 0 ? NULL : "jobs";

        (void)config_apply(b->cfg, row, b->header->section, fallback, b->job, &b->settings[i]);
    }
    if (b->job->schedule_text == NULL && !said_in(b, b->header->section, "schedule") &&
        !said_in(b, "jobs", "schedule")) {
        complain(b, "schedule", "is missing; write one such as schedule = every 30s");
    }
    set_schedule(b);
    set_action(b);
    b->job->hash = hash_of(b);
    return 0;
}

/* Defaults are checked where they are, whether a job uses them or not. */
static void check_defaults(struct config *cfg)
{
    struct config_job scratch = blank_job;
    struct config_setting ignored;
    const struct config_entries *entries = &cfg->private->entries;

    for (size_t i = config_job_row_first(); i < config_row_count; i++) {
        if (strcmp(config_rows[i].key, "enabled") != 0) {
            (void)config_apply(cfg, &config_rows[i], "jobs", NULL, &scratch, &ignored);
        }
    }

    const struct config_entry *zone = config_entries_find(entries, "jobs", "zone");
    char reason[REASON_BYTES];

    if (zone != NULL && scratch.zone != NULL &&
        config_zone(cfg, scratch.zone, reason, sizeof(reason)) == NULL) {
        config_problem_add(entries->problems, false, zone->origin, "jobs", "zone", "%s", reason);
    }

    const char *only = NULL;

    for (const char *const *key = actions; *key != NULL; key++) {
        const struct config_entry *said = config_entries_find(entries, "jobs", *key);

        if (said != NULL && only != NULL) {
            config_problem_add(entries->problems, false, said->origin, "jobs", *key,
                               "is there beside %s; keep one of them", only);
        }
        only = only == NULL && said != NULL ? *key : only;
    }
}

static size_t count_headers(const struct config_entries *entries)
{
    size_t count = 0;

    for (size_t i = 0; i < entries->count; i++) {
        count += entries->list[i].key[0] == '\0' ? 1 : 0;
    }
    return count;
}

int config_build_jobs(struct config *cfg)
{
    struct config_private *private = cfg->private;
    struct config_entries *entries = &private->entries;
    size_t count = count_headers(entries);

    check_defaults(cfg);
    if (count > BOARD_JOBS_MAX) {
        config_problem_add(entries->problems, false, (struct origin){.file = "configuration"},
                           "jobs", NULL, "there are %zu jobs; at most %d are right", count,
                           (int)BOARD_JOBS_MAX);
        return 0;
    }
    cfg->jobs = config_memory_take(&entries->memory, count * sizeof(*cfg->jobs));
    private->job_settings =
        config_memory_take(&entries->memory, count * sizeof(*private->job_settings));
    if (cfg->jobs == NULL || private->job_settings == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < entries->count; i++) {
        struct building b = {
            .cfg = cfg,
            .header = &entries->list[i],
            .job = &cfg->jobs[cfg->job_count],
        };

        if (b.header->key[0] != '\0') {
            continue;
        }
        if (build_job(&b) < 0) {
            return -ENOMEM;
        }
        private->job_settings[cfg->job_count++] = b.settings;
        config_job_check(cfg, b.job);
    }
    return config_check_parents(cfg);
}
