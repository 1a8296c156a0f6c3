#include "tests/unit/jobs_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/process_tree.h"

struct world world;

static char scripts[WORLD_JOBS][2000];
static char *words[WORLD_JOBS][4];
static char shell[] = "/bin/sh";
static char dash_c[] = "-c";
static char *shell_words[] = {shell, dash_c, NULL};

static bool on_may_start(void *ctx)
{
    (void)ctx;
    return world.may_start;
}

static void on_started(void *ctx)
{
    (void)ctx;
    world.started++;
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

void world_up(void)
{
    static const struct jobs_events events = {
        .may_start = on_may_start, .on_started = on_started, .on_idle = on_idle};
    char pid[16];
    char fifo[100];

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
    (void)snprintf(fifo, sizeof(fifo), "%s/alive", world.directory);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    cr_assert(open(fifo, O_RDWR | O_CLOEXEC) != -1); /* to our end, and so is who waits for it */
    /* Forks nothing: what is born while it is being stopped may get away. */
    cr_assert_eq(setenv("WAIT", "[ -e /proc/$TEST ] && read -r nothing < $DIR/alive", 1), 0);
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    cr_assert_eq(setenv("TEST", pid, 1), 0);
    world.cfg = (struct config){
        .pgbaton = {.instance = "test"},
        .election = {.name = "main"}, /* without an election there is no ledger */
        .jobs_enabled = true,
        .runs = {.max_running = 100},
        .jobs = world.job_list,
    };
}

void world_forget_ledger(void)
{
    jobs_forget_ledger(world.jobs);
    ledger_close(world.ledger);
    world.ledger = NULL;
}

/* A test that failed left in the middle. */
static void end_all(void)
{
    mono_ns limit = clock_now() + WORLD_LIMIT;

    if (jobs_idle(world.jobs)) {
        return;
    }
    world.idle = 0;
    jobs_kill(world.jobs);
    while (world.idle == 0 && clock_now() < limit) {
        (void)ev_run(world.loop, EVRUN_ONCE);
    }
}

void world_down(void)
{
    char command[100];

    end_all();
    world_forget_ledger();
    if (jobs_idle(world.jobs)) {
        jobs_free(world.jobs);
    }
    log_fd(2);
    (void)snprintf(command, sizeof(command), "rm -rf %s", world.directory);
    (void)system(command);
}

struct config_job *world_add(const char *name, struct schedule schedule, const char *script)
{
    size_t row = world.cfg.job_count++;

    cr_assert(row < WORLD_JOBS);
    (void)snprintf(scripts[row], sizeof(scripts[row]), "%s", script);
    words[row][0] = shell;
    words[row][1] = dash_c;
    words[row][2] = scripts[row];
    words[row][3] = NULL;
    world.job_list[row] = (struct config_job){
        .name = name,
        .schedule = schedule,
        .command = scripts[row],
        .words = words[row],
        .shell = shell_words,
        .grace = DUR_S(30),
        .overlap = OVERLAP_SKIP,
        .missed = MISSED_ONCE,
        .missed_window = DUR_S(86400),
        .missed_max = 100,
        .umask = -1,
        .nice = INT_MIN,
        .enabled = true,
        .hash = row + 1,
    };
    world.job_list[row].success_codes.bits[0] = 1; /* 0 */
    return &world.job_list[row];
}

void world_begin_term(struct epoch epoch)
{
    const struct ledger_options options = {.config = &world.cfg};
    const struct ledger_events events = jobs_ledger_events(world.jobs);

    world_forget_ledger();
    world.idle = 0;
    world.started = 0;
    world.ledger = ledger_open(world.loop, &options, &events);
    cr_assert_not_null(world.ledger);
    ledger_begin(world.ledger, epoch);
    jobs_begin(world.jobs, epoch, world.ledger, 0);
}

void world_begin(void)
{
    jobs_configure(world.jobs, &world.cfg);
    world_begin_term((struct epoch){1, 7});
}

const char *world_log(void)
{
    static char text[4 << 20];
    ssize_t length = pread(world.log_file, text, sizeof(text) - 1, 0);

    cr_assert(length >= 0);
    text[length] = '\0';
    return text;
}

bool world_has_logged(const void *what)
{
    return strstr(world_log(), what) != NULL;
}

bool world_has_started(const void *ctx)
{
    (void)ctx;
    return world.started > 0;
}

bool world_is_idle(const void *ctx)
{
    (void)ctx;
    return world.idle > 0;
}

bool world_has_file(const void *name)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/%s", world.directory, (const char *)name);
    return access(path, F_OK) == 0;
}

void world_make_file(const char *name)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/%s", world.directory, name);
    (void)close(open(path, O_CREAT | O_WRONLY, 0600));
}

void world_wait_for(const char *title, bool (*fact)(const void *ctx), const void *ctx)
{
    mono_ns limit = clock_now() + WORLD_LIMIT;

    while (!fact(ctx)) {
        cr_assert(clock_now() < limit, "%s: did not come; the log: %s", title, world_log());
        (void)ev_run(world.loop, EVRUN_ONCE);
    }
}

void world_wait_for_log(const char *text)
{
    world_wait_for(text, world_has_logged, text);
}

void world_wait_for_file(const char *name)
{
    world_wait_for(name, world_has_file, name);
}

/* That live: a zombie only waits for its parent. */
unsigned world_descendants(void)
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

void world_expect_nothing_left(void)
{
    cr_expect_eq(world.idle, 1, "told once");
    cr_expect(jobs_idle(world.jobs));
    cr_expect_eq(world_descendants(), 0, "a process is left");
}

void world_drain(dur_ns until, dur_ns over)
{
    mono_ns now = clock_now();

    jobs_drain(world.jobs, now + until, now + over);
    cr_expect_eq(world.idle, 0, "never from inside the call");
    world_wait_for("idle", world_is_idle, NULL);
    world_expect_nothing_left();
}

void world_kill_all(void)
{
    jobs_kill(world.jobs);
    cr_expect_eq(world.idle, 0, "never from inside the call");
    world_wait_for("idle", world_is_idle, NULL);
    world_expect_nothing_left();
}
