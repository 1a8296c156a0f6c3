#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "common/config_private.h"
#include "common/config_value.h"
#include "common/duration.h"
#include "common/random.h"

#define DEFAULT_KEY INT64_C(0x12345678ABCDEF00)

enum { REASON_BYTES = 512 };

static const struct origin by_default = {.file = CONFIG_FROM_DEFAULT};

uint64_t config_text_hash(const char *text)
{
    return text == NULL ? 1 : random_hash(text);
}

uint64_t config_hash_more(uint64_t hash, uint64_t text_hash)
{
    /* The prime of FNV: the order of the texts counts. */
    return (hash ^ text_hash) * UINT64_C(0x100000001b3);
}

uint64_t config_hash_text(uint64_t hash, const char *text)
{
    return config_hash_more(hash, config_text_hash(text));
}

const struct config_setting *config_setting_of(const struct config *cfg,
                                               enum config_section section, const char *key)
{
    const struct config_setting *setting = NULL;

    for (size_t i = 0; i < config_job_row_first(); i++) {
        if (config_rows[i].section == section && strcmp(config_rows[i].key, key) == 0) {
            setting = &cfg->private->settings[i];
        }
    }
    assert(setting != NULL);
    return setting;
}

/* These depend on where they were read, and children may be elsewhere: they travel as they are
 * meant. */
static bool depends_on_directory(const struct config_row *row)
{
    return row->kind == KIND_PATH || row->kind == KIND_SOCKET_DIR || row->kind == KIND_DSN ||
           row->kind == KIND_OUTPUT;
}

bool config_apply(struct config *cfg, const struct config_row *row, const char *section,
                  const char *fallback, void *base, struct config_setting *ret_setting)
{
    struct config_entries *entries = &cfg->private->entries;
    const struct config_entry *said = config_entries_find(entries, section, row->key);
    bool own = said != NULL;
    char reason[REASON_BYTES];
    const char *canonical = NULL;

    if (said == NULL && fallback != NULL) {
        said = config_entries_find(entries, fallback, row->key);
    }
    *ret_setting = (struct config_setting){
        .origin = said == NULL ? by_default : said->origin,
        .given = said != NULL && strcmp(said->origin.file, CONFIG_FROM_DEFAULT) != 0,
    };
    if (said == NULL && (row->preset == NULL || row->kind == KIND_LATER)) {
        return true;
    }
    if (config_value_parse(&entries->memory, row, said == NULL ? row->preset : said->value,
                           ret_setting->origin, base, &canonical, reason, sizeof(reason)) < 0) {
        assert(said != NULL); /* our own defaults are right */
        if (own) {
            config_problem_add(entries->problems, false, said->origin, section, row->key, "%s",
                               reason);
        }
        return false;
    }
    if (said != NULL && depends_on_directory(row)) {
        entries->list[said - entries->list].value = canonical;
    }
    ret_setting->text = canonical;
    return true;
}

static struct config_setting *setting_for(struct config *cfg, const char *key)
{
    return &cfg->private
                ->settings[config_setting_of(cfg, SECTION_ELECTION, key) - cfg->private->settings];
}

static void work_out_election(struct config *cfg)
{
    struct config_election *e = &cfg->election;
    struct config_memory *memory = &cfg->private->entries.memory;
    struct config_setting *heartbeat = setting_for(cfg, "heartbeat");
    struct config_setting *key = setting_for(cfg, "key");

    if (heartbeat->text == NULL) {
        dur_ns share = e->lease / 10 / DUR_MS(1) * DUR_MS(1);

        e->heartbeat = share < BUDGET_HEARTBEAT_MAX ? share : BUDGET_HEARTBEAT_MAX;
        heartbeat->text = config_memory_text(memory, duration_text(e->heartbeat).is);
    }
    if (key->text == NULL) {
        const char *named = config_memory_format(memory, "pgbaton/%s", e->name);

        e->key = setting_for(cfg, "name")->given ? (int64_t)random_hash(named) : DEFAULT_KEY;
        key->text = config_memory_format(memory, "0x%016" PRIX64, (uint64_t)e->key);
    }
}

/* The line to look at: of the keys that the rule speaks of the first one that was given. */
static const struct config_setting *budget_setting(const struct config *cfg,
                                                   const char *const *keys, const char **ret_key)
{
    for (const char *const *key = keys; *key != NULL; key++) {
        const struct config_setting *setting = config_setting_of(cfg, SECTION_ELECTION, *key);

        if (setting->given) {
            *ret_key = *key;
            return setting;
        }
    }
    *ret_key = keys[0];
    return config_setting_of(cfg, SECTION_ELECTION, keys[0]);
}

static void check_budget(struct config *cfg)
{
    const struct config_election *e = &cfg->election;
    const struct budget budget = {
        .lease = e->lease,
        .heartbeat = e->heartbeat,
        .stop_grace = e->stop_grace,
        .loss_grace = e->loss_grace,
        .takeover_delay = e->takeover_delay,
    };
    char text[REASON_BYTES];
    const char *key = NULL;

    if (!e->enabled || cfg->database.kind == DATABASE_NONE) {
        return;
    }

    enum budget_verdict verdict = budget_check(&budget, text, sizeof(text));

    if (verdict == BUDGET_HOLDS) {
        return;
    }

    const char *const *keys = budget_keys(verdict);
    const struct config_setting *at = budget_setting(cfg, keys, &key);
    bool other = key != keys[0];

    config_problem_add(cfg->private->entries.problems, false, at->origin, "election", key,
                       "%s%s%s%s", other ? "with this, " : "", other ? keys[0] : "",
                       other ? " " : "", text);
}

static void check_dsn(struct config *cfg)
{
    const struct config_entries *entries = &cfg->private->entries;
    struct origin origin = {.file = cfg->private->file};

    if (origin.file == NULL) {
        origin = by_default;
    }
    if (config_entries_find(entries, "database", "dsn") == NULL) {
        config_problem_add(entries->problems, false, origin, "database", "dsn",
                           "is not set; give one of: " CONFIG_DSN_FORMS);
    }
}

/* Whatever must be the same in the whole fleet; sections and keys are in the order of the table. */
static uint64_t hash_of(const struct config *cfg)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < config_job_row_first(); i++) {
        if (config_rows[i].scope == SCOPE_FLEET) {
            hash = config_hash_text(hash, cfg->private->settings[i].text);
        }
    }
    for (size_t i = 0; i < cfg->job_count; i++) {
        hash = config_hash_text(hash ^ cfg->jobs[i].hash, cfg->jobs[i].name);
    }
    return hash;
}

int config_build(struct config *cfg)
{
    struct config_private *private = cfg->private;
    struct config_entries *entries = &private->entries;
    size_t count = config_job_row_first();
    bool election_right = true;

    private->settings = config_memory_take(&entries->memory, count * sizeof(*private->settings));
    if (private->settings == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct config_row *row = &config_rows[i];
        bool right = config_apply(cfg, row, config_section_name(row->section), NULL, cfg,
                                  &private->settings[i]);

        election_right = election_right && (right || row->section != SECTION_ELECTION);
    }
    check_dsn(cfg);
    if (election_right) {
        work_out_election(cfg);
        check_budget(cfg);
    }

    int rc = config_build_jobs(cfg);

    if (rc < 0 || config_memory_failed(&entries->memory)) {
        return -ENOMEM;
    }
    cfg->hash = hash_of(cfg);
    return entries->problems->errors > 0 ? -EINVAL : 0;
}

bool config_is_anonymous(const struct config *cfg)
{
    return cfg->election.enabled && cfg->database.kind == DATABASE_POSTGRES &&
           !config_setting_of(cfg, SECTION_ELECTION, "name")->given &&
           !config_setting_of(cfg, SECTION_ELECTION, "key")->given;
}
