#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/leader/environment.h"

static char path[64];
static char alice[] = "alice";
static char home[] = "/home/alice";
static struct account account = {.name = alice, .home = home};
static struct config cfg = {
    .pgbaton = {.instance = "web-1"},
    .database = {.kind = DATABASE_POSTGRES, .dsn = "host=db password=secret"},
    .election = {.name = "main"},
};
static struct config_job job;
static const char *const inherited[] = {
    "PATH=/opt/bin:/bin",
    "HOME=/root",
    "SETTING=daemon",
    "PGPASSWORD=secret",
    "PGBATON_DATABASE_DSN=postgres://u:secret@db",
    "PGBATON_DATABASE_PASSWORD_FILE=/secret",
    "NOTIFY_SOCKET=/run/notify",
    "PGBATON_JOB=another",
    NULL,
};

static void reset(void)
{
    job = (struct config_job){.name = "backup"};
    account.change = false;
    (void)snprintf(path, sizeof(path), "/tmp/pgbaton-environment-XXXXXX");
    (void)close(mkstemp(path));
}

static void clear(void)
{
    (void)unlink(path);
}

TestSuite(environment, .init = reset, .fini = clear);

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    job.environment_file = path;
}

static char **build(char *reason, size_t size)
{
    struct environment_run run = {
        .run_id = "1.7-42",
        .epoch = "1.7",
        .scheduled_at = DUR_S(1790000000) + DUR_MS(250),
        .attempt = 1,
    };

    return environment_build(&cfg, &job, &account, &run, (char *const *)inherited, reason, size);
}

static const char *value(char **environment, const char *name)
{
    size_t length = strlen(name);
    const char *found = NULL;

    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            cr_expect_null(found, "%s is there twice", name);
            found = *environment + length + 1;
        }
    }
    return found;
}

/* Names and values that are expected; NULL: the name is not there. */
static void expect(const char *const (*rows)[2], size_t count)
{
    char reason[300] = "";
    char **environment = build(reason, sizeof(reason));

    cr_assert_not_null(environment, "%s", reason);
    for (size_t i = 0; i < count; i++) {
        const char *got = value(environment, rows[i][0]);

        if (rows[i][1] == NULL) {
            cr_expect_null(got, "%s is there", rows[i][0]);
        } else {
            cr_expect(got != NULL && strcmp(got, rows[i][1]) == 0, "%s is %s", rows[i][0],
                      got != NULL ? got : "absent");
        }
    }
    environment_free(environment);
}
#define EXPECT(...)                                                                                \
    do {                                                                                           \
        static const char *const rows[][2] = {__VA_ARGS__};                                        \
        expect(rows, sizeof(rows) / sizeof(rows[0]));                                              \
    } while (0)

Test(environment, the_daemons_own_less_its_secrets)
{
    EXPECT({"PATH", "/opt/bin:/bin"}, {"SETTING", "daemon"}, {"HOME", "/root"},
           {"PGPASSWORD", NULL}, {"PGBATON_DATABASE_DSN", NULL},
           {"PGBATON_DATABASE_PASSWORD_FILE", NULL}, {"NOTIFY_SOCKET", NULL});
}

Test(environment, says_which_run_it_is)
{
    EXPECT({"PGBATON_JOB", "backup"}, {"PGBATON_RUN_ID", "1.7-42"},
           {"PGBATON_SCHEDULED_AT", "2026-09-21T14:13:20.250Z"}, {"PGBATON_ATTEMPT", "1"},
           {"PGBATON_EPOCH", "1.7"}, {"PGBATON_INSTANCE", "web-1"}, {"PGBATON_ELECTION", "main"});
}

Test(environment, the_bare_one_of_cron)
{
    job.clean_environment = true;
    EXPECT({"PATH", "/usr/bin:/bin"}, {"HOME", "/home/alice"}, {"USER", "alice"},
           {"SHELL", "/bin/sh"}, {"LANG", "C.UTF-8"}, {"SETTING", NULL}, {"PGBATON_JOB", "backup"});
}

Test(environment, another_user_has_a_home_of_its_own)
{
    account.change = true;
    EXPECT({"HOME", "/home/alice"}, {"USER", "alice"}, {"LOGNAME", "alice"},
           {"PATH", "/opt/bin:/bin"});
}

Test(environment, each_source_overrides_the_one_before)
{
    static const char *own[] = {"BOTH=job", "ONLY=job", "PGPASSWORD=given on purpose", NULL};

    write_file("BOTH=file\nSETTING=file\nPGBATON_EPOCH=forged\n");
    job.environment = (char **)own;
    EXPECT({"SETTING", "file"}, {"BOTH", "job"}, {"ONLY", "job"},
           {"PGPASSWORD", "given on purpose"}, {"PGBATON_EPOCH", "1.7"});
}

Test(environment, the_lines_of_a_file)
{
    write_file("# a comment\n\n  INDENTED=1\nEMPTY=\nQUOTED=\"a b\"\nSINGLE='x'\nHALF=\"x\n"
               "HASH=a # b\nEQUALS=a=b\nCR=1\r\nLAST=no line feed");
    EXPECT({"INDENTED", "1"}, {"EMPTY", ""}, {"QUOTED", "a b"}, {"SINGLE", "x"}, {"HALF", "\"x"},
           {"HASH", "a # b"}, {"EQUALS", "a=b"}, {"CR", "1"}, {"LAST", "no line feed"});
}

Test(environment, a_line_that_is_none_is_refused_without_showing_it)
{
    char reason[300] = "";
    char expected[200];

    write_file("A=1\nsecret without a name\n");
    cr_expect_null(build(reason, sizeof(reason)));
    (void)snprintf(expected, sizeof(expected), "%s:2: this is not NAME=VALUE", path);
    cr_expect_str_eq(reason, expected);
}

Test(environment, a_file_that_cannot_be_read_is_named)
{
    char reason[300] = "";

    job.environment_file = "/nonexistent/file";
    cr_expect_null(build(reason, sizeof(reason)));
    cr_expect_str_eq(reason, "cannot read environment_file '/nonexistent/file': "
                             "No such file or directory");
    job.environment_file = "/dev/zero";
    cr_expect_null(build(reason, sizeof(reason)));
    cr_expect_str_eq(reason, "cannot read environment_file '/dev/zero': it is no regular file");
}

Test(environment, the_dsn_is_handed_to_who_asks_for_it)
{
    job.pass_database = true;
    EXPECT({"PGBATON_DATABASE_DSN", "host=db password=secret"},
           {"PGBATON_DATABASE_PASSWORD_FILE", NULL});
}
