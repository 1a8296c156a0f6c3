/*
 * config_table.h - every key of the configuration, one row each.
 *
 * The parser, the defaults, the range checks, the environment overrides, -o, the
 * reload rules, check --print and the key help all come from these rows, so
 * they cannot disagree.
 *
 * Runs in: every process and every command.
 */
#ifndef PGBATON_COMMON_CONFIG_TABLE_H
#define PGBATON_COMMON_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"

/* In the order of the rows. A [job NAME] key in [jobs] is the default of that key for every job. */
enum config_section {
    SECTION_PGBATON,
    SECTION_DATABASE,
    SECTION_ELECTION,
    SECTION_JOBS,
    SECTION_JOB,
    SECTION_COUNT,
};

enum config_kind {
    KIND_TEXT,        /* min and max are lengths in bytes; no blanks where word is set */
    KIND_NAME,        /* letters, digits and _.:@+-; max is a length */
    KIND_SCHEMA,      /* a name in the database */
    KIND_PATH,        /* made absolute; the one word in choices stands for none */
    KIND_SOCKET_DIR,  /* the same; min and max are its length in bytes, and no control characters */
    KIND_DURATION,    /* the one word in choices stands for 0 */
    KIND_NUMBER,      /* int */
    KIND_SIZE,        /* int64_t, bytes */
    KIND_PERCENT,     /* unsigned */
    KIND_BOOL,        /* bool */
    KIND_CHOICE,      /* an enum: the index in choices */
    KIND_KEY,         /* 64 bits */
    KIND_DSN,         /* writes database.kind and database.dsn */
    KIND_SCHEDULE,    /* writes schedule_text; schedule is made once zone and jitter are known */
    KIND_ZONE,        /* a name; loaded once the job is known */
    KIND_COMMAND,     /* a text for the shell; the one word in choices stands for none */
    KIND_SQL,         /* statements */
    KIND_WORDS,       /* shell-like words, at least one */
    KIND_ENVIRONMENT, /* NAME=VALUE words */
    KIND_UMASK,       /* octal int */
    KIND_OUTPUT,      /* writes output and output_file */
    KIND_CODES,       /* struct exit_codes */
    KIND_INCLUDE,     /* used up by the reader of the file */
    KIND_LATER,       /* has no effect in this version */
};

/* Where a field is not written directly: by the kind, or by whoever puts the struct together. */
#define CONFIG_NO_FIELD SIZE_MAX

/* Who a value is for. */
enum config_scope {
    SCOPE_INSTANCE, /* may differ from instance to instance of one fleet */
    SCOPE_FLEET,    /* must not: counts in the configuration's hash */
};

struct config_row {
    enum config_section section;
    const char *key;
    enum config_kind kind;
    const char *preset; /* NULL: not set, or worked out */
    int64_t min;
    int64_t max;
    const char *choices; /* words with | between them */
    enum config_change change;
    enum config_scope scope;
    bool secret;      /* not for the monitor */
    const char *only; /* KIND_LATER: the one value that says what this version does; or NULL */
    size_t offset;    /* in struct config, or in struct config_job for SECTION_JOB */
    const char *help;
};

extern const struct config_row config_rows[];
extern const size_t config_row_count;

/* config_section_name - "pgbaton", ...; "job" for SECTION_JOB. */
const char *config_section_name(enum config_section section);

/*
 * config_section_parse - "election" or "job nightly". On success the name of
 * the job is where *ret_job points into text (NULL for the other sections);
 * else -EINVAL and reterr says what is wrong.
 */
int config_section_parse(const char *text, enum config_section *ret_section, const char **ret_job,
                         char *reterr, size_t reterr_size);

/*
 * config_table_find - the row of a key; in [jobs] also that of a [job NAME] key.
 * NULL: there is none, and reterr says so and names the closest one.
 */
const struct config_row *config_table_find(enum config_section section, const char *key,
                                           char *reterr, size_t reterr_size);

/* config_row_has - is that the row's key? Rows are searched for each key of ten thousand jobs: most
 * differ in the first letter already. */
bool config_row_has(const struct config_row *row, const char *key);

/* config_job_row_first - the index of the first row of SECTION_JOB; the rest are its rows too. */
size_t config_job_row_first(void);

/* config_row_range - "50ms to 1h", "yes or no", ...; "" where the kind says it all. */
const char *config_row_range(const struct config_row *row, char *text, size_t size);

#endif
