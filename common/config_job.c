#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/config_private.h"
#include "common/config_words.h"
#include "common/scoreboard.h"

enum { REASON_BYTES = 512 };

static const struct config_job blank_job = {.umask = -1, .nice = INT_MIN};

static size_t row_index(const char *key)
{
    const size_t first = config_job_row_first();

    for (size_t i = first; i < config_row_count; i++) {
        if (config_row_has(&config_rows[i], key)) {
            return i - first;
        }
    }
    assert(false);
    return 0;
}

const struct config_setting *config_job_setting_of(const struct config *cfg,
                                                   const struct config_job *job, const char *key)
{
    assert(job >= cfg->jobs && job < cfg->jobs + cfg->job_count);
    return config_job_setting_at(cfg, (size_t)(job - cfg->jobs), row_index(key));
}

const struct config_setting *config_job_setting_at(const struct config *cfg, size_t job, size_t row)
{
    const struct config_own_settings *own = &cfg->private->job_settings[job];

    for (size_t i = 0; i < own->count; i++) {
        if (own->list[i].row == row) {
            return &own->list[i].setting;
        }
    }
    return &cfg->private->job_defaults[row];
}

const struct config_job *config_job_named(const struct config *cfg, const char *name)
{
    char section[JOB_NAME_MAX + 8];
    const struct config_entry *header;

    if (strlen(name) >= JOB_NAME_MAX) {
        return NULL;
    }
    (void)snprintf(section, sizeof(section), "job %s", name);
    header = config_entries_find(&cfg->private->entries, section, "");
    return header == NULL || header->job == 0 ? NULL : &cfg->jobs[header->job - 1];
}

/* What one job is made from. */
struct building {
    struct config *cfg;
    const struct config_entry *header;
    struct config_job *job;
    struct config_setting *settings;   /* of all rows, for the time of the building */
    bool *said;                        /* of all rows: in its own section */
    const struct config_job *defaults; /* a job of which nothing is said */
    const uint64_t *default_hashes;    /* of all rows: of what it says */
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

static bool said_of_job(const struct building *b, const char *key)
{
    return b->said[row_index(key)];
}

static bool said_of_all(const struct building *b, const char *key)
{
    return config_entries_find(&b->cfg->private->entries, "jobs", key) != NULL;
}

/* What a job does is said by one of these; NULL ends them. */
static const char *const actions[] = {"command", "exec", "sql", NULL};

/* What [jobs] says is a default: a job's own command stands against an exec in [jobs]. */
static void drop_default_action(struct building *b)
{
    bool has_own = false;

    for (const char *const *key = actions; *key != NULL; key++) {
        has_own = has_own || said_of_job(b, *key);
    }
    for (const char *const *key = actions; has_own && *key != NULL; key++) {
        if (!said_of_job(b, *key)) {
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
        said = said || said_of_job(b, *key);
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
        if (zone == NULL && said_of_job(b, "zone")) {
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
        const char *text = b->settings[i].text;
        bool is_default = text == b->cfg->private->job_defaults[i].text;

        hash = config_hash_more(hash, is_default ? b->default_hashes[i] : config_text_hash(text));
    }
    /* What clocks show is part of what they mean: a new tzdata makes another job of these. */
    if (b->job->schedule.kind == SCHEDULE_CRON || b->job->schedule.kind == SCHEDULE_AT) {
        hash ^= config_zone_hash(b->cfg, b->job->zone);
    }
    return hash;
}

static bool same_setting(const struct config_setting *a, const struct config_setting *b)
{
    return a->text == b->text && a->given == b->given && a->origin.file == b->origin.file &&
           a->origin.line == b->origin.line;
}

/* Of ten thousand jobs most say three things of some forty: only those are kept. */
static int keep_own_settings(const struct building *b, struct config_own_settings *ret_own)
{
    const struct config_setting *defaults = b->cfg->private->job_defaults;
    size_t rows = config_row_count - config_job_row_first();
    size_t count = 0;

    for (size_t i = 0; i < rows; i++) {
        count += same_setting(&b->settings[i], &defaults[i]) ? 0 : 1;
    }
    *ret_own = (struct config_own_settings){
        .list =
            config_memory_take(&b->cfg->private->entries.memory, count * sizeof(*ret_own->list)),
    };
    if (ret_own->list == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < rows; i++) {
        if (!same_setting(&b->settings[i], &defaults[i])) {
            ret_own->list[ret_own->count++] =
                (struct config_own_setting){.row = i, .setting = b->settings[i]};
        }
    }
    return 0;
}

/* Which rows its own section has: looking for each of them would be most of the work. */
static void note_said(struct building *b)
{
    const struct config_entry *list = b->cfg->private->entries.list;

    memset(b->said, 0, (config_row_count - config_job_row_first()) * sizeof(*b->said));
    for (uint32_t at = b->header->next; at != 0; at = list[at - 1].next) {
        b->said[row_index(list[at - 1].key)] = true;
    }
}

static int build_job(struct building *b, struct config_own_settings *ret_own)
{
    size_t first = config_job_row_first();
    size_t count = config_row_count - first;

    memcpy(b->settings, b->cfg->private->job_defaults, count * sizeof(*b->settings));
    *b->job = *b->defaults;
    b->job->name = b->header->section + strlen("job ");
    b->job->origin = b->header->origin;
    note_said(b);
    for (size_t i = 0; i < count; i++) {
        const struct config_row *row = &config_rows[first + i];

        if (b->said[i]) {
            (void)config_apply(b->cfg, row, b->header->section, NULL, b->job, &b->settings[i]);
        }
    }
    if (b->job->schedule_text == NULL && !said_of_job(b, "schedule") &&
        !said_of_all(b, "schedule")) {
        complain(b, "schedule", "is missing; write one such as schedule = every 30s");
    }
    set_schedule(b);
    set_action(b);
    b->job->hash = hash_of(b);
    return keep_own_settings(b, ret_own);
}

/* Defaults are checked where they are, whether a job uses them or not. ret_defaults is what a job
 * is of which nothing is said. */
static void check_defaults(struct config *cfg, struct config_job *ret_defaults)
{
    const struct config_entries *entries = &cfg->private->entries;
    size_t first = config_job_row_first();

    *ret_defaults = blank_job;
    for (size_t i = first; i < config_row_count; i++) {
        /* "enabled" in [jobs] is about leading, not a default: no section says it. */
        const char *section = strcmp(config_rows[i].key, "enabled") == 0 ? "" : "jobs";

        (void)config_apply(cfg, &config_rows[i], section, NULL, ret_defaults,
                           &cfg->private->job_defaults[i - first]);
    }

    const struct config_entry *zone = config_entries_find(entries, "jobs", "zone");
    char reason[REASON_BYTES];

    if (zone != NULL && ret_defaults->zone != NULL &&
        config_zone(cfg, ret_defaults->zone, reason, sizeof(reason)) == NULL) {
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

/* NULL: out of memory. */
static const uint64_t *hash_defaults(struct config *cfg)
{
    size_t rows = config_row_count - config_job_row_first();
    uint64_t *hashes = config_memory_take(&cfg->private->entries.memory, rows * sizeof(*hashes));

    for (size_t i = 0; hashes != NULL && i < rows; i++) {
        hashes[i] = config_text_hash(cfg->private->job_defaults[i].text);
    }
    return hashes;
}

static size_t count_headers(const struct config_entries *entries)
{
    size_t count = 0;

    for (size_t i = 0; i < entries->count; i++) {
        count += entries->list[i].key[0] == '\0' ? 1 : 0;
    }
    return count;
}

/* The keys of each job hang on its header. They follow it, most often at once. */
static void chain_keys(struct config_entries *entries)
{
    struct config_entry *header = NULL;

    for (size_t i = 0; i < entries->count; i++) {
        struct config_entry *entry = &entries->list[i];

        if (entry->key[0] == '\0') {
            header = entry;
        } else if (config_section_is_job(entry->section)) {
            if (header == NULL || strcmp(header->section, entry->section) != 0) {
                const struct config_entry *found = config_entries_find(entries, entry->section, "");

                assert(found != NULL);
                header = &entries->list[found - entries->list];
            }
            entry->next = header->next;
            header->next = (uint32_t)i + 1;
        }
    }
}

int config_build_jobs(struct config *cfg)
{
    struct config_private *private = cfg->private;
    struct config_entries *entries = &private->entries;
    size_t count = count_headers(entries);
    size_t rows = config_row_count - config_job_row_first();
    struct config_job defaults;
    struct config_setting *settings =
        config_memory_take(&entries->memory, rows * sizeof(*settings));

    private->job_defaults =
        config_memory_take(&entries->memory, rows * sizeof(*private->job_defaults));
    bool *said = config_memory_take(&entries->memory, rows * sizeof(*said));

    if (settings == NULL || said == NULL || private->job_defaults == NULL) {
        return -ENOMEM;
    }
    check_defaults(cfg, &defaults);
    const uint64_t *default_hashes = hash_defaults(cfg);

    if (default_hashes == NULL) {
        return -ENOMEM;
    }
    chain_keys(entries);
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
            .settings = settings,
            .said = said,
            .defaults = &defaults,
            .default_hashes = default_hashes,
        };

        if (b.header->key[0] != '\0') {
            continue;
        }
        if (build_job(&b, &private->job_settings[cfg->job_count]) < 0) {
            return -ENOMEM;
        }
        entries->list[i].job = (uint32_t)++cfg->job_count;
        config_job_check(cfg, b.job);
    }
    return config_check_parents(cfg);
}
