#include "supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/control.h"
#include "common/log.h"
#include "common/trim.h"
#include "supervisor/board.h"
#include "supervisor/deeds.h"
#include "supervisor/inbox.h"
#include "supervisor/logfile.h"
#include "supervisor/reload.h"
#include "supervisor/rundir.h"
#include "supervisor/signals.h"

/* What is still alive when all children are gone gets this long to be killed and reaped. */
#define LAST_SWEEP DUR_MS(300)
/* A wake-up that is later than this was no busy machine: we were stopped, or it was suspended. */
#define OVERSLEPT DUR_S(2)
/* A channel that held so many unread messages may have had no room for the next. */
enum { MAY_HAVE_BEEN_FULL = 100 };

bool supervisor_is_stopping(const struct supervisor *s)
{
    return s->shutdown.rung != SHUTDOWN_NOT;
}

void supervisor_stop(struct supervisor *s, bool at_once, int code, const char *reason)
{
    bool first = !supervisor_is_stopping(s);

    if (s->exit_code == 0) {
        s->exit_code = code;
    }
    if (first) {
        (void)snprintf(s->stop_reason, sizeof(s->stop_reason), "%s", reason);
    }
    log_info("stopping", "reason=%s how=%s role=%s epoch=%s", log_text(reason).is,
             at_once || !first ? "at_once" : "graceful", election_state_name(s->election.state),
             epoch_text(s->election.epoch).is);
    if (first) {
        reload_refuse_all(s);
    }
    deeds_shutdown(s, at_once ? SHUTDOWN_ASKED_AT_ONCE : SHUTDOWN_ASKED);
}

static void start_child(struct supervisor *s, struct child_row *row, mono_ns now)
{
    s->launch.seed = prng_next(&s->random);
    int rc = child_start(row, &s->launch, now);

    if (rc < 0) {
        row->deadline = restart_failed(&row->restart, now, &s->random);
        log_error("child_not_started", "child=%s error=%s in_ms=%lld", row->spec->name,
                  log_text(strerror(-rc)).is, (long long)((row->deadline - now) / DUR_MS(1)));
        return;
    }
    inbox_watch(s, row);
    log_debug("child_started", "child=%s child_pid=%d generation=%" PRIu64, row->spec->name,
              (int)row->pid, row->generation);
}

/* A leading worker is not held to its stall limit: D is the sharper one. */
static bool has_lease(const struct supervisor *s, const struct child_row *row)
{
    return row->slot == SLOT_WORKER && s->election.lock_kept &&
           s->election.lease_deadline != MONO_NEVER;
}

static void look_at_child(struct supervisor *s, struct child_row *row, mono_ns now)
{
    if (now < row->deadline) {
        return;
    }
    switch (row->state) {
    case CHILD_DOWN:
        if (row->wanted && !supervisor_is_stopping(s)) {
            start_child(s, row, now);
        }
        return;
    case CHILD_STARTING:
        child_kill(row, now, "said no HELLO in time");
        return;
    case CHILD_READY:
        if (has_lease(s, row)) {
            child_heard(row, now);
        } else {
            child_kill(row, now, "was silent for too long");
        }
        return;
    case CHILD_ENDING:
        child_kill(row, now, "did not end when it should have");
        return;
    }
}

/* What somebody else has reaped we were not told of, and its number may be a job's process's now.
 * A number that nobody has does no harm until then; but what is only hidden from us (hidepid of
 * proc(5)) or could not be read this once would be killed, or be waited for without an end. */
static void forget_reused(struct supervisor *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->inherited.count; i++) {
        if (!process_is_younger(s->inherited.pids[i], s->inherited_at)) {
            s->inherited.pids[kept++] = s->inherited.pids[i];
        }
    }
    s->inherited.count = kept;
}

static int keep_inherited(const struct supervisor *s, struct pid_set *keep)
{
    int rc = 0;

    for (size_t i = 0; i < s->inherited.count && rc == 0; i++) {
        rc = pid_set_add(keep, s->inherited.pids[i]);
    }
    return rc;
}

static void look_at_fence(struct supervisor *s)
{
    struct pid_set keep = {0};

    if (!s->fence.active) {
        return;
    }
    signals_reap(s); /* zombies of the last pass */
    /* Where somebody has died since it may have been the last: no pause then. */
    if (clock_now() < s->fence.next_at && s->fence.reaped == s->strangers_reaped) {
        return;
    }
    forget_reused(s);
    bool done = keep_inherited(s, &keep) == 0 && children_keep(s->children, &keep) == 0 &&
                fence_pass(&s->fence, &keep, s->strangers_reaped, clock_now());
    pid_set_release(&keep);
    if (done) {
        deeds_happened(s, ELECTION_DESCENDANTS_GONE);
    }
}

static void look_at_shutdown(struct supervisor *s)
{
    if (s->shutdown.rung >= SHUTDOWN_CHILDREN && s->shutdown.rung < SHUTDOWN_DONE &&
        children_alive(s->children) == 0) {
        deeds_shutdown(s, SHUTDOWN_CHILDREN_GONE);
    }
    if (clock_now() >= shutdown_wake_at(&s->shutdown)) {
        deeds_shutdown(s, SHUTDOWN_TICK);
    }
}

static void say_started(struct supervisor *s)
{
    if (s->started) {
        return;
    }
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        if (s->children[slot].wanted && s->children[slot].state != CHILD_READY) {
            return;
        }
    }
    s->started = true;
    trim_memory();
    log_info("started", "pid=%d instance=%s run_dir=%s", (int)getpid(),
             log_text(s->config->pgbaton.instance).is, log_text(s->run_dir).is);
}

static mono_ns earliest(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

static mono_ns next_wake(const struct supervisor *s)
{
    mono_ns at = earliest(s->election_wake_at, shutdown_wake_at(&s->shutdown));

    at = earliest(at, s->fence.active ? s->fence.next_at : MONO_NEVER);
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        const struct child_row *row = &s->children[slot];

        if (row->state != CHILD_DOWN || (row->wanted && !supervisor_is_stopping(s))) {
            at = earliest(at, row->deadline);
        }
    }
    return at;
}

/*
 * Before silence is held against anybody, hear what is waiting to be read. And
 * if we ourselves were stopped, so may they have been: their time starts anew.
 * (Not the lease's: that runs on whoever sleeps. Only what a worker may have said into a full
 * channel is waited for.)
 */
static void hear_first(struct supervisor *s, mono_ns now)
{
    bool slept = s->wake_at != MONO_NEVER && now - s->wake_at > OVERSLEPT;

    if (now < earliest(s->wake_at, s->election_wake_at)) {
        return;
    }
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        unsigned heard = inbox_drain(s, &s->children[slot]);

        if (slept) {
            child_heard(&s->children[slot], now);
        }
        if (slept && slot == SLOT_WORKER && heard >= MAY_HAVE_BEEN_FULL) {
            deeds_happened(s, ELECTION_UNHEARD);
        }
    }
}

void supervisor_settle(struct supervisor *s)
{
    mono_ns now = clock_now();

    hear_first(s, now);
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        look_at_child(s, &s->children[slot], now);
    }
    look_at_fence(s);
    if (clock_now() >= s->election_wake_at) {
        deeds_happened(s, ELECTION_TICK);
    }
    look_at_shutdown(s);
    say_started(s);
    board_show(s);
    s->wake_at = next_wake(s);
    timer_arm(&s->timer, s->wake_at);
}

static void on_due(void *ctx)
{
    supervisor_settle(ctx);
}

static int fail(const char *what, int rc)
{
    (void)fprintf(stderr, "pgbaton: %s: %s\n", what, strerror(-rc));
    return rc;
}

/* What only root can do for the user that we are about to become. */
static int prepare_as_root(struct supervisor *s)
{
    const char *run_dir = s->config->pgbaton.run_dir;
    const char *path = run_dir != NULL ? run_dir : "/run/pgbaton";

    if (!s->privileges.change) {
        return 0;
    }
    if (mkdir(path, 0750) == -1) {
        return 0; /* one that is there already is looked at as that user */
    }
    return privileges_give(&s->privileges, path);
}

static int become_user(struct supervisor *s)
{
    char reason[256];
    int rc = privileges_find(s->config, &s->privileges, reason, sizeof(reason));

    if (rc < 0) {
        (void)fprintf(stderr, "pgbaton: %s\n", reason);
        s->exit_code = EXIT_CODE_CONFIG;
        return rc;
    }
    rc = logfile_open(s->config->pgbaton.log_file, &s->privileges);
    if (rc < 0) {
        (void)fprintf(stderr, "pgbaton: %s: %s\n", s->config->pgbaton.log_file, logfile_error(rc));
        return rc;
    }
    rc = prepare_as_root(s);
    if (rc < 0) {
        return fail("cannot prepare the run_dir", rc);
    }
    rc = privileges_drop(&s->privileges);
    s->sources.environment = environ; /* a reload reads what is true now */
    return rc < 0 ? fail("cannot become the user of [pgbaton] user", rc) : 0;
}

static int claim_run_dir(struct supervisor *s)
{
    char reason[512];
    int rc = rundir_path(s->config, false, s->run_dir, sizeof(s->run_dir), reason, sizeof(reason));

    if (rc == 0) {
        rc = rundir_claim(s->run_dir, reason, sizeof(reason));
    }
    if (rc < 0) {
        (void)fprintf(stderr, "pgbaton: %s\n", reason);
        return rc;
    }
    s->run_dir_fd = rc;
    s->launch.listen_fd = rundir_listen(s->run_dir);
    return s->launch.listen_fd < 0
               ? fail("cannot listen on the control socket", s->launch.listen_fd)
               : 0;
}

static int draw(struct supervisor *s)
{
    uint64_t numbers[2];

    if (getrandom(numbers, sizeof(numbers), 0) != (ssize_t)sizeof(numbers)) {
        return fail("getrandom", -EIO);
    }
    s->incarnation = numbers[0];
    prng_seed(&s->random, numbers[1]);
    return 0;
}

static int open_loop(struct supervisor *s)
{
    /* Never the default loop: that would take SIGCHLD, and reap, for itself. */
    s->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (s->loop == NULL) {
        return fail("no event loop", -ENOMEM);
    }
    ev_set_userdata(s->loop, s);
    int rc = timer_init(&s->timer, s->loop, on_due, s);
    if (rc < 0) {
        return fail("no timer", rc);
    }
    rc = signals_open(s);
    return rc < 0 ? fail("no signalfd", rc) : 0;
}

static int open_all(struct supervisor *s)
{
    s->launch.program_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (s->launch.program_fd == -1) {
        return fail("/proc/self/exe", -errno);
    }
    /* Orphans of a dead worker come to us, not to init. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1) {
        return fail("no child subreaper", -errno);
    }
    /* An entrypoint script that did `sidecar & exec pgbaton run` left us a child that is no job's.
     */
    (void)process_descendants(getpid(), &s->inherited);
    s->inherited_at = clock_now();
    int rc = become_user(s);
    if (rc == 0) {
        rc = claim_run_dir(s);
    }
    if (rc == 0) {
        rc = draw(s);
    }
    if (rc < 0) {
        return rc;
    }
    s->board = scoreboard_create(&s->launch.board_fd);
    if (s->board == NULL) {
        return fail("no scoreboard", -errno);
    }
    s->launch.board = s->board;
    return open_loop(s);
}

static void init(struct supervisor *s, const struct config_sources *sources, int service_argc,
                 char **service_argv)
{
    *s = (struct supervisor){
        .sources = *sources,
        .signal_fd = -1,
        .config_fd = -1,
        .config_stripped_fd = -1,
        .lock_fd = -1,
        .run_dir_fd = -1,
        .reload = {.log_fd = -1},
        .election_wake_at = MONO_NEVER,
        .wake_at = MONO_NEVER,
        .stop_signal = SIGTERM,
        .has_service = service_argc > 0,
        .launch = {.listen_fd = -1,
                   .board_fd = -1,
                   .program_fd = -1,
                   .service_argc = service_argc,
                   .service_argv = service_argv},
    };
    s->sources.never_wait = true; /* all further reading is in the loop */
    s->started_at = clock_wall();
    s->role_since = s->started_at;
    children_init(s->children);
    fence_init(&s->fence);
}

static void begin(struct supervisor *s)
{
    struct election_terms terms = deeds_terms(s->config);
    mono_ns now = clock_now();

    log_info("starting",
             "version=%s pid=%d instance=%s incarnation=%016" PRIx64 " config=%016" PRIx64
             " jobs=%zu",
             PGBATON_VERSION, (int)getpid(), log_text(s->config->pgbaton.instance).is,
             s->incarnation, s->config->hash, s->config->job_count);
    if (s->config->job_count > 0 && s->config->jobs_enabled && !process_tree_available()) {
        log_error("no_proc", "effect=%s", "\"/proc cannot be read: this instance leads no jobs\"");
    }
    election_init(&s->election, &terms, now, prng_next(&s->random));
    shutdown_init(&s->shutdown, s->config->pgbaton.stop_timeout, s->has_service);
    if (s->has_service) {
        s->children[SLOT_KEEPER].wanted = true;
        s->children[SLOT_KEEPER].deadline = now;
    }
    reload_children_wanted(s);
}

/* What came to us and outlived everybody ends with us. As long as stop_timeout lets us, if the lock
 * waits for it. */
static void sweep_up(struct supervisor *s)
{
    mono_ns until = s->lock_fd != -1 ? s->shutdown.ends_at
                                     : earliest(s->shutdown.ends_at, clock_now() + LAST_SWEEP);
    const struct timespec pause = {.tv_nsec = DUR_MS(1)};

    fence_begin(&s->fence, clock_now());
    forget_reused(s);
    while (clock_now() < until) { /* the loop has ended: nothing else waits for us now */
        signals_reap(s);
        if (fence_pass(&s->fence, &s->inherited, s->strangers_reaped, clock_now())) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    log_error("unkillable", "processes=%u not_permitted=%u pid=%d", s->fence.seen, s->fence.refused,
              (int)s->fence.example);
}

static void close_fd(int fd)
{
    if (fd != -1) {
        (void)close(fd);
    }
}

static void release(struct supervisor *s)
{
    char path[sizeof(s->run_dir) + sizeof(CONTROL_SOCKET_NAME) + 1];

    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        channel_close(&s->children[slot].channel);
    }
    if (s->launch.listen_fd >= 0) {
        (void)snprintf(path, sizeof(path), "%s/%s", s->run_dir, CONTROL_SOCKET_NAME);
        (void)unlink(path);
        (void)close(s->launch.listen_fd);
    }
    if (s->signal_fd != -1) {
        signals_close(s);
    }
    timer_release(&s->timer);
    if (s->loop != NULL) {
        ev_loop_destroy(s->loop);
    }
    close_fd(s->lock_fd);
    close_fd(s->config_fd);
    close_fd(s->config_stripped_fd);
    close_fd(s->launch.board_fd);
    close_fd(s->launch.program_fd);
    close_fd(s->run_dir_fd);
    pid_set_release(&s->inherited);
    scoreboard_free(s->board);
    config_free(s->reload.next);
    config_free(s->config);
}

int supervisor_run(struct config *cfg, const struct config_sources *sources, int service_argc,
                   char **service_argv)
{
    static struct supervisor s; /* one a process; too large for a stack */
    int code = EXIT_CODE_FAILED;

    log_role("supervisor");
    init(&s, sources, service_argc, service_argv);
    s.config = cfg;
    if (open_all(&s) < 0) {
        code = s.exit_code != 0 ? s.exit_code : EXIT_CODE_FAILED;
        goto out;
    }
    s.config = NULL;
    int rc = reload_adopt(&s, cfg);
    if (rc < 0) {
        s.config = cfg;
        (void)fail("cannot seal the configuration", rc);
        goto out;
    }
    child_title("supervisor (%s)", s.config->election.name);
    begin(&s);
    supervisor_settle(&s);
    (void)ev_run(s.loop, 0);
    sweep_up(&s);
    code = s.exit_code;
    log_info("stopped", "reason=%s code=%d uptime_s=%lld", log_text(s.stop_reason).is, code,
             (long long)((clock_wall() - s.started_at) / DUR_S(1)));
out:
    release(&s);
    return code;
}
