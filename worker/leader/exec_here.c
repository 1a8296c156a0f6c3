/* exec_here.c - `pgbaton exec JOB`: the job's command, here and now, in this terminal. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control.h"
#include "supervisor/cli/commands.h"
#include "worker/leader/account.h"
#include "worker/leader/environment.h"
#include "worker/leader/exec_limit.h"
#include "worker/leader/jobs.h"
#include "worker/leader/run_sql.h"
#include "worker/leader/spawn.h"
#include "worker/sql/sql_job.h"

/* Not a run of a term: a number that none of those has. */
static char **build_environment(const struct config *cfg, const struct config_job *job,
                                const struct account *account, char *reterr, size_t size)
{
    wall_ns now = clock_wall();
    char id[40];

    (void)snprintf(id, sizeof(id), "exec-%" PRId64 "-%d", now / DUR_S(1), (int)getpid());
    struct environment_run run = {.run_id = id, .epoch = "", .scheduled_at = now, .attempt = 1};
    return environment_build(cfg, job, account, &run, environ, reterr, size);
}

/* In this process: what it says comes back by a pipe, as from the process of a run. */
static int exec_sql(const struct config *cfg, const struct config_job *job, char *reterr,
                    size_t size)
{
    struct run_report report = {.result = ""};
    struct run_sql sql;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) == -1) {
        (void)snprintf(reterr, size, "cannot make a pipe: %s", strerror(errno));
        return EXIT_CODE_FAILED;
    }
    run_sql_init(&sql, cfg, job, NULL, "");

    int code = sql_job_run(&sql.order, ends[1]);

    (void)close(ends[1]);
    run_sql_read(ends[0], &report);
    (void)close(ends[0]);
    (void)snprintf(reterr, size, "%s%s", code == EXIT_CODE_DONE ? report.result : report.reason,
                   code == EXIT_CODE_DONE ? " (no leadership was asserted)" : "");
    return code;
}

int jobs_exec_here(const struct config *cfg, const struct config_job *job, char *reterr,
                   size_t size)
{
    if (exec_limit(job, reterr, size) < 0) {
        return EXIT_CODE_FAILED;
    }
    if (job->action == ACTION_SQL) {
        return exec_sql(cfg, job, reterr, size);
    }

    struct account *account = account_find(job->user, reterr, size);

    if (account == NULL) {
        return EXIT_CODE_FAILED;
    }
    char **environment = build_environment(cfg, job, account, reterr, size);
    int code = EXIT_CODE_FAILED;

    if (environment != NULL) {
        struct spawn_failure failure;
        struct spawn what = {
            .words = job->words,
            .environment = environment,
            .directory = job->directory,
            .account = account,
            .umask = job->umask,
            .nice = job->nice,
            .output_fd = -1,
            .error_fd = -1,
            .cgroup_fd = -1,
        };
        (void)fflush(NULL);
        (void)spawn_here(&what, &failure);
        spawn_explain(&what, &failure, reterr, size);
        if (failure.error == EPERM) {
            code = EXIT_CODE_NOT_PERMITTED;
        }
        environment_free(environment);
    }
    account_free(account);
    return code;
}

/* Nothing of the job is read before: its files are what the daemon may read. */
static int exec_as_the_daemon(const struct config *cfg, const struct config_job *job, char *reterr,
                              size_t size)
{
    int code = cli_become_user(cfg, job->user != NULL, reterr, size);

    return code == EXIT_CODE_DONE ? jobs_exec_here(cfg, job, reterr, size) : code;
}

static void list_jobs(const struct config *cfg)
{
    (void)fprintf(stderr, cfg->job_count > 0 ? "The jobs are:\n" : "No job is configured.\n");
    for (size_t i = 0; i < cfg->job_count; i++) {
        (void)fprintf(stderr, "  %s\n", cfg->jobs[i].name);
    }
}

int command_exec(struct command_line *line)
{
    char reason[1024] = "";

    if (line->argc != 1) {
        (void)fprintf(stderr, "pgbaton exec: expected the name of one job\n");
        return EXIT_CODE_USAGE;
    }
    struct config *cfg = cli_load(line);
    if (cfg == NULL) {
        return EXIT_CODE_CONFIG;
    }
    const struct config_job *job = config_job_find(cfg, line->argv[0]);
    int code = EXIT_CODE_USAGE;

    if (job == NULL) {
        (void)usage_error("exec", "there is no job", line->argv[0]);
        list_jobs(cfg);
    } else {
        code = exec_as_the_daemon(cfg, job, reason, sizeof(reason));
        (void)fprintf(stderr, "pgbaton exec: job %s: %s\n", job->name, reason);
    }
    config_free(cfg);
    return code;
}
