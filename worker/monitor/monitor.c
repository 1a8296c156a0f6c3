/*
 * The monitor: answers the control socket. It decides nothing: what is asked
 * for goes to the supervisor and its answer comes back by number; what is shown
 * is read from the scoreboard and asked of the probe.
 *
 * c->argv[0] is the number of the listening socket.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/child.h"
#include "common/control.h"
#include "common/duration.h"
#include "common/log.h"
#include "common/timer.h"
#include "common/trim.h"
#include "worker/monitor/answers.h"
#include "worker/monitor/control.h"
#include "worker/monitor/fleet_query.h"
#include "worker/monitor/status.h"

#define ANSWER_SPARE DUR_S(5) /* an answer may take stop_timeout and this much more */

enum {
    MESSAGES_A_TURN = 16,
    BIG_ANSWER = 64 * 1024, /* bytes; the memory of one this long is given back at once */
};

struct monitor {
    struct child *child;
    struct config *config; /* owned; the one without secrets */
    struct control *control;
    struct queries queries;
    struct fleet_query fleet;
    struct answers answers;
    struct timer alive;
    ev_io from_supervisor;
    ev_io signals;
    uint64_t waiting[CONTROL_CONNECTIONS_MAX]; /* tickets that wait for the fleet; 0: none */
};

static dur_ns answer_within(const struct config *config)
{
    dur_ns order = config->pgbaton.stop_timeout + ANSWER_SPARE;
    dur_ns query = QUERY_WITHIN + DUR_S(1);

    return order > query ? order : query;
}

static void on_alive(void *ctx)
{
    struct monitor *m = ctx;

    /* Where it cannot be sent the supervisor sees silence, which is what that deserves. */
    (void)channel_send(&m->child->up, MESSAGE_ALIVE, NULL, -1);
    timer_arm(&m->alive, child_alive_at(m->child, clock_now()));
}

/* Rows of the scoreboard, as many as the configuration has jobs. NULL: none, or out of memory. */
static struct board_job *copy_jobs(const struct monitor *m, size_t *ret_count)
{
    size_t count = m->config->job_count < BOARD_JOBS_MAX ? m->config->job_count : BOARD_JOBS_MAX;
    struct board_job *jobs = count == 0 ? NULL : calloc(count, sizeof(*jobs));

    *ret_count = jobs == NULL ? 0 : count;
    for (size_t i = 0; i < *ret_count; i++) {
        (void)scoreboard_get_job(m->child->board, (unsigned)i, &jobs[i]);
    }
    return jobs;
}

/* One line of JSON, malloc'd; NULL: out of memory. */
static char *status_line(const struct monitor *m, json_t *fleet)
{
    struct status_view view = {
        .config = m->config,
        .fleet = fleet,
        .now = clock_now(),
        .wall = clock_wall(),
    };

    /* A section whose writer died in the middle of it is shown as it is: the restart mends it. */
    (void)scoreboard_get_supervisor(m->child->board, &view.supervisor);
    (void)scoreboard_get_probe(m->child->board, &view.probe);
    (void)scoreboard_get_worker(m->child->board, &view.worker);
    struct board_job *jobs = copy_jobs(m, &view.job_count);
    view.jobs = jobs;

    json_t *document = status_document(&view);
    char *line =
        document == NULL ? NULL : json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(document);
    free(jobs);
    return line;
}

static void answer_status(struct monitor *m, uint64_t ticket, json_t *fleet)
{
    char *line = status_line(m, fleet);
    bool big = line != NULL && strlen(line) > BIG_ANSWER;

    if (line == NULL) {
        log_error("status_failed", "error=%s", log_text(strerror(ENOMEM)).is);
    }
    control_answer(m->control, ticket, line);
    if (big) {
        (void)malloc_trim(0); /* or the monitor stays as large as its largest answer */
    }
}

static void wait_for_fleet(struct monitor *m, uint64_t ticket)
{
    for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        if (m->waiting[i] == 0) {
            m->waiting[i] = ticket;
            return;
        }
    }
    answer_status(m, ticket, NULL); /* only where this process was stopped beyond its deadlines */
}

static void on_fleet_known(void *ctx)
{
    struct monitor *m = ctx;

    for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        uint64_t ticket = m->waiting[i];

        m->waiting[i] = 0;
        if (ticket != 0) {
            answer_status(m, ticket, m->fleet.instances);
        }
    }
}

static void pass_order(struct monitor *m, uint64_t ticket, const struct request *request, uid_t uid)
{
    struct message order = {.u.command = {
                                .request = ticket,
                                .command = request->command,
                                .force = request->force,
                                .length = request->length,
                                .by_uid = uid,
                            }};

    int rc = channel_send(&m->child->up, MESSAGE_COMMAND, &order, -1);
    if (rc < 0) {
        log_warn("command_not_passed", "error=%s", log_text(strerror(-rc)).is);
        control_say(m->control, ticket, EXIT_CODE_UNAVAILABLE,
                    "the supervisor cannot be told: it does not read its messages");
    }
}

static void on_request(void *ctx, uint64_t ticket, const struct request *request, uid_t uid)
{
    struct monitor *m = ctx;

    switch (request->kind) {
    case REQUEST_STATUS:
        if (!request->fleet) {
            answer_status(m, ticket, NULL);
        } else if (fleet_query_ask(&m->fleet)) {
            answer_status(m, ticket, m->fleet.instances);
        } else {
            wait_for_fleet(m, ticket);
        }
        return;
    case REQUEST_ORDER:
        pass_order(m, ticket, request, uid);
        return;
    case REQUEST_QUERY:
    case REQUEST_JOB:
        answers_take(&m->answers, ticket, request, uid);
        return;
    }
}

static void take_config(struct monitor *m, int fd)
{
    struct config *next;
    int rc = config_unseal(fd, &next);

    if (rc < 0) { /* the same program sealed it: then it is not the same program */
        child_die(m->child, CHILD_EXIT_PROTOCOL, "the configuration cannot be read: %s",
                  strerror(-rc));
    }
    config_free(m->config);
    m->config = next;
    m->answers.config = next;
    log_threshold(next->pgbaton.log_level);
    control_set_answer_within(m->control, answer_within(next));
}

static _Noreturn void leave(struct monitor *m)
{
    control_free(m->control); /* what is answered already was sent already */
    _exit(CHILD_EXIT_ASKED);
}

/* One message; takes fd over. */
static void on_message(struct monitor *m, const struct message *message, int fd)
{
    enum message_type type = message->header.type;

    if (type == MESSAGE_REPLY) {
        control_say(m->control, message->u.reply.request, message->u.reply.code,
                    message->u.reply.text);
    } else if (type == MESSAGE_JOB_ANSWER) {
        answers_command(&m->answers, &message->u.job_answer);
    } else if (type == MESSAGE_CONFIG && fd != -1) {
        take_config(m, fd);
    } else if (type == MESSAGE_PEER && fd != -1) {
        queries_set_probe(&m->queries, fd);
        return; /* the descriptor is theirs now */
    } else if (type == MESSAGE_LOG && fd != -1) {
        child_take_log(fd);
        return; /* the log's */
    } else if (type == MESSAGE_STOP) {
        leave(m);
    } else {
        child_die(m->child, CHILD_EXIT_PROTOCOL, "%s is nothing to tell the monitor",
                  message_name(type));
    }
    if (fd != -1) {
        (void)close(fd);
    }
}

static void on_supervisor(struct ev_loop *loop, ev_io *io, int revents)
{
    struct monitor *m = io->data;
    struct message message;
    int fd = -1;

    (void)loop;
    (void)revents;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        int rc = channel_receive(&m->child->up, &message, &fd);

        if (rc == -EAGAIN) {
            return;
        }
        if (rc == 0) {
            leave(m); /* the supervisor is gone */
        }
        if (rc < 0) {
            child_die(m->child, CHILD_EXIT_PROTOCOL, "the supervisor is not understood: %s",
                      strerror(-rc));
        }
        on_message(m, &message, fd);
    }
}

/* A service manager signals all processes of a unit: whether to stop is the supervisor's to say. */
static void on_signal(struct ev_loop *loop, ev_io *io, int revents)
{
    struct monitor *m = io->data;
    struct signalfd_siginfo info;

    (void)loop;
    (void)revents;
    while (read(m->child->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM && getppid() != m->child->supervisor) {
            leave(m); /* it was the parent-death signal */
        }
    }
}

/* The uid that made our channel: the supervisor's, also where this process has given up its own. */
static uid_t owner_of(const struct child *c)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(c->up.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1) {
        return geteuid();
    }
    return peer.uid;
}

static void open_control(struct monitor *m)
{
    struct control_options options = {
        .listen_fd = atoi(m->child->argv[0]), /* written by monitor_entry */
        .owner = owner_of(m->child),
        .request_within = CONTROL_REQUEST_WITHIN,
        .reply_within = CONTROL_REPLY_WITHIN,
        .answer_within = answer_within(m->config),
        .on_request = on_request,
        .ctx = m,
    };

    m->control = control_new(m->child->loop, &options);
    if (m->control == NULL) {
        child_die(m->child, CHILD_EXIT_FAILED, "control socket: %s", strerror(errno));
    }
}

static void watch(struct monitor *m)
{
    struct child *c = m->child;

    int rc = queries_init(&m->queries, c->loop);
    fleet_query_init(&m->fleet, &m->queries, on_fleet_known, m);
    m->answers = (struct answers){
        .control = m->control,
        .queries = &m->queries,
        .supervisor = &c->up,
        .board = c->board,
        .config = m->config,
    };
    if (rc == 0) {
        rc = timer_init(&m->alive, c->loop, on_alive, m);
    }
    if (rc < 0) {
        child_die(c, CHILD_EXIT_FAILED, "timer: %s", strerror(-rc));
    }
    timer_arm(&m->alive, child_alive_at(m->child, clock_now()));
    ev_io_init(&m->from_supervisor, on_supervisor, c->up.fd, EV_READ);
    m->from_supervisor.data = m;
    ev_io_start(c->loop, &m->from_supervisor);
    ev_io_init(&m->signals, on_signal, c->signal_fd, EV_READ);
    m->signals.data = m;
    ev_io_start(c->loop, &m->signals);
}

int monitor_main(struct child *c)
{
    static struct monitor monitor; /* one a process; watchers must not move */
    struct message first;

    assert(c->argc == 1);
    assert(c->board != NULL);
    monitor.child = c;
    /* Fixed, or glibc raises it with each long answer and then keeps the memory of the next. */
    (void)mallopt(M_MMAP_THRESHOLD, BIG_ANSWER);
    child_hello(c, &monitor.config, &first);
    log_threshold(monitor.config->pgbaton.log_level);
    child_title("monitor");
    open_control(&monitor);
    watch(&monitor);
    trim_memory();
    ev_run(c->loop, 0);
    return CHILD_EXIT_FAILED; /* a loop that has watchers does not end */
}
