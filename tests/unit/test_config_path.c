/*
 * From where a relative path counts: an instance is the same one wherever it is started.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "tests/unit/config_fixture.h"

TestSuite(config_path, .init = config_fixture_up, .fini = config_fixture_down);

#define JOB "[job a]\nschedule = manual\n"

static void expect_path(const char *path, const char *directory, const char *rest)
{
    char here[PATH_MAX];
    char expected[PATH_MAX + 64];

    cr_assert_not_null(getcwd(here, sizeof(here)));
    (void)snprintf(expected, sizeof(expected), "%s/%s%s", here, directory, rest);
    cr_expect_str_eq(path, expected, "%s instead of %s", path, expected);
}

static struct config *read_at(const char *file, const char *const *overrides,
                              const char *const *environment)
{
    const struct config_sources sources = {
        .file = file, .overrides = overrides, .environment = (char **)(uintptr_t)environment};
    struct config *cfg = NULL;
    struct config_problems problems;

    cr_assert_eq(config_read(&sources, &cfg, &problems), 0, "%s",
                 problems.count > 0 ? problems.list[0].text : "");
    config_problems_release(&problems);
    return cfg;
}

Test(config_path, a_relative_path_counts_from_the_file_that_says_it)
{
    char absolute[PATH_MAX + 32];
    char here[PATH_MAX];

    cr_assert_eq(mkdir("conf", 0755), 0);
    cr_assert_eq(mkdir("conf/d", 0755), 0);
    config_fixture_write("conf/a.ini", "[pgbaton]\nrun_dir = run\nlog_file = ../log\n"
                                       "include = d/*.ini\n"
                                       "[database]\ndsn = sqlite:a.db\npassword_file = p\n");
    config_fixture_write("conf/d/b.ini", "[jobs]\nenvironment_file = e\n" JOB
                                         "command = a\noutput = ./out\ndirectory = /d\n");
    cr_assert_not_null(getcwd(here, sizeof(here)));
    (void)snprintf(absolute, sizeof(absolute), "%s/conf/a.ini", here);
    const char *const files[] = {"conf/a.ini", absolute};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct config *cfg = read_at(files[i], NULL, NULL);

        expect_path(cfg->database.dsn, "conf/", "a.db");
        expect_path(cfg->database.password_file, "conf/", "p");
        expect_path(cfg->pgbaton.run_dir, "conf/", "run");
        expect_path(cfg->pgbaton.log_file, "conf/", "../log");
        expect_path(cfg->jobs[0].output_file, "conf/d/", "./out");
        expect_path(cfg->jobs[0].environment_file, "conf/d/", "e");
        cr_expect_str_eq(cfg->jobs[0].directory, "/d");
        config_free(cfg);
    }
}

Test(config_path, a_relative_path_of_an_option_or_the_environment_counts_from_the_working_directory)
{
    static const char *const options[] = {"pgbaton.run_dir=run", "pgbaton.log_file=log", NULL};
    static const char *const environment[] = {"PGBATON_DATABASE_DSN=sqlite:a.db", NULL};

    cr_assert_eq(mkdir("conf", 0755), 0);
    config_fixture_write("conf/a.ini", "[database]\ndsn = sqlite:b.db\npassword_file = p\n");
    struct config *cfg = read_at("conf/a.ini", options, environment);

    expect_path(cfg->pgbaton.run_dir, "", "run");
    expect_path(cfg->pgbaton.log_file, "", "log");
    expect_path(cfg->database.dsn, "", "a.db");
    expect_path(cfg->database.password_file, "conf/", "p");
    config_free(cfg);
}

Test(config_path, a_relative_path_of_a_file_without_a_directory_counts_from_the_working_directory)
{
    static const char text[] = "[database]\ndsn = sqlite:a.db\n";
    char path[32];
    int ends[2];

    config_fixture_write("a.ini", text);
    struct config *cfg = read_at("a.ini", NULL, NULL);
    expect_path(cfg->database.dsn, "", "a.db");
    config_free(cfg);

    /* As by a shell's <(...). */
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(close(ends[1]), 0);
    (void)snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
    cfg = read_at(path, NULL, NULL);
    expect_path(cfg->database.dsn, "", "a.db");
    config_free(cfg);
    cr_assert_eq(close(ends[0]), 0);
}

/* It is a part of a socket's address. */
Test(config_path, a_run_dir_is_as_long_as_it_is_from_the_root)
{
    char text[PATH_MAX];

    (void)snprintf(text, sizeof(text), "[pgbaton]\nrun_dir = %0*d\n", 94 - 2, 1);
    struct config_result r = config_fixture_read_text(text);
    cr_expect_eq(r.rc, -EINVAL);
    cr_expect_eq(r.problems.errors, 1);
    config_fixture_release(&r);

    (void)snprintf(text, sizeof(text), "[pgbaton]\nrun_dir = /%0*d\n", 94 - 1, 1);
    r = config_fixture_read_text(text);
    cr_expect_eq(r.rc, 0);
    config_fixture_release(&r);
}
