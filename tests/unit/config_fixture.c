#include "tests/unit/config_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/pgbaton-config-XXXXXX";

void config_fixture_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void config_fixture_down(void)
{
    (void)chdir("/");
    (void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void config_fixture_write_bytes(const char *path, const char *bytes, size_t length)
{
    FILE *to = fopen(path, "w");

    cr_assert_not_null(to);
    cr_assert_eq(fwrite(bytes, 1, length, to), length);
    cr_assert_eq(fclose(to), 0);
}

void config_fixture_write(const char *path, const char *text)
{
    config_fixture_write_bytes(path, text, strlen(text));
}

struct config_result config_fixture_read_with(const char *const *overrides,
                                              const char *const *environment)
{
    const struct config_sources sources = {
        .file = "pgbaton.ini",
        .overrides = overrides,
        .environment = (char **)(uintptr_t)environment,
    };
    struct config_result result = {0};

    result.rc = config_read(&sources, &result.cfg, &result.problems);
    cr_assert((result.rc == 0) == (result.cfg != NULL));
    cr_assert((result.rc == -EINVAL) == (result.problems.errors > 0));
    return result;
}

struct config_result config_fixture_read(void)
{
    static const char *const overrides[] = {"database.dsn=none", NULL};

    return config_fixture_read_with(overrides, NULL);
}

struct config_result config_fixture_read_text(const char *text)
{
    config_fixture_write("pgbaton.ini", text);
    return config_fixture_read();
}

struct config *config_fixture_config(const char *text)
{
    config_fixture_write("pgbaton.ini", text);

    struct config_result result = config_fixture_read_with(NULL, NULL);

    config_problems_print(&result.problems, stderr);
    cr_assert_eq(result.rc, 0);
    config_problems_release(&result.problems);
    return result.cfg;
}

void config_fixture_release(struct config_result *result)
{
    config_free(result->cfg);
    config_problems_release(&result->problems);
}

bool config_fixture_has(const struct config_result *result, const char *problem)
{
    for (size_t i = 0; i < result->problems.count; i++) {
        if (strcmp(result->problems.list[i].text, problem) == 0) {
            return true;
        }
    }
    config_problems_print(&result->problems, stderr);
    return false;
}
