/*
 * keeper.c - parent and subreaper of CMD: keeps its orphans apart from the
 * jobs', passes signals on to it, and says when it ended.
 *
 * CMD runs on every replica, whoever leads. It ends before the keeper does, or
 * is killed by it: what CMD left behind does not outlive the instance.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/backoff.h"
#include "common/child.h"
#include "common/log.h"
#include "common/offspring.h"
#include "common/process_tree.h"
#include "common/random.h"
#include "common/timer.h"
#include "worker/keeper/service.h"

/* What CMD left when it ended gets this long from TERM to KILL. */
#define LEFTOVERS_GRACE DUR_MS(300)
#define SWEEP_PAUSE DUR_MS(10)
/* CMD wants the terminal while we are in the background ourselves: look again so often. */
#define TERMINAL_AGAIN DUR_S(1)
/* No fork() for CMD: the machine may have room again soon. */
#define FORK_WAIT_LEAST DUR_MS(100)
#define FORK_WAIT_MOST DUR_S(10)

/*
 * RUNNING: CMD runs, or could not be forked yet, or has ended and the supervisor
 * was told so.
 * ENDING: everything below us has TERM. Not known: whether it listens.
 * KILLING: everything below us gets SIGKILL until nothing is left.
 */
enum keeper_state { KEEPER_RUNNING, KEEPER_ENDING, KEEPER_KILLING };

struct keeper {
    struct child *child;
    struct config *config;
    enum keeper_state state;
    bool ended;          /* CMD was reaped, or will never be started */
    bool wants_terminal; /* CMD is stopped because it is in the background */
    pid_t service;       /* 0: not started yet */
    struct backoff wait;
    struct prng random;
    ev_io channel_io;
    ev_io signal_io;
    struct timer timer;
};

static void finish(struct keeper *k)
{
    ev_break(k->child->loop, EVBREAK_ALL);
}

/* True: nothing lives below us. */
static bool sweep(void)
{
    const struct pid_set nobody = {0};
    struct process_sweep found = {0};

    return process_sweep_children(&nobody, &found) == 0 && found.seen == 0;
}

/* We are a subreaper: without a child there is no descendant. Not known is not none. */
static bool has_descendants(void)
{
    const struct pid_set nobody = {0};

    return offspring_left(&nobody) != 0;
}

static void kill_all(struct keeper *k)
{
    k->state = KEEPER_KILLING;
    if (sweep() && k->ended && !has_descendants()) {
        finish(k);
        return;
    }
    timer_arm(&k->timer, clock_now() + SWEEP_PAUSE);
}

static void terminate_all(void)
{
    struct pid_set all = {0};

    if (process_descendants(getpid(), &all) == 0) {
        for (size_t i = 0; i < all.count; i++) {
            (void)process_signal(all.pids[i], SIGTERM, &all);
        }
    }
    pid_set_release(&all);
}

/* End everything below us, within that time. The first one to ask is heard. */
static void end_all(struct keeper *k, dur_ns within)
{
    if (k->state != KEEPER_RUNNING) {
        return;
    }
    k->ended = k->ended || k->service == 0;
    if (k->ended && !has_descendants()) {
        finish(k);
        return;
    }
    k->state = KEEPER_ENDING;
    terminate_all();
    timer_arm(&k->timer, clock_now() + within);
}

/* The supervisor is gone: nobody else will end CMD. */
static void orphaned(struct keeper *k)
{
    end_all(k, k->config->pgbaton.stop_timeout);
}

/* The terminal is given on only where it is ours to give. */
static bool give_terminal(const struct keeper *k, pid_t to)
{
    pid_t group = getpgid(k->child->supervisor);

    if (!isatty(STDIN_FILENO)) {
        return false;
    }
    pid_t foreground = tcgetpgrp(STDIN_FILENO);
    bool ours = foreground > 0 && (foreground == group || foreground == k->service);
    return ours && tcsetpgrp(STDIN_FILENO, to) == 0;
}

static void service_ended(struct keeper *k, int code)
{
    struct message m = {.u.service_ended = {.code = code}};

    k->ended = true;
    k->wants_terminal = false;
    (void)give_terminal(k, getpgid(k->child->supervisor));
    if (channel_send(&k->child->up, MESSAGE_SERVICE_ENDED, &m, -1) < 0) {
        orphaned(k);
    }
}

/* Continued without the terminal it would only be stopped again, and again. */
static void offer_terminal(struct keeper *k)
{
    assert(k->service > 0);
    if (give_terminal(k, k->service)) {
        k->wants_terminal = false;
        (void)kill(-k->service, SIGCONT);
    } else {
        timer_arm(&k->timer, clock_now() + TERMINAL_AGAIN);
    }
}

static void service_stopped(struct keeper *k, int number)
{
    k->wants_terminal = number == SIGTTIN || number == SIGTTOU;
    if (k->wants_terminal && k->state == KEEPER_RUNNING) {
        offer_terminal(k);
    }
}

static void start_service(struct keeper *k)
{
    pid_t pid = service_start(k->child->argv);

    if (pid < 0) {
        dur_ns wait = backoff_next(&k->wait, &k->random);

        log_warn("service_not_forked", "error=%s in_ms=%lld", log_text(strerror((int)-pid)).is,
                 (long long)(wait / DUR_MS(1)));
        timer_arm(&k->timer, clock_now() + wait);
        return;
    }
    k->service = pid;
    log_info("service_started", "command=%s service_pid=%d", log_text(k->child->argv[0]).is,
             (int)k->service);
}

static void on_due(void *ctx)
{
    struct keeper *k = ctx;

    if (k->state != KEEPER_RUNNING) {
        kill_all(k);
    } else if (k->service == 0 && !k->ended) {
        start_service(k);
    } else if (k->wants_terminal) {
        offer_terminal(k);
    }
}

static void reap(struct keeper *k)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        if (pid != k->service) {
            continue;
        }
        if (WIFSTOPPED(status)) {
            service_stopped(k, WSTOPSIG(status));
        } else if (WIFCONTINUED(status)) {
            k->wants_terminal = false;
        } else {
            service_ended(k, service_code(status));
        }
    }
    if (k->state != KEEPER_RUNNING && k->ended && !has_descendants()) {
        finish(k);
    }
}

static void on_signal(struct ev_loop *loop, ev_io *io, int events)
{
    struct keeper *k = io->data;
    struct signalfd_siginfo info;

    (void)loop;
    (void)events;
    while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            reap(k);
            break;
        case SIGTERM:
            if (getppid() != k->child->supervisor) { /* it died: this is the kernel's signal */
                orphaned(k);
            } else { /* its ladder came to this rung */
                end_all(k, LEFTOVERS_GRACE);
            }
            break;
        default: /* a number from the kernel, not an enum of ours */
            break;
        }
    }
}

static void pass_on(struct keeper *k, int number)
{
    if (number == SIGKILL) {
        kill_all(k);
    } else if (k->service == 0 && !k->ended) {
        service_ended(k, SERVICE_NOT_RUNNABLE); /* now it is too late to start it */
    } else if (!k->ended) {
        assert(k->service > 0);          /* kill(0, ...) would be our own group */
        (void)kill(k->service, number);  /* not reaped yet, so the pid is still its own */
        (void)kill(k->service, SIGCONT); /* a stopped one would not hear it */
    }
}

static void take_config(struct keeper *k, int fd)
{
    struct config *next;

    if (fd != -1 && config_unseal(fd, &next) == 0) {
        config_free(k->config);
        k->config = next;
        log_threshold(next->pgbaton.log_level);
    }
}

/* Returns true when the descriptor was taken over. */
static bool take(struct keeper *k, const struct message *m, int fd)
{
    switch ((enum message_type)m->header.type) {
    case MESSAGE_CONFIG:
        take_config(k, fd);
        return false;
    case MESSAGE_LOG:
        if (fd != -1) {
            child_take_log(fd);
        }
        return fd != -1;
    case MESSAGE_SIGNAL:
        pass_on(k, m->u.signal.number);
        return false;
    case MESSAGE_STOP:
        end_all(k, LEFTOVERS_GRACE);
        return false;
    case MESSAGE_HELLO:
    case MESSAGE_ALIVE:
    case MESSAGE_LAST_WORDS:
    case MESSAGE_PEER:
    case MESSAGE_SEEK:
    case MESSAGE_LEAVE:
    case MESSAGE_LEAD:
    case MESSAGE_FENCED:
    case MESSAGE_UNBLOCK:
    case MESSAGE_SEAT_TAKEN:
    case MESSAGE_SEAT_LOST:
    case MESSAGE_FLEET:
    case MESSAGE_FENCE_RECORDED:
    case MESSAGE_CAMPAIGN:
    case MESSAGE_STAND_DOWN:
    case MESSAGE_SLICE_ANSWERED:
    case MESSAGE_CAMPAIGN_FAILED:
    case MESSAGE_OPENING_BLOCKED:
    case MESSAGE_ELECTED:
    case MESSAGE_RENEWED:
    case MESSAGE_LOST:
    case MESSAGE_RELEASED:
    case MESSAGE_COMMAND:
    case MESSAGE_REPLY:
    case MESSAGE_SERVICE_ENDED:
    case MESSAGE_CRITICAL:
    case MESSAGE_QUERY:
    case MESSAGE_QUERY_REPLY:
    case MESSAGE_REQUESTS:
    case MESSAGE_JOB_COMMAND:
    case MESSAGE_JOB_ANSWER:
    case MESSAGE_TYPE_COUNT:
        break;
    }
    return false; /* not for the keeper */
}

static void on_message(struct ev_loop *loop, ev_io *io, int events)
{
    struct keeper *k = io->data;
    struct message m;
    int fd = -1;

    (void)events;
    int rc = channel_receive(&k->child->up, &m, &fd);
    if (rc == 1) {
        if (!take(k, &m, fd) && fd != -1) {
            (void)close(fd);
        }
    } else if (rc != -EAGAIN) {
        ev_io_stop(loop, io);
        channel_close(&k->child->up);
        orphaned(k);
    }
}

int keeper_main(struct child *c)
{
    static struct keeper k; /* one a process; its watchers must not move */
    struct message first;
    sigset_t terminal;

    assert(c->argc > 0);
    child_enter(c, NULL, 0);
    child_hello(c, &k.config, &first);
    log_threshold(k.config->pgbaton.log_level);
    k.child = c;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1) {
        child_die(c, CHILD_EXIT_FAILED, "no child subreaper: %s", strerror(errno));
    }
    /* Giving the terminal away from the background would stop us. */
    (void)sigemptyset(&terminal);
    (void)sigaddset(&terminal, SIGTTOU);
    (void)sigprocmask(SIG_BLOCK, &terminal, NULL);

    int rc = timer_init(&k.timer, c->loop, on_due, &k);
    if (rc < 0) {
        child_die(c, CHILD_EXIT_FAILED, "no timer: %s", strerror(-rc));
    }
    ev_io_init(&k.channel_io, on_message, c->up.fd, EV_READ);
    k.channel_io.data = &k;
    ev_io_start(c->loop, &k.channel_io);
    ev_io_init(&k.signal_io, on_signal, c->signal_fd, EV_READ);
    k.signal_io.data = &k;
    ev_io_start(c->loop, &k.signal_io);

    prng_seed(&k.random, c->seed);
    k.wait = (struct backoff){.least = FORK_WAIT_LEAST, .most = FORK_WAIT_MOST};
    start_service(&k);
    (void)ev_run(c->loop, 0);
    timer_release(&k.timer);
    config_free(k.config);
    return CHILD_EXIT_ASKED;
}
