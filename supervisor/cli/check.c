/*
 * `pgbaton check`: is the configuration right, what does it mean in seconds and
 * connections, and what of it is risky.
 */
#include <errno.h>
#include <grp.h>
#include <jansson.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_private.h"
#include "common/control.h"
#include "common/duration.h"
#include "supervisor/cli/check_budget.h"
#include "supervisor/cli/check_json.h"
#include "supervisor/cli/check_paths.h"
#include "supervisor/cli/check_schedule.h"
#include "supervisor/cli/commands.h"
#include "supervisor/cli/table.h"
#include "supervisor/privileges.h"

enum { FLEET_DEFAULT = 3, FLEET_MAX = 10000 };

/* What a graceful stop needs beside the jobs' grace: the end of the term and the unlock. */
#define STOP_SPARE DUR_S(1)

struct check_options {
    bool print;
    bool keys;
    bool json;
    unsigned fleet;
};

static int usage(const char *what, const char *word)
{
    (void)fprintf(stderr, "pgbaton check: %s '", what);
    print_safe(stderr, word);
    (void)fprintf(stderr, "'; see 'pgbaton check --help'\n");
    return EXIT_CODE_USAGE;
}

static bool parse_fleet(const char *text, unsigned *ret_fleet)
{
    char *end = NULL;
    unsigned long fleet = text[0] >= '1' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;

    if (fleet == 0 || *end != '\0' || fleet > FLEET_MAX) {
        return false;
    }
    *ret_fleet = (unsigned)fleet;
    return true;
}

static int parse_options(const struct command_line *line, struct check_options *ret_options)
{
    static const char fleet[] = "--fleet=";

    *ret_options = (struct check_options){.fleet = FLEET_DEFAULT, .json = line->json};
    for (int i = 0; i < line->argc; i++) {
        const char *word = line->argv[i];
        const char *count = NULL;

        if (strcmp(word, "--print") == 0) {
            ret_options->print = true;
            continue;
        }
        if (strcmp(word, "--keys") == 0) {
            ret_options->keys = true;
            continue;
        }
        if (strcmp(word, "--fleet") == 0) {
            count = i + 1 < line->argc ? line->argv[++i] : "";
        } else if (strncmp(word, fleet, sizeof(fleet) - 1) == 0) {
            count = word + sizeof(fleet) - 1;
        } else {
            return usage("does not know", word);
        }
        if (!parse_fleet(count, &ret_options->fleet)) {
            return usage("--fleet takes a number of instances from 1 to 10000, not", count);
        }
    }
    if ((int)ret_options->print + (int)ret_options->keys + (int)ret_options->json > 1) {
        return usage("one of --print, --keys, --json, not", "several");
    }
    return EXIT_CODE_DONE;
}

static void warn_about_election(const struct config *cfg, struct config_problems *problems)
{
    const struct config_setting *dsn = config_setting_of(cfg, SECTION_DATABASE, "dsn");
    const struct config_setting *enabled = config_setting_of(cfg, SECTION_ELECTION, "enabled");
    const struct config_setting *delay = config_setting_of(cfg, SECTION_ELECTION, "takeover_delay");

    if (cfg->database.kind == DATABASE_NONE) {
        config_problem_add(problems, true, dsn->origin, "database", "dsn",
                           "none means no election: every instance runs the jobs");
        return;
    }
    if (!cfg->election.enabled) {
        config_problem_add(problems, true, enabled->origin, "election", "enabled",
                           "without an election every instance runs the jobs");
        return;
    }
    if (cfg->election.takeover_delay == 0) {
        config_problem_add(problems, true, delay->origin, "election", "takeover_delay",
                           "0 means that a new leader never waits: %s",
                           cfg->database.kind == DATABASE_POSTGRES
                               ? "when the server ends the old leader's session, jobs of both may "
                                 "overlap for heartbeat + loss_grace"
                               : "what outlives a killed instance may overlap with its jobs");
    }
    if (config_is_anonymous(cfg)) {
        config_problem_add(
            problems, true, dsn->origin, "election", "name",
            "neither name nor key is set: every service in this database that leaves "
            "both out shares one leader; write name = SERVICE");
    }
}

static void warn_about_identity(const struct config *cfg, struct config_problems *problems)
{
    const char *user = cfg->pgbaton.user;
    const char *group = cfg->pgbaton.group;

    if (user != NULL && getpwnam(user) == NULL) {
        config_problem_add(problems, true, config_setting_of(cfg, SECTION_PGBATON, "user")->origin,
                           "pgbaton", "user", "there is no user '%s' on this machine", user);
    }
    if (group != NULL && getgrnam(group) == NULL) {
        config_problem_add(problems, true, config_setting_of(cfg, SECTION_PGBATON, "group")->origin,
                           "pgbaton", "group", "there is no group '%s' on this machine", group);
    }
}

static void warn_about_user(const struct config *cfg, const struct config_job *job,
                            struct config_problems *problems)
{
    const struct config_setting *user = config_job_setting_of(cfg, job, "user");
    char section[JOB_NAME_MAX + 8];

    if (job->user == NULL || !config_job_may_say(job, "user", user->text)) {
        return;
    }
    (void)snprintf(section, sizeof(section), "job %s", job->name);
    const struct passwd *entry = getpwnam(job->user);

    if (entry == NULL) {
        config_problem_add(problems, true, user->origin, section, "user",
                           "there is no user '%s' on this machine", job->user);
    } else if (geteuid() != 0 && entry->pw_uid != geteuid()) {
        config_problem_add(problems, true, user->origin, section, "user",
                           "takes a daemon that is started as root");
    }
}

static void warn_about_nice(const struct config *cfg, const struct config_job *job,
                            const char *section, struct config_problems *problems)
{
    if (job->nice == INT_MIN || privileges_can_set_nice(cfg, job->nice)) {
        return;
    }
    config_problem_add(problems, true, config_job_setting_of(cfg, job, "nice")->origin, section,
                       "nice",
                       "below 0 takes a daemon that is started as root, with CAP_SYS_NICE and "
                       "without [pgbaton] user");
}

static void warn_about_job(const struct config *cfg, const struct config_job *job,
                           struct config_problems *problems)
{
    const struct config_setting *grace = config_job_setting_of(cfg, job, "grace");
    char section[JOB_NAME_MAX + 8];

    (void)snprintf(section, sizeof(section), "job %s", job->name);
    warn_about_user(cfg, job, problems);
    warn_about_nice(cfg, job, section, problems);
    check_paths_warn_of_job(cfg, job, problems);
    check_schedule_warn(cfg, job, clock_wall(), problems);
    if (job->grace > cfg->pgbaton.stop_timeout - STOP_SPARE) {
        config_problem_add(
            problems, true, grace->given ? grace->origin : job->origin, section, "grace",
            "%s is cut when the daemon stops: it has to fit into stop_timeout (%s) "
            "with 1s to spare",
            duration_text(job->grace).is, duration_text(cfg->pgbaton.stop_timeout).is);
    }
}

/* Does something outside kill what is left of us? Judged from where `check` runs. */
static bool is_contained(void)
{
    static const char *const variables[] = {"INVOCATION_ID", "KUBERNETES_SERVICE_HOST",
                                            "container"};
    static const char *const files[] = {"/.dockerenv", "/run/.containerenv"};

    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        if (getenv(variables[i]) != NULL) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (access(files[i], F_OK) == 0) {
            return true;
        }
    }
    return false;
}

static void warn(const struct config *cfg, struct config_problems *problems)
{
    warn_about_identity(cfg, problems);
    warn_about_election(cfg, problems);
    check_paths_warn(cfg, problems);
    for (size_t i = 0; i < cfg->job_count; i++) {
        if (cfg->jobs[i].enabled) {
            warn_about_job(cfg, &cfg->jobs[i], problems);
        }
    }
    if (cfg->job_count > 0 && !is_contained()) {
        config_problem_add(problems, true, (struct origin){.file = cfg->private->file}, NULL, NULL,
                           "outside a container, a systemd unit or a delegated cgroup, a job's "
                           "grandchildren may survive when supervisor and worker are killed in the "
                           "same instant");
    }
}

/* The values are somebody's: a terminal gets them line by line, with nothing that it would obey. */
static int print_effective(const struct config *cfg)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to;
    char *rest;
    const char *line;

    if (isatty(STDOUT_FILENO) != 1) {
        config_print(cfg, stdout);
        return EXIT_CODE_DONE;
    }
    to = open_memstream(&text, &size);
    if (to == NULL) {
        return EXIT_CODE_FAILED;
    }
    config_print(cfg, to);
    if (fclose(to) != 0) {
        free(text);
        return EXIT_CODE_FAILED;
    }
    text[size > 0 ? size - 1 : 0] = '\0'; /* the last line feed is printed below */
    for (rest = text; (line = strsep(&rest, "\n")) != NULL;) {
        print_safe(stdout, line);
        (void)fputc('\n', stdout);
    }
    free(text);
    return EXIT_CODE_DONE;
}

static int print_json(const char *file, const struct config *cfg,
                      const struct config_problems *problems, unsigned fleet)
{
    json_t *document = check_json(file, cfg, problems, fleet);

    if (document == NULL || json_dumpf(document, stdout, JSON_COMPACT) == -1) {
        (void)fprintf(stderr, "pgbaton check: out of memory\n");
        json_decref(document);
        return EXIT_CODE_FAILED;
    }
    (void)fputc('\n', stdout);
    json_decref(document);
    return cfg == NULL ? EXIT_CODE_CONFIG : EXIT_CODE_DONE;
}

static int print_text(const char *file, const struct config *cfg,
                      const struct config_problems *problems, unsigned fleet)
{
    config_problems_print(problems, stderr);
    if (cfg == NULL) {
        return EXIT_CODE_CONFIG;
    }
    print_safe(stdout, file);
    (void)printf(": ok, %zu job%s\n", cfg->job_count, cfg->job_count == 1 ? "" : "s");
    check_budget_print(cfg, fleet, stdout);
    return EXIT_CODE_DONE;
}

/* Only the database's own library can tell; the daemon would go on trying for ever. */
static bool dsn_is_right(const struct config *cfg, struct config_problems *problems)
{
    char text[300];

    if (cli_database_check(cfg, text, sizeof(text)) == 0) {
        return true;
    }
    config_problem_add(problems, false, config_setting_of(cfg, SECTION_DATABASE, "dsn")->origin,
                       "database", "dsn", "libpq cannot use it: %s", text);
    return false;
}

/* cfg NULL: it is wrong. */
static int report(const char *file, const struct config *cfg, struct config_problems *problems,
                  const struct check_options *options)
{
    if (options->print && cfg != NULL) {
        return print_effective(cfg);
    }
    if (cfg != NULL) {
        warn(cfg, problems);
    }
    if (options->json) {
        return print_json(file, cfg, problems, options->fleet);
    }
    return print_text(file, cfg, problems, options->fleet);
}

int command_check(struct command_line *line)
{
    struct check_options options;
    struct config_problems problems;
    struct config *cfg = NULL;
    int code = parse_options(line, &options);

    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (options.keys) {
        config_keys_print(stdout);
        return EXIT_CODE_DONE;
    }

    int rc = config_read(&line->sources, &cfg, &problems);

    if (rc == 0 && !dsn_is_right(cfg, &problems)) {
        config_free(cfg);
        cfg = NULL;
    }
    if (rc < 0 && rc != -EINVAL) {
        (void)fprintf(stderr, "pgbaton check: %s\n", strerror(-rc));
        code = EXIT_CODE_FAILED;
    } else {
        code = report(config_file_of(&line->sources), cfg, &problems, &options);
    }
    config_problems_release(&problems);
    config_free(cfg);
    return code;
}
