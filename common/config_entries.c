#include "common/config_entries.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"

enum {
    ENTRIES_FIRST = 64,
    ENTRIES_MAX = 1024 * 1024,
    REASON_BYTES = 512,
};

void config_entries_release(struct config_entries *entries)
{
    if (entries == NULL) {
        return;
    }
    free(entries->list);
    free(entries->slots);
    config_memory_release(&entries->memory);
    *entries = (struct config_entries){0};
}

static uint64_t hash_of(const char *section, const char *key)
{
    uint64_t hash = random_hash(section) * 31 + random_hash(key);

    /* Names that differ in their last digits alone would lie side by side: the high bits have to
     * come down. */
    hash = (hash ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* The slot that holds this key, or the free one where it belongs. */
static uint32_t *slot_of(const struct config_entries *entries, const char *section, const char *key)
{
    size_t at = hash_of(section, key) % entries->slot_count;

    while (entries->slots[at] != 0) {
        const struct config_entry *e = &entries->list[entries->slots[at] - 1];

        if (strcmp(e->section, section) == 0 && strcmp(e->key, key) == 0) {
            break;
        }
        at = (at + 1) % entries->slot_count;
    }
    return &entries->slots[at];
}

const struct config_entry *config_entries_find(const struct config_entries *entries,
                                               const char *section, const char *key)
{
    if (entries->count == 0) {
        return NULL;
    }

    uint32_t index = *slot_of(entries, section, key);

    return index == 0 ? NULL : &entries->list[index - 1];
}

/* Makes room for one more; the table of slots stays at most half full. */
static bool grow(struct config_entries *entries)
{
    if (entries->count < entries->capacity) {
        return true;
    }

    const size_t full = entries->capacity;
    const size_t capacity = full == 0 ? ENTRIES_FIRST : full * 2;
    struct config_entry *list = reallocarray(entries->list, capacity, sizeof(*list));

    if (list == NULL) {
        return false;
    }
    entries->list = list;

    uint32_t *slots = calloc(capacity * 2, sizeof(*slots));

    if (slots == NULL) {
        return false;
    }
    free(entries->slots);
    entries->slots = slots;
    entries->slot_count = capacity * 2;
    entries->capacity = capacity;
    for (size_t i = 0; i < full; i++) {
        *slot_of(entries, list[i].section, list[i].key) = (uint32_t)i + 1;
    }
    return true;
}

bool config_section_is_job(const char *section)
{
    return strncmp(section, "job ", strlen("job ")) == 0;
}

/* Keys of one section follow each other: the name is kept once. */
static const char *keep_section(struct config_entries *entries, const char *section)
{
    const char *last = entries->count > 0 ? entries->list[entries->count - 1].section : "";

    return strcmp(last, section) == 0 ? last : config_memory_text(&entries->memory, section);
}

void config_entries_put(struct config_entries *entries, const struct config_entry *entry)
{
    if (entries->count >= ENTRIES_MAX || !grow(entries)) {
        entries->memory.failed = true;
        return;
    }

    assert(entries->list != NULL); /* there is room */

    uint32_t *slot = slot_of(entries, entry->section, entry->key);
    struct config_entry copy = {
        .section = keep_section(entries, entry->section),
        .key = config_memory_text(&entries->memory, entry->key),
        .value = config_memory_text(&entries->memory, entry->value),
        .origin = entry->origin,
    };

    if (*slot != 0) {
        entries->list[*slot - 1] = copy;
        return;
    }
    entries->list[entries->count++] = copy;
    *slot = (uint32_t)entries->count;
}

/* A job exists from its header on; -o can make one too. */
static void put_job_header(struct config_entries *entries, const char *section,
                           struct origin origin)
{
    if (config_entries_find(entries, section, "") == NULL) {
        config_entries_put(
            entries,
            &(struct config_entry){.section = section, .key = "", .value = "", .origin = origin});
    }
}

static bool known(struct config_entries *entries, const char *section, const char *key,
                  struct origin origin)
{
    enum config_section kind;
    const char *job;
    char reason[REASON_BYTES];

    if (config_section_parse(section, &kind, &job, reason, sizeof(reason)) < 0) {
        config_problem_add(entries->problems, false, origin, section, NULL, "%s", reason);
        return false;
    }
    if (key[0] != '\0' && config_table_find(kind, key, reason, sizeof(reason)) == NULL) {
        config_problem_add(entries->problems, false, origin, section, key, "%s", reason);
        return false;
    }
    return true;
}

void config_entries_add(struct config_entries *entries, const char *section, const char *key,
                        const char *value, struct origin origin)
{
    const struct config_entry *old = config_entries_find(entries, section, key);

    if (old != NULL) {
        config_problem_add(entries->problems, false, origin, section, key[0] == '\0' ? NULL : key,
                           "is already at %.200s:%u; keep one of the two", old->origin.file,
                           old->origin.line);
        return;
    }
    if (known(entries, section, key, origin)) {
        config_entries_put(entries,
                           &(struct config_entry){
                               .section = section, .key = key, .value = value, .origin = origin});
    }
}

void config_entries_override(struct config_entries *entries, const char *section, const char *key,
                             const char *value, struct origin origin)
{
    if (!known(entries, section, key, origin)) {
        return;
    }
    if (config_section_is_job(section)) {
        put_job_header(entries, section, origin);
    }
    config_entries_put(
        entries,
        &(struct config_entry){.section = section, .key = key, .value = value, .origin = origin});
}

static const char prefix[] = "PGBATON_";

/* Is this the variable PGBATON_SECTION_KEY? If so, its value; else NULL. */
static const char *value_for(const char *variable, const char *section, const char *key)
{
    const char *at = variable + sizeof(prefix) - 1;
    const char *parts[] = {section, "_", key, "="};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        for (const char *c = parts[i]; *c != '\0'; c++, at++) {
            if (*at != (char)toupper((unsigned char)*c)) {
                return NULL;
            }
        }
    }
    return at;
}

static void take_variable(struct config_entries *entries, const char *variable)
{
    const struct origin origin = {.file = CONFIG_FROM_ENVIRONMENT};

    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        /* A job's own keys have no variable, but their defaults in [jobs] do. */
        enum config_section kind = row->section == SECTION_JOB ? SECTION_JOBS : row->section;
        const char *section = config_section_name(kind);
        const char *value = value_for(variable, section, row->key);

        if (value != NULL && row->kind != KIND_INCLUDE) {
            config_entries_override(entries, section, row->key, value, origin);
            return; /* the rows of [jobs] come before a job's keys of the same name */
        }
    }
}

void config_entries_environment(struct config_entries *entries, char *const *environment)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        if (strncmp(environment[i], prefix, sizeof(prefix) - 1) == 0) {
            take_variable(entries, environment[i]);
        }
    }
}

/* The blanks around a part of an option do not count. */
static const char *trimmed(struct config_memory *memory, const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from)) {
        from++;
    }
    while (to > from && isspace((unsigned char)to[-1])) {
        to--;
    }
    return config_memory_bytes(memory, from, (size_t)(to - from));
}

void config_entries_option(struct config_entries *entries, const char *option)
{
    const struct origin origin = {.file = CONFIG_FROM_OPTION};
    const char *equals = strchr(option, '=');
    /* The last dot before it: the name of a job may have dots, a key has none. */
    const char *dot = equals == NULL ? NULL : memrchr(option, '.', (size_t)(equals - option));

    if (dot == NULL) {
        /* Not all of it: what was meant for the value may be a password. */
        config_problem_add(entries->problems, false, origin, NULL, NULL,
                           "'%.*s' is not SECTION.KEY=VALUE, such as election.lease=5s or "
                           "'job nightly.command=...'",
                           (int)strcspn(option, "=: "), option);
        return;
    }

    struct config_memory *memory = &entries->memory;
    const char *section = trimmed(memory, option, dot);
    const char *key = trimmed(memory, dot + 1, equals);
    const char *value = trimmed(memory, equals + 1, option + strlen(option));

    if (key[0] == '\0') {
        config_problem_add(entries->problems, false, origin, section, NULL,
                           "the option names no key: SECTION.KEY=VALUE");
    } else if (strcmp(section, "pgbaton") != 0 || strcmp(key, "include") != 0) {
        /* That one has been taken by the reader of the files. */
        config_entries_override(entries, section, key, value, origin);
    }
}
