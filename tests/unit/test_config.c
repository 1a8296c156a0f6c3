/*
 * Keys and values: what is taken, what is refused and how, and which source counts.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/config_table.h"
#include "common/random.h"
#include "tests/unit/config_fixture.h"

TestSuite(config, .init = config_fixture_up, .fini = config_fixture_down);

#define JOB "[job a]\nschedule = manual\n"
#define FORMS                                                                                      \
    "dsn = host=db.example dbname=app user=app (or postgresql://app@db.example/app), "             \
    "dsn = sqlite:/var/lib/pgbaton/pgbaton.db, or dsn = none"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    const char *problem;
} wrong[] = {
    {"no duration", "[election]\nlease = 5 parsecs\n",
        "pgbaton.ini:2: [election] lease: '5 parsecs' is not a duration such as 500ms, 10s or 90m: one number and one unit"},
    {"a duration out of range", "[election]\nlease = 2d\n",
        "pgbaton.ini:2: [election] lease: 2d is out of range; it may be 1s to 1h"},
    {"a duration beyond all", "[election]\nlease = 9999999999999999999s\n",
        "pgbaton.ini:2: [election] lease: 9999999999999999999s is out of range; it may be 1s to 1h"},
    {"no word for yes", "[election]\nenabled = maybe\n",
        "pgbaton.ini:2: [election] enabled: 'maybe' is neither yes nor no"},
    {"none of the words", "[pgbaton]\nlog_level = loud\n",
        "pgbaton.ini:2: [pgbaton] log_level: 'loud' is none of debug|info|warn|error"},
    {"a part of a word", "[pgbaton]\nlog_level = inf\n",
        "pgbaton.ini:2: [pgbaton] log_level: 'inf' is none of debug|info|warn|error"},
    {"no percentage", "[election]\nretry_jitter = some\n",
        "pgbaton.ini:2: [election] retry_jitter: 'some' is not a percentage such as 20%"},
    {"more than all", "[election]\nretry_jitter = 101%\n",
        "pgbaton.ini:2: [election] retry_jitter: 101% is out of range; it may be 0% to 100%"},
    {"no number of 64 bits", "[election]\nkey = 0x1G\n",
        "pgbaton.ini:2: [election] key: '0x1G' is not a 64-bit number such as 0x12345678ABCDEF00 or 42"},
    {"65 bits", "[election]\nkey = 0x10000000000000000\n",
        "pgbaton.ini:2: [election] key: 0x10000000000000000 has more than 64 bits"},
    {"too far below zero", "[election]\nkey = -9223372036854775809\n",
        "pgbaton.ini:2: [election] key: -9223372036854775809 has more than 64 bits"},
    {"a name with a blank", "[election]\nname = a b\n",
        "pgbaton.ini:2: [election] name: 'a b' is not a name: letters, digits and _.:@+- please, beginning with a letter, a digit or _"},
    {"a schema of PostgreSQL's", "[database]\nschema = pg_baton\n",
        "pgbaton.ini:2: [database] schema: 'pg_baton' cannot be: PostgreSQL keeps the names that begin with pg_"},
    {"a label with a blank", "[pgbaton]\ninstance = my host\n",
        "pgbaton.ini:2: [pgbaton] instance: 'my host' has blanks in it; leave them out"},
    {"an empty path", "[pgbaton]\nlog_file =\n",
        "pgbaton.ini:2: [pgbaton] log_file: is empty; give it a path"},
    {"both of them", JOB "command = a\nexec = b\n",
        "pgbaton.ini:1: [job a] exec: is there beside command; keep one of them"},
    {"both of them as defaults", "[jobs]\ncommand = a\nexec = b\n",
        "pgbaton.ini:3: [jobs] exec: is there beside command; keep one of them"},
    {"an empty command", JOB "command =\n",
        "pgbaton.ini:3: [job a] command: is empty; give it a command, or use enabled = no"},
    {"an empty exec", JOB "exec = ''\n",
        "pgbaton.ini:3: [job a] exec: is empty; the first word is what to run"},
    {"a quote without its second", JOB "exec = echo 'a\n",
        "pgbaton.ini:3: [job a] exec: a ' has no second one that ends the quoted text"},
    {"a schedule of another kind", "[job a]\nschedule = sometimes\ncommand = a\n",
        "pgbaton.ini:2: [job a] schedule: 'sometimes' is not a schedule such as '30 3 * * *', '@daily', 'every 30s', 'at 2026-12-24T18:00', '@elected', '@released', 'always', 'after JOB' or 'manual'"},
    {"a variable without a value", JOB "command = a\nenvironment = A=1 SECRET\n",
        "pgbaton.ini:4: [job a] environment: word 2 is not NAME=VALUE; quote a value with blanks: NAME='a b'"},
    {"a variable twice", JOB "command = a\nenvironment = A=1 AB=2 A=3\n",
        "pgbaton.ini:4: [job a] environment: A is there twice; keep one of the two"},
    {"no octal number", JOB "command = a\numask = 0089\n",
        "pgbaton.ini:4: [job a] umask: '0089' is not an octal number such as 0022"},
    {"too many bits", JOB "command = a\numask = 1000\n",
        "pgbaton.ini:4: [job a] umask: 1000 is out of range; it may be 0000 to 0777"},
    {"nicer than possible", JOB "command = a\nnice = 20\n",
        "pgbaton.ini:4: [job a] nice: 20 is out of range; it may be -20 to 19"},
    {"a file without a directory is a slip", JOB "command = a\noutput = logs\n",
        "pgbaton.ini:4: [job a] output: 'logs' is none of log, none, or a file with a / in its name"},
    {"a wrong default is reported where it is", "[jobs]\ngrace = x\n" JOB "command = a\n",
        "pgbaton.ini:2: [jobs] grace: 'x' is not a duration such as 500ms, 10s or 90m: one number and one unit"},
    {"the budget, at the line of the lease", "[database]\n[election]\nlease = 4s\nheartbeat = 500ms\n",
        NULL /* dsn = none: no lease */},
    {"not yet: a key", "[pgbaton]\nlisten = 127.0.0.1:9853\n",
        "pgbaton.ini:2: [pgbaton] listen: '127.0.0.1:9853' is not available in this version; it does what 'off' says"},
    {"not yet: a format", "[pgbaton]\nlog_format = json\n",
        "pgbaton.ini:2: [pgbaton] log_format: 'json' is not available in this version; it does what 'text' says"},
    {"what is true already is taken", "[pgbaton]\nlisten = off\nlog_format = text\nhttp_details = no\n" JOB
        "command = a\noverlap = skip\nretries = 0\njitter = 0\nzone = UTC\nsuccess_codes = 0\ncritical = no\non_interrupt = skip\n", NULL},
};
/* clang-format on */

Test(config, refusals)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct config_result r = config_fixture_read_text(wrong[i].text);

        if (wrong[i].problem == NULL) {
            config_problems_print(&r.problems, stderr);
            cr_expect_eq(r.rc, 0, "%s", wrong[i].title);
        } else {
            cr_expect_eq(r.problems.errors, 1, "%s", wrong[i].title);
            cr_expect(config_fixture_has(&r, wrong[i].problem), "%s", wrong[i].title);
        }
        config_fixture_release(&r);
    }
}

/* clang-format off */
static const struct {
    const char *title;
    const char *dsn;
    const char *problem;
    enum database_kind kind;
    const char *means;
} dsns[] = {
    {"conninfo", "host=h dbname=d", NULL, DATABASE_POSTGRES, "host=h dbname=d"},
    {"a password may look like an address", "host=h password=a://b", NULL, DATABASE_POSTGRES, "host=h password=a://b"},
    {"a URI", "postgresql://u@h/d?x=y", NULL, DATABASE_POSTGRES, "postgresql://u@h/d?x=y"},
    {"the other URI", "postgres://h1,h2/d", NULL, DATABASE_POSTGRES, "postgres://h1,h2/d"},
    {"a file", "sqlite:/a/b.db", NULL, DATABASE_SQLITE, "/a/b.db"},
    {"three slashes are an absolute path", "sqlite:///a.db", NULL, DATABASE_SQLITE, "///a.db"},
    {"nothing", "none", NULL, DATABASE_NONE, "none"},
    {"empty", "", "-o: [database] dsn: is empty; give one of: " FORMS, 0, NULL},
    {"a word", "mydb", "-o: [database] dsn: is nothing that libpq would take; give one of: " FORMS, 0, NULL},
    {"another database", "mysql://u:secret@h/d?a=b", "-o: [database] dsn: is an address of something else; give one of: " FORMS, 0, NULL},
    {"quotes", "\"host=h\"", "-o: [database] dsn: begins with a quote; the value of a key is written without quotes", 0, NULL},
    {"a file without a name", "sqlite:", "-o: [database] dsn: names no file; write sqlite:/var/lib/pgbaton/pgbaton.db", 0, NULL},
    {"a file as an address", "sqlite://host/a", "-o: [database] dsn: is a path behind 'sqlite:', without '//'", 0, NULL},
};
/* clang-format on */

Test(config, dsn)
{
    config_fixture_write("pgbaton.ini", "");
    for (size_t i = 0; i < ARRAY_LEN(dsns); i++) {
        char option[128];
        const char *overrides[] = {option, NULL};

        (void)snprintf(option, sizeof(option), "database.dsn=%s", dsns[i].dsn);

        struct config_result r = config_fixture_read_with(overrides, NULL);

        if (dsns[i].problem != NULL) {
            cr_expect(config_fixture_has(&r, dsns[i].problem), "%s", dsns[i].title);
        } else {
            cr_assert_eq(r.rc, 0, "%s", dsns[i].title);
            cr_expect(r.cfg->database.kind == dsns[i].kind, "%s", dsns[i].title);
            cr_expect_str_eq(r.cfg->database.dsn, dsns[i].means, "%s", dsns[i].title);
        }
        config_fixture_release(&r);
    }
}

Test(config, dsn_has_no_default)
{
    config_fixture_write("pgbaton.ini", "[database]\n");
    struct config_result r = config_fixture_read_with(NULL, NULL);

    cr_expect_eq(r.problems.errors, 1);
    cr_expect(
        config_fixture_has(&r, "pgbaton.ini: [database] dsn: is not set; give one of: " FORMS));
    config_fixture_release(&r);
}

Test(config, defaults)
{
    struct config *cfg = config_fixture_config("[database]\ndsn = host=h\n" JOB "command = x\n");
    char instance[INSTANCE_MAX];
    char host[64] = "";

    cr_assert_eq(gethostname(host, sizeof(host)), 0);
    (void)snprintf(instance, sizeof(instance), "%s:%d", host, (int)getpid());
    cr_expect_str_eq(cfg->pgbaton.instance, instance);
    cr_expect_null(cfg->pgbaton.run_dir);
    cr_expect_null(cfg->pgbaton.user);
    cr_expect_null(cfg->pgbaton.log_file);
    cr_expect(cfg->pgbaton.log_level == LEVEL_INFO);
    cr_expect_eq(cfg->pgbaton.stop_timeout, DUR_S(8));
    cr_expect_str_eq(cfg->database.schema, "pgbaton");
    cr_expect_eq(cfg->database.connect_timeout, DUR_S(5));
    cr_expect(cfg->database.create_schema);
    cr_expect_eq(cfg->database.max_clock_skew, DUR_S(2));
    cr_expect(cfg->election.enabled);
    cr_expect_str_eq(cfg->election.name, "main");
    cr_expect_eq(cfg->election.key, INT64_C(0x12345678ABCDEF00));
    cr_expect(cfg->election.mode == MODE_HEIR);
    cr_expect_eq(cfg->election.lease, DUR_S(15));
    cr_expect_eq(cfg->election.heartbeat, DUR_S(1));
    cr_expect_eq(cfg->election.stop_grace, DUR_S(3));
    cr_expect_eq(cfg->election.loss_grace, DUR_MS(500));
    cr_expect_eq(cfg->election.takeover_delay, DUR_S(2));
    cr_expect_eq(cfg->election.retry_interval, DUR_S(5));
    cr_expect_eq(cfg->election.retry_jitter, 20);
    cr_expect_eq(cfg->election.backoff_max, DUR_S(60));
    cr_expect(cfg->jobs_enabled);
    config_free(cfg);
}

Test(config, defaults_of_a_job)
{
    struct config *cfg = config_fixture_config("[database]\ndsn = none\n" JOB "command = x y\n");
    const struct config_job *job = config_job_find(cfg, "a");

    cr_assert_not_null(job);
    cr_expect_eq(job->origin.line, 3);
    cr_expect(job->schedule.kind == SCHEDULE_MANUAL);
    cr_expect(job->action == ACTION_COMMAND);
    cr_expect_str_eq(job->words[0], "/bin/sh");
    cr_expect_str_eq(job->words[1], "-c");
    cr_expect_str_eq(job->words[2], "x y");
    cr_expect_null(job->words[3]);
    cr_expect_eq(job->timeout, 0);
    cr_expect_eq(job->grace, DUR_S(5));
    cr_expect_null(job->user);
    cr_expect_null(job->directory);
    cr_expect_eq(job->umask, -1);
    cr_expect_eq(job->nice, INT_MIN);
    cr_expect_null(job->environment);
    cr_expect_null(job->environment_file);
    cr_expect_not(job->clean_environment);
    cr_expect_not(job->pass_database);
    cr_expect(job->output == OUTPUT_LOG);
    cr_expect(job->enabled);
    config_free(cfg);
}

Test(config, a_whole_job)
{
    struct config *cfg = config_fixture_config(
        "[database]\ndsn = none\n"
        "[job a.b-c]\nschedule = every 30s\nexec = /bin/x 'a b' \"c'\\\"d\" e\\ f ''\ntimeout = "
        "1m\n"
        "grace = 0\nuser = nobody\ndirectory = /tmp\numask = 027\nnice = -5\n"
        "environment = A=1 B='x y' C=\n"
        "clean_environment = on\npass_database = true\noutput = none\nenabled = 0\n");
    const struct config_job *job = config_job_find(cfg, "a.b-c");

    cr_assert_not_null(job);
    cr_expect_str_eq(job->schedule_text, "every 30s");
    cr_expect_eq(job->schedule.every, DUR_S(30));
    cr_expect(job->action == ACTION_EXEC);
    static const char *const words[] = {"/bin/x", "a b", "c'\"d", "e f", ""};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        cr_expect_str_eq(job->words[i], words[i]);
    }
    cr_expect_null(job->words[ARRAY_LEN(words)]);
    cr_expect_eq(job->timeout, DUR_S(60));
    cr_expect_eq(job->grace, 0);
    cr_expect_str_eq(job->user, "nobody");
    cr_expect_eq(job->umask, 027);
    cr_expect_eq(job->nice, -5);
    cr_expect_str_eq(job->environment[1], "B=x y");
    cr_expect_str_eq(job->environment[2], "C=");
    cr_expect_null(job->environment[3]);
    cr_expect(job->clean_environment && job->pass_database && !job->enabled);
    cr_expect(job->output == OUTPUT_NONE);
    cr_expect_not(config_has_user_jobs(cfg), "the only one that names a user is not enabled");
    config_free(cfg);
}

Test(config, jobs_gives_defaults)
{
    struct config *cfg =
        config_fixture_config("[database]\ndsn = none\n"
                              "[jobs]\nschedule = every 1m\nexec = all\ngrace = 1s\n"
                              "enabled = no\nshell = /bin/bash -euc\n"
                              "[job a]\n[job b]\ncommand = own\ngrace = 2s\n");

    cr_assert_eq(cfg->job_count, 2);
    cr_expect_not(cfg->jobs_enabled);
    cr_expect(cfg->jobs[0].enabled, "[jobs] enabled is about leading");
    cr_expect_str_eq(cfg->jobs[0].words[0], "all");
    cr_expect_eq(cfg->jobs[0].grace, DUR_S(1));
    cr_expect(cfg->jobs[1].action == ACTION_COMMAND, "a job's own command beats a default exec");
    cr_expect_str_eq(cfg->jobs[1].words[0], "/bin/bash");
    cr_expect_str_eq(cfg->jobs[1].words[2], "own");
    cr_expect_eq(cfg->jobs[1].grace, DUR_S(2));
    cr_expect_eq(cfg->jobs[1].schedule.every, DUR_S(60));
    config_free(cfg);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    uint64_t bits;
} keys[] = {
    {"hexadecimal, all 64 bits", "key = 0xFFFFFFFFFFFFFFFF", UINT64_MAX},
    {"small letters too", "key = 0xabcdef", 0xABCDEF},
    {"decimal", "key = 42", 42},
    {"a zero in front is no octal number", "key = 010", 10},
    {"below zero", "key = -9223372036854775808", UINT64_C(1) << 63},
    {"all 64 bits in decimal", "key = 18446744073709551615", UINT64_MAX},
    {"zero", "key = 0", 0},
    {"a key beats a name", "name = x\nkey = 7", 7},
};
/* clang-format on */

Test(config, key)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char text[128];

        (void)snprintf(text, sizeof(text), "[database]\ndsn = none\n[election]\n%s\n",
                       keys[i].text);
        struct config *cfg = config_fixture_config(text);

        cr_expect_eq((uint64_t)cfg->election.key, keys[i].bits, "%s", keys[i].title);
        config_free(cfg);
    }
}

Test(config, a_name_makes_the_key)
{
    struct config *cfg =
        config_fixture_config("[database]\ndsn = none\n[election]\nname = billing\n");

    cr_expect_eq((uint64_t)cfg->election.key, random_hash("pgbaton/billing"));
    config_free(cfg);
}

Test(config, heartbeat_follows_the_lease)
{
    struct config *cfg =
        config_fixture_config("[database]\ndsn = host=h\n[election]\nlease = 5s\n");

    cr_expect_eq(cfg->election.heartbeat, DUR_MS(500));
    config_free(cfg);
}

Test(config, the_budget_is_enforced)
{
    static const char *const postgres[] = {"database.dsn=host=h", NULL};
    struct config_result r;

    config_fixture_write("pgbaton.ini", "[election]\nheartbeat = 500ms\nlease = 4s\n");
    r = config_fixture_read_with(postgres, NULL);
    cr_expect_eq(r.problems.errors, 1);
    cr_expect(config_fixture_has(
        &r, "pgbaton.ini:3: [election] lease: 4s is too short: heartbeat * 3 + stop_grace + margin "
            "(500ms * 3 + 3s + 500ms) must fit into it; make lease at least 5s, or heartbeat or "
            "stop_grace shorter"));
    config_fixture_release(&r);

    config_fixture_write("pgbaton.ini", "[election]\nstop_grace = 14s\n");
    r = config_fixture_read_with(postgres, NULL);
    cr_expect(r.problems.errors == 1 &&
              strncmp(r.problems.list[0].text, "pgbaton.ini:2: [election] stop_grace: ", 38) == 0);
    config_fixture_release(&r);

    config_fixture_write("pgbaton.ini", "[election]\nlease = 4s\nenabled = no\n");
    r = config_fixture_read_with(postgres, NULL);
    cr_expect_eq(r.rc, 0, "without an election there is no lease");
    config_fixture_release(&r);
}

Test(config, sources_in_their_order)
{
    static const char *const overrides[] = {"election.lease=30s",     "election.lease = 31s",
                                            "job a.command=from -o",  "job new.x.schedule=always",
                                            "job new.x.command=made", NULL};
    const char *environment[] = {
        "PGBATON_DATABASE_DSN=none",        "PGBATON_ELECTION_LEASE=20s",
        "PGBATON_ELECTION_HEARTBEAT=900ms", "PGBATON_JOBS_GRACE=3s",
        "PGBATON_JOBS_ENABLED=no",          "PGBATON_PORT=tcp://10.0.0.1:80",
        "PGBATON_JOB_A_COMMAND=x",          "PGBATON_ELECTION=main",
        "PGBATON_ELECTION_PORT_80_TCP=y",   NULL};
    struct config_result r;

    config_fixture_write("pgbaton.ini", "[election]\nlease = 10s\nheartbeat = 800ms\n" JOB
                                        "command = from the file\n");
    r = config_fixture_read_with(overrides, environment);
    config_problems_print(&r.problems, stderr);
    cr_assert_eq(r.rc, 0);
    cr_expect(r.cfg->database.kind == DATABASE_NONE);
    cr_expect_eq(r.cfg->election.lease, DUR_S(31), "the last -o counts");
    cr_expect_eq(r.cfg->election.heartbeat, DUR_MS(900));
    cr_expect_eq(r.cfg->jobs[0].grace, DUR_S(3));
    cr_expect_not(r.cfg->jobs_enabled);
    cr_expect(r.cfg->jobs[0].enabled);
    cr_expect_str_eq(r.cfg->jobs[0].command, "from -o");
    cr_assert_eq(r.cfg->job_count, 2);
    cr_expect_str_eq(r.cfg->jobs[1].name, "new.x");
    config_fixture_release(&r);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *option;
    const char *problem;
} options[] = {
    {"no value", "election.lease",
        "-o: 'election.lease' is not SECTION.KEY=VALUE, such as election.lease=5s or 'job nightly.command=...'"},
    {"no section", "lease=5s",
        "-o: 'lease' is not SECTION.KEY=VALUE, such as election.lease=5s or 'job nightly.command=...'"},
    {"a password is not repeated", "database.dsn:postgres://u:secret@h/d",
        "-o: 'database.dsn' is not SECTION.KEY=VALUE, such as election.lease=5s or 'job nightly.command=...'"},
    {"an unknown section", "elektion.lease=5s",
        "-o: [elektion]: is not a known section; did you mean [election]?"},
    {"an unknown key", "election.laese=5s",
        "-o: [election] laese: is not a known key; did you mean 'lease'?"},
    {"a job that is not complete", "job a.command=x",
        "-o: [job a] schedule: is missing; write one such as schedule = every 30s"},
    {"an include of another section", "election.include=x",
        "-o: [election] include: is no key of this section; it belongs into [pgbaton]"},
    {"an include of nothing, with blanks", " pgbaton.include = missing.ini",
        "-o: [pgbaton] include: 'missing.ini': there is no such file; a pattern may match none"},
    {"a wrong value", "jobs.grace=x",
        "-o: [jobs] grace: 'x' is not a duration such as 500ms, 10s or 90m: one number and one unit"},
};
/* clang-format on */

Test(config, options)
{
    config_fixture_write("pgbaton.ini", "[database]\ndsn = none\n");
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char *overrides[] = {options[i].option, NULL};
        struct config_result r = config_fixture_read_with(overrides, NULL);

        cr_expect_eq(r.problems.errors, 1, "%s", options[i].title);
        cr_expect(config_fixture_has(&r, options[i].problem), "%s", options[i].title);
        config_fixture_release(&r);
    }
}

Test(config, environment_is_checked_too)
{
    const char *environment[] = {"PGBATON_DATABASE_DSN=", "PGBATON_ELECTION_LEASE=long", NULL};
    struct config_result r;

    config_fixture_write("pgbaton.ini", "[database]\ndsn = none\n");
    r = config_fixture_read_with(NULL, environment);
    cr_expect(config_fixture_has(&r, "environment: [database] dsn: is empty; give one of: " FORMS));
    cr_expect(config_fixture_has(&r, "environment: [election] lease: 'long' is not a duration such "
                                     "as 500ms, 10s or 90m: one number and one unit"));
    config_fixture_release(&r);
}

Test(config, include_may_be_overridden)
{
    static const char *const overrides[] = {"pgbaton.include=other.ini", "database.dsn=none", NULL};
    struct config_result r;

    config_fixture_write("pgbaton.ini", "[pgbaton]\ninclude = missing.ini\n");
    config_fixture_write("other.ini", JOB "command = a\n");
    r = config_fixture_read_with(overrides, NULL);
    cr_assert_eq(r.rc, 0);
    cr_expect_eq(r.cfg->job_count, 1);
    config_fixture_release(&r);
}

Test(config, file_from_the_environment)
{
    const char *environment[] = {"PGBATON_CONFIG=named.ini", NULL};
    const struct config_sources sources = {.environment = (char **)(uintptr_t)environment};
    struct config_result r = {0};

    config_fixture_write("named.ini", "[database]\ndsn = none\n");
    cr_expect_eq(config_read(&sources, &r.cfg, &r.problems), 0);
    config_fixture_release(&r);
}

/* The rows are in the order of their sections, and what a row promises is there. */
Test(config, table)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        char reason[512];

        cr_expect(i == 0 || row->section >= config_rows[i - 1].section, "%s", row->key);
        cr_expect_not_null(row->help, "%s", row->key);
        cr_expect_eq(config_table_find(row->section, row->key, reason, sizeof(reason)), row, "%s",
                     row->key);
        cr_expect((row->kind != KIND_DURATION && row->kind != KIND_NUMBER) || row->min < row->max,
                  "%s", row->key);
    }
}

/* Thousands of jobs are read in no time: nothing is quadratic. */
Test(config, many_jobs, .timeout = 20)
{
    FILE *to = fopen("pgbaton.ini", "w");

    cr_assert_not_null(to);
    for (int i = 0; i < 16000; i++) {
        (void)fprintf(to, "[job j%d]\nschedule = every 1m\ncommand = c%d\n", i, i);
    }
    cr_assert_eq(fclose(to), 0);

    struct config_result r = config_fixture_read();

    cr_assert_eq(r.rc, 0);
    cr_expect_eq(r.cfg->job_count, 16000);
    cr_expect_str_eq(r.cfg->jobs[15999].command, "c15999");
    config_fixture_release(&r);
}

Test(config, many_variables_cost_no_square, .timeout = 20)
{
    enum { VARIABLES = 8000, JOBS = 200 };
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    (void)fputs("[jobs]\nenvironment =", to);
    for (int i = 0; i < VARIABLES; i++) {
        (void)fprintf(to, " V%d=", i);
    }
    for (int i = 0; i < JOBS; i++) {
        (void)fprintf(to, "\n[job j%d]\nschedule = manual\ncommand = x", i);
    }
    cr_assert_eq(fclose(to), 0);

    struct config_result r = config_fixture_read_text(text);

    cr_expect_eq(r.rc, 0);
    config_fixture_release(&r);
    free(text);
}

Test(config, without_its_jobs_it_says_the_same_of_all_else)
{
    struct config *whole = config_fixture_config("[pgbaton]\ninstance = web-1\n"
                                                 "[database]\ndsn = host=h\n"
                                                 "[election]\nname = x\nlease = 20s\n"
                                                 "[jobs]\nhistory = 3d\n"
                                                 "[job a]\nschedule = @hourly\ncommand = true\n");
    struct config *rest;

    cr_assert_eq(whole->job_count, 1);
    cr_assert_eq(config_without_jobs(whole, &rest), 0);
    uint64_t hash = whole->hash;
    config_free(whole);
    cr_expect_eq(rest->job_count, 0);
    cr_expect_eq(rest->hash, hash, "fleets are compared by it");
    cr_expect_str_eq(rest->pgbaton.instance, "web-1");
    cr_expect_str_eq(rest->database.dsn, "host=h");
    cr_expect_str_eq(rest->election.name, "x");
    cr_expect_eq(rest->election.lease, DUR_S(20));
    cr_expect_eq(rest->runs.history, 3 * 24 * DUR_S(3600));
    config_free(rest);
}
