#include "supervisor/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/deeds.h"
#include "supervisor/inbox.h"
#include "supervisor/logfile.h"
#include "supervisor/orders.h"
#include "supervisor/reload.h"

/* Ctrl-C below make, or timeout(1), is one wish that arrives twice: by the terminal's group and by
 * the parent. A second one that is meant comes later. */
#define ECHO_WITHIN DUR_MS(100)

static const int watched[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};

/* The death of a child is one line. */
static void log_death(const struct supervisor *s, const struct child_row *row,
                      const struct child_death *death, bool asked)
{
    mono_ns now = clock_now();
    const char *next = "none";
    long long wait_ms = 0;

    if (row->wanted && !supervisor_is_stopping(s)) {
        next = restart_verdict_name(death->verdict);
        if (row->deadline != MONO_NEVER) {
            wait_ms = (row->deadline - now) / DUR_MS(1);
        }
    }
    log_event(asked && death->code == 0 ? LEVEL_DEBUG : LEVEL_WARN, "child_exited",
              "child=%s child_pid=%d generation=%" PRIu64
              " lived_ms=%lld code=%d signal=%d killed_for=%s last_words=%s next=%s in_ms=%lld",
              row->spec->name, (int)death->pid, death->generation,
              (long long)(death->lived / DUR_MS(1)), death->code, death->signal,
              log_text(row->verdict).is, log_text(row->last_words).is, next, wait_ms);
}

static void after_death(struct supervisor *s, const struct child_row *row,
                        const struct child_death *death)
{
    switch (row->slot) {
    case SLOT_PROBE:
        s->heir_waits = false;
        if (s->clock_wrong) { /* not known any more, and unknown is not no */
            s->clock_wrong = false;
            deeds_happened(s, ELECTION_CLOCK_RIGHT);
        }
        deeds_happened(s, ELECTION_PROBE_GONE);
        break;
    case SLOT_WORKER:
        deeds_happened(s, ELECTION_WORKER_EXITED);
        break;
    case SLOT_KEEPER:
        if (!death->came_up && !supervisor_is_stopping(s)) {
            break; /* CMD was not started yet: it may be tried again */
        }
        deeds_shutdown(s, SHUTDOWN_SERVICE_ENDED);
        if (!s->service_ended && !supervisor_is_stopping(s)) {
            supervisor_stop(s, false, 1, "the keeper of the service died");
        }
        break;
    case SLOT_MONITOR:
    case CHILD_SLOT_COUNT:
        break;
    }
    if (death->verdict == RESTART_NEVER && !supervisor_is_stopping(s)) {
        supervisor_stop(s, false, 1, "a child found another build at the far end of its channel");
    }
}

static void on_death(struct supervisor *s, struct child_row *row, int status)
{
    bool asked = row->state == CHILD_ENDING && row->verdict[0] == '\0';

    inbox_drain(s, row); /* its last words, and what it may have answered */
    inbox_unwatch(s, row);
    struct child_death death = child_ended(row, status, clock_now(), &s->random);
    log_death(s, row, &death, asked);
    after_death(s, row, &death);
}

/* Its pid may be another process's from now on. */
static void forget_inherited(struct supervisor *s, pid_t pid)
{
    for (size_t i = 0; i < s->inherited.count; i++) {
        if (s->inherited.pids[i] == pid) {
            s->inherited.pids[i] = s->inherited.pids[--s->inherited.count];
            return;
        }
    }
}

void signals_reap(struct supervisor *s)
{
    pid_t pid;
    int status;

    /* Signals merge: one SIGCHLD can stand for any number of deaths. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child_row *row = child_by_pid(s->children, pid);

        if (row != NULL) {
            on_death(s, row, status);
        } else {
            s->strangers_reaped++;
            forget_inherited(s, pid);
        }
    }
}

static void stop_by(struct supervisor *s, int number)
{
    char reason[32];
    mono_ns now = clock_now();
    bool echo = supervisor_is_stopping(s) && now - s->stop_signalled_at < ECHO_WITHIN;

    s->stop_signalled_at = now;
    if (echo && number != SIGQUIT) {
        return;
    }
    (void)snprintf(reason, sizeof(reason), "signal %s", sigabbrev_np(number));
    s->stop_signal = number; /* the last one is what CMD gets */
    supervisor_stop(s, number == SIGQUIT, 0, reason);
}

static void on_one(struct supervisor *s, int number)
{
    switch (number) {
    case SIGCHLD:
        signals_reap(s);
        break;
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        stop_by(s, number);
        break;
    case SIGHUP:
        reload_ask(s, 0);
        break;
    case SIGUSR1:
        logfile_reopen(s);
        break;
    case SIGUSR2:
        orders_step_down_by_signal(s);
        break;
    default: /* a number from the kernel, not an enum of ours */
        break;
    }
}

static void on_signals(struct ev_loop *loop, ev_io *io, int events)
{
    struct supervisor *s = ev_userdata(loop);
    struct signalfd_siginfo info[sizeof(watched) / sizeof(watched[0])];

    (void)events;
    /* Read once, at most one of each kind: in a storm of HUPs, the lowest number and so always the
     * first to be read, TERM and the renewals of the worker get their turn. */
    ssize_t length = read(io->fd, info, sizeof(info));
    for (ssize_t i = 0; i < length / (ssize_t)sizeof(info[0]); i++) {
        on_one(s, (int)info[i].ssi_signo);
    }
    supervisor_settle(s);
}

int signals_open(struct supervisor *s)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
        (void)sigaddset(&set, watched[i]);
    }
    if (sigprocmask(SIG_SETMASK, &set, NULL) == -1) {
        return -errno;
    }
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
        (void)signal(watched[i], SIG_DFL); /* an ignored one, as nohup leaves it, is not read */
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a reader of our log that went away is no reason to die */
    (void)signal(SIGTTOU, SIG_IGN); /* nor is a terminal that was given to CMD */
    s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signal_fd == -1) {
        return -errno;
    }
    ev_io_init(&s->signal_io, on_signals, s->signal_fd, EV_READ);
    ev_io_start(s->loop, &s->signal_io);
    return 0;
}

void signals_close(struct supervisor *s)
{
    if (s->signal_fd != -1) {
        ev_io_stop(s->loop, &s->signal_io);
        (void)close(s->signal_fd);
        s->signal_fd = -1;
    }
}
