/*
 * Hooks: which of them follow from the end of a run, what they find, how long they may take.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <ev.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"
#include "worker/leader/hook.h"

#define LIMIT DUR_S(60)

/* clang-format off */
static const struct {
    const char *title;
    struct hook_facts facts;
    unsigned hooks;
} cases[] = {
    {"a success",                          {OUTCOME_SUCCEEDED, false, 0, 0}, HOOK_SUCCESS},
    {"a success after a failure",          {OUTCOME_SUCCEEDED, false, 1, 0}, HOOK_SUCCESS | HOOK_RECOVERY},
    {"a success that needed retries",      {OUTCOME_SUCCEEDED, false, 2, 2}, HOOK_SUCCESS},
    {"the same, after an earlier failure", {OUTCOME_SUCCEEDED, false, 3, 2}, HOOK_SUCCESS | HOOK_RECOVERY},
    {"a failure",                          {OUTCOME_FAILED, false, 0, 0}, HOOK_FAILURE},
    {"another failure",                    {OUTCOME_FAILED, false, 5, 0}, HOOK_FAILURE},
    {"a failure that is tried again",      {OUTCOME_FAILED, true, 0, 0}, HOOK_NONE},
    {"the last of the retries",            {OUTCOME_FAILED, false, 3, 3}, HOOK_FAILURE},
    {"too slow",                           {OUTCOME_TIMED_OUT, false, 0, 0}, HOOK_FAILURE},
    {"too slow, and tried again",          {OUTCOME_TIMED_OUT, true, 0, 0}, HOOK_NONE},
    {"cancelled",                          {OUTCOME_CANCELLED, false, 1, 0}, HOOK_NONE},
    {"interrupted",                        {OUTCOME_INTERRUPTED, false, 1, 0}, HOOK_NONE},
    {"skipped",                            {OUTCOME_SKIPPED, false, 1, 0}, HOOK_NONE},
    {"missed",                             {OUTCOME_MISSED, false, 1, 0}, HOOK_NONE},
    {"no end at all",                      {OUTCOME_RUNNING, false, 1, 0}, HOOK_NONE},
};
/* clang-format on */

Test(hook_rule, which_follow)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_expect_eq(hook_rule(&cases[i].facts), cases[i].hooks, "%s: %u", cases[i].title,
                     hook_rule(&cases[i].facts));
    }
}

static struct run_world world;
static struct hooks hooks;
static struct config cfg;
static struct config_job job;
static struct account *account;
static char *shell[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, NULL};
static uint64_t number;
static int log_file;
static ev_timer pulse;

static bool yes(void *ctx)
{
    (void)ctx;
    return true;
}

static bool no(void *ctx)
{
    (void)ctx;
    return false;
}

static struct hook_call call;

static void on_pulse(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
}

static void up(void)
{
    char reason[256];

    log_file = memfd_create("log", MFD_CLOEXEC);
    log_fd(log_file);
    account = account_find(NULL, reason, sizeof(reason));
    cr_assert_not_null(account, "%s", reason);
    cfg = (struct config){.pgbaton = {.instance = "test"}, .election = {.name = "main"}};
    job = (struct config_job){
        .name = "backup", .umask = -1, .nice = INT_MIN, .shell = shell, .grace = DUR_S(30)};
    world = (struct run_world){.config = &cfg, .outputs = {.loop = ev_loop_new(0)}};
    cr_assert_eq(hooks_init(&hooks, world.outputs.loop, &world), 0);
    ev_timer_init(&pulse, on_pulse, 0.01, 0.01);
    ev_timer_start(world.outputs.loop, &pulse);
    number = 41;
    call = (struct hook_call){
        .hooks = HOOK_FAILURE,
        .job = &job,
        .account = account,
        .epoch = "1.7",
        .number = &number,
        .run_id = "1.7-41",
        .scheduled_at = DUR_S(1800000000),
        .attempt = 3,
        .outcome = OUTCOME_FAILED,
        .code = 9,
        .reason = "exit code 9",
        .result = NULL,
        .failures = 2,
        .started_at = DUR_S(1800000001),
        .ended_at = DUR_S(1800000002),
        .may_start = yes,
    };
}

static void down(void)
{
    hooks_release(&hooks);
    account_free(account);
    log_fd(2);
    ev_loop_destroy(world.outputs.loop);
    (void)close(log_file);
}

TestSuite(hook, .init = up, .fini = down, .timeout = 120);

static const char *logged(void)
{
    static char text[1 << 16];
    ssize_t length = pread(log_file, text, sizeof(text) - 1, 0);

    cr_assert(length >= 0);
    text[length] = '\0';
    return text;
}

/* As the worker does it, until none is left. */
static void run_to_the_end(void)
{
    mono_ns limit = clock_now() + LIMIT;

    while (hooks_running(&hooks) > 0 && clock_now() < limit) {
        int status;
        pid_t pid;

        (void)ev_run(world.outputs.loop, EVRUN_ONCE);
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            cr_expect(hooks_reaped(&hooks, pid, status));
        }
    }
    cr_assert_eq(hooks_running(&hooks), 0, "%s", logged());
}

static void expect_logged(const char *text)
{
    cr_expect_not_null(strstr(logged(), text), "no '%s' in:\n%s", text, logged());
}

Test(hook, it_finds_what_has_happened)
{
    job.on_failure =
        "echo \"$PGBATON_JOB $PGBATON_HOOK $PGBATON_RUN_ID $PGBATON_ATTEMPT $PGBATON_EPOCH\"; "
        "echo \"$PGBATON_OUTCOME $PGBATON_EXIT_CODE ($PGBATON_REASON) [$PGBATON_RESULT] "
        "$PGBATON_FAILURES\"; echo $PGBATON_SCHEDULED_AT $PGBATON_STARTED_AT $PGBATON_ENDED_AT";
    cr_assert_eq(hooks_run(&hooks, &call), 1);
    run_to_the_end();

    expect_logged("output job=backup stream=stdout text=\"backup on_failure 1.7-41 3 1.7\"");
    expect_logged("text=\"failed 9 (exit code 9) [] 2\"");
    expect_logged("text=\"2027-01-15T08:00:00Z 2027-01-15T08:00:01Z 2027-01-15T08:00:02Z\"");
    expect_logged("hook_started job=backup hook=on_failure run=1.7-41 pid=");
    expect_logged("info pgbaton: hook_ended job=backup hook=on_failure run=1.7-41 pid=");
    expect_logged("code=0 seconds=");
    cr_expect_eq(number, 42, "a number of its own");
}

Test(hook, what_is_not_known_is_empty)
{
    call.code = -1;
    call.reason = NULL;
    call.started_at = 0;
    job.on_failure = "echo \"<$PGBATON_EXIT_CODE><$PGBATON_REASON><$PGBATON_STARTED_AT>\"";
    cr_assert_eq(hooks_run(&hooks, &call), 1);
    run_to_the_end();
    expect_logged("text=\"<><><>\"");
}

Test(hook, each_of_them_is_a_process)
{
    call.hooks = HOOK_SUCCESS | HOOK_RECOVERY;
    job.on_failure = "echo on_failure";
    job.on_recovery = "echo \"this is $PGBATON_HOOK\"";
    job.on_success = "echo \"this is $PGBATON_HOOK\"";
    cr_assert_eq(hooks_run(&hooks, &call), 2);
    run_to_the_end();
    expect_logged("text=\"this is on_recovery\"");
    expect_logged("text=\"this is on_success\"");
    cr_expect_null(strstr(logged(), "text=on_failure"));
}

Test(hook, a_job_without_a_command_for_it_has_none)
{
    job.on_success = "echo on_success";
    cr_expect_eq(hooks_run(&hooks, &call), 0);
    cr_expect_eq(number, 41);
}

Test(hook, none_starts_when_the_term_is_over)
{
    job.on_failure = "echo on_failure";
    call.may_start = no;
    cr_expect_eq(hooks_run(&hooks, &call), 0);
    cr_expect_null(strstr(logged(), "hook_failed_to_start"));
}

Test(hook, its_failure_is_logged)
{
    job.on_failure = "exit 3";
    cr_assert_eq(hooks_run(&hooks, &call), 1);
    run_to_the_end();
    expect_logged("warn pgbaton: hook_ended job=backup hook=on_failure");
    expect_logged("code=3 seconds=");
}

Test(hook, one_that_cannot_be_started_is_logged)
{
    job.on_failure = "true";
    job.directory = "/no/such/directory";
    cr_expect_eq(hooks_run(&hooks, &call), 0);
    expect_logged("warn pgbaton: hook_failed_to_start job=backup hook=on_failure run=1.7-41 "
                  "reason=\"cannot change to directory '/no/such/directory'");
}

Test(hook, it_is_ended_at_its_limit)
{
    hooks.limit = DUR_S(2); /* its shell has set the trap by then */
    job.on_failure = "trap 'echo asked; exit 5' TERM; while :; do sleep 0.02; done";
    cr_assert_eq(hooks_run(&hooks, &call), 1);
    run_to_the_end();
    expect_logged("code=5 reason=timeout");
}

Test(hook, the_jobs_timeout_is_not_its_own)
{
    cr_expect_eq(hooks.limit, DUR_S(60));
    job.timeout = DUR_MS(1);
    job.on_failure = "sleep 0.5; echo done";
    cr_assert_eq(hooks_run(&hooks, &call), 1);
    run_to_the_end();
    expect_logged("text=\"done\"");
    expect_logged("code=0 seconds=");
}

Test(hook, one_that_does_not_listen_is_killed)
{
    hooks.limit = DUR_S(2); /* its shell has set the trap by then */
    job.grace = DUR_MS(50);
    job.on_failure = "trap '' TERM; while :; do sleep 0.02; done";
    cr_assert_eq(hooks_run(&hooks, &call), 1);
    run_to_the_end();
    expect_logged("code=137 reason=timeout");
}

Test(hook, all_are_ended_with_the_term)
{
    job.on_failure = "sleep 1000";
    job.on_success = "sleep 1000";
    call.hooks = HOOK_FAILURE | HOOK_SUCCESS;
    cr_assert_eq(hooks_run(&hooks, &call), 2);
    cr_expect_not(hooks_reaped(&hooks, getpid(), 0), "nobody's");
    hooks_signal(&hooks, SIGKILL, NULL);
    run_to_the_end();
    expect_logged("code=137 seconds=");
}
