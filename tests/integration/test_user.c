/* [pgbaton] user: a daemon that is started as root is another user's, and all that it starts. */
#include <criterion/criterion.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/instance.h"
#include "tests/support/server.h"
#include "tests/support/text.h"

TestSuite(user, .timeout = 120);

static struct workdir dir;
static struct server pg;
static struct instance one;
static char home[160];         /* HOME of the root that starts it: closed to everybody else */
static const char *as_root[6]; /* the environment of that root */

/* The user is the one that servers run as: it is there, and has a home. */
static void begin(void)
{
    static char home_word[200];

    if (geteuid() != 0) {
        cr_skip_test("only root can become another user");
    }
    workdir_make(&dir);
    (void)snprintf(home, sizeof home, "%s/roots", dir.path);
    (void)snprintf(home_word, sizeof home_word, "HOME=%s", home);
    cr_assert_eq(mkdir(home, 0700), 0);
    as_root[0] = home_word;
    as_root[1] = "USER=root";
    as_root[2] = "LOGNAME=root";
    as_root[3] = "SHELL=/root/shell";
    as_root[4] = "ASAN_OPTIONS=detect_leaks=0"; /* it cannot trace who has been root */
}

static void make(const char *dsn, const char *sections)
{
    char *key = text_format("user = %s\n", server_user());

    instance_make(&one, &dir, "one",
                  &(struct instance_settings){
                      .dsn = dsn, .pgbaton = key, .election = ELECTION_CALM, .job = sections});
    one.environment = as_root;
    free(key);
}

#define SHOW "echo [$HOME] [$USER] [$LOGNAME] [$SHELL] [$(id -un)]"

/* What SHOW prints as that user. */
static char *shown(void)
{
    const struct passwd *account = getpwnam(server_user());

    cr_assert_not_null(account);
    return text_format("[%s] [%s] [%s] [%s] [%s]\n", account->pw_dir, account->pw_name,
                       account->pw_name, account->pw_shell, account->pw_name);
}

static bool is_said(void *path)
{
    char *text = text_read(path);
    bool said = strchr(text, '\n') != NULL;

    free(text);
    return said;
}

static void expect_said(const char *path)
{
    char *wanted = shown();

    cr_assert(wait_until(is_said, (void *)path, WAIT_LIMIT), "%s: %s", path, text_tail(one.log));
    char *text = text_read(path);
    cr_expect_str_eq(text, wanted, "%s: %s instead of %s", path, text, wanted);
    free(text);
    free(wanted);
}

Test(user, jobs_and_cmd_have_its_home_and_name)
{
    begin();
    char *open = text_format("%s/open", dir.path);
    char *by_job = text_format("%s/job", open);
    char *by_cmd = text_format("%s/cmd", open);
    char *job = text_format("[job show]\nschedule = @elected\ncommand = " SHOW " > %s\n", by_job);
    char *script = text_format(SHOW " > %s; exec sleep 1000", by_cmd);
    const char *const words[] = {"--", "/bin/sh", "-c", script, NULL};

    cr_assert_eq(mkdir(open, 0755), 0);
    cr_assert_eq(chmod(open, 0777), 0);
    make("none", job);
    instance_start(&one, words);
    expect_said(by_job);
    expect_said(by_cmd);

    /* And a reload goes on with the environment as it is now. */
    program_signal(&one.supervisor, SIGHUP);
    instance_wait(&one, "config_reloaded", "change=nothing");
    program_signal(&one.supervisor, SIGTERM);
    (void)instance_wait_exit(&one);
    free(script);
    free(job);
    free(by_cmd);
    free(by_job);
    free(open);
}

/* libpq asks there for a certificate: root's home says that it may not even look. */
Test(user, connects_with_what_is_in_its_own_home)
{
    begin();
    server_start(&pg, &dir, "pg", NULL);
    char *dsn = text_format("%s", server_conninfo(&pg, SERVER_TLS));

    make(dsn, NULL);
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");
    cr_expect_eq(instance_logged(&one, NULL, home), 0, "%s", text_tail(one.log));
    instance_stop(&one);
    free(dsn);
}
