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

#include "common/child.h"
#include "common/log.h"
#include "common/process_tree.h"
#include "common/timer.h"
#include "worker/keeper/service.h"

/* What CMD left when it ended gets this long from TERM to KILL. */
#define LEFTOVERS_GRACE DUR_MS(300)
#define SWEEP_PAUSE DUR_MS(10)

/*
 * RUNNING: CMD runs, or has ended and the supervisor was told so.
 * ENDING: everything below us has TERM. Not known: whether it listens.
 * KILLING: everything below us gets SIGKILL until nothing is left.
 */
enum keeper_state { KEEPER_RUNNING, KEEPER_ENDING, KEEPER_KILLING };

struct keeper {
    struct child *child;
    struct config *config;
    enum keeper_state state;
    bool ended; /* CMD was reaped */
    pid_t service;
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

static bool has_descendants(void)
{
    struct pid_set all = {0};
    int rc = process_descendants(getpid(), &all);
    bool some = rc < 0 || all.count > 0; /* not known is not none */

    pid_set_release(&all);
    return some;
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
    if (k->ended && !has_descendants()) {
        finish(k);
        return;
    }
    k->state = KEEPER_ENDING;
    terminate_all();
    timer_arm(&k->timer, clock_now() + within);
}

static void on_due(void *ctx)
{
    kill_all(ctx);
}

/* The supervisor is gone: nobody else will end CMD. */
static void orphaned(struct keeper *k)
{
    end_all(k, k->config->pgbaton.stop_timeout);
}

/* CMD wants to read from the terminal: it is its foreground then, if it was ours. */
static void give_terminal(const struct keeper *k, pid_t to)
{
    pid_t group = getpgid(k->child->supervisor);

    if (!isatty(STDIN_FILENO)) {
        return;
    }
    pid_t foreground = tcgetpgrp(STDIN_FILENO);
    if (foreground > 0 && (foreground == group || foreground == k->service)) {
        (void)tcsetpgrp(STDIN_FILENO, to);
    }
}

static void service_ended(struct keeper *k, int status)
{
    struct message m = {.u.service_ended = {.code = service_code(status)}};

    k->ended = true;
    give_terminal(k, getpgid(k->child->supervisor));
    if (channel_send(&k->child->up, MESSAGE_SERVICE_ENDED, &m, -1) < 0) {
        orphaned(k);
    }
}

static void service_stopped(struct keeper *k, int number)
{
    if (number == SIGTTIN || number == SIGTTOU) {
        give_terminal(k, k->service);
        (void)kill(-k->service, SIGCONT);
    }
}

static void reap(struct keeper *k)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (WIFSTOPPED(status)) {
            if (pid == k->service) {
                service_stopped(k, WSTOPSIG(status));
            }
        } else if (pid == k->service) {
            service_ended(k, status);
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
        case SIGTERM: /* the supervisor died, or its ladder came to this rung */
            end_all(k, LEFTOVERS_GRACE);
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
    case MESSAGE_FLEET_QUERY:
    case MESSAGE_FLEET_REPLY:
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

static void start_service(struct keeper *k)
{
    struct child *c = k->child;

    k->service = service_start(c->argv);
    if (k->service < 0) {
        child_die(c, CHILD_EXIT_FAILED, "cannot fork for %s: %s", c->argv[0],
                  strerror((int)-k->service));
    }
    log_info("service_started", "command=%s service_pid=%d", log_text(c->argv[0]).is,
             (int)k->service);
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

    start_service(&k);
    (void)ev_run(c->loop, 0);
    timer_release(&k.timer);
    config_free(k.config);
    return CHILD_EXIT_ASKED;
}
