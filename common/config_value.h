/*
 * config_value.h - the text of one value into its field, by the kind of its row.
 *
 * Runs in: every process and every command.
 */
#ifndef PGBATON_COMMON_CONFIG_VALUE_H
#define PGBATON_COMMON_CONFIG_VALUE_H

#include "common/config_memory.h"
#include "common/config_table.h"

/*
 * config_value_parse - check text, that was said there, against its row and write the field in base
 * (a struct config, or a struct config_job for SECTION_JOB). *ret_canonical is
 * the value as pgbaton itself would write it: equal values have equal texts.
 * Returns 0 or -EINVAL with what is wrong, and what would be right, in reterr
 * (never the text of a secret).
 */
int config_value_parse(struct config_memory *memory, const struct config_row *row, const char *text,
                       struct origin said, void *base, const char **ret_canonical, char *reterr,
                       size_t reterr_size);

#define CONFIG_SQLITE_PREFIX "sqlite:"

#define CONFIG_DSN_FORMS                                                                           \
    "dsn = host=db.example dbname=app user=app (or postgresql://app@db.example/app), "             \
    "dsn = sqlite:/var/lib/pgbaton/pgbaton.db, or dsn = none"

#endif
