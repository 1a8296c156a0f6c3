/* The commands: what they print, and their exit codes (CONTRACT.md). */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(cli, .timeout = 120);

static struct workdir dir;
static struct instance one;
static struct outcome told;

static const char quiet_job[] = "[job nothing]\nschedule = manual\nexec = true\n";

static void make(const struct instance_settings *settings)
{
    workdir_make(&dir);
    instance_make(&one, &dir, "one", settings);
}

static void call(const char *const *words)
{
    pgbaton_command(&dir, &told, words, NULL);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *words[6];
    int code;
    const char *says; /* on stdout for 0, else on stderr */
} calls[] = {
    {"the version",              {"--version"},               0,  "pgbaton 0."},
    {"versions of libraries",    {"--version"},               0,  "libpq"},
    {"SQLite's too",             {"--version"},               0,  "sqlite 3."},
    {"help",                     {"--help"},                  0,  "step-down"},
    {"help of run",              {"run", "--help"},           0,  "pgbaton run"},
    {"help of check",            {"check", "--help"},         0,  "pgbaton check"},
    {"help of status",           {"status", "--help"},        0,  "--is-leader"},
    {"help of stop",             {"stop", "--help"},          0,  "pgbaton stop"},
    {"help of reload",           {"reload", "--help"},        0,  "pgbaton reload"},
    {"help of step-down",        {"step-down", "--help"},     0,  "--force"},
    {"help of init-db",          {"init-db", "--help"},       0,  "--print"},
    {"help of exec",             {"exec", "--help"},          0,  "pgbaton exec"},
    {"no command",               {NULL},                      64, "--help"},
    {"an unknown command",       {"lead"},                    64, "lead"},
    {"an unknown option",        {"status", "--colour"},      64, "--colour"},
    {"an option without value",  {"check", "-c"},             64, "-c"},
    {"exec without a job",       {"exec"},                    64, ""},
    {"a file that is not there", {"check", "-c", "/no/such"}, 78, "/no/such"},
};
/* clang-format on */

Test(cli, usage)
{
    workdir_make(&dir);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        call(calls[i].words);
        const char *said = told.code == 0 ? told.out : told.err;

        cr_expect_eq(told.code, calls[i].code, "%s: %d\n%s%s", calls[i].title, told.code, told.out,
                     told.err);
        cr_expect_not_null(strstr(said, calls[i].says), "%s: %s", calls[i].title, said);
    }
}

Test(cli, check_accepts_a_good_file_and_prints_the_budget)
{
    make(&(struct instance_settings){.dsn = "host=db user=u", .job = quiet_job});

    instance_command(&one, &told, "check", NULL);

    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "15s"), "%s", told.out);
    cr_expect_not_null(strstr(told.out, "heartbeat"), "%s", told.out);
}

Test(cli, check_names_every_problem_with_file_and_line)
{
    make(&(struct instance_settings){.dsn = "none", .job = quiet_job});
    text_write(one.ini, "[pgbaton]\n"
                        "colour = red\n"
                        "[database]\n"
                        "dsn = none\n"
                        "[election]\n"
                        "lease = 5 parsecs\n"
                        "[job a]\n"
                        "schedule = sometimes\n"
                        "command = true\n");

    instance_command(&one, &told, "check", NULL);

    cr_expect_eq(told.code, 78);
    char *all = text_format("%s%s", told.out, told.err);
    cr_expect_not_null(strstr(all, "pgbaton.ini:2: [pgbaton] colour:"), "%s", all);
    cr_expect_not_null(strstr(all, "pgbaton.ini:6: [election] lease:"), "%s", all);
    cr_expect_not_null(strstr(all, "pgbaton.ini:8: [job a] schedule:"), "%s", all);
    free(all);
}

Test(cli, a_missing_dsn_shows_the_three_forms)
{
    make(&(struct instance_settings){.job = quiet_job});

    instance_command(&one, &told, "check", NULL);

    cr_expect_eq(told.code, 78);
    cr_expect_not_null(strstr(told.err, "sqlite:"), "%s", told.err);
    cr_expect_not_null(strstr(told.err, "none"), "%s", told.err);
}

Test(cli, check_print_shows_what_is_in_effect_without_secrets)
{
    static const char *const more[] = {"PGBATON_ELECTION_RETRY_INTERVAL=7s", NULL};
    make(&(struct instance_settings){.dsn = "postgresql://u:tell-nobody@db/app", .job = quiet_job});
    const char *const words[] = {"check", "--print", "-c", one.ini, "-o", "election.lease=20s",
                                 NULL};

    pgbaton_command(&dir, &told, words, more);

    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "20s"), "%s", told.out);
    cr_expect_not_null(strstr(told.out, "7s"), "%s", told.out);
    cr_expect_null(strstr(told.out, "tell-nobody"), "%s", told.out);
    cr_expect_null(strstr(told.err, "tell-nobody"), "%s", told.err);
}

/* Each with its configuration behind it where it reads one. Nothing it prints arrives. */
/* clang-format off */
static const struct {
    const char *words[4];
    bool configured;
} printing[] = {
    {{"check"},                           true},
    {{"check", "--print"},                true},
    {{"check", "--json"},                 true},
    {{"check", "--keys"},                 false},
    {{"init-db", "--print"},              true},
    {{"import", "crontab"},               false},
    {{"next", "@daily"},                  false},
    {{"next", "@daily", "--json"},        false},
    {{"--help"},                          false},
    {{"--version"},                       false},
    {{"help", "check"},                   false},
};
/* clang-format on */

Test(cli, output_that_does_not_arrive_is_a_failure)
{
    make(&(struct instance_settings){.dsn = "host=db user=u", .job = quiet_job});
    char *crontab = text_format("%s/crontab", dir.path);
    char *errors = text_format("%s/full.err", dir.path);

    text_write(crontab, "0 3 * * * true\n");
    for (size_t i = 0; i < sizeof printing / sizeof printing[0]; i++) {
        const char *argv[8] = {pgbaton_path()};
        size_t n = 1;

        for (const char *const *word = printing[i].words; *word != NULL; word++) {
            argv[n++] = strcmp(*word, "crontab") == 0 ? crontab : *word;
        }
        if (printing[i].configured) {
            argv[n++] = "-c";
            argv[n++] = one.ini;
        }
        struct program_spec spec = {.argv = argv, .output = "/dev/null", .errors = errors};

        text_write(errors, "");
        cr_expect_eq(program_run(&spec), 0, "%s %s", argv[1], text_tail(errors));
        spec.output = "/dev/full";
        cr_expect_eq(program_run(&spec), 1, "%s", argv[1]);
        cr_expect_not_null(strstr(text_tail(errors), "pgbaton: cannot write the output: No space"),
                           "%s: %s", argv[1], text_tail(errors));
    }
    free(errors);
    free(crontab);
}

Test(cli, run_refuses_a_bad_file_with_78)
{
    make(&(struct instance_settings){.dsn = "none", .election = "lease = no\n", .job = quiet_job});
    instance_start(&one, NULL);

    cr_expect_eq(instance_wait_exit(&one), 78, "%s", text_tail(one.log));
}

static const char *const talkers[] = {"status", "stop", "reload", "step-down"};

Test(cli, without_a_daemon_the_answer_is_69)
{
    make(&(struct instance_settings){.dsn = "none", .job = quiet_job});
    for (size_t i = 0; i < sizeof talkers / sizeof talkers[0]; i++) {
        instance_command(&one, &told, talkers[i], NULL);
        cr_expect_eq(told.code, 69, "%s: %d %s", talkers[i], told.code, told.err);
        cr_expect_neq(strlen(told.err), 0, "%s said nothing", talkers[i]);
    }
}

Test(cli, another_user_may_not_command)
{
    if (geteuid() != 0) {
        cr_skip_test("only root can be another user");
    }
    make(&(struct instance_settings){.dsn = "none", .job = quiet_job});
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");

    one.user = "nobody";
    cr_assert_eq(chmod(one.dir, 0777), 0); /* for the files that hold what the command says */
    instance_command(&one, &told, "stop", NULL);

    cr_expect_eq(told.code, 77, "%d %s%s", told.code, told.out, told.err);
    cr_expect(process_lives(one.supervisor.pid));
    one.user = NULL;
    instance_stop(&one);
}

Test(cli, two_instances_cannot_share_a_run_dir)
{
    static struct instance two;
    make(&(struct instance_settings){.dsn = "none", .job = quiet_job});
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");
    two = one;
    (void)snprintf(two.log, sizeof two.log, "%s/two.log", one.dir);

    instance_start(&two, NULL);

    cr_expect_neq(instance_wait_exit(&two), 0);
    cr_expect(process_lives(one.supervisor.pid));
    instance_command(&one, &told, "status", "--is-leader", NULL);
    cr_expect_eq(told.code, 0);
    instance_stop(&one);
}

Test(cli, stop_stops_and_waits_until_it_is_done)
{
    make(&(struct instance_settings){.dsn = "none", .job = quiet_job});
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");

    instance_command(&one, &told, "stop", NULL);

    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    cr_expect_eq(instance_wait_exit(&one), 0);
}

Test(cli, usr1_opens_the_log_file_anew)
{
    make(&(struct instance_settings){.dsn = "none", .job = quiet_job});
    char *log = text_format("%s/own.log", dir.path);
    char *moved = text_format("%s/own.log.1", dir.path);
    char *key = text_format("log_file = %s\n", log);
    instance_configure(
        &one, &(struct instance_settings){.dsn = "none", .pgbaton = key, .job = quiet_job});
    (void)snprintf(one.log, sizeof one.log, "%s", log);
    instance_start(&one, NULL);
    instance_wait(&one, "elected", "");

    cr_assert_eq(rename(log, moved), 0);
    one.mark = 0;
    program_signal(&one.supervisor, SIGUSR1);

    instance_wait(&one, "log_reopened", "");
    program_signal(&one.supervisor, SIGTERM);
    cr_expect_eq(instance_wait_exit(&one), 0, "%s", text_tail(one.log));
    instance_wait(&one, "released", ""); /* the worker's line is in the new file too */
    free(key);
    free(moved);
    free(log);
}

static void expect_text(const json_t *object, const char *key, const char *value)
{
    const char *is = json_string_value(json_object_get(object, key));

    cr_expect_str_eq(is == NULL ? "(none)" : is, value, "%s", key);
}

Test(cli, status_shows_leader_heir_fleet_and_children)
{
    static struct fleet fleet;
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    json_t *leader = instance_status(&fleet.member[0]);
    json_t *heir = instance_status(&fleet.member[1]);
    cr_assert_not_null(leader);
    cr_assert_not_null(heir);
    expect_text(leader, "instance", "a");
    expect_text(leader, "role", "leader");
    expect_text(leader, "epoch", "1.1");
    expect_text(heir, "role", "heir");
    expect_text(json_object_get(heir, "leader"), "instance", "a");
    expect_text(json_object_get(leader, "database"), "state", "up");
    cr_expect_eq(json_array_size(json_object_get(leader, "fleet")), 2);
    cr_expect_eq(json_array_size(json_object_get(leader, "children")), 3);
    cr_expect(json_number_value(json_object_get(json_object_get(leader, "lease"), "left_seconds")) >
              0);
    json_decref(leader);
    json_decref(heir);

    instance_command(&fleet.member[1], &told, "status", NULL);
    cr_expect_eq(told.code, 0);
    cr_expect_not_null(strstr(told.out, "heir"), "%s", told.out);
    instance_command(&fleet.member[1], &told, "status", "--is-leader", NULL);
    cr_expect_eq(told.code, 1);
    fleet_check(&fleet);
}

Test(cli, init_db_prints_or_makes_the_schema)
{
    static struct fleet fleet;
    fleet_make(&fleet, 1, NULL);

    instance_command(&fleet.member[0], &told, "init-db", "--print", NULL);
    cr_expect_eq(told.code, 0, "%s", told.err);
    cr_expect_not_null(strstr(told.out, "CREATE"), "%s", told.out);
    PGconn *conn = server_connect(&fleet.pg, "test");
    cr_expect_null(server_scalar(conn, "SELECT to_regclass('pgbaton.term')"));

    for (int i = 0; i < 2; i++) { /* and again: it upgrades what is there */
        instance_command(&fleet.member[0], &told, "init-db", NULL);
        cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    }
    cr_expect_not_null(server_scalar(conn, "SELECT to_regclass('pgbaton.term')"));
    cr_expect_not_null(server_scalar(conn, "SELECT to_regclass('pgbaton.leader')"));

    server_stop(&fleet.pg);
    instance_command(&fleet.member[0], &told, "init-db", NULL);
    cr_expect_eq(told.code, 69, "%s", told.err);
    PQfinish(conn);
}

/* PB001: the epoch is over. The caller's transaction holds the election's row meanwhile. */
Test(cli, assert_leader_fences_transactions)
{
    static struct fleet fleet;
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "test");

    server_do(conn, "SELECT pgbaton.assert_leader('main/1.1')");
    PGresult *result = PQexec(conn, "SELECT pgbaton.assert_leader('main/1.0')");
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    cr_expect_str_eq(state == NULL ? "none" : state, "PB001");
    PQclear(result);

    instance_stop(&fleet.member[0]);
    instance_mark(&fleet.member[0]);
    instance_start(&fleet.member[0], NULL);
    instance_wait(&fleet.member[0], "elected", "epoch=1.2");
    result = PQexec(conn, "SELECT pgbaton.assert_leader('main/1.1')");
    state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    cr_expect_str_eq(state == NULL ? "none" : state, "PB001");
    PQclear(result);
    PQfinish(conn);
    fleet_check(&fleet);
}
