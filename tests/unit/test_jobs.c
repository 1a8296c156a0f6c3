#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/jobs_fixture.h"
#include "worker/leader/job.h"
#include "worker/leader/run.h"

TestSuite(jobs, .init = world_up, .fini = world_down, .timeout = 300);

Test(jobs, a_term_without_jobs_ends_too)
{
    world_begin();
    world_drain(0, DUR_S(5));
}

Test(jobs, a_run_is_started_and_its_end_is_logged)
{
    world_add("once", elected, "echo $PGBATON_JOB $PGBATON_RUN_ID $PGBATON_EPOCH; exit 3");
    world_begin();
    world_wait_for_log("job_ended");
    cr_expect(world_has_logged("job_started job=once run=1.7-1 pid="), "%s", world_log());
    cr_expect(world_has_logged("output job=once stream=stdout text=\"once 1.7-1 1.7\"\n"));
    cr_expect(world_has_logged("code=3 outcome=failed seconds="), "%s", world_log());
    cr_expect(strstr(world_log(), "output job=once") < strstr(world_log(), "job_ended"),
              "what it printed comes first");
    struct board_job row;
    cr_assert(scoreboard_get_job(world.board, 0, &row));
    cr_expect_str_eq(row.name, "once");
    cr_expect_eq(row.runs, 1);
    cr_expect_eq(row.failures, 1);
    cr_expect_eq(row.last_code, 3);
    cr_expect_eq(row.last_outcome, OUTCOME_FAILED);
    world_drain(DUR_S(5), DUR_S(10));
}

Test(jobs, one_that_cannot_be_started_has_failed_at_that_moment)
{
    wall_ns before = clock_wall();
    struct board_job row;

    world_add("lost", elected, "exit 0")->directory = "/no/such/directory";
    world_begin();
    world_wait_for_log("job_failed_to_start job=lost");
    cr_assert(scoreboard_get_job(world.board, 0, &row));
    cr_expect_eq(row.runs, 0);
    cr_expect_eq(row.last_code, 127);
    cr_expect_eq(row.last_outcome, OUTCOME_FAILED);
    cr_expect_geq(row.last_started_at, before);
    cr_expect_eq(row.last_ended_at, row.last_started_at);
    world_drain(0, DUR_S(5));
}

Test(jobs, that_what_was_due_has_started_is_told_once_a_term)
{
    world_add("first", elected, "exit 0");
    world_add("second", elected, "exit 0");
    world_begin();
    cr_expect_eq(world.started, 0, "never from inside the call");
    world_wait_for("started", world_has_started, NULL);
    cr_expect(world_has_logged("job_started job=first"), "%s", world_log());
    cr_expect(world_has_logged("job_started job=second"), "%s", world_log());
    world_wait_for_log("job_ended job=second");
    cr_expect_eq(world.started, 1);
    world_drain(0, DUR_S(5));
    world_begin_term((struct epoch){1, 8});
    world_wait_for("started", world_has_started, NULL);
    world_drain(0, DUR_S(5));
}

/* Else one report in so many would hide a schedule that stands still. */
Test(jobs, wait_for_the_ledger_when_it_is_down_and_not_when_it_is_asked)
{
    world_begin();
    world_wait_for("started", world_has_started, NULL);
    world.jobs->asking.question = ASK_REQUESTS;
    cr_expect_eq(jobs_progress(world.jobs).waits, 0);
    world.jobs->asking.question = ASK_NOTHING;
    cr_expect_eq(jobs_progress(world.jobs).leads, 1);
    scheduler_ledger(&world.jobs->scheduler, false, clock_wall());
    cr_expect_eq(jobs_progress(world.jobs).waits, 1);
    world_drain(0, DUR_S(5));
}

Test(jobs, a_failed_start_says_why)
{
    world_add("lost", elected, "true")->directory = "/nonexistent";
    world_add("wrong", elected, "true")->user = "no-such-user-here";
    world_add("file", elected, "true")->environment_file = "/nonexistent";
    world_begin();
    world_wait_for_log(
        "job_failed_to_start job=lost run=1.7-1 epoch=1.7 reason=\"cannot change to directory "
        "'/nonexistent': No such file or directory\"");
    world_wait_for_log(
        "job_failed_to_start job=wrong run=1.7-2 epoch=1.7 reason=\"cannot find user "
        "'no-such-user-here': there is no such user\"");
    world_wait_for_log(
        "job_failed_to_start job=file run=1.7-3 epoch=1.7 reason=\"cannot read environment_file "
        "'/nonexistent': No such file or directory\"");
    world_drain(0, DUR_S(5));
}

Test(jobs, ticks_run_again_and_again_and_a_service_comes_back)
{
    world_add("tick", often,
              "echo x >> $DIR/ticks; [ $(wc -l < $DIR/ticks) -lt 3 ] || > $DIR/third");
    world_add("service", always,
              "echo x >> $DIR/lives; [ $(wc -l < $DIR/lives) -lt 3 ] || > $DIR/back");
    world_begin();
    world_wait_for_file("third");
    world_wait_for_file("back");
    world_drain(DUR_S(10), DUR_S(20));
}

Test(jobs, a_tick_is_skipped_while_the_last_run_runs)
{
    world_add("slow", often, "sleep 1000");
    world_begin();
    world_wait_for_log("job_skipped job=slow run=");
    cr_expect(world_has_logged("outcome=skipped reason=overlap"), "%s", world_log());
    cr_expect_eq(jobs_running(world.jobs), 1);
    world_kill_all();
}

Test(jobs, nothing_starts_when_the_lease_is_over)
{
    world_add("once", elected, "true");
    world_add("service", always, "true");
    world.may_start = false;
    world_begin();
    world_wait_for_log("job_not_started job=once");
    world_wait_for_log("job_not_started job=service");
    world_drain(0, DUR_S(5));
    cr_expect_not(world_has_logged("job_started"));
}

static bool forbid(void *ctx)
{
    struct stat about;

    /* Its output file is there: that was before, and may have taken its time. */
    cr_expect_eq(stat(ctx, &about), 0, "asked before everything was prepared");
    return false;
}

Test(jobs, whether_it_may_start_is_asked_last_of_all)
{
    struct run_world runs = {.config = &world.cfg, .outputs.loop = world.loop};
    char path[100];
    char reason[100] = "";
    struct account *account = account_find(NULL, reason, sizeof(reason));
    struct config_job *job = world_add("late", elected, "> $DIR/late");
    struct run_order order = {
        .job = job, .account = account, .epoch = "1.7", .may_start = forbid, .ctx = path};

    (void)snprintf(path, sizeof(path), "%s/output", world.directory);
    job->output = OUTPUT_FILE;
    job->output_file = path;
    cr_expect_null(run_start(&runs, &order, NULL, reason, sizeof(reason)));
    cr_expect_str_eq(reason, "");
    cr_expect_eq(world_descendants(), 0);
    cr_expect_not(world_has_file("late"));
    account_free(account);
}

Test(jobs, a_new_term_can_begin_after_the_old)
{
    world_add("once", elected, "echo $PGBATON_EPOCH");
    world_begin();
    world_wait_for_log("text=\"1.7\"\n");
    world_drain(DUR_S(5), DUR_S(10));
    world_begin_term((struct epoch){2, 1});
    world_wait_for_log("text=\"2.1\"\n");
    world_drain(DUR_S(5), DUR_S(10));
}

Test(jobs, a_helper_is_neither_killed_nor_taken_for_a_job)
{
    world_add("once", elected, "> $DIR/once");
    world.helper = fork();
    if (world.helper == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)pause();
        _exit(0);
    }
    jobs_keep(world.jobs, world.helper, true);
    world_begin();
    world_wait_for_file("once");
    jobs_kill(world.jobs);
    world_wait_for("idle", world_is_idle, NULL);
    cr_expect_eq(world_descendants(), 1, "only the helper is left");
    cr_assert_eq(kill(world.helper, SIGKILL), 0);
    mono_ns limit = clock_now() + WORLD_LIMIT;
    while (!world.helper_ended) {
        cr_assert(clock_now() < limit);
        (void)ev_run(world.loop, EVRUN_ONCE);
    }
    cr_expect(WIFSIGNALED(world.helper_status));
    jobs_keep(world.jobs, world.helper, false);
}

Test(jobs, a_reload_keeps_runs_restarts_changed_services_and_ends_removed_jobs)
{
    static struct config_job next_list[WORLD_JOBS];
    struct config next;

    world_add("kept", elected, "> $DIR/kept; exec sleep 1000");
    world_add("changed", always, "> $DIR/changed; exec sleep 1000");
    world_add("removed", elected, "> $DIR/removed; exec sleep 1000");
    world_add("old", elected, "> $DIR/old; exec sleep 1000");
    world_begin();
    world_wait_for_file("kept");
    world_wait_for_file("changed");
    world_wait_for_file("removed");
    world_wait_for_file("old");
    next = world.cfg;
    next.jobs = next_list;
    next.job_count = 0;
    next_list[next.job_count++] = world.job_list[1];
    next_list[next.job_count++] = world.job_list[0];
    next_list[next.job_count++] = world.job_list[3];
    next_list[0].hash = 99;
    static char again[] = "> $DIR/again; exec sleep 1000";
    static char shell[] = "/bin/sh";
    static char dash_c[] = "-c";
    static char *again_words[] = {shell, dash_c, again, NULL};
    next_list[0].words = again_words;
    next_list[2].hash = 98; /* no service: its run goes on with the old definition */
    jobs_configure(world.jobs, &next);
    world_wait_for_log("job_ended job=removed");
    cr_expect(world_has_logged("outcome=cancelled reason=removed"), "%s", world_log());
    world_wait_for_file("again");
    cr_expect(world_has_logged("outcome=cancelled reason=changed"), "%s", world_log());
    cr_expect_not(world_has_logged("job_ended job=kept"));
    cr_expect_not(world_has_logged("job_ended job=old"));
    cr_expect_eq(jobs_running(world.jobs), 3);
    jobs_configure(world.jobs, &world.cfg); /* what was removed is known again, by its name */
    world_kill_all();
}

Test(jobs, output_goes_where_the_job_says)
{
    char path[100];
    struct config_job *job = world_add("file", elected, "echo into the file; > $DIR/done");

    (void)snprintf(path, sizeof(path), "%s/output", world.directory);
    job->output = OUTPUT_FILE;
    job->output_file = path;
    world_add("none", elected, "echo nowhere; > $DIR/none")->output = OUTPUT_NONE;
    (void)umask(0);
    world_begin();
    world_wait_for_file("done");
    world_wait_for_file("none");
    world_drain(DUR_S(5), DUR_S(10));
    char text[100] = "";
    struct stat about;
    int fd = open(path, O_RDONLY);
    cr_assert(read(fd, text, sizeof(text) - 1) > 0);
    cr_expect_str_eq(text, "into the file\n");
    cr_assert_eq(fstat(fd, &about), 0);
    cr_expect_eq(about.st_mode & 0777, 0640);
    (void)close(fd);
    cr_expect_not(world_has_logged("nowhere"));
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) != -1;
    }
    return count;
}

Test(jobs, no_descriptor_leaks)
{
    world_add("tick", often,
              "echo x >> $DIR/ticks; [ $(wc -l < $DIR/ticks) -lt 10 ] || > $DIR/tenth");
    world_add("fails", often, "true")->directory = "/nonexistent";
    unsigned before = open_descriptors();
    world_begin();
    world_wait_for_file("tenth");
    world_drain(DUR_S(10), DUR_S(20));
    world_forget_ledger();
    cr_expect_eq(open_descriptors(), before);
}

Test(jobs, a_grandchild_that_holds_the_output_does_not_hold_the_run)
{
    world_add("noisy", elected,
              "(while [ ! -e $DIR/go ]; do sleep 0.01; done; echo late; eval \"$WAIT\") & "
              "echo early");
    world_begin();
    world_wait_for_log("job_ended job=noisy");
    cr_expect(world_has_logged("text=\"early\""));
    cr_expect_not(world_has_logged("text=\"late\""));
    world_make_file("go");
    world_wait_for_log("text=\"late\"");
    world_drain(0, DUR_S(5));
}
