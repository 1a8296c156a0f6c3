/*
 * `pgbaton exec JOB`: the job here and now, in a child of the test that becomes it.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/control.h"
#include "worker/leader/jobs.h"

TestSuite(exec_here, .timeout = 60);

static struct config cfg = {
    .pgbaton = {.instance = "web-1"},
    .election = {.name = "main"},
    .jobs_enabled = true,
};
static char script[500];
static char shell[] = "/bin/sh";
static char dash_c[] = "-c";
static char *words[] = {shell, dash_c, script, NULL};

static struct config_job made(const char *text)
{
    (void)snprintf(script, sizeof(script), "%s", text);
    return (struct config_job){
        .name = "backup", .command = script, .words = words, .umask = -1, .nice = INT_MIN};
}

#ifdef __SANITIZE_ADDRESS__
/* A child that ends by exit() would look for leaks, and print that it could not: to what the job
 * prints to. */
static bool in_child;

int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return in_child;
}
#else
static bool in_child __attribute__((unused));
#endif

/* What it printed, and read from input, or why it did not start, goes to text. Returns its
 * code, as a shell would. */
static int run(const struct config_job *job, const char *input, char *text, size_t size)
{
    int in[2];
    int out[2];
    int status;
    size_t used = 0;
    ssize_t count;

    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(write(in[1], input, strlen(input)), (ssize_t)strlen(input));
    pid_t pid = fork();
    if (pid == 0) {
        char reason[500] = "";

        in_child = true;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(out[1], STDERR_FILENO);
        int code = jobs_exec_here(&cfg, job, reason, sizeof(reason));
        (void)dprintf(STDOUT_FILENO, "%s", reason);
        _exit(code);
    }
    (void)close(in[0]);
    (void)close(in[1]);
    (void)close(out[1]);
    while ((count = read(out[0], text + used, size - 1 - used)) > 0) {
        used += (size_t)count;
    }
    text[used] = '\0';
    (void)close(out[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Test(exec_here, has_the_jobs_environment_outside_of_a_term)
{
    char text[500];
    struct config_job job =
        made("echo $PGBATON_JOB $PGBATON_ATTEMPT \"[$PGBATON_EPOCH]\" $PGBATON_INSTANCE "
             "$PGBATON_ELECTION [$PGPASSWORD] ${PGBATON_RUN_ID%%-*}; exit 3");

    cr_assert_eq(setenv("PGPASSWORD", "secret", 1), 0);
    cr_expect_eq(run(&job, "", text, sizeof(text)), 3, "its code is ours");
    cr_expect_str_eq(text, "backup 1 [] web-1 main [] exec\n");
}

Test(exec_here, has_this_terminal_and_nothing_else_of_ours)
{
    char text[500];
    struct config_job job = made("cat; echo error >&2; ls /proc/self/fd | tr '\\n' ' '");
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec, on purpose */

    cr_assert(leak > STDERR_FILENO);
    cr_expect_eq(run(&job, "typed\n", text, sizeof(text)), 0);
    cr_expect_str_eq(text, "typed\nerror\n0 1 2 3 ", "and the one that lists them: %s", text);
    (void)close(leak);
}

Test(exec_here, has_the_jobs_directory_umask_nice_and_signals)
{
    char text[500];
    char directory[] = "/usr";
    struct config_job job =
        made("pwd; umask; nice; grep SigBlk /proc/self/status; kill -PIPE $$; echo ignored");
    sigset_t some;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&some);
    (void)sigaddset(&some, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &some, NULL);
    job.directory = directory;
    job.umask = 027;
    job.nice = 7;
    cr_expect_eq(run(&job, "", text, sizeof(text)), 128 + SIGPIPE);
    cr_expect_str_eq(text, "/usr\n0027\n7\nSigBlk:\t0000000000000000\n");
}

Test(exec_here, says_why_it_cannot_start)
{
    char absent[] = "/nonexistent";
    char stranger[] = "no-such-user-here";
    char nobody[] = "nobody";
    struct config_job lost = made("true");
    struct config_job foreign = made("true");
    struct config_job unreadable = made("true");
    struct config_job forbidden = made("true");
    const struct {
        const struct config_job *job;
        int code;
        const char *reason;
    } cases[] = {
        {&lost, EXIT_CODE_FAILED,
         "cannot change to directory '/nonexistent': No such file or directory"},
        {&foreign, EXIT_CODE_FAILED, "cannot find user 'no-such-user-here': there is no such user"},
        {&unreadable, EXIT_CODE_FAILED,
         "cannot read environment_file '/nonexistent': No such file or directory"},
        {&forbidden, EXIT_CODE_NOT_PERMITTED,
         "cannot change to user 'nobody': Operation not permitted"},
    };

    lost.directory = absent;
    foreign.user = stranger;
    unreadable.environment_file = absent;
    forbidden.user = nobody;
    if (geteuid() == 0) { /* this test has a process of its own */
        cr_assert_eq(setresuid(65533, 65533, 65533), 0);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[500];

        cr_expect_eq(run(cases[i].job, "", text, sizeof(text)), cases[i].code, "%s", text);
        cr_expect_str_eq(text, cases[i].reason, "%s", text);
    }
}

Test(exec_here, is_ended_after_its_timeout_with_all_below_it)
{
    char text[500];
    struct config_job job = made("sh -c 'trap \"\" TERM; while :; do sleep 0.02; done' & "
                                 "trap 'echo asked; wait' TERM; echo begun; wait; wait");

    job.timeout = DUR_S(2); /* its shells have set their traps by then */
    job.grace = DUR_S(5);
    cr_expect_eq(run(&job, "", text, sizeof(text)), 128 + SIGKILL);
    cr_expect_not_null(strstr(text, "begun\n"), "%s", text);
    cr_expect_not_null(strstr(text, "asked\n"), "%s", text);
    cr_expect_not_null(strstr(text, "pgbaton exec: job backup: ended after its timeout of 2s\n"),
                       "%s", text); /* its output has ended: nobody holds the pipe any more */
}

/* As in the daemon, where such a run is timed_out: whatever the job makes of the TERM. */
Test(exec_here, has_not_succeeded_when_its_timeout_is_over)
{
    static const struct {
        const char *command;
        int code;
    } cases[] = {
        {"trap 'echo asked; exit 0' TERM; while :; do sleep 0.02; done", EXIT_CODE_FAILED},
        {"trap 'echo asked; exit 3' TERM; while :; do sleep 0.02; done", 3},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[500];
        struct config_job job = made(cases[i].command);

        job.timeout = DUR_S(2); /* its shell has set its trap by then */
        job.grace = DUR_S(50);
        cr_expect_eq(run(&job, "", text, sizeof(text)), cases[i].code, "%s", text);
        cr_expect_not_null(strstr(text, "asked\n"), "%s", text);
    }
}

Test(exec_here, within_its_timeout_is_what_it_would_be_without)
{
    char text[500];
    struct config_job job = made("read line; echo \"got $line\"; exit 3");

    job.timeout = DUR_S(50);
    cr_expect_eq(run(&job, "words\n", text, sizeof(text)), 3);
    cr_expect_str_eq(text, "got words\n");
    job = made("kill -USR1 $$");
    job.timeout = DUR_S(50);
    cr_expect_eq(run(&job, "", text, sizeof(text)), 128 + SIGUSR1);
}

Test(exec_here, a_failed_start_is_told_with_a_timeout_too)
{
    char text[500];
    struct config_job job = made("true");

    job.timeout = DUR_S(50);
    job.directory = "/no/such/directory";
    cr_expect_eq(run(&job, "", text, sizeof(text)), EXIT_CODE_FAILED);
    cr_expect_not_null(strstr(text, "cannot change to directory"), "%s", text);
}
