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
#include "common/config_path.h"
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
        expect_path(cfg->jobs[0].output_file, "conf/d/", "out");
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

/* Only the names of descriptors are in no directory. */
Test(config_path, a_file_below_dev_is_in_its_directory)
{
    static const char *const own[] = {"/dev/shm/a.ini", "/dev/fdx/a.ini", "/dev/stdin/a.ini",
                                      "/proc/self/root/a.ini"};
    static const char *const none[] = {"/dev/stdin", "/dev/fd/63", "/proc/self/fd/0", "a.ini"};

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        cr_expect_eq(config_path_directory(own[i]), strlen(own[i]) - strlen("a.ini"), "%s", own[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        cr_expect_eq(config_path_directory(none[i]), 0, "%s", none[i]);
    }
    cr_expect_eq(config_path_directory(NULL), 0);
}

/* What is read from a descriptor includes from where its other paths count. */
Test(config_path, what_a_descriptor_says_includes_from_the_working_directory)
{
    static const char text[] = "[pgbaton]\ninclude = d/b.ini\n";
    char path[64];
    int ends[2];

    cr_assert_eq(mkdir("d", 0755), 0);
    config_fixture_write("d/b.ini", "[database]\ndsn = sqlite:a.db\n");
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(close(ends[1]), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    struct config *cfg = read_at(path, NULL, NULL);
    expect_path(cfg->database.dsn, "d/", "a.db");
    config_free(cfg);
    cr_assert_eq(close(ends[0]), 0);
}

/* What a child makes of it must be what was meant here. */
static void expect_same_sealed(const struct config *cfg)
{
    struct config *child = NULL;
    int fd = config_seal(cfg, true);

    cr_assert_geq(fd, 0);
    cr_assert_eq(config_unseal(fd, &child), 0);
    cr_expect_str_eq(child->database.dsn, cfg->database.dsn);
    if (cfg->pgbaton.run_dir != NULL) {
        cr_expect_str_eq(child->pgbaton.run_dir, cfg->pgbaton.run_dir);
    }
    config_free(child);
    cr_assert_eq(close(fd), 0);
}

Test(config_path, a_blank_in_a_path_harms_nothing)
{
    cr_assert_eq(mkdir("my conf", 0755), 0);
    config_fixture_write("my conf/a.ini", "[pgbaton]\nrun_dir = my run\n"
                                          "[database]\ndsn = sqlite:my a.db\n");
    struct config *cfg = read_at("my conf/a.ini", NULL, NULL);

    expect_path(cfg->pgbaton.run_dir, "my conf/", "my run");
    expect_path(cfg->database.dsn, "my conf/", "my a.db");
    expect_same_sealed(cfg);
    config_free(cfg);
}

/* Whoever said which part of it. */
Test(config_path, a_run_dir_has_no_control_character_anywhere)
{
    static const char text[] = "[pgbaton]\nrun_dir = run\n[database]\ndsn = none\n";
    struct config *cfg = NULL;
    struct config_problems problems;

    cr_assert_eq(mkdir("a\nb", 0755), 0);
    config_fixture_write("a\nb/a.ini", text);
    const struct config_sources sources = {.file = "a\nb/a.ini"};
    cr_expect_eq(config_read(&sources, &cfg, &problems), -EINVAL);
    cr_assert_eq(problems.count, 1);
    cr_expect_not_null(strstr(problems.list[0].text, "a control character"), "%s",
                       problems.list[0].text);
    config_problems_release(&problems);

    struct config_result r = config_fixture_read_text("[pgbaton]\nrun_dir = /a\tb\n");
    cr_expect_eq(r.rc, -EINVAL);
    config_fixture_release(&r);
}

/* In containers it often is. */
Test(config_path, the_root_as_the_working_directory_is_one_slash)
{
    static const char *const options[] = {"pgbaton.run_dir=run", NULL};
    static const char *const environment[] = {"PGBATON_DATABASE_DSN=sqlite:x.db", NULL};
    char absolute[PATH_MAX + 32];
    char here[PATH_MAX];

    config_fixture_write("a.ini", "");
    cr_assert_not_null(getcwd(here, sizeof(here)));
    (void)snprintf(absolute, sizeof(absolute), "%s/a.ini", here);
    cr_assert_eq(chdir("/"), 0);
    const char *const files[] = {absolute, absolute + 1};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct config *cfg = read_at(files[i], options, environment);

        cr_expect_str_eq(cfg->database.dsn, "/x.db");
        cr_expect_str_eq(cfg->pgbaton.run_dir, "/run");
        expect_same_sealed(cfg);
        config_free(cfg);
    }
}

/* Instances compare the hashes of what they have read. */
Test(config_path, a_file_is_the_same_however_it_is_named)
{
    char absolute[PATH_MAX + 32];
    char here[PATH_MAX];
    uint64_t hash = 0;

    cr_assert_eq(mkdir("conf", 0755), 0);
    cr_assert_eq(mkdir("other", 0755), 0);
    cr_assert_eq(symlink("conf", "link"), 0);
    config_fixture_write("conf/a.ini", "[database]\ndsn = sqlite:.//./a.db\n" JOB
                                       "command = a\noutput = ./out\n");
    cr_assert_eq(symlink("../conf/a.ini", "other/linked.ini"), 0);
    cr_assert_not_null(getcwd(here, sizeof(here)));
    (void)snprintf(absolute, sizeof(absolute), "%s/conf//a.ini", here);
    const char *const files[] = {"conf/a.ini", "./conf/a.ini",       "other/../conf/./a.ini",
                                 absolute,     "link/../conf/a.ini", "link/a.ini"};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct config *cfg = read_at(files[i], NULL, NULL);

        expect_path(cfg->database.dsn, "conf/", "a.db");
        expect_path(cfg->jobs[0].output_file, "conf/", "out");
        hash = i == 0 ? cfg->hash : hash;
        cr_expect_eq(cfg->hash, hash, "%s", files[i]);
        config_free(cfg);
    }

    /* A link to the file itself is a file of its own directory. */
    struct config *cfg = read_at("other/linked.ini", NULL, NULL);
    expect_path(cfg->database.dsn, "other/", "a.db");
    config_free(cfg);
}

/* It is not there any more, or may not be looked at. */
Test(config_path, without_a_working_directory_a_path_stays_as_it_is)
{
    static const char *const options[] = {"database.dsn=sqlite:./a.db", NULL};
    char absolute[PATH_MAX + 32];
    char here[PATH_MAX];

    config_fixture_write("a.ini", "[pgbaton]\nlog_file = log\n" JOB "command = a\n");
    cr_assert_not_null(getcwd(here, sizeof(here)));
    (void)snprintf(absolute, sizeof(absolute), "%s/a.ini", here);
    cr_assert_eq(mkdir("gone", 0755), 0);
    cr_assert_eq(chdir("gone"), 0);
    cr_assert_eq(rmdir("../gone"), 0);
    struct config *cfg = read_at(absolute, options, NULL);

    cr_expect_str_eq(cfg->database.dsn, "./a.db");
    cr_assert_eq(chdir(here), 0);
    expect_path(cfg->pgbaton.log_file, "", "log");
    config_free(cfg);
}

/* It is a part of a socket's address. */
Test(config_path, a_run_dir_is_as_long_as_it_is_from_the_root)
{
    char text[PATH_MAX];
    char here[PATH_MAX];
    char expected[PATH_MAX + 256];

    (void)snprintf(text, sizeof(text), "[pgbaton]\nrun_dir = %0*d\n", 94 - 2, 1);
    struct config_result r = config_fixture_read_text(text);
    cr_expect_eq(r.rc, -EINVAL);
    cr_expect_eq(r.problems.errors, 1);
    cr_assert_not_null(getcwd(here, sizeof(here)));
    (void)snprintf(
        expected, sizeof(expected),
        "pgbaton.ini:2: [pgbaton] run_dir: '%0*d' counts as %zu bytes from the root, and "
        "at most %d are right; give a shorter absolute path",
        94 - 2, 1, strlen(here) + 1 + 94 - 2, 94);
    cr_expect(config_fixture_has(&r, expected));
    config_fixture_release(&r);

    (void)snprintf(text, sizeof(text), "[pgbaton]\nrun_dir = /%0*d\n", 94 - 1, 1);
    r = config_fixture_read_text(text);
    cr_expect_eq(r.rc, 0);
    config_fixture_release(&r);
}
