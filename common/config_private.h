/*
 * config_private.h - what the files config_*.c know of a configuration, and nobody else.
 *
 * Runs in: every process and every command.
 */
#ifndef PGBATON_COMMON_CONFIG_PRIVATE_H
#define PGBATON_COMMON_CONFIG_PRIVATE_H

#include "common/config.h"
#include "common/config_entries.h"
#include "common/config_table.h"
#include "common/zone_load.h"

/* A zone that jobs use, and what it was made from: that travels to the children, so that they judge
 * by the same. */
struct config_zone {
    struct config_zone *next;
    const char *name;
    struct zone_bytes from;
    uint64_t hash;    /* of those; 0: none */
    struct zone zone; /* count 0: not made yet */
};

/* What is in effect for one row, and who said so. */
struct config_setting {
    const char *text; /* as pgbaton would write it; NULL: not set */
    struct origin origin;
    bool given; /* by somebody: not a default */
};

/* What a job has otherwise than the defaults of jobs. */
struct config_own_setting {
    size_t row; /* from config_job_row_first() on */
    struct config_setting setting;
};
struct config_own_settings {
    struct config_own_setting *list;
    size_t count;
};

struct config_private {
    const char *file; /* the one that was asked for; NULL where it came sealed */
    struct config_entries entries;
    struct config_setting *settings; /* one a row of the sections before [job NAME] */
    struct config_zone *zones;
    /* One a row from config_job_row_first() on: what [jobs] says, or nobody. Then, a job, what is
     * another for it: few of some forty. */
    struct config_setting *job_defaults;
    struct config_own_settings *job_settings;
};

/* config_new - nothing in it yet; NULL: no memory. problems is used until config_build ends. */
struct config *config_new(struct config_problems *problems);

/* config_file_of - which file is meant: -c, $PGBATON_CONFIG, the default. */
const char *config_file_of(const struct config_sources *sources);

/* config_include_override - what the environment or -o say instead of include, or NULL: it decides
 * what is read at all, so it is looked for before anything is. */
const char *config_include_override(const struct config_sources *sources,
                                    struct origin *ret_origin);

/* config_take_options - each -o, in their order. */
void config_take_options(struct config_entries *entries, const struct config_sources *sources);

/*
 * config_build - the struct from the entries in cfg->private, with all checks.
 * Returns 0; -EINVAL with problems; -ENOMEM. cfg stays the caller's, whatever comes.
 */
int config_build(struct config *cfg);

/* config_build_jobs - the part of it that makes the jobs. */
int config_build_jobs(struct config *cfg);

/* config_check_parents - that each `after JOB` names a job, and that none waits for itself. */
int config_check_parents(struct config *cfg);

/* config_zone - the zone of that name, loaded at its first use; NULL, with the reason in reterr, or
 * no memory. */
const struct zone *config_zone(struct config *cfg, const char *name, char *reterr, size_t size);

/* config_zone_put - one whose bytes are there already, and live as long as the configuration. */
struct config_zone *config_zone_put(struct config *cfg, const char *name, struct zone_bytes from);

/* config_zone_hash - of what tzdata says of a zone that jobs use; 0 for UTC. */
uint64_t config_zone_hash(const struct config *cfg, const char *name);

/* config_job_check - what one of its keys says against another, or against [database]; its fields
 * that are for another kind of job are put back. */
void config_job_check(struct config *cfg, struct config_job *job);

/*
 * config_apply - find what is said for a row in a section ("election", "job x"),
 * or in fallback (NULL: none), or its default; check it and write its field.
 * Returns false where it is wrong: said in section it is a problem now, said in
 * fallback it has been one already.
 */
bool config_apply(struct config *cfg, const struct config_row *row, const char *section,
                  const char *fallback, void *base, struct config_setting *ret_setting);

/* config_setting_of - of a section before [job NAME]; the key must exist. */
const struct config_setting *config_setting_of(const struct config *cfg,
                                               enum config_section section, const char *key);

/* config_job_setting_of - the same of a job of this configuration. */
const struct config_setting *config_job_setting_of(const struct config *cfg,
                                                   const struct config_job *job, const char *key);

/* config_job_is_default - is this setting one of all jobs, said by [jobs] or nobody? */
bool config_job_is_default(const struct config *cfg, const struct config_setting *setting);

/* config_job_may_say - would this value of the key be right in the job's own section? What [jobs]
 * says for others may not be. */
bool config_job_may_say(const struct config_job *job, const char *key, const char *text);

/* config_job_named - as config_job_find(), of a configuration that was built: for those who look
 * for each of many. */
const struct config_job *config_job_named(const struct config *cfg, const char *name);

/* config_job_setting_at - of the row config_job_row_first() + row, for the job of that index. */
const struct config_setting *config_job_setting_at(const struct config *cfg, size_t job,
                                                   size_t row);

/* config_hash_text - adds a text, or its absence, to a hash: config_hash_more() of its
 * config_text_hash(), for those who add the same text again and again. */
uint64_t config_hash_text(uint64_t hash, const char *text);
uint64_t config_text_hash(const char *text);
uint64_t config_hash_more(uint64_t hash, uint64_t text_hash);

/* config_print_masked - a dsn, URI or conninfo, with *** for each password in it. */
void config_print_masked(const char *text, FILE *to);

#endif
