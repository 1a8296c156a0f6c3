/*
 * How a command finds a daemon whose configuration has become bad; and that
 * every key can be set from the environment and with -o.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/config_table.h"
#include "tests/unit/config_fixture.h"

TestSuite(config_daemon, .init = config_fixture_up, .fini = config_fixture_down);
TestSuite(config_sources, .init = config_fixture_up, .fini = config_fixture_down);

#define HERE "[pgbaton]\nrun_dir = /here\n"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;      /* NULL: there is no such file */
    const char *option;
    const char *variable;
    int rc;
    const char *run_dir;   /* NULL: the defaults */
} cases[] = {
    {"a good file",                     HERE "[database]\ndsn = none\n", NULL, NULL, 0, "/here"},
    {"no dsn: it is in the daemon's environment", HERE, NULL, NULL, 0, "/here"},
    {"a value that is wrong",           HERE "[election]\nlease = soon\n", NULL, NULL, 0, "/here"},
    {"a key that is not known",         HERE "[election]\nleese = 5s\n", NULL, NULL, 0, "/here"},
    {"numbers that do not add up",      HERE "[election]\nlease = 1s\n", NULL, NULL, 0, "/here"},
    {"a line that is nothing",          "nonsense\n" HERE "more nonsense\n", NULL, NULL, 0, "/here"},
    {"a slip beside it",                HERE "stop_timeout = soon\ninstanze = x\n", NULL, NULL, 0, "/here"},
    {"a job without a command",         HERE "[job a]\n", NULL, NULL, 0, "/here"},
    {"an include that is missing",      HERE "include = missing.ini\n", NULL, NULL, 0, "/here"},
    {"a bad file with the default",     "[election]\nleese = 5s\n", NULL, NULL, 0, NULL},
    {"another section's slip",          "[electoin]\nlease = 5s\n", NULL, NULL, 0, NULL},
    {"run_dir may be in what is missing", "[pgbaton]\ninclude = missing.ini\n", NULL, NULL, -EINVAL, NULL},
    {"run_dir is in a section with a slip", "[pgbatn]\nrun_dir = /here\n", NULL, NULL, -EINVAL, NULL},
    {"an include is in one",            "[pgbatn]\ninclude = x.ini\n", NULL, NULL, -EINVAL, NULL},
    {"run_dir has a slip itself",       "[pgbaton]\nrundir = /here\n", NULL, NULL, -EINVAL, NULL},
    {"run_dir without =",               "[pgbaton]\nrun_dir /here\n", NULL, NULL, -EINVAL, NULL},
    {"run_dir before any section",      "run_dir = /here\n", NULL, NULL, -EINVAL, NULL},
    {"run_dir that is wrong",           "[pgbaton]\nrun_dir = a\tb\n", NULL, NULL, -EINVAL, NULL},
    {"run_dir with a blank",            "[pgbaton]\nrun_dir = /a b\n", NULL, NULL, 0, "/a b"},
    {"no file",                         NULL, NULL, NULL, -EINVAL, NULL},
    {"no file, but -o",                 NULL, "pgbaton.run_dir=/there", NULL, 0, "/there"},
    {"no file, but the environment",    NULL, NULL, "PGBATON_PGBATON_RUN_DIR=/there", 0, "/there"},
    {"-o counts where the file hides it", "[pgbatn]\nrun_dir = /here\n", "pgbaton.run_dir=/there", NULL, 0, "/there"},
    {"-o that is wrong",                HERE, "pgbaton.rundir=/there", NULL, -EINVAL, NULL},
    {"-o of another section that is wrong", HERE, "foo.bar=1", NULL, -EINVAL, NULL},
};
/* clang-format on */

Test(config_daemon, is_found)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *const overrides[] = {cases[i].option, NULL};
        char *environment[] = {(char *)(uintptr_t)cases[i].variable, NULL};
        struct config_sources sources = {
            .file = "pgbaton.ini", .overrides = overrides, .environment = environment};
        struct config *cfg = NULL;
        struct config_problems problems;

        (void)remove("pgbaton.ini");
        if (cases[i].text != NULL) {
            config_fixture_write("pgbaton.ini", cases[i].text);
        }
        int rc = config_read_daemon(&sources, &cfg, &problems);

        cr_expect_eq(rc, cases[i].rc, "%s: %d", cases[i].title, rc);
        cr_expect((rc == -EINVAL) == (problems.errors > 0), "%s", cases[i].title);
        if (rc == 0 && cases[i].run_dir != NULL) {
            cr_expect_str_eq(cfg->pgbaton.run_dir, cases[i].run_dir, "%s", cases[i].title);
        } else if (rc == 0) {
            cr_expect_null(cfg->pgbaton.run_dir, "%s", cases[i].title);
        }
        if (rc == 0) {
            cr_expect_eq(cfg->pgbaton.stop_timeout, DUR_S(8), "%s", cases[i].title);
        }
        config_free(cfg);
        config_problems_release(&problems);
    }
}

Test(config_daemon, what_hides_it_is_said)
{
    const struct config_sources sources = {.file = "pgbaton.ini"};
    struct config_result r = {0};

    config_fixture_write("pgbaton.ini", "[pgbatn]\nrun_dir = /here\n");
    r.rc = config_read_daemon(&sources, &r.cfg, &r.problems);
    cr_expect(config_fixture_has(
        &r, "pgbaton.ini:1: [pgbatn]: is not a known section; did you mean [pgbaton]?"));
    cr_expect(config_fixture_has(
        &r, "pgbaton.ini: [pgbaton] run_dir: cannot be told; put the file right, or say where the "
            "daemon is: -o pgbaton.run_dir=DIRECTORY"));
    config_fixture_release(&r);
}

/* A value that no key of this kind has by default. */
static const char *sample_of(const struct config_row *row)
{
    switch (row->kind) {
    case KIND_TEXT:
    case KIND_NAME:
    case KIND_SCHEMA:
        return "sample";
    case KIND_PATH:
    case KIND_SOCKET_DIR:
    case KIND_OUTPUT:
        return "/tmp/sample";
    case KIND_DURATION:
        /* Numbers that add up, each alone with the defaults. */
        return strcmp(row->key, "lease") == 0            ? "30s"
               : strcmp(row->key, "heartbeat") == 0      ? "400ms"
               : strcmp(row->key, "takeover_delay") == 0 ? "4s"
               : strcmp(row->key, "loss_grace") == 0     ? "300ms"
               : strcmp(row->key, "history") == 0        ? "1w"
                                                         : "1700ms";
    case KIND_NUMBER:
        return "7";
    case KIND_SIZE:
        return "12KiB";
    case KIND_PERCENT:
        return "33%";
    case KIND_BOOL:
        return strcmp(row->preset, "yes") == 0 ? "no" : "yes";
    case KIND_CHOICE:
        return strrchr(row->choices, '|') + 1;
    case KIND_KEY:
        return "0x00000000000000FF";
    case KIND_DSN:
        return "host=sample";
    case KIND_SCHEDULE:
        return "every 5s";
    case KIND_COMMAND:
    case KIND_WORDS:
        return "/bin/sample a=b;c#d";
    case KIND_SQL:
        return "SELECT ';', '#' = '='";
    case KIND_CODES:
        return "0,3-7";
    case KIND_ENVIRONMENT:
        return "A=b=c";
    case KIND_UMASK:
        return "0027";
    case KIND_ZONE:
        return "UTC";
    case KIND_LATER:
        return row->only;
    case KIND_INCLUDE: /* config/include_may_be_overridden */
        return NULL;
    }
    return NULL;
}

/* The one of the file's jobs that may say this. */
static const char *section_of(const struct config_row *row)
{
    static const char commands[] = "command shell";
    static const char statements[] = "sql sql_role sql_transaction critical";

    if (row->section != SECTION_JOB) {
        return config_section_name(row->section);
    }
    return strstr(commands, row->key) != NULL     ? "job c"
           : strstr(statements, row->key) != NULL ? "job s"
                                                  : "job a";
}

/* Is "# ORIGIN\nKEY = VALUE\n" in what --print shows? */
static bool shows(const struct config *cfg, const char *origin, const char *key, const char *value)
{
    char expected[256];
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    config_print(cfg, to);
    cr_assert_eq(fclose(to), 0);
    (void)snprintf(expected, sizeof(expected), "# %s\n%s = %s\n", origin, key, value);
    bool found = strstr(text, expected) != NULL;
    free(text);
    return found;
}

static void expect_taken(const struct config_row *row, const char *const *overrides,
                         const char *const *environment, const char *origin, const char *value)
{
    struct config_result r = config_fixture_read_with(overrides, environment);

    config_problems_print(&r.problems, stderr);
    cr_expect_eq(r.rc, 0, "%s %s", origin, row->key);
    cr_expect(r.cfg != NULL && shows(r.cfg, origin, row->key, value), "%s %s", origin, row->key);
    config_fixture_release(&r);
}

Test(config_sources, every_key_can_be_set_from_the_environment_and_with_o)
{
    config_fixture_write("pgbaton.ini",
                         "[database]\ndsn = host=h\n[job a]\nschedule = manual\nexec = x\n"
                         "[job c]\nschedule = manual\ncommand = x\n"
                         "[job s]\nschedule = always\nsql = SELECT 1\n");
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        bool is_job = row->section == SECTION_JOB;
        const char *section = config_section_name(is_job ? SECTION_JOBS : row->section);
        const char *value = sample_of(row);
        char option[128];
        char variable[128];

        if (value == NULL) {
            continue;
        }
        (void)snprintf(option, sizeof(option), "%s.%s=%s", section_of(row), row->key, value);
        expect_taken(row, (const char *const[]){option, NULL}, NULL, "-o", value);

        /* A job's own keys have no variable; those that both jobs have said show nothing of it. */
        if (is_job && strstr("schedule command exec sql enabled", row->key) != NULL) {
            continue;
        }
        (void)snprintf(variable, sizeof(variable), "PGBATON_%s_%s=%s", section, row->key, value);
        for (char *c = variable; *c != '='; c++) {
            *c = (char)toupper((unsigned char)*c);
        }
        expect_taken(row, NULL, (const char *const[]){variable, NULL}, "environment", value);
    }
}
