/*
 * config_fixture.h - configurations out of texts, in a temporary directory of their own.
 *
 * The working directory of the test moves there, so that messages say "pgbaton.ini:3:".
 */
#ifndef PGBATON_TESTS_UNIT_CONFIG_FIXTURE_H
#define PGBATON_TESTS_UNIT_CONFIG_FIXTURE_H

#include "common/config.h"

struct config_result {
    int rc;
    struct config *cfg; /* NULL unless rc is 0 */
    struct config_problems problems;
};

/* As .init and .fini of a suite. */
void config_fixture_up(void);
void config_fixture_down(void);

void config_fixture_write(const char *path, const char *text);
void config_fixture_write_bytes(const char *path, const char *bytes, size_t length);

/* What the file pgbaton.ini says, with dsn = none beside it; the second with what is given instead.
 */
struct config_result config_fixture_read(void);
struct config_result config_fixture_read_with(const char *const *overrides,
                                              const char *const *environment);

/* The same for this text. */
struct config_result config_fixture_read_text(const char *text);

/* The configuration of a text that must be right. */
struct config *config_fixture_config(const char *text);

void config_fixture_release(struct config_result *result);

/* Is this one of the problems, to the letter? If not, they are printed. */
bool config_fixture_has(const struct config_result *result, const char *problem);

#endif
