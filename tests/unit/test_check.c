/*
 * `pgbaton check`: what it says, what it warns of, and its exit code.
 */
#include <criterion/criterion.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/control.h"
#include "supervisor/cli/check_budget.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/config_fixture.h"

TestSuite(check, .init = config_fixture_up, .fini = config_fixture_down);

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    unsigned fleet;
    unsigned connections;
} fleets[] = {
    {"leader and heir have three, a follower one", "dsn = host=h", 3, 7},
    {"two instances", "dsn = host=h", 2, 6},
    {"one leads alone", "dsn = host=h", 1, 3},
    {"polling needs no heir", "dsn = host=h\n[election]\nmode = poll", 5, 7},
    {"no election, no connection", "dsn = host=h\n[election]\nenabled = no", 5, 0},
    {"no database, no connection", "dsn = none", 5, 0},
    {"a file, no connection", "dsn = sqlite:/x", 5, 0},
    {"statements have a connection of their own", "dsn = host=h\n[job a]\nschedule = @hourly\nsql = SELECT 1\n[job b]\nschedule = @hourly\nsql = SELECT 1\n[job c]\nschedule = @hourly\ncommand = true", 3, 9},
    {"but not those that are off", "dsn = host=h\n[job a]\nschedule = @hourly\nsql = SELECT 1\nenabled = no", 3, 7},
    {"nor more than may run", "dsn = host=h\n[jobs]\nmax_running = 1\n[job a]\nschedule = @hourly\nsql = SELECT 1\n[job b]\nschedule = @hourly\nsql = SELECT 1", 3, 8},
    {"which one job may be that overlaps", "dsn = host=h\n[jobs]\nmax_running = 4\n[job a]\nschedule = @hourly\nsql = SELECT 1\noverlap = allow", 3, 11},
    {"who never leads only looks", "dsn = host=h\n[jobs]\nenabled = no", 5, 5},
};
/* clang-format on */

Test(check, connections)
{
    for (size_t i = 0; i < ARRAY_LEN(fleets); i++) {
        char text[256];

        (void)snprintf(text, sizeof(text), "[database]\n%s\n", fleets[i].text);
        struct config *cfg = config_fixture_config(text);
        unsigned connections = check_budget_connections(cfg, fleets[i].fleet);

        cr_expect_eq(connections, fleets[i].connections, "%s: %u", fleets[i].title, connections);
        config_free(cfg);
    }
}

/* Runs the command on pgbaton.ini; what it printed is in *ret_out and *ret_err (free). */
static int run(const char *const *words, char **ret_out, char **ret_err)
{
    return command_fixture_run(command_check, words, ret_out, ret_err);
}

static const char *const no_words[] = {NULL};

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    int code;
    const char *out;
    const char *err;
} cases[] = {
    {"a good one, with its budget", "[database]\ndsn = host=h\n[election]\nname = x\n", EXIT_CODE_DONE,
        "  D              14250ms  the lock's connection is closed", ""},
    {"when TERM comes", "[database]\ndsn = host=h\n[election]\nname = x\n", EXIT_CODE_DONE,
        "  TERM           11250ms  jobs are asked to end\n  KILL               14s  jobs are killed\n", ""},
    {"the figure for the fleet", "[database]\ndsn = host=h\n[election]\nname = x\n", EXIT_CODE_DONE,
        "connections of 3 instances: 7 (1 a follower, 3 for heir and leader each)\n", ""},
    {"the figure with statements", "[database]\ndsn = host=h\n[election]\nname = x\n[job a]\nschedule = @hourly\nsql = SELECT 1\n", EXIT_CODE_DONE,
        "connections of 3 instances: 8 (1 a follower, 3 for heir and leader each, at most 1 for jobs of sql)\n", ""},
    {"a bad one", "[database]\ndsn = host=h\n[election]\nlease = 4s\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:4: [election] lease: 4s is too short"},
    {"a wait that is too short is said of the wait", "[database]\ndsn = host=h\n[election]\nlease = 20s\ntakeover_delay = 1s\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:5: [election] takeover_delay: 1s is too short"},
    {"and of what was changed where the wait was not", "[database]\ndsn = host=h\n[election]\nlease = 20s\nloss_grace = 2s\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:5: [election] loss_grace: with this, takeover_delay 2s is too short"},
    {"a heartbeat that is too long", "[database]\ndsn = host=h\n[election]\nlease = 20s\nheartbeat = 5s\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:5: [election] heartbeat: 5s is too long"},
    {"a dsn that libpq cannot read", "[database]\ndsn = host=h prot=5432\n[election]\nname = x\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: invalid connection option \"prot\""},
    {"and of one with a password nothing that may be part of it", "[database]\ndsn = postgresql://u:secret@h/d?secret=bar\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: invalid URI query parameter\n"},
    {"but the name of what cannot be", "[database]\ndsn = user=u password=geheim dbname=d conect_timeout=5\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: invalid connection option \"conect_timeout\"\n"},
    {"behind a quoted one too", "[database]\ndsn = password='ge heim' prot=5\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: invalid connection option \"prot\"\n"},
    {"before it anyway", "[database]\ndsn = host=h prot=5 password=geheim\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: invalid connection option \"prot\"\n"},
    {"and of a URI", "[database]\ndsn = postgresql://u:geheim@h/d?ssl_mode=require\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: invalid URI query parameter: \"ssl_mode\"\n"},
    {"where a password ends is not known without quotes", "[database]\ndsn = host=h password=ge heim=5\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: invalid connection option: the word behind the password\n"},
    {"nor with a / in a URI", "[database]\ndsn = postgresql://u:1/x?heim=1@h/d\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: invalid URI query parameter\n"},
    {"a port that is none", "[database]\ndsn = host=h port=54x32\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [database] dsn: libpq cannot use it: a port of the dsn is not a number from 1 to 65535"},
    {"a daemon's user that is not there", "[pgbaton]\nuser = no-such-user\ngroup = no-such-group\n[database]\ndsn = sqlite:/x\n", EXIT_CODE_DONE,
        "ok", "pgbaton.ini:2: warning: [pgbaton] user: there is no user 'no-such-user' on this machine"},
    {"nor is its group", "[pgbaton]\ngroup = no-such-group\n[database]\ndsn = sqlite:/x\n", EXIT_CODE_DONE,
        "ok", "pgbaton.ini:2: warning: [pgbaton] group: there is no group 'no-such-group' on this machine"},
    {"the shared key", "[database]\ndsn = host=h\n", EXIT_CODE_DONE,
        "ok, 0 jobs", "pgbaton.ini:2: warning: [election] name: neither name nor key is set"},
    {"no election", "[database]\ndsn = none\n", EXIT_CODE_DONE,
        "no election: every instance runs the jobs", "pgbaton.ini:2: warning: [database] dsn: none means no election"},
    {"no waiting", "[database]\ndsn = host=h\n[election]\nname = x\ntakeover_delay = 0\n", EXIT_CODE_DONE,
        "ok", "pgbaton.ini:5: warning: [election] takeover_delay: 0 means that a new leader never waits: when the server ends the old leader's session, jobs of both may overlap"},
    {"no waiting, in the budget", "[database]\ndsn = host=h\n[election]\nname = x\ntakeover_delay = 0\n", EXIT_CODE_DONE,
        "instance killed, container removed           a round trip and a commit\n", ""},
    {"no waiting, and no lease", "[database]\ndsn = sqlite:/x\n[election]\ntakeover_delay = 0\n", EXIT_CODE_DONE,
        "ok", "pgbaton.ini:4: warning: [election] takeover_delay: 0 means that a new leader never waits: what outlives a killed instance may overlap"},
    {"a hang costs the lease and the wait", "[database]\ndsn = host=h\n[election]\nname = x\n", EXIT_CODE_DONE,
        "at most 17s (lease + takeover_delay)\n", ""},
    {"and a look where nobody waits", "[database]\ndsn = host=h\n[election]\nname = x\nmode = poll\n", EXIT_CODE_DONE,
        "at most 23s (lease + takeover_delay + a look)\n", ""},
    {"a word that a terminal would obey", "[election]\nlease = \xc2\x9b" "2J\033[\n", EXIT_CODE_CONFIG,
        "", "pgbaton.ini:2: [election] lease: '\?\?2J?['"},
    {"a grace that does not fit", "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\ncommand = a\ngrace = 8s\n", EXIT_CODE_DONE,
        "1 job\n", "pgbaton.ini:6: warning: [job a] grace: 8s is cut when the daemon stops"},
    {"a directory that is not there", "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\ncommand = a\ndirectory = /missing\n", EXIT_CODE_DONE,
        "1 job\n", "pgbaton.ini:6: warning: [job a] directory: '/missing': No such file or directory"},
    {"a user that is not there", "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\ncommand = a\nuser = no-such-user\n", EXIT_CODE_DONE,
        "1 job\n", "pgbaton.ini:6: warning: [job a] user: there is no user 'no-such-user' on this machine"},
    {"a password's file that is not there", "[database]\ndsn = host=h\npassword_file = /missing/pw\n[election]\nname = x\n", EXIT_CODE_DONE,
        "ok", "pgbaton.ini:3: warning: [database] password_file: '/missing/pw': No such file or directory"},
    {"a database in no directory", "[database]\ndsn = sqlite:/missing/x.db\n", EXIT_CODE_DONE,
        "ok", "pgbaton.ini:2: warning: [database] dsn: '/missing/': No such file or directory"},
    {"a log in no directory", "[pgbaton]\nlog_file = pgbaton.ini/log\n[database]\ndsn = sqlite:/x\n", EXIT_CODE_DONE,
        "ok", "pgbaton.ini/': Not a directory"},
    {"output into no directory", "[database]\ndsn = sqlite:/x\n[jobs]\noutput = /missing/o\n[job a]\nschedule = manual\ncommand = a\n", EXIT_CODE_DONE,
        "1 job\n", "pgbaton.ini:4: warning: [jobs] output: '/missing/': No such file or directory"},
    {"a program that is not there", "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\nexec = /missing x\n", EXIT_CODE_DONE,
        "1 job\n", "pgbaton.ini:5: warning: [job a] exec: '/missing': No such file or directory"},
    {"one that nobody may run", "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\nexec = /etc/passwd\n", EXIT_CODE_DONE,
        "1 job\n", "pgbaton.ini:5: warning: [job a] exec: '/etc/passwd': Permission denied"},
    {"a directory is no program", "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\nexec = /tmp\n", EXIT_CODE_DONE,
        "1 job\n", "pgbaton.ini:5: warning: [job a] exec: '/tmp': Is a directory"},
    {"a shell that is not there", "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\ncommand = x\nshell = /missing -c\n", EXIT_CODE_DONE,
        "1 job\n", "pgbaton.ini:6: warning: [job a] shell: '/missing': No such file or directory"},
};
/* clang-format on */

/* Not of what is looked for where the job runs, nor of what is not used. */
Test(check, warns_of_no_path_that_may_work)
{
    char *out = NULL;
    char *err = NULL;

    config_fixture_write("pgbaton.ini", "[pgbaton]\nlog_file = log\n[database]\ndsn = sqlite:x\n"
                                        "[job a]\nschedule = manual\nexec = missing x\n"
                                        "shell = /missing\noutput = ./o\n"
                                        "[job b]\nschedule = manual\nexec = /bin/true\n"
                                        "output = /dev/null\n"
                                        "[job c]\nschedule = manual\nexec = /missing\n"
                                        "enabled = no\n");
    cr_expect_eq(run(no_words, &out, &err), EXIT_CODE_DONE);
    cr_expect_null(strstr(err, "missing"), "%s", err);
    cr_expect_null(strstr(err, "irectory"), "%s", err);
    free(out);
    free(err);
}

/* The statements of sql have no use for them. */
Test(check, warns_of_no_path_that_a_job_does_not_use)
{
    char *out = NULL;
    char *err = NULL;

    config_fixture_write("pgbaton.ini", "[database]\ndsn = host=h\n[election]\nname = x\n"
                                        "[jobs]\ndirectory = /missing\nuser = missing\n"
                                        "environment_file = /missing\nshell = /missing -c\n"
                                        "[job a]\nschedule = manual\nsql = SELECT 1\n");
    cr_expect_eq(run(no_words, &out, &err), EXIT_CODE_DONE);
    cr_expect_null(strstr(err, "missing"), "%s", err);
    free(out);
    free(err);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

Test(check, warns_once_of_what_is_said_for_all_jobs)
{
    char *out = NULL;
    char *err = NULL;

    config_fixture_write("pgbaton.ini", "[database]\ndsn = sqlite:/x\n"
                                        "[jobs]\ndirectory = /missing\ncommand = x\n"
                                        "schedule = manual\n"
                                        "[job a]\n[job b]\n[job c]\ndirectory = /missing\n");
    cr_expect_eq(run(no_words, &out, &err), EXIT_CODE_DONE);
    cr_expect_eq(count_of(err, "/missing"), 2, "%s", err);
    cr_expect_not_null(strstr(err, "pgbaton.ini:4: warning: [jobs] directory: "), "%s", err);
    cr_expect_not_null(strstr(err, "pgbaton.ini:10: warning: [job c] directory: "), "%s", err);
    free(out);
    free(err);
}

Test(check, says)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *out = NULL;
        char *err = NULL;

        config_fixture_write("pgbaton.ini", cases[i].text);
        cr_expect_eq(run(no_words, &out, &err), cases[i].code, "%s", cases[i].title);
        cr_expect_not_null(strstr(out, cases[i].out), "%s: %s", cases[i].title, out);
        cr_expect_not_null(strstr(err, cases[i].err), "%s: %s", cases[i].title, err);
        free(out);
        free(err);
    }
}

/* clang-format off */
static const struct {
    const char *title;
    const char *daemon; /* of [pgbaton] */
    const char *job;
    bool as_root;
    const char *warning; /* NULL: nothing is said of user or nice */
} rights[] = {
    {"root becomes anybody", "", "user = nobody", true, NULL},
    {"also as another", "user = nobody", "user = daemon", true, NULL},
    {"nobody becomes nobody else", "", "user = daemon", false, "8: warning: [job a] user: takes a daemon that is started as root\n"},
    {"but stays who it is", "", "user = nobody", false, NULL},
    {"root's jobs may go first", "", "nice = -5", true, NULL},
    {"which root must stay for", "user = nobody", "nice = -5", true, "8: warning: [job a] nice: below 0 takes a daemon that is started as root, with CAP_SYS_NICE and without [pgbaton] user\n"},
    {"the job's own user changes nothing", "user = nobody", "nice = -1\nuser = root", true, "8: warning: [job a] nice: below 0"},
    {"and need not become itself for", "user = root", "nice = -5", true, NULL},
    {"others' may not", "", "nice = -5", false, "8: warning: [job a] nice: below 0"},
    {"and may go last", "user = nobody", "nice = 5", false, NULL},
    {"or as they are", "user = nobody", "nice = 0", true, NULL},
};
/* clang-format on */

static void expect_of_rights(size_t i)
{
    char text[256];
    char *out = NULL;
    char *err = NULL;

    (void)snprintf(text, sizeof(text),
                   "[pgbaton]\n%s\n[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\n"
                   "command = a\n%s\n",
                   rights[i].daemon, rights[i].job);
    config_fixture_write("pgbaton.ini", text);
    cr_assert_eq(seteuid(rights[i].as_root ? 0 : getpwnam("nobody")->pw_uid), 0);
    cr_expect_eq(run(no_words, &out, &err), EXIT_CODE_DONE, "%s: %s", rights[i].title, err);
    cr_assert_eq(seteuid(0), 0);
    if (rights[i].warning == NULL) {
        cr_expect_null(strstr(err, "] user: "), "%s: %s", rights[i].title, err);
        cr_expect_null(strstr(err, "] nice: "), "%s: %s", rights[i].title, err);
    } else {
        cr_expect_not_null(strstr(err, rights[i].warning), "%s: %s", rights[i].title, err);
    }
    free(out);
    free(err);
}

/* A container may leave root without it. */
static bool may_go_first(void)
{
    bool may = setpriority(PRIO_PROCESS, 0, -1) == 0;

    (void)setpriority(PRIO_PROCESS, 0, 0);
    return may;
}

Test(check, warns_of_what_only_root_can_do)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

    if (geteuid() != 0) {
        cr_skip_test("only root can be another user");
    }
    cr_assert_eq(setrlimit(RLIMIT_NICE, &none), 0);
    cr_assert_eq(chmod(".", 0755), 0);
    bool may = may_go_first();

    for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
        if (may || strstr(rights[i].job, "nice = -") == NULL || rights[i].warning != NULL) {
            expect_of_rights(i);
        }
    }
}

/* With that limit who is not root may go as far as it says. */
Test(check, knows_the_limit_of_nice)
{
    static const char text[] = "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\n"
                               "command = a\nnice = -5\n[job b]\nschedule = manual\n"
                               "command = a\nnice = -6\n[pgbaton]\nuser = nobody\n";
    const struct rlimit five = {.rlim_cur = 25, .rlim_max = 25};
    char *out = NULL;
    char *err = NULL;

    if (geteuid() != 0 || setrlimit(RLIMIT_NICE, &five) == -1) {
        cr_skip_test("raising the limit takes CAP_SYS_RESOURCE");
    }
    config_fixture_write("pgbaton.ini", text);
    cr_expect_eq(run(no_words, &out, &err), EXIT_CODE_DONE);
    cr_expect_null(strstr(err, "[job a] nice"), "%s", err);
    cr_expect_not_null(strstr(err, "[job b] nice"), "%s", err);
    free(out);
    free(err);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *words[3];
    int code;
    const char *out;
} options[] = {
    {"the effective configuration alone", {"--print"}, EXIT_CODE_DONE, "[pgbaton]\n"},
    {"a fleet", {"--fleet", "10"}, EXIT_CODE_DONE, "connections of 10 instances: 14 "},
    {"a fleet of one", {"--fleet=1"}, EXIT_CODE_DONE, "connections of 1 instance: 3 "},
    {"a fleet of none", {"--fleet", "0"}, EXIT_CODE_USAGE, ""},
    {"a fleet without a number", {"--fleet"}, EXIT_CODE_USAGE, ""},
    {"a number and more", {"--fleet=3x"}, EXIT_CODE_USAGE, ""},
    {"an unknown option", {"--prin"}, EXIT_CODE_USAGE, ""},
    {"every key", {"--keys"}, EXIT_CODE_DONE, "\n[election]\n"},
    {"the keys are no document", {"--json", "--keys"}, EXIT_CODE_USAGE, ""},
    {"nor is the configuration", {"--json", "--print"}, EXIT_CODE_USAGE, ""},
};
/* clang-format on */

Test(check, options)
{
    config_fixture_write("pgbaton.ini", "[database]\ndsn = host=h\n[election]\nname = x\n");
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        char *out = NULL;
        char *err = NULL;

        cr_expect_eq(run(options[i].words, &out, &err), options[i].code, "%s", options[i].title);
        cr_expect_not_null(strstr(out, options[i].out), "%s: %s", options[i].title, out);
        free(out);
        free(err);
    }
}

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    int code;
    const char *document;
} documents[] = {
    {"a wrong one", "[database]\ndsn = none\n[election]\nleese = 1s\n", EXIT_CODE_CONFIG,
        "{\"file\":\"pgbaton.ini\",\"ok\":false,\"problems\":[{\"level\":\"error\","
        "\"file\":\"pgbaton.ini\",\"line\":4,\"text\":\"pgbaton.ini:4: [election] leese: is not a "
        "known key; did you mean 'lease'?\"}],\"errors\":1,\"jobs\":null,\"hash\":null,\"budget\":null}\n"},
    {"one that is no UTF-8", "[election]\nlease = \xff\n[database]\ndsn = none\n", EXIT_CODE_CONFIG,
        "lease: '?' is not a duration"},
    {"a warning is no error", "[database]\ndsn = none\n", EXIT_CODE_DONE,
        "{\"file\":\"pgbaton.ini\",\"ok\":true,\"problems\":[{\"level\":\"warning\","},
    {"the budget", "[database]\ndsn = host=h\n[election]\nname = x\n", EXIT_CODE_DONE,
        "\"budget\":{\"lease_ms\":15000,\"heartbeat_ms\":1000,\"margin_ms\":750,\"stop_grace_ms\":3000,"
        "\"loss_grace_ms\":500,\"kill_margin_ms\":250,\"takeover_delay_ms\":2000,"
        "\"term_after_ms\":11250,\"kill_after_ms\":14000,\"deadline_after_ms\":14250,"
        "\"takeover_most_ms\":17000,\"fleet\":3,\"connections\":7}}\n"},
    {"no lease, no budget", "[database]\ndsn = sqlite:/x\n", EXIT_CODE_DONE, "\"budget\":null}\n"},
};
/* clang-format on */

Test(check, json_has_everything_on_stdout)
{
    static const char *const words[] = {"--json", NULL};

    for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
        char *out = NULL;
        char *err = NULL;

        config_fixture_write("pgbaton.ini", documents[i].text);
        cr_expect_eq(run(words, &out, &err), documents[i].code, "%s", documents[i].title);
        cr_expect_not_null(strstr(out, documents[i].document), "%s: %s", documents[i].title, out);
        cr_expect_str_empty(err, "%s", documents[i].title);
        free(out);
        free(err);
    }
}

/* The tests are started from the top of the tree. */
Test(check_example, the_example_is_right)
{
    struct config_result r = {0};
    const struct config_sources sources = {.file = "etc/pgbaton.ini"};

    r.rc = config_read(&sources, &r.cfg, &r.problems);
    config_problems_print(&r.problems, stderr);
    cr_assert_eq(r.rc, 0);
    cr_expect_eq(r.problems.count, 0);
    cr_expect(r.cfg->database.kind == DATABASE_SQLITE);
    cr_expect_geq(r.cfg->job_count, 3);
    config_fixture_release(&r);
}
