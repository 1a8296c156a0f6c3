/*
 * The keys of runs: what [jobs] says of all of them, the policies of a job, and its statements.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "tests/unit/config_fixture.h"

TestSuite(config_runs, .init = config_fixture_up, .fini = config_fixture_down);

#define POSTGRES "[database]\ndsn = host=h\n"
#define JOB "[job a]\nschedule = every 1m\ncommand = x\n"
#define SQL POSTGRES "[job a]\nschedule = every 1m\nsql = SELECT 1\n"
#define SERVICE "[job a]\nschedule = always\ncommand = x\n"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    const char *problem;
} wrong[] = {
    {"nobody may run", "[jobs]\nmax_running = 0\n",
        "pgbaton.ini:2: [jobs] max_running: 0 is out of range; it may be 1 to 10000"},
    {"a history of moments", "[jobs]\nhistory = 1s\n",
        "pgbaton.ini:2: [jobs] history: 1s is out of range; it may be 1m to 3660d"},
    {"no run is kept", "[jobs]\nhistory_runs = 0\n",
        "pgbaton.ini:2: [jobs] history_runs: 0 is out of range; it may be 1 to 1000000"},
    {"no size", "[jobs]\noutput_limit = much\n",
        "pgbaton.ini:2: [jobs] output_limit: 'much' is not a size such as 64KiB, 1MiB or 4096"},
    {"too large a size", "[jobs]\noutput_limit = 17MiB\n",
        "pgbaton.ini:2: [jobs] output_limit: 17MiB is out of range; it may be 0 to 16MiB"},
    {"a size beyond all", "[jobs]\noutput_limit = 99999999999999999999\n",
        "pgbaton.ini:2: [jobs] output_limit: 99999999999999999999 is out of range; it may be 0 to 16MiB"},
    {"of all jobs, not of one", JOB "output_limit = 1KiB\n",
        "pgbaton.ini:4: [job a] output_limit: is no key of this section; it belongs into [jobs]"},
    {"no policy", JOB "overlap = wait\n",
        "pgbaton.ini:4: [job a] overlap: 'wait' is none of skip|queue|replace|allow"},
    {"no policy of what was missed", JOB "missed = some\n",
        "pgbaton.ini:4: [job a] missed: 'some' is none of once|skip|all"},
    {"a window of nothing", JOB "missed_window = 0\n",
        "pgbaton.ini:4: [job a] missed_window: 0 is out of range; it may be 1s to 366d"},
    {"at most none", JOB "missed_max = 0\n",
        "pgbaton.ini:4: [job a] missed_max: 0 is out of range; it may be 1 to 10000"},
    {"no policy of interruptions", JOB "on_interrupt = retry\n",
        "pgbaton.ini:4: [job a] on_interrupt: 'retry' is none of skip|rerun"},
    {"more retries than a day has", JOB "retries = 1001\n",
        "pgbaton.ini:4: [job a] retries: 1001 is out of range; it may be 0 to 1000"},
    {"fewer than none", JOB "retries = -1\n",
        "pgbaton.ini:4: [job a] retries: -1 is out of range; it may be 0 to 1000"},
    {"a delay of weeks", JOB "retry_delay = 2w\n",
        "pgbaton.ini:4: [job a] retry_delay: 2w is out of range; it may be 0 to 1d"},
    {"no exit code", JOB "success_codes = 0,256\n",
        "pgbaton.ini:4: [job a] success_codes: '0,256' is no list of exit codes from 0 to 255 such as 0,3,75-78"},
    {"a mutex with blanks", JOB "mutex = a b\n",
        "pgbaton.ini:4: [job a] mutex: 'a b' is not a name: letters, digits and _.:@+- please, beginning with a letter, a digit or _"},
    {"a hook of nothing", JOB "on_failure =\n",
        "pgbaton.ini:4: [job a] on_failure: is empty; give it a command, or none"},
    {"nothing is kept of a run", JOB "record = none\n",
        "pgbaton.ini:4: [job a] record: 'none' is none of all|failures"},

    {"no action at all", "[job a]\nschedule = manual\n",
        "pgbaton.ini:1: [job a] command: is missing; a job needs command = TEXT, exec = WORDS or sql = STATEMENTS"},
    {"statements beside a command", POSTGRES JOB "sql = SELECT 1\n",
        "pgbaton.ini:3: [job a] sql: is there beside command; keep one of them"},
    {"statements beside words", POSTGRES "[job a]\nschedule = manual\nexec = x\nsql = SELECT 1\n",
        "pgbaton.ini:3: [job a] sql: is there beside exec; keep one of them"},
    {"both as defaults", POSTGRES "[jobs]\ncommand = x\nsql = SELECT 1\n",
        "pgbaton.ini:5: [jobs] sql: is there beside command; keep one of them"},
    {"no statements", POSTGRES "[job a]\nschedule = manual\nsql =\n",
        "pgbaton.ini:5: [job a] sql: is empty; give it statements, or use enabled = no"},
    {"a comment that takes in the rest", SQL "  -- all of it\n  WHERE a\n",
        "pgbaton.ini:5: [job a] sql: has a comment that begins with --; lines are joined here, so it would take in all that follows: write /* ... */"},
    {"statements for a file", "[database]\ndsn = sqlite:/x\n[job a]\nschedule = manual\nsql = SELECT 1\n",
        "pgbaton.ini:5: [job a] sql: needs PostgreSQL, and [database] dsn names none; use command or exec, or give dsn a server"},
    {"statements for nobody", "[database]\ndsn = none\n[jobs]\nsql = SELECT 1\n[job a]\nschedule = manual\n",
        "pgbaton.ini:4: [job a] sql: needs PostgreSQL, and [database] dsn names none; use command or exec, or give dsn a server"},
    {"a role for a command", POSTGRES JOB "sql_role = r\n",
        "pgbaton.ini:6: [job a] sql_role: is for sql only; who runs a command is said by user"},
    {"a transaction for a command", POSTGRES JOB "sql_transaction = no\n",
        "pgbaton.ini:6: [job a] sql_transaction: is for sql only"},
    {"exit codes of statements", SQL "on_failure = x\nsuccess_codes = 0,3\n",
        "pgbaton.ini:7: [job a] success_codes: says nothing to statements: they have no exit code"},
    {"a user of statements", SQL "user = nobody\n",
        "pgbaton.ini:6: [job a] user: is for a command and for hooks; who runs statements is said by sql_role"},
    {"a critical job that ends", JOB "critical = yes\n",
        "pgbaton.ini:4: [job a] critical: is for a service only (schedule = always)"},
};
/* clang-format on */

Test(config_runs, refusals)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        bool has_dsn = strstr(wrong[i].text, "dsn =") != NULL;
        struct config_result r;

        config_fixture_write("pgbaton.ini", wrong[i].text);
        r = has_dsn ? config_fixture_read_with(NULL, NULL)
                    : config_fixture_read_with((const char *[]){"database.dsn=none", NULL}, NULL);
        cr_expect_eq(r.problems.errors, 1, "%s", wrong[i].title);
        cr_expect(config_fixture_has(&r, wrong[i].problem), "%s", wrong[i].title);
        config_fixture_release(&r);
    }
}

/* What a service has no use for is said, and does no harm. */
Test(config_runs, a_service_has_no_ticks)
{
    static const char *const keys[] = {"overlap = queue",      "missed = all", "missed_window = 1h",
                                       "missed_max = 2",       "retries = 3",  "retry_delay = 1s",
                                       "on_interrupt = rerun", "missed = skip"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char text[256];
        char expected[256];
        struct config_result r;

        (void)snprintf(text, sizeof(text), SERVICE "%s\n", keys[i]);
        (void)snprintf(expected, sizeof(expected),
                       "pgbaton.ini:4: warning: [job a] %.*s: says nothing",
                       (int)strcspn(keys[i], " "), keys[i]);
        r = config_fixture_read_text(text);
        cr_expect_eq(r.rc, 0, "%s", keys[i]);
        cr_assert_eq(r.problems.count, 1, "%s", keys[i]);
        cr_expect_eq(strncmp(r.problems.list[0].text, expected, strlen(expected)), 0, "%s: %s",
                     keys[i], r.problems.list[0].text);
        config_fixture_release(&r);
    }
}

Test(config_runs, defaults_are_for_those_whom_they_concern)
{
    struct config_result r;

    config_fixture_write("pgbaton.ini",
                         POSTGRES "[jobs]\ncritical = yes\nsql_role = r\nsql_transaction = no\n"
                                  "overlap = queue\nretries = 3\n"
                                  "[job a]\nschedule = every 1m\ncommand = x\n"
                                  "[job b]\nschedule = every 1m\nsql = SELECT 1\n"
                                  "[job c]\nschedule = always\ncommand = x\n");
    r = config_fixture_read_with(NULL, NULL);
    config_problems_print(&r.problems, stderr);
    cr_assert_eq(r.rc, 0);
    cr_expect_eq(r.problems.count, 0);
    cr_expect_null(r.cfg->jobs[0].sql_role);
    cr_expect_not(r.cfg->jobs[0].critical);
    cr_expect_eq(r.cfg->jobs[0].overlap, OVERLAP_QUEUE);
    cr_expect_str_eq(r.cfg->jobs[1].sql_role, "r");
    cr_expect_not(r.cfg->jobs[1].sql_transaction);
    cr_expect(r.cfg->jobs[2].critical);
    config_fixture_release(&r);
}

Test(config_runs, defaults)
{
    struct config *cfg = config_fixture_config("[database]\ndsn = none\n" JOB);
    const struct config_job *job = &cfg->jobs[0];

    cr_expect_eq(cfg->runs.max_running, 100);
    cr_expect_eq(cfg->runs.history, DUR_S(30 * 86400));
    cr_expect_eq(cfg->runs.history_runs, 10000);
    cr_expect_eq(cfg->runs.output_limit, 65536);
    cr_expect_eq(job->overlap, OVERLAP_SKIP);
    cr_expect_eq(job->missed, MISSED_ONCE);
    cr_expect_eq(job->missed_window, DUR_S(86400));
    cr_expect_eq(job->missed_max, 100);
    cr_expect_eq(job->on_interrupt, INTERRUPT_SKIP);
    cr_expect_eq(job->retries, 0);
    cr_expect_eq(job->retry_delay, DUR_S(10));
    cr_expect(exit_codes_has(&job->success_codes, 0));
    cr_expect_not(exit_codes_has(&job->success_codes, 1));
    cr_expect_null(job->mutex);
    cr_expect_null(job->sql_role);
    cr_expect_null(job->on_failure);
    cr_expect_null(job->on_recovery);
    cr_expect_null(job->on_success);
    cr_expect_not(job->critical);
    cr_expect_eq(job->record, RECORD_ALL);
    config_free(cfg);
}

Test(config_runs, a_whole_job)
{
    struct config *cfg = config_fixture_config(
        "[database]\ndsn = none\n"
        "[jobs]\nmax_running = 7\nhistory = 1w\nhistory_runs = 5\noutput_limit = 1MiB\n"
        "on_success = default\n"
        "[job a]\nschedule = every 1m\ncommand = x\noverlap = replace\nmissed = all\n"
        "missed_window = 2h\nmissed_max = 3\non_interrupt = rerun\nretries = 4\nretry_delay = 5s\n"
        "success_codes = 3, 0\nmutex = m\non_failure = f $A\non_recovery = r\non_success = none\n"
        "record = failures\n");
    const struct config_job *job = &cfg->jobs[0];

    cr_expect_eq(cfg->runs.max_running, 7);
    cr_expect_eq(cfg->runs.history, DUR_S(7 * 86400));
    cr_expect_eq(cfg->runs.history_runs, 5);
    cr_expect_eq(cfg->runs.output_limit, 1048576);
    cr_expect_eq(job->overlap, OVERLAP_REPLACE);
    cr_expect_eq(job->missed, MISSED_ALL);
    cr_expect_eq(job->missed_window, DUR_S(7200));
    cr_expect_eq(job->missed_max, 3);
    cr_expect_eq(job->on_interrupt, INTERRUPT_RERUN);
    cr_expect_eq(job->retries, 4);
    cr_expect_eq(job->retry_delay, DUR_S(5));
    cr_expect(exit_codes_has(&job->success_codes, 3));
    cr_expect_str_eq(job->mutex, "m");
    cr_expect_str_eq(job->on_failure, "f $A");
    cr_expect_str_eq(job->on_recovery, "r");
    cr_expect_null(job->on_success, "none stands against the default");
    cr_expect_eq(job->record, RECORD_FAILURES);
    config_free(cfg);
}

Test(config_runs, statements)
{
    struct config *cfg =
        config_fixture_config(POSTGRES "[jobs]\ncommand = x\n"
                                       "[job a]\nschedule = every 1m\nsql = DELETE FROM t\n"
                                       "    WHERE a < 'now; # -- ';\n    SELECT 1\n"
                                       "sql_role = a-role\nsql_transaction = no\n");
    const struct config_job *job = &cfg->jobs[0];

    cr_expect_eq(job->action, ACTION_SQL, "a job's own sql beats a default command");
    cr_expect_str_eq(job->command, "DELETE FROM t WHERE a < 'now; # -- '; SELECT 1");
    cr_expect_null(job->words);
    cr_expect_str_eq(job->shell[0], "/bin/sh", "its hooks need one");
    cr_expect_str_eq(job->shell[1], "-c");
    cr_expect_null(job->shell[2]);
    cr_expect_str_eq(job->sql_role, "a-role");
    cr_expect_not(job->sql_transaction);
    config_free(cfg);

    cfg = config_fixture_config(SQL);
    cr_expect(cfg->jobs[0].sql_transaction);
    config_free(cfg);
}

/* In vain where a job has nothing but statements; its hooks are run by a shell, with all of that.
 */
Test(config_runs, statements_have_no_shell_but_their_hooks_have)
{
    static const char *const keys[] = {
        "user = nobody",          "shell = /bin/bash -c", "directory = /tmp",
        "umask = 0022",           "environment = A=b",    "environment_file = /x",
        "clean_environment = on", "pass_database = yes",
    };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char text[512];
        struct config_result r;

        (void)snprintf(text, sizeof(text), SQL "%s\n", keys[i]);
        config_fixture_write("pgbaton.ini", text);
        r = config_fixture_read_with(NULL, NULL);
        cr_expect_eq(r.problems.errors, 1, "%s", keys[i]);
        config_fixture_release(&r);

        (void)snprintf(text, sizeof(text), SQL "%s\non_recovery = x\n", keys[i]);
        config_free(config_fixture_config(text));
        (void)snprintf(text, sizeof(text), SQL "[jobs]\n%s\n", keys[i]);
        config_free(config_fixture_config(text));
    }
}

/* What --print shows, and that it can be read back. */
Test(config_runs, print)
{
    static const char *const lines[] = {
        "max_running = 100\n",
        "history = 30d\n",
        "history_runs = 10000\n",
        "output_limit = 64KiB\n",
        "overlap = skip\n",
        "missed = once\n",
        "missed_window = 1d\n",
        "missed_max = 100\n",
        "on_interrupt = skip\n",
        "retries = 0\n",
        "retry_delay = 10s\n",
        "# pgbaton.ini:9\nsuccess_codes = 0-2\n",
        "sql_transaction = yes\n",
        "on_failure = none\n",
        "critical = no\n",
        "record = all\n",
        "# pgbaton.ini:5\nsql = SELECT 1\n",
    };
    struct config *cfg =
        config_fixture_config(SQL "[job b]\nschedule = manual\ncommand = x\nsuccess_codes = 2,1,0\n"
                                  "[jobs]\nuser = nobody\nsql_role = r\n");
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    config_print(cfg, to);
    cr_assert_eq(fclose(to), 0);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        cr_expect_not_null(strstr(text, lines[i]), "%s", lines[i]);
    }
    config_free(cfg);
    cfg = config_fixture_config(text);
    cr_expect_eq(cfg->jobs[0].action, ACTION_SQL);
    config_free(cfg);
    free(text);
}

/* The monitor knows that it is an SQL job, and none of its statements or hooks. */
Test(config_runs, secrets_are_not_sealed_for_the_monitor)
{
    struct config *cfg = config_fixture_config(SQL "on_failure = tell secret\nsql_role = r\n");
    struct config *sealed = NULL;
    int fd = config_seal(cfg, false);

    cr_assert_geq(fd, 0);
    cr_assert_eq(config_unseal(fd, &sealed), 0);
    cr_expect_eq(sealed->jobs[0].action, ACTION_SQL);
    cr_expect_str_eq(sealed->jobs[0].command, "-");
    cr_expect_str_eq(sealed->jobs[0].on_failure, "-");
    config_free(sealed);
    config_free(cfg);
}
