/*
 * config_entries.h - what was said, before it is believed: section, key, value,
 * and where; and the problems found on the way.
 *
 * Every entry names a section and a key that exist; its value is still text. A
 * job's section header is an entry too, with the key "" and no value. A key is
 * said once: again in a file is a problem, from the environment or -o it
 * takes the place of what was there.
 *
 * Runs in: every process and every command.
 */
#ifndef PGBATON_COMMON_CONFIG_ENTRIES_H
#define PGBATON_COMMON_CONFIG_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/config_memory.h"
#include "common/config_table.h"

#define CONFIG_FROM_ENVIRONMENT "environment"
#define CONFIG_FROM_OPTION "-o"
#define CONFIG_FROM_DEFAULT "default"

struct config_entry {
    const char *section; /* "election", "job nightly" */
    const char *key;     /* "" for the header of a job */
    const char *value;
    struct origin origin;
    /* While jobs are built: */
    uint32_t job;  /* of the header of one that was: its index, plus 1 */
    uint32_t next; /* of a header, or a key of its section: the index of another key, plus 1 */
};

struct config_entries {
    struct config_memory memory;
    struct config_problems *problems; /* not owned */
    bool never_wait;                  /* as the sources say */
    bool run_dir_hidden;              /* it may be in what could not be read */
    struct config_entry *list;        /* in the order in which they were said */
    size_t count;
    size_t capacity;
    uint32_t *slots; /* hash table of indices into list, plus 1; 0: free */
    size_t slot_count;
};

void config_entries_release(struct config_entries *entries);

/* config_section_is_job - "job NAME"? */
bool config_section_is_job(const char *section);

/* config_entries_find - NULL: was not said. */
const struct config_entry *config_entries_find(const struct config_entries *entries,
                                               const char *section, const char *key);

/* config_entries_add - a key out of a file. The texts are copied; origin.file is not, it lives as
 * long as the entries. An unknown or repeated key becomes a problem. */
void config_entries_add(struct config_entries *entries, const char *section, const char *key,
                        const char *value, struct origin origin);

/* config_entries_override - the same from the environment or -o: replaces what is there. */
void config_entries_override(struct config_entries *entries, const char *section, const char *key,
                             const char *value, struct origin origin);

/* config_entries_put - as it is, without a look at the table: defaults, and what was sealed. */
void config_entries_put(struct config_entries *entries, const struct config_entry *entry);

/* config_entries_environment, config_entries_option - the two sources beside the files. */
void config_entries_environment(struct config_entries *entries, char *const *environment);
void config_entries_option(struct config_entries *entries, const char *option);

/* config_problems_sort - by file and line; those of one line as they were found. */
void config_problems_sort(struct config_problems *problems);

/*
 * config_problem_add - FILE:LINE: [section] key: text. section and key may be NULL;
 * what cannot be printed in it is replaced.
 */
void config_problem_add(struct config_problems *problems, bool warning, struct origin origin,
                        const char *section, const char *key, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

#endif
