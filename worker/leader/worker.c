#include "worker/leader/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"
#include "common/timer.h"
#include "common/trim.h"
#include "worker/leader/leader.h"

enum { MESSAGES_A_TURN = 16 };

struct worker {
    struct child *child;
    struct leader leader;
    ev_io channel;
    ev_io signals;
    struct timer alive;
    bool orphaned; /* said so */
};

static void take_config(struct worker *w, int fd)
{
    struct config *config = NULL;
    int rc = fd == -1 ? -EBADMSG : config_unseal(fd, &config);

    if (rc < 0) { /* the old one goes on: a leader does not end for this */
        log_error("config_unreadable", "error=%s", log_text(strerror(-rc)).is);
        return;
    }
    log_threshold(config->pgbaton.log_level);
    leader_configure(&w->leader, config);
}

static void close_if_open(int fd)
{
    if (fd != -1) {
        (void)close(fd);
    }
}

static void take_message(struct worker *w, const struct message *m, int fd)
{
    switch (m->header.type) {
    case MESSAGE_CONFIG:
        take_config(w, fd);
        break;
    case MESSAGE_CAMPAIGN:
        leader_campaign(&w->leader, &m->u.campaign);
        break;
    case MESSAGE_STAND_DOWN:
        leader_stand_down(&w->leader, &m->u.stand_down);
        break;
    case MESSAGE_REQUESTS:
        leader_requests(&w->leader);
        break;
    case MESSAGE_JOB_COMMAND:
        leader_job_command(&w->leader, &m->u.job_command);
        break;
    case MESSAGE_STOP:
        leader_leave(&w->leader, TURN_ORPHANED, END_STOP);
        break;
    case MESSAGE_LOG:
        if (fd != -1) {
            child_take_log(fd);
        }
        return; /* it is the log's now */
    default:    /* the table of messages is everybody's; the rest is not for us */
        log_warn("message_ignored", "type=%s", message_name(m->header.type));
        break;
    }
    close_if_open(fd);
}

/* Its end of file and the signal that the kernel sends for its death both come here. */
static void be_orphaned(struct worker *w)
{
    if (!w->orphaned) {
        w->orphaned = true;
        log_warn("supervisor_gone", "pid=%d next=exit", (int)w->child->supervisor);
    }
    leader_leave(&w->leader, TURN_ORPHANED, END_SUPERVISOR_DIED);
}

static void on_channel(struct ev_loop *loop, ev_io *io, int revents)
{
    struct worker *w = io->data;

    (void)revents;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        struct message m;
        int fd = -1;
        int rc = channel_receive(&w->child->up, &m, &fd);

        if (rc == -EAGAIN) {
            return;
        }
        if (rc <= 0) { /* gone, or not to be believed any more: either way we are alone */
            ev_io_stop(loop, io);
            channel_close(&w->child->up);
            be_orphaned(w);
            return;
        }
        take_message(w, &m, fd);
    }
}

static void take_signal(struct worker *w, uint32_t number)
{
    switch (number) {
    case SIGCHLD:
        leader_reap(&w->leader);
        break;
    case SIGTERM:
        if (getppid() == w->child->supervisor) {
            leader_leave(&w->leader, TURN_TERMINATED, END_STOP);
        } else {
            be_orphaned(w);
        }
        break;
    default: /* INT and QUIT of a terminal reach the whole group: the supervisor decides */
        break;
    }
}

static void on_signals(struct ev_loop *loop, ev_io *io, int revents)
{
    struct worker *w = io->data;
    struct signalfd_siginfo info;

    (void)loop;
    (void)revents;
    while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        take_signal(w, info.ssi_signo);
    }
}

static void on_alive(void *ctx)
{
    struct worker *w = ctx;

    struct message m = {.u.alive = {.progress = jobs_progress(w->leader.jobs)}};

    (void)channel_send(&w->child->up, MESSAGE_ALIVE, &m, -1);
    leader_publish(&w->leader);
    timer_arm(&w->alive, child_alive_at(w->child, clock_now()));
}

static void watch(struct worker *w)
{
    ev_io_init(&w->channel, on_channel, w->child->up.fd, EV_READ);
    ev_io_init(&w->signals, on_signals, w->child->signal_fd, EV_READ);
    w->channel.data = w;
    w->signals.data = w;
    ev_io_start(w->child->loop, &w->channel);
    ev_io_start(w->child->loop, &w->signals);
}

int worker_main(struct child *c)
{
    struct worker w = {.child = c};
    struct config *config = NULL;
    struct message first;
    int rc;

    child_enter(c, NULL, 0);
    child_hello(c, &config, &first);
    log_threshold(config->pgbaton.log_level);
    rc = leader_init(&w.leader, c, config, first.u.config.incarnation);
    if (rc == 0) {
        rc = timer_init(&w.alive, c->loop, on_alive, &w);
    }
    if (rc < 0) {
        child_die(c, CHILD_EXIT_FAILED, "the worker cannot start: %s", strerror(-rc));
    }
    on_alive(&w);
    watch(&w);
    trim_memory();
    ev_run(c->loop, 0);
    leader_release(&w.leader);
    timer_release(&w.alive);
    return CHILD_EXIT_ASKED;
}
