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

/* ---- pgbaton exec, as root ---- */

static void exec_job(const char *job, struct outcome *ret)
{
    const char *const words[] = {"exec", "-c", one.ini, job, NULL};

    pgbaton_command(&dir, ret, words, as_root);
}

/* What takes a privilege works by hand exactly if it works in the daemon: below 0 is root's. */
Test(user, exec_of_root_is_what_the_daemon_would_do)
{
    static struct outcome told;
    begin();
    char *wanted = shown();
    char *name = text_format("%s\n", server_user());
    char *other = text_format("nobody\n%s\n", getpwnam("nobody")->pw_dir);

    make("none", "[job own]\nschedule = manual\ncommand = " SHOW "\n"
                 "[job limited]\nschedule = manual\ntimeout = 1h\ncommand = id -un; exit 3\n"
                 "[job other]\nschedule = manual\nuser = nobody\ncommand = id -un; echo $HOME\n"
                 "[job quick]\nschedule = manual\nnice = -5\ncommand = nice\n");
    exec_job("own", &told);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_str_eq(told.out, wanted, "%s instead of %s", told.out, wanted);
    exec_job("limited", &told);
    cr_expect_eq(told.code, 3, "%s", told.err);
    cr_expect_str_eq(told.out, name, "%s", told.out);
    exec_job("other", &told);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_str_eq(told.out, other, "%s", told.out);
    exec_job("quick", &told);
    cr_expect_neq(told.code, 0);
    cr_expect_not_null(strstr(told.err, "cannot set nice -5"), "%s", told.err);
    free(other);
    free(name);
    free(wanted);
}

Test(user, exec_of_root_refuses_a_user_that_is_not_there)
{
    static struct outcome told;
    begin();

    instance_make(&one, &dir, "one",
                  &(struct instance_settings){.dsn = "none",
                                              .pgbaton = "user = no-such-user\n",
                                              .job = "[job own]\nschedule = manual\n"
                                                     "command = echo done\n"});
    exec_job("own", &told);
    cr_expect_eq(told.code, 78, "%s", told.err);
    cr_expect_str_eq(told.out, "");
    cr_expect_not_null(strstr(told.err, "there is no user 'no-such-user'"), "%s", told.err);
}

/* Who connects is the user of the system, where the dsn names nobody. */
Test(user, exec_of_statements_connects_as_the_daemon_would)
{
    static struct outcome told;
    begin();
    server_start(&pg, &dir, "pg", NULL);
    char *dsn = text_format("host=%s port=%u dbname=" SERVER_DATABASE, pg.dir, pg.port);

    make(dsn, "[job who]\nschedule = manual\nsql = SELECT current_user\n");
    exec_job("who", &told);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    cr_expect_not_null(strstr(told.out, server_user()), "%s%s", told.out, told.err);
    free(dsn);
}

/* ---- the log ---- */

/* The directory is the user's, who may put there what he likes. */
static void prepare_log(const char *secret)
{
    const struct passwd *account = getpwnam(server_user());
    char *logs = text_format("%s/logs", dir.path);
    char *sections = text_format("user = %s\nlog_file = %s/log\n", server_user(), logs);

    text_write(secret, "");
    cr_assert_eq(chmod(secret, 0600), 0);
    cr_assert_eq(mkdir(logs, 0755), 0);
    cr_assert_eq(chown(logs, account->pw_uid, account->pw_gid), 0);
    instance_make(&one, &dir, "one",
                  &(struct instance_settings){.dsn = "none",
                                              .pgbaton = sections,
                                              .job = "[job a]\nschedule = manual\n"
                                                     "command = true\n"});
    one.environment = as_root;
    free(sections);
    free(logs);
}

Test(user, its_links_do_not_lead_the_log_to_files_of_root)
{
    begin();
    char *secret = text_format("%s/roots/secret", dir.path);
    char *log = text_format("%s/logs/log", dir.path);

    prepare_log(secret);
    cr_assert_eq(symlink(secret, log), 0);
    instance_start(&one, NULL);
    cr_expect_neq(instance_wait_exit(&one), 0);
    instance_wait_text(&one, "it is a link that [pgbaton] user may not write through");
    cr_assert_eq(unlink(log), 0);
    cr_assert_eq(link(secret, log), 0);
    instance_start(&one, NULL);
    cr_expect_neq(instance_wait_exit(&one), 0);
    char *text = text_read(secret);
    cr_expect_str_eq(text, "");
    free(text);
    free(log);
    free(secret);
}

/* As a tool that rotates logs makes it. */
Test(user, a_log_of_root_in_that_place_is_used)
{
    begin();
    char *secret = text_format("%s/roots/secret", dir.path);
    char *log = text_format("%s/logs/log", dir.path);

    prepare_log(secret);
    text_write(log, "");
    cr_assert_eq(chmod(log, 0600), 0);
    (void)snprintf(one.log, sizeof one.log, "%s", log);
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");
    instance_stop(&one);
    free(log);
    free(secret);
}

static void expect_logs_where(const char *log_file, const char *to)
{
    char *sections = text_format("user = %s\nlog_file = %s\n", server_user(), log_file);
    char *out = text_format("%s/out", dir.path);
    char *err = text_format("%s/err", dir.path);
    const char *const argv[] = {pgbaton_path(), "run", "-c", one.ini, NULL};

    instance_configure(&one, &(struct instance_settings){.dsn = "none", .pgbaton = sections});
    text_write(out, ""); /* root's, and closed to the daemon's user */
    text_write(err, "");
    cr_assert_eq(chmod(out, 0600), 0);
    cr_assert_eq(chmod(err, 0600), 0);
    program_start(
        &one.supervisor,
        &(struct program_spec){.argv = argv, .environment = as_root, .output = out, .errors = err});
    (void)snprintf(one.log, sizeof one.log, "%s/%s", dir.path, to);
    instance_wait(&one, "elected", "");
    program_signal(&one.supervisor, SIGUSR1);
    instance_wait(&one, "log_reopened", log_file);
    program_signal(&one.supervisor, SIGHUP);
    instance_wait(&one, "config_reloaded", "change=nothing");
    instance_stop(&one);
    instance_wait(&one, "released", ""); /* the worker's lines go there too */
    free(err);
    free(out);
    free(sections);
}

/* As in a container, where both are pipes of root's that its user may not open by their names. */
Test(user, a_log_file_that_is_stdout_or_stderr_is_what_was_handed_to_it)
{
    begin();
    make("none", NULL);
    expect_logs_where("/dev/stdout", "out");
    expect_logs_where("/dev/stderr", "err");
}

/* ---- what was there before us ---- */

static size_t sidecars(void)
{
    pid_t below[64];
    size_t all = processes_below(one.supervisor.pid, below, 64);
    size_t count = 0;

    for (size_t i = 0; i < all; i++) {
        count += strncmp(process_title(below[i]), "sleep 1000", 10) == 0;
    }
    return count;
}

/* As an entrypoint does it: the sidecar is root's, and /proc hides it from the daemon's user. */
Test(user, a_term_ends_though_an_inherited_process_of_root_is_hidden)
{
    static const char *const entrypoint[] = {
        "sh", "-c", "mount -o remount,hidepid=2 /proc || exit 99; sleep 1000 & exec \"$@\"", "sh",
        NULL};
    begin();
    make("none", NULL);
    one.entrypoint = entrypoint;
    if (!instance_start_as_pid_1(&one, NULL)) {
        cr_skip_test("no pid namespace can be made here");
    }
    instance_wait(&one, "elected", "");
    instance_mark(&one);
    cr_assert_eq(kill(instance_child(&one, "worker"), SIGKILL), 0);
    instance_wait(&one, "elected", "");
    cr_expect_eq(sidecars(), 1);
    cr_assert_eq(kill(instance_child(&one, "supervisor"), SIGTERM), 0);
    cr_expect_eq(instance_wait_exit(&one), 0, "%s", text_tail(one.log));
}
