#include <criterion/criterion.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/process_tree.h"
#include "worker/leader/jobs.h"
#include "worker/leader/run.h"

/* Far above what a loaded machine needs: a test waits for a fact, never for this. */
#define LIMIT DUR_S(60)

enum { ROOM = 8 };

/* A worker with nothing but jobs: real processes on a real loop. */
static struct {
    struct ev_loop *loop;
    struct jobs *jobs;
    struct scoreboard *board;
    int board_fd;
    ev_io signals;
    ev_timer pulse; /* so that a fact is looked at again and again */
    int log_file;
    bool may_start;
    unsigned idle;
    pid_t helper;
    int helper_status;
    bool helper_ended;
    char directory[64];
} world;

static struct config_job job_list[ROOM];
static struct config cfg;
static char scripts[ROOM][2000];
static char *words[ROOM][4];
static char shell[] = "/bin/sh";
static char dash_c[] = "-c";

static bool on_may_start(void *ctx)
{
    (void)ctx;
    return world.may_start;
}

static void on_idle(void *ctx)
{
    (void)ctx;
    cr_expect(jobs_idle(world.jobs));
    cr_expect_eq(jobs_running(world.jobs), 0);
    world.idle++;
}

static void on_signal(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct signalfd_siginfo info;

    (void)loop;
    (void)events;
    while (read(watcher->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
    }
    if (jobs_reap(world.jobs, world.helper, &world.helper_status)) {
        world.helper_ended = true;
    }
}

static void on_pulse(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
}

static void watch_children(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    ev_io_init(&world.signals, on_signal, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), EV_READ);
    ev_io_start(world.loop, &world.signals);
}

static void up(void)
{
    static const struct jobs_events events = {.may_start = on_may_start, .on_idle = on_idle};
    char pid[16];

    world.loop = ev_loop_new(0);
    world.may_start = true;
    world.log_file = memfd_create("log", MFD_CLOEXEC);
    log_fd(world.log_file);
    log_threshold(LEVEL_DEBUG);
    world.board = scoreboard_create(&world.board_fd);
    world.jobs = jobs_new(world.loop, world.board, &events, 1);
    cr_assert_not_null(world.jobs);
    watch_children();
    ev_timer_init(&world.pulse, on_pulse, 0.01, 0.01);
    ev_timer_start(world.loop, &world.pulse);
    (void)snprintf(world.directory, sizeof(world.directory), "/tmp/pgbaton-jobs-XXXXXX");
    cr_assert_not_null(mkdtemp(world.directory));
    cr_assert_eq(setenv("DIR", world.directory, 1), 0);
    /* For what a job starts beside itself: it ends by itself when a test is killed. */
    cr_assert_eq(setenv("WAIT", "while [ -e /proc/$TEST ]; do sleep 0.05; done", 1), 0);
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    cr_assert_eq(setenv("TEST", pid, 1), 0);
    cfg = (struct config){
        .pgbaton = {.instance = "test"},
        .election = {.name = "main"},
        .jobs_enabled = true,
        .jobs = job_list,
    };
}

/* A test that failed left in the middle. */
static void end_all(void)
{
    mono_ns limit = clock_now() + LIMIT;

    if (jobs_idle(world.jobs)) {
        return;
    }
    world.idle = 0;
    jobs_kill(world.jobs);
    while (world.idle == 0 && clock_now() < limit) {
        (void)ev_run(world.loop, EVRUN_ONCE);
    }
}

static void down(void)
{
    char command[100];

    end_all();
    if (jobs_idle(world.jobs)) {
        jobs_free(world.jobs);
    }
    log_fd(2);
    (void)snprintf(command, sizeof(command), "rm -rf %s", world.directory);
    (void)system(command);
}

TestSuite(jobs, .init = up, .fini = down, .timeout = 300);

/* One more job of the configuration; the caller changes what is particular about it. */
static struct config_job *add(const char *name, struct schedule schedule, const char *script)
{
    size_t row = cfg.job_count++;

    cr_assert(row < ROOM);
    (void)snprintf(scripts[row], sizeof(scripts[row]), "%s", script);
    words[row][0] = shell;
    words[row][1] = dash_c;
    words[row][2] = scripts[row];
    words[row][3] = NULL;
    job_list[row] = (struct config_job){
        .name = name,
        .schedule = schedule,
        .command = scripts[row],
        .words = words[row],
        .grace = DUR_S(30),
        .umask = -1,
        .nice = INT_MIN,
        .enabled = true,
        .hash = row + 1,
    };
    return &job_list[row];
}

static const struct schedule always = {.kind = SCHEDULE_ALWAYS};
static const struct schedule elected = {.kind = SCHEDULE_ELECTED};
static const struct schedule released = {.kind = SCHEDULE_RELEASED};
static const struct schedule often = {.kind = SCHEDULE_EVERY, .every = DUR_MS(50)};

static void begin(void)
{
    jobs_configure(world.jobs, &cfg);
    jobs_begin(world.jobs, (struct epoch){1, 7});
}

static const char *logged(void)
{
    static char text[4 << 20];
    ssize_t length = pread(world.log_file, text, sizeof(text) - 1, 0);

    cr_assert(length >= 0);
    text[length] = '\0';
    return text;
}

static bool has_logged(const void *what)
{
    return strstr(logged(), what) != NULL;
}

static bool is_idle(const void *ctx)
{
    (void)ctx;
    return world.idle > 0;
}

static bool has_file(const void *name)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/%s", world.directory, (const char *)name);
    return access(path, F_OK) == 0;
}

static void wait_for(const char *title, bool (*fact)(const void *ctx), const void *ctx)
{
    mono_ns limit = clock_now() + LIMIT;

    while (!fact(ctx)) {
        cr_assert(clock_now() < limit, "%s: did not come; the log: %s", title, logged());
        (void)ev_run(world.loop, EVRUN_ONCE);
    }
}

static void wait_for_log(const char *text)
{
    wait_for(text, has_logged, text);
}

static void wait_for_file(const char *name)
{
    wait_for(name, has_file, name);
}

/* That live: a zombie only waits for its parent. */
static unsigned descendants(void)
{
    struct pid_set set = {.pids = NULL};
    unsigned count = 0;

    cr_assert_eq(process_descendants(getpid(), &set), 0);
    for (size_t i = 0; i < set.count; i++) {
        count += process_signal(set.pids[i], 0, NULL) == 0;
    }
    pid_set_release(&set);
    return count;
}

static void expect_nothing_left(void)
{
    cr_expect_eq(world.idle, 1, "told once");
    cr_expect(jobs_idle(world.jobs));
    cr_expect_eq(descendants(), 0, "a process is left");
}

static void drain(dur_ns until, dur_ns over)
{
    mono_ns now = clock_now();

    jobs_drain(world.jobs, now + until, now + over);
    cr_expect_eq(world.idle, 0, "never from inside the call");
    wait_for("idle", is_idle, NULL);
    expect_nothing_left();
}

static void kill_all(void)
{
    jobs_kill(world.jobs);
    cr_expect_eq(world.idle, 0, "never from inside the call");
    wait_for("idle", is_idle, NULL);
    expect_nothing_left();
}

Test(jobs, a_term_without_jobs_ends_too)
{
    begin();
    drain(0, DUR_S(5));
}

Test(jobs, a_run_is_started_and_its_end_is_logged)
{
    add("once", elected, "echo $PGBATON_JOB $PGBATON_RUN_ID $PGBATON_EPOCH; exit 3");
    begin();
    wait_for_log("job_ended");
    cr_expect(has_logged("job_started job=once run=1.7-1 pid="), "%s", logged());
    cr_expect(has_logged("output job=once stream=stdout text=\"once 1.7-1 1.7\"\n"));
    cr_expect(has_logged("code=3 outcome=failed seconds="), "%s", logged());
    cr_expect(strstr(logged(), "output job=once") < strstr(logged(), "job_ended"),
              "what it printed comes first");
    struct board_job row;
    cr_assert(scoreboard_get_job(world.board, 0, &row));
    cr_expect_str_eq(row.name, "once");
    cr_expect_eq(row.runs, 1);
    cr_expect_eq(row.failures, 1);
    cr_expect_eq(row.last_code, 3);
    cr_expect_eq(row.last_outcome, OUTCOME_FAILED);
    drain(DUR_S(5), DUR_S(10));
}

Test(jobs, a_failed_start_says_why)
{
    add("lost", elected, "true")->directory = "/nonexistent";
    add("wrong", elected, "true")->user = "no-such-user-here";
    add("file", elected, "true")->environment_file = "/nonexistent";
    begin();
    wait_for_log("job_failed_to_start job=lost epoch=1.7 reason=\"cannot change to directory "
                 "'/nonexistent': No such file or directory\"");
    wait_for_log("job_failed_to_start job=wrong epoch=1.7 reason=\"cannot find user "
                 "'no-such-user-here': there is no such user\"");
    wait_for_log("job_failed_to_start job=file epoch=1.7 reason=\"cannot read environment_file "
                 "'/nonexistent': No such file or directory\"");
    drain(0, DUR_S(5));
}

Test(jobs, ticks_run_again_and_again_and_a_service_comes_back)
{
    add("tick", often, "echo x >> $DIR/ticks; [ $(wc -l < $DIR/ticks) -lt 3 ] || > $DIR/third");
    add("service", always, "echo x >> $DIR/lives; [ $(wc -l < $DIR/lives) -lt 3 ] || > $DIR/back");
    begin();
    wait_for_file("third");
    wait_for_file("back");
    drain(DUR_S(10), DUR_S(20));
}

Test(jobs, a_tick_is_skipped_while_the_last_run_runs)
{
    add("slow", often, "sleep 1000");
    begin();
    wait_for_log("job_skipped job=slow scheduled_at=");
    cr_expect(has_logged("reason=overlap running=1.7-1"), "%s", logged());
    cr_expect_eq(jobs_running(world.jobs), 1);
    kill_all();
}

Test(jobs, nothing_starts_when_the_lease_is_over)
{
    add("once", elected, "true");
    add("service", always, "true");
    world.may_start = false;
    begin();
    wait_for_log("job_not_started job=once");
    wait_for_log("job_not_started job=service");
    drain(0, DUR_S(5));
    cr_expect_not(has_logged("job_started"));
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
    struct run_world runs = {.config = &cfg, .outputs.loop = world.loop};
    char path[100];
    char reason[100] = "";
    struct account *account = account_find(NULL, reason, sizeof(reason));
    struct config_job *job = add("late", elected, "> $DIR/late");
    struct run_order order = {
        .job = job, .account = account, .epoch = "1.7", .may_start = forbid, .ctx = path};

    (void)snprintf(path, sizeof(path), "%s/output", world.directory);
    job->output = OUTPUT_FILE;
    job->output_file = path;
    cr_expect_null(run_start(&runs, &order, NULL, reason, sizeof(reason)));
    cr_expect_str_eq(reason, "");
    cr_expect_eq(descendants(), 0);
    cr_expect_not(has_file("late"));
    account_free(account);
}

Test(jobs, a_timeout_ends_the_whole_family)
{
    struct config_job *job = add(
        "stuck", elected,
        "setsid sh -c '> $DIR/child; eval \"$WAIT\"' & while [ ! -e $DIR/child ]; do sleep 0.01; "
        "done; sleep 1000");

    job->timeout = DUR_MS(700);
    begin();
    wait_for_log("outcome=timed_out reason=timeout");
    cr_expect_eq(descendants(), 0, "a process is left");
    cr_expect_not(has_logged("job_killing"), "SIGTERM was enough");
    drain(0, DUR_S(5));
}

Test(jobs, a_job_that_ignores_term_is_killed_after_its_grace)
{
    struct config_job *job =
        add("deaf", elected, "trap '' TERM; > $DIR/deaf; while :; do sleep 1000; done");

    job->timeout = DUR_MS(300);
    job->grace = DUR_MS(200);
    begin();
    wait_for_log("code=137 outcome=timed_out");
    cr_expect(has_logged("job_killing"));
    cr_expect_eq(descendants(), 0, "a process is left");
    drain(0, DUR_S(5));
}

Test(jobs, a_stopped_run_is_over_when_its_last_child_is_gone)
{
    struct config_job *job =
        add("parent", elected,
            "setsid sh -c 'trap \"\" TERM; > $DIR/child; eval \"$WAIT\"' & "
            "while [ ! -e $DIR/child ]; do sleep 0.01; done; > $DIR/ready; sleep 1000");

    job->timeout = DUR_S(2);
    job->grace = DUR_MS(300);
    begin();
    wait_for_log("job_ended job=parent");
    cr_expect(has_file("child"));
    cr_expect(strstr(logged(), "job_killing") != NULL &&
                  strstr(logged(), "job_killing") < strstr(logged(), "job_ended"),
              "it ended before its child was killed");
    cr_expect_eq(descendants(), 0, "a process is left");
    drain(0, DUR_S(5));
}

Test(jobs, what_a_finished_run_leaves_dies_with_the_term)
{
    add("daemon", elected,
        "setsid sh -c '> $DIR/daemon; eval \"$WAIT\"' >&- 2>&- & "
        "while [ ! -e $DIR/daemon ]; do sleep 0.01; done");
    begin();
    wait_for_log("outcome=succeeded");
    cr_expect(descendants() > 0, "it is left alone while the term lasts");
    cr_expect_not(jobs_idle(world.jobs));
    drain(DUR_S(10), DUR_S(20));
}

/* Else each of its lives would leave one more. */
Test(jobs, what_a_service_leaves_is_stopped_before_it_is_started_again)
{
    add("daemon", always,
        "sh -c '> $DIR/daemon-$$; eval \"$WAIT\"' & "
        "while [ ! -e $DIR/daemon-$! ]; do sleep 0.01; done; "
        "[ -e $DIR/one ] && > $DIR/two; > $DIR/one");
    begin();
    wait_for_file("two");
    wait_for_log("job_left_processes job=daemon run=1.7-1");
    cr_expect(strstr(logged(), "job_ended job=daemon") != NULL);
    cr_expect(strstr(logged(), "job_ended job=daemon") < strstr(logged(), "run=1.7-2"),
              "it ends when they have ended");
    cr_expect(has_logged("outcome=succeeded"), "it was not told to stop: %s", logged());
    drain(DUR_S(10), DUR_S(20));
}

Test(jobs, what_a_service_leaves_and_ignores_term_is_killed)
{
    struct config_job *job = add("daemon", always,
                                 "sh -c 'trap \"\" TERM; > $DIR/daemon-$$; eval \"$WAIT\"' & "
                                 "while [ ! -e $DIR/daemon-$! ]; do sleep 0.01; done; "
                                 "[ -e $DIR/one ] && > $DIR/two; > $DIR/one");

    job->grace = DUR_MS(100);
    begin();
    wait_for_file("two");
    cr_expect(has_logged("job_killing job=daemon run=1.7-1"), "%s", logged());
    kill_all();
}

Test(jobs, a_stopped_process_outside_the_group_takes_notice_too)
{
    struct config_job *job =
        add("parent", elected,
            "setsid sh -c 'trap \"> $DIR/told; exit\" TERM; > $DIR/child; kill -STOP $$; "
            "eval \"$WAIT\"' & "
            "until grep -q '^State:.T' /proc/$!/status; do sleep 0.01; done; > $DIR/ready; "
            "exec sleep 1000");

    job->schedule = always;
    begin();
    wait_for_file("ready");
    mono_ns now = clock_now();
    jobs_drain(world.jobs, now, now + LIMIT);
    wait_for("idle", is_idle, NULL);
    cr_expect(has_file("told"), "it was killed instead");
    cr_expect_not(has_logged("job_killing"));
    expect_nothing_left();
}

Test(jobs, a_grandchild_that_holds_the_output_does_not_hold_the_run)
{
    add("noisy", elected,
        "(while [ ! -e $DIR/go ]; do sleep 0.01; done; echo late; eval \"$WAIT\") & "
        "echo early");
    begin();
    wait_for_log("job_ended job=noisy");
    cr_expect(has_logged("text=\"early\""));
    cr_expect_not(has_logged("text=\"late\""));
    char path[200];
    (void)snprintf(path, sizeof(path), "%s/go", world.directory);
    (void)close(open(path, O_CREAT | O_WRONLY, 0600));
    wait_for_log("text=\"late\"");
    drain(0, DUR_S(5));
}

Test(jobs, a_drain_waits_for_runs_and_then_runs_the_released_jobs)
{
    add("work", elected,
        "> $DIR/started; while [ ! -e $DIR/go ]; do sleep 0.01; done; > $DIR/work");
    add("service", always, "> $DIR/serving; exec sleep 1000");
    add("bye", released, "[ -e $DIR/work ] && > $DIR/bye");
    begin();
    wait_for_file("started");
    wait_for_file("serving");
    mono_ns now = clock_now();
    jobs_drain(world.jobs, now + LIMIT, now + 2 * LIMIT);
    wait_for_log("job_ended job=service");
    cr_expect(has_logged("outcome=cancelled reason=drain"), "%s", logged());
    cr_expect_not(has_file("bye"));
    char path[200];
    (void)snprintf(path, sizeof(path), "%s/go", world.directory);
    (void)close(open(path, O_CREAT | O_WRONLY, 0600));
    wait_for("idle", is_idle, NULL);
    cr_expect(has_file("work"), "it was let to its end");
    cr_expect(has_file("bye"), "%s", logged());
    expect_nothing_left();
}

Test(jobs, a_drain_ends_in_time_whatever_the_jobs_do)
{
    add("deaf", elected, "trap '' TERM; > $DIR/deaf; while :; do sleep 1000; done");
    add("bye", released, "trap '' TERM; while :; do sleep 1000; done");
    begin();
    wait_for_file("deaf");
    drain(0, DUR_S(2));
    cr_expect(has_logged("job_killing job=deaf"));
}

Test(jobs, terminate_tells_all_and_releases_nothing)
{
    add("work", elected, "> $DIR/work; sleep 1000");
    add("service", always, "trap 'exit 0' TERM; > $DIR/serving; while :; do sleep 0.05; done");
    add("bye", released, "> $DIR/bye");
    begin();
    wait_for_file("work");
    wait_for_file("serving");
    jobs_terminate(world.jobs);
    cr_expect(has_logged("job_stopping job=work"), "at once, not on the next turn");
    jobs_terminate(world.jobs);
    cr_expect_eq(world.idle, 0, "never from inside the call");
    wait_for("idle", is_idle, NULL);
    expect_nothing_left();
    cr_expect(has_logged("reason=lost"));
    cr_expect_not(has_file("bye"));
}

Test(jobs, kill_reaches_every_kind_of_job)
{
    add("deaf", elected, "trap '' TERM INT HUP; > $DIR/deaf; while :; do sleep 1000; done");
    add("escaped", elected, "setsid setsid sh -c '> $DIR/escaped; eval \"$WAIT\"' & exit 0");
    add("forker", always, "fork() { > $DIR/forker; [ -e /proc/$TEST ] && (fork) & exit; }; fork");
    add("silent", always, "exec >&- 2>&- <&-; > $DIR/silent; exec sleep 1000");
    add("endless", always, "> $DIR/endless; exec yes");
    begin();
    wait_for_file("deaf");
    wait_for_file("escaped");
    wait_for_file("forker");
    wait_for_file("silent");
    wait_for_file("endless");
    kill_all();
}

Test(jobs, a_kill_after_a_drain_after_a_terminate)
{
    add("deaf", elected, "trap '' TERM; > $DIR/deaf; while :; do sleep 1000; done");
    begin();
    wait_for_file("deaf");
    jobs_drain(world.jobs, clock_now() + LIMIT, clock_now() + 2 * LIMIT);
    (void)ev_run(world.loop, EVRUN_ONCE);
    jobs_terminate(world.jobs);
    (void)ev_run(world.loop, EVRUN_ONCE);
    kill_all();
}

Test(jobs, a_new_term_can_begin_after_the_old)
{
    add("once", elected, "echo $PGBATON_EPOCH");
    begin();
    wait_for_log("text=\"1.7\"\n");
    drain(DUR_S(5), DUR_S(10));
    world.idle = 0;
    jobs_begin(world.jobs, (struct epoch){2, 1});
    wait_for_log("text=\"2.1\"\n");
    drain(DUR_S(5), DUR_S(10));
}

Test(jobs, a_helper_is_neither_killed_nor_taken_for_a_job)
{
    add("once", elected, "> $DIR/once");
    world.helper = fork();
    if (world.helper == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)pause();
        _exit(0);
    }
    jobs_keep(world.jobs, world.helper, true);
    begin();
    wait_for_file("once");
    jobs_kill(world.jobs);
    wait_for("idle", is_idle, NULL);
    cr_expect_eq(descendants(), 1, "only the helper is left");
    cr_assert_eq(kill(world.helper, SIGKILL), 0);
    mono_ns limit = clock_now() + LIMIT;
    while (!world.helper_ended) {
        cr_assert(clock_now() < limit);
        (void)ev_run(world.loop, EVRUN_ONCE);
    }
    cr_expect(WIFSIGNALED(world.helper_status));
    jobs_keep(world.jobs, world.helper, false);
}

Test(jobs, a_reload_keeps_runs_restarts_changed_services_and_ends_removed_jobs)
{
    static struct config_job next_list[ROOM];
    struct config next;

    add("kept", elected, "> $DIR/kept; exec sleep 1000");
    add("changed", always, "> $DIR/changed; exec sleep 1000");
    add("removed", elected, "> $DIR/removed; exec sleep 1000");
    add("old", elected, "> $DIR/old; exec sleep 1000");
    begin();
    wait_for_file("kept");
    wait_for_file("changed");
    wait_for_file("removed");
    wait_for_file("old");
    next = cfg;
    next.jobs = next_list;
    next.job_count = 0;
    next_list[next.job_count++] = job_list[1];
    next_list[next.job_count++] = job_list[0];
    next_list[next.job_count++] = job_list[3];
    next_list[0].hash = 99;
    static char again[] = "> $DIR/again; exec sleep 1000";
    static char *again_words[] = {shell, dash_c, again, NULL};
    next_list[0].words = again_words;
    next_list[2].hash = 98; /* no service: its run goes on with the old definition */
    jobs_configure(world.jobs, &next);
    wait_for_log("job_ended job=removed");
    cr_expect(has_logged("outcome=cancelled reason=removed"), "%s", logged());
    wait_for_file("again");
    cr_expect(has_logged("outcome=cancelled reason=changed"), "%s", logged());
    cr_expect_not(has_logged("job_ended job=kept"));
    cr_expect_not(has_logged("job_ended job=old"));
    cr_expect_eq(jobs_running(world.jobs), 3);
    jobs_configure(world.jobs, &cfg); /* what was removed is known again, by its name */
    kill_all();
}

Test(jobs, output_goes_where_the_job_says)
{
    char path[100];
    struct config_job *job = add("file", elected, "echo into the file; > $DIR/done");

    (void)snprintf(path, sizeof(path), "%s/output", world.directory);
    job->output = OUTPUT_FILE;
    job->output_file = path;
    add("none", elected, "echo nowhere; > $DIR/none")->output = OUTPUT_NONE;
    (void)umask(0);
    begin();
    wait_for_file("done");
    wait_for_file("none");
    drain(DUR_S(5), DUR_S(10));
    char text[100] = "";
    struct stat about;
    int fd = open(path, O_RDONLY);
    cr_assert(read(fd, text, sizeof(text) - 1) > 0);
    cr_expect_str_eq(text, "into the file\n");
    cr_assert_eq(fstat(fd, &about), 0);
    cr_expect_eq(about.st_mode & 0777, 0640);
    (void)close(fd);
    cr_expect_not(has_logged("nowhere"));
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
    add("tick", often, "echo x >> $DIR/ticks; [ $(wc -l < $DIR/ticks) -lt 10 ] || > $DIR/tenth");
    add("fails", often, "true")->directory = "/nonexistent";
    unsigned before = open_descriptors();
    begin();
    wait_for_file("tenth");
    drain(DUR_S(10), DUR_S(20));
    cr_expect_eq(open_descriptors(), before);
}
