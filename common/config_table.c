#include "common/config_table.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/config_words.h"
#include "common/duration.h"
#include "common/identity.h"
#include "common/size.h"

/* A UNIX socket's address has 108 bytes: this leaves room for "/control.sock" and the NUL. */
enum { RUN_DIR_MAX = 94 };

enum { SCHEMA_NAME_MAX = 63, ROLE_NAME_MAX = 63 }; /* PostgreSQL cuts a longer one */

#define DUR_MIN(n) DUR_S((n)*60)
#define DUR_HOURS(n) DUR_S((n)*3600)
#define DUR_DAYS(n) DUR_S((n)*86400)
#define MIB(n) (INT64_C(1024) * 1024 * (n))

#define TOP(member) .offset = offsetof(struct config, member)
#define JOB(member) .offset = offsetof(struct config_job, member)
#define NOWHERE .offset = CONFIG_NO_FIELD

/* clang-format off */
#define ROW(section_, key_, kind_, preset_, min_, max_, choices_, change_, scope_, ...)             \
    {.section = SECTION_##section_, .key = (key_), .kind = KIND_##kind_, .preset = (preset_),       \
     .min = (min_), .max = (max_), .choices = (choices_), .change = CHANGE_##change_,               \
     .scope = SCOPE_##scope_, __VA_ARGS__},
#define LATER(section_, key_, preset_, only_, help_)                                                \
    {.section = SECTION_##section_, .key = (key_), .kind = KIND_LATER, .preset = (preset_),         \
     .change = CHANGE_NOTHING, .scope = SCOPE_INSTANCE, .only = (only_), NOWHERE, .help = (help_)},

const struct config_row config_rows[] = {
/*      section   key                kind         default    min           max            choices  change    scope     where, help */
    ROW(PGBATON,  "instance",        TEXT,        NULL,      1,            INSTANCE_MAX - 1, NULL, RESTART,  INSTANCE, TOP(pgbaton.instance),
        .help = "label of this instance, for people (HOSTNAME:PID)")
    ROW(PGBATON,  "run_dir",         SOCKET_DIR,  NULL,      1,            RUN_DIR_MAX,   NULL,    RESTART,  INSTANCE, TOP(pgbaton.run_dir),
        .help = "directory of the control socket and the pid (/run/pgbaton, $XDG_RUNTIME_DIR/pgbaton, /tmp/pgbaton-UID)")
    ROW(PGBATON,  "user",            NAME,        NULL,      1,            255,           NULL,    RESTART,  INSTANCE, TOP(pgbaton.user),
        .help = "user to become after the start")
    ROW(PGBATON,  "group",           NAME,        NULL,      1,            255,           NULL,    RESTART,  INSTANCE, TOP(pgbaton.group),
        .help = "group to become after the start")
    ROW(PGBATON,  "log_level",       CHOICE,      "info",    0,            0, "debug|info|warn|error", LIVE, INSTANCE, TOP(pgbaton.log_level),
        .help = "leave out what is less than this")
    LATER(PGBATON, "log_format",     "text",      "text", "text or json")
    ROW(PGBATON,  "log_file",        PATH,        "stderr",  0,            0,             "stderr", LIVE,    INSTANCE, TOP(pgbaton.log_file),
        .help = "where the log goes; USR1 opens it again")
    LATER(PGBATON, "listen",         "off",       "off", "address and port of the HTTP pages")
    LATER(PGBATON, "http_details",   "no",        "no", "show output and commands over HTTP")
    ROW(PGBATON,  "stop_timeout",    DURATION,    "8s",      DUR_MS(100),  DUR_DAYS(1),   NULL,    LIVE,     INSTANCE, TOP(pgbaton.stop_timeout),
        .help = "all of a graceful stop fits into this; below the 10s after which Docker kills")
    ROW(PGBATON,  "include",         INCLUDE,     NULL,      0,            0,             NULL,    NOTHING,  INSTANCE, NOWHERE,
        .help = "more files, relative to this one: conf.d/*.ini")

    ROW(DATABASE, "dsn",             DSN,         NULL,      0,            0,             NULL,    ELECTION, INSTANCE, NOWHERE, .secret = true,
        .help = "libpq's conninfo or URI; sqlite:PATH; none")
    ROW(DATABASE, "password_file",   PATH,        NULL,      0,            0,             NULL,    ELECTION, INSTANCE, TOP(database.password_file), .secret = true,
        .help = "file with the password, read at every connect")
    ROW(DATABASE, "schema",          SCHEMA,      "pgbaton", 1,            SCHEMA_NAME_MAX, NULL,  ELECTION, FLEET,    TOP(database.schema),
        .help = "where the tables are")
    ROW(DATABASE, "connect_timeout", DURATION,    "5s",      DUR_MS(100),  DUR_MIN(5),    NULL,    LIVE,     INSTANCE, TOP(database.connect_timeout),
        .help = "for each attempt to connect")
    ROW(DATABASE, "create_schema",   BOOL,        "yes",     0,            0,             NULL,    LIVE,     INSTANCE, TOP(database.create_schema),
        .help = "create the tables when they are missing")
    ROW(DATABASE, "max_clock_skew",  DURATION,    "2s",      DUR_MS(10),   DUR_HOURS(1),  NULL,    LIVE,     FLEET,    TOP(database.max_clock_skew),
        .help = "an instance whose clock is further from the database's does not lead")

    ROW(ELECTION, "enabled",         BOOL,        "yes",     0,            0,             NULL,    ELECTION, FLEET,    TOP(election.enabled),
        .help = "no: every instance runs the jobs")
    ROW(ELECTION, "name",            NAME,        "main",    1,            ELECTION_NAME_MAX - 1, NULL, ELECTION, FLEET, TOP(election.name),
        .help = "one leader a name")
    ROW(ELECTION, "key",             KEY,         NULL,      0,            0,             NULL,    ELECTION, FLEET,    TOP(election.key),
        .help = "the advisory lock: 64 bits, decimal or 0x hexadecimal (0x12345678ABCDEF00; made from name where that is set)")
    ROW(ELECTION, "mode",            CHOICE,      "heir",    0,            0,             "heir|poll", ELECTION, FLEET, TOP(election.mode),
        .help = "heir: one follower waits in the lock's queue; poll: look every retry_interval")
    ROW(ELECTION, "lease",           DURATION,    "15s",     DUR_S(1),     DUR_HOURS(1),  NULL,    ELECTION, FLEET,    TOP(election.lease),
        .help = "a leader that the server has not heard for this long has lost")
    ROW(ELECTION, "heartbeat",       DURATION,    NULL,      DUR_MS(10),   DUR_HOURS(1),  NULL,    ELECTION, FLEET,    TOP(election.heartbeat),
        .help = "time between two signs of life of the leader (lease / 10, at most 1s)")
    ROW(ELECTION, "stop_grace",      DURATION,    "3s",      DUR_MS(1),    DUR_HOURS(1),  NULL,    ELECTION, FLEET,    TOP(election.stop_grace),
        .help = "from TERM to KILL for the jobs of a leader whose lease runs out")
    ROW(ELECTION, "loss_grace",      DURATION,    "500ms",   0,            DUR_HOURS(1),  NULL,    ELECTION, FLEET,    TOP(election.loss_grace),
        .help = "from TERM to KILL for the jobs of a leader that has lost the lock")
    ROW(ELECTION, "takeover_delay",  DURATION,    "2s",      0,            DUR_HOURS(1),  NULL,    ELECTION, FLEET,    TOP(election.takeover_delay),
        .help = "wait of a new leader after one that did not end cleanly; 0: never wait")
    ROW(ELECTION, "retry_interval",  DURATION,    "5s",      DUR_MS(10),   DUR_HOURS(1),  NULL,    ELECTION, FLEET,    TOP(election.retry_interval),
        .help = "time between two looks of a follower")
    ROW(ELECTION, "retry_jitter",    PERCENT,     "20%",     0,            100,           NULL,    ELECTION, FLEET,    TOP(election.retry_jitter),
        .help = "how far that time varies")
    ROW(ELECTION, "backoff_max",     DURATION,    "60s",     DUR_MS(100),  DUR_DAYS(1),   NULL,    ELECTION, FLEET,    TOP(election.backoff_max),
        .help = "the longest wait between two attempts to connect")

    ROW(JOBS,     "enabled",         BOOL,        "yes",     0,            0,             NULL,    ELECTION, INSTANCE, TOP(jobs_enabled),
        .help = "no: this instance never seeks to lead")
    ROW(JOBS,     "max_running",     NUMBER,      "100",     1,            10000,         NULL,    LIVE,     FLEET,    TOP(runs.max_running),
        .help = "runs at the same time, services not counted; others wait")
    ROW(JOBS,     "history",         DURATION,    "30d",     DUR_MIN(1),   DUR_DAYS(3660), NULL,    LIVE,     FLEET,    TOP(runs.history),
        .help = "how long runs are kept")
    ROW(JOBS,     "history_runs",    NUMBER,      "10000",   1,            1000000,       NULL,    LIVE,     FLEET,    TOP(runs.history_runs),
        .help = "how many runs of a job are kept")
    ROW(JOBS,     "output_limit",    SIZE,        "64KiB",   0,            MIB(16),       NULL,    LIVE,     FLEET,    TOP(runs.output_limit),
        .help = "how much is kept of what a run prints, half of it from its end; 0: nothing")

    ROW(JOB,      "schedule",        SCHEDULE,    NULL,      0,            0,             NULL,    LIVE,     FLEET,    NOWHERE,
        .help = "M H DOM MON DOW, @daily, every 30s, at TIME, @elected, @released, always, after JOB, manual")
    ROW(JOB,      "command",         COMMAND,     NULL,      0,            0,             NULL,    LIVE,     FLEET,    NOWHERE, .secret = true,
        .help = "what to run, by the shell")
    ROW(JOB,      "exec",            WORDS,       NULL,      0,            0,             NULL,    LIVE,     FLEET,    NOWHERE, .secret = true,
        .help = "what to run, as words, without a shell")
    ROW(JOB,      "sql",             SQL,         NULL,      0,            0,             NULL,    LIVE,     FLEET,    NOWHERE, .secret = true,
        .help = "statements to run in the database")
    ROW(JOB,      "shell",           WORDS,       "/bin/sh -c", 0,         0,             NULL,    LIVE,     FLEET,    NOWHERE,
        .help = "what runs a command")
    ROW(JOB,      "zone",            ZONE,        "UTC",     1,            ZONE_NAME_MAX - 1, NULL, LIVE,    FLEET,    JOB(zone),
        .help = "time zone of the schedule: UTC, Europe/Berlin")
    ROW(JOB,      "jitter",          DURATION,    "0",       0,            DUR_DAYS(7),   NULL,    LIVE,     FLEET,    JOB(jitter),
        .help = "every instant is later by less than this, always by the same: made from the job's name")
    ROW(JOB,      "timeout",         DURATION,    "none",    DUR_MS(1),    DUR_DAYS(365), "none",  LIVE,     FLEET,    JOB(timeout),
        .help = "a run that takes longer is ended")
    ROW(JOB,      "grace",           DURATION,    "5s",      0,            DUR_DAYS(1),   NULL,    LIVE,     FLEET,    JOB(grace),
        .help = "from TERM to KILL")
    ROW(JOB,      "overlap",         CHOICE,      "skip",    0,            0,             "skip|queue|replace|allow", LIVE,     FLEET,    JOB(overlap),
        .help = "what a tick does while the last run still runs")
    ROW(JOB,      "missed",          CHOICE,      "once",    0,            0,             "once|skip|all", LIVE,     FLEET,    JOB(missed),
        .help = "ticks that nobody could run: the latest is made up for, none, or all")
    ROW(JOB,      "missed_window",   DURATION,    "1d",      DUR_S(1),     DUR_DAYS(366), NULL,    LIVE,     FLEET,    JOB(missed_window),
        .help = "what was missed longer ago is not made up for")
    ROW(JOB,      "missed_max",      NUMBER,      "100",     1,            10000,         NULL,    LIVE,     FLEET,    JOB(missed_max),
        .help = "with missed = all: how many are made up for, the latest of them")
    ROW(JOB,      "on_interrupt",    CHOICE,      "skip",    0,            0,             "skip|rerun", LIVE,     FLEET,    JOB(on_interrupt),
        .help = "a run that the end of its leader cut off: leave it, or run it again")
    ROW(JOB,      "retries",         NUMBER,      "0",       0,            1000,          NULL,    LIVE,     FLEET,    JOB(retries),
        .help = "how often a failed run is tried again")
    ROW(JOB,      "retry_delay",     DURATION,    "10s",     0,            DUR_DAYS(1),   NULL,    LIVE,     FLEET,    JOB(retry_delay),
        .help = "wait before the first of them; doubled each time")
    ROW(JOB,      "success_codes",   CODES,       "0",       0,            0,             NULL,    LIVE,     FLEET,    JOB(success_codes),
        .help = "exit codes that mean success, such as 0,3,75-78")
    ROW(JOB,      "mutex",           NAME,        NULL,      1,            255,           NULL,    LIVE,     FLEET,    JOB(mutex),
        .help = "jobs with the same one do not run at the same time")
    ROW(JOB,      "day_match",       CHOICE,      "or",      0,            0,             "or|and", LIVE,    FLEET,    JOB(day_match),
        .help = "where day of month and day of week are both restricted, which must match: one, or both")
    ROW(JOB,      "user",            NAME,        NULL,      1,            255,           NULL,    LIVE,     FLEET,    JOB(user),
        .help = "who runs it (the daemon's user)")
    ROW(JOB,      "directory",       PATH,        NULL,      0,            0,             NULL,    LIVE,     FLEET,    JOB(directory),
        .help = "where it runs (the daemon's directory)")
    ROW(JOB,      "umask",           UMASK,       NULL,      0,            0777,          NULL,    LIVE,     FLEET,    JOB(umask),
        .help = "octal (the daemon's)")
    ROW(JOB,      "nice",            NUMBER,      NULL,      -20,          19,            NULL,    LIVE,     FLEET,    JOB(nice),
        .help = "priority (the daemon's)")
    ROW(JOB,      "environment",     ENVIRONMENT, NULL,      0,            0,             NULL,    LIVE,     FLEET,    JOB(environment), .secret = true,
        .help = "NAME=VALUE words")
    ROW(JOB,      "environment_file", PATH,       NULL,      0,            0,             NULL,    LIVE,     FLEET,    JOB(environment_file), .secret = true,
        .help = "file of NAME=VALUE lines, read at each start")
    ROW(JOB,      "clean_environment", BOOL,      "no",      0,            0,             NULL,    LIVE,     FLEET,    JOB(clean_environment),
        .help = "start from cron's bare environment instead of the daemon's")
    ROW(JOB,      "pass_database",   BOOL,        "no",      0,            0,             NULL,    LIVE,     FLEET,    JOB(pass_database),
        .help = "hand it PGBATON_DATABASE_DSN")
    ROW(JOB,      "sql_role",        TEXT,        NULL,      1,            ROLE_NAME_MAX, NULL,    LIVE,     FLEET,    JOB(sql_role),
        .help = "role that runs the statements (the one that connects)")
    ROW(JOB,      "sql_transaction", BOOL,        "yes",     0,            0,             NULL,    LIVE,     FLEET,    JOB(sql_transaction),
        .help = "all statements in one transaction; no for VACUUM and its like")
    ROW(JOB,      "output",          OUTPUT,      "log",     0,            0,             NULL,    LIVE,     FLEET,    NOWHERE,
        .help = "log, none, or a file with a / in its name")
    ROW(JOB,      "on_failure",      COMMAND,     "none",    0,            0,             "none",  LIVE,     FLEET,    JOB(on_failure), .secret = true,
        .help = "what to run, by the shell, when a run has failed")
    ROW(JOB,      "on_recovery",     COMMAND,     "none",    0,            0,             "none",  LIVE,     FLEET,    JOB(on_recovery), .secret = true,
        .help = "what to run when the first run after a failure succeeds")
    ROW(JOB,      "on_success",      COMMAND,     "none",    0,            0,             "none",  LIVE,     FLEET,    JOB(on_success), .secret = true,
        .help = "what to run when a run has succeeded")
    ROW(JOB,      "critical",        BOOL,        "no",      0,            0,             NULL,    LIVE,     FLEET,    JOB(critical),
        .help = "a service without which this instance must not lead")
    ROW(JOB,      "record",          CHOICE,      "all",     0,            0,             "all|failures", LIVE,     FLEET,    JOB(record),
        .help = "which runs are kept")
    ROW(JOB,      "enabled",         BOOL,        "yes",     0,            0,             NULL,    LIVE,     FLEET,    JOB(enabled),
        .help = "no: checked, but never run")
};
/* clang-format on */

const size_t config_row_count = ARRAY_LEN(config_rows);

static const char *const section_names[SECTION_COUNT] = {
    [SECTION_PGBATON] = "pgbaton", [SECTION_DATABASE] = "database", [SECTION_ELECTION] = "election",
    [SECTION_JOBS] = "jobs",       [SECTION_JOB] = "job",
};

const char *config_section_name(enum config_section section)
{
    assert(section < SECTION_COUNT);
    return section_names[section];
}

size_t config_job_row_first(void)
{
    static size_t first; /* never 0: it is asked for each key of each job */

    while (config_rows[first].section != SECTION_JOB) {
        first++;
    }
    return first;
}

enum { TYPO_MAX = 32 }; /* longer words are not compared */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters must be put in, taken out or exchanged to make one word the other. */
static unsigned edits_between(const char *a, const char *b)
{
    unsigned row[TYPO_MAX + 1];
    size_t wide = strlen(b);

    if (strlen(a) > TYPO_MAX || wide > TYPO_MAX) {
        return UINT_MAX;
    }
    for (size_t j = 0; j <= wide; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        unsigned above_left = row[0];

        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < wide; j++) {
            unsigned above = row[j + 1];
            bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j]);

            row[j + 1] = least(least(row[j], above) + 1, above_left + (same ? 0 : 1));
            above_left = above;
        }
    }
    return row[wide];
}

/* A word that is further away than this is another word, not a slip. */
static unsigned edits_allowed(const char *word)
{
    return strlen(word) <= 4 ? 1 : strlen(word) <= 7 ? 2 : 3;
}

static bool row_is_in(const struct config_row *row, enum config_section section)
{
    return row->section == section || (section == SECTION_JOBS && row->section == SECTION_JOB);
}

static const struct config_row *closest_row(enum config_section section, const char *key)
{
    const struct config_row *best = NULL;
    unsigned best_edits = edits_allowed(key) + 1;

    for (size_t i = 0; i < config_row_count; i++) {
        unsigned edits = edits_between(key, config_rows[i].key);

        if (row_is_in(&config_rows[i], section) && edits < best_edits) {
            best = &config_rows[i];
            best_edits = edits;
        }
    }
    return best;
}

static const struct config_row *row_elsewhere(const char *key)
{
    for (size_t i = 0; i < config_row_count; i++) {
        if (strcmp(config_rows[i].key, key) == 0) {
            return &config_rows[i];
        }
    }
    return NULL;
}

static void list_keys(enum config_section section, char *reterr, size_t size)
{
    int used = snprintf(reterr, size, "is not a known key; there are");

    for (size_t i = 0; i < config_row_count && used > 0 && (size_t)used < size; i++) {
        if (config_rows[i].section == section && config_rows[i].kind != KIND_LATER) {
            used += snprintf(reterr + used, size - (size_t)used, " %s", config_rows[i].key);
        }
    }
}

static void explain_unknown_key(enum config_section section, const char *key, char *reterr,
                                size_t size)
{
    const struct config_row *close = closest_row(section, key);
    const struct config_row *other = row_elsewhere(key);

    if (other != NULL) {
        (void)snprintf(reterr, size, "is no key of this section; it belongs into [%s%s]",
                       config_section_name(other->section),
                       other->section == SECTION_JOB ? " NAME" : "");
    } else if (close != NULL) {
        (void)snprintf(reterr, size, "is not a known key; did you mean '%s'?", close->key);
    } else {
        list_keys(section, reterr, size);
    }
}

bool config_row_has(const struct config_row *row, const char *key)
{
    return row->key[0] == key[0] && strcmp(row->key, key) == 0;
}

const struct config_row *config_table_find(enum config_section section, const char *key,
                                           char *reterr, size_t reterr_size)
{
    for (size_t i = 0; i < config_row_count; i++) {
        if (config_row_has(&config_rows[i], key) && row_is_in(&config_rows[i], section)) {
            return &config_rows[i];
        }
    }
    explain_unknown_key(section, key, reterr, reterr_size);
    return NULL;
}

static int parse_job_section(const char *name, enum config_section *ret_section,
                             const char **ret_job, char *reterr, size_t reterr_size)
{
    char why[128];

    if (!config_is_name(name, JOB_NAME_MAX - 1, why, sizeof(why))) {
        (void)snprintf(reterr, reterr_size, "'%.80s' cannot be the name of a job: %s", name, why);
        return -EINVAL;
    }
    *ret_section = SECTION_JOB;
    *ret_job = name;
    return 0;
}

int config_section_parse(const char *text, enum config_section *ret_section, const char **ret_job,
                         char *reterr, size_t reterr_size)
{
    if (strncmp(text, "job ", 4) == 0) {
        return parse_job_section(text + 4, ret_section, ret_job, reterr, reterr_size);
    }
    for (enum config_section s = 0; s < SECTION_JOB; s++) {
        if (strcmp(text, section_names[s]) == 0) {
            *ret_section = s;
            *ret_job = NULL;
            return 0;
        }
    }
    if (strcmp(text, "job") == 0) {
        (void)snprintf(reterr, reterr_size,
                       "a job needs a name: [job nightly]; defaults for all jobs are in [jobs]");
        return -EINVAL;
    }
    for (enum config_section s = 0; s < SECTION_JOB; s++) {
        if (edits_between(text, section_names[s]) <= edits_allowed(text)) {
            (void)snprintf(reterr, reterr_size, "is not a known section; did you mean [%s]?",
                           section_names[s]);
            return -EINVAL;
        }
    }
    (void)snprintf(reterr, reterr_size,
                   "is not a known section; there are [pgbaton], [database], [election], [jobs] "
                   "and [job NAME]");
    return -EINVAL;
}

const char *config_row_range(const struct config_row *row, char *text, size_t size)
{
    text[0] = '\0';
    switch (row->kind) {
    case KIND_DURATION:
        (void)snprintf(text, size, "%s to %s%s%s", duration_text(row->min).is,
                       duration_text(row->max).is, row->choices == NULL ? "" : ", or ",
                       row->choices == NULL ? "" : row->choices);
        break;
    case KIND_NUMBER:
        (void)snprintf(text, size, "%" PRId64 " to %" PRId64, row->min, row->max);
        break;
    case KIND_PERCENT:
        (void)snprintf(text, size, "%" PRId64 "%% to %" PRId64 "%%", row->min, row->max);
        break;
    case KIND_SIZE:
        (void)snprintf(text, size, "%s to %s", size_text(row->min).is, size_text(row->max).is);
        break;
    case KIND_UMASK:
        (void)snprintf(text, size, "0000 to %04o", (unsigned)row->max);
        break;
    case KIND_BOOL:
        (void)snprintf(text, size, "yes or no");
        break;
    case KIND_CHOICE:
        (void)snprintf(text, size, "%s", row->choices);
        break;
    case KIND_TEXT:
    case KIND_NAME:
    case KIND_SCHEMA:
    case KIND_PATH:
    case KIND_SOCKET_DIR:
    case KIND_KEY:
    case KIND_DSN:
    case KIND_SCHEDULE:
    case KIND_ZONE:
    case KIND_COMMAND:
    case KIND_WORDS:
    case KIND_ENVIRONMENT:
    case KIND_SQL:
    case KIND_OUTPUT:
    case KIND_CODES:
    case KIND_INCLUDE:
    case KIND_LATER:
        break;
    }
    return text;
}
