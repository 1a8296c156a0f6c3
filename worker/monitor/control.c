#include "worker/monitor/control.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/control.h"
#include "common/log.h"
#include "common/timer.h"
#include "worker/monitor/json_text.h"

enum {
    ACCEPTS_A_TURN = 16,
    DRAIN_MAX = 64 * 1024, /* of what a client goes on saying after its answer */
};
#define ACCEPT_PAUSE DUR_S(1) /* after an accept(2) that failed for want of something */

/*
 * FREE: no client. READING: the line is not complete. WAITING: a request was
 * handed on, and nothing is read any more. WRITING: the answer is on its way.
 */
enum connection_state {
    CONNECTION_FREE,
    CONNECTION_READING,
    CONNECTION_WAITING,
    CONNECTION_WRITING,
};

struct connection {
    struct control *control;
    enum connection_state state;
    ev_io io;
    int fd;
    uid_t uid;
    uint64_t ticket;
    mono_ns deadline;
    char *line; /* READING; owned, CONTROL_LINE_MAX bytes */
    size_t line_size;
    char *reply; /* WRITING; owned */
    size_t reply_size;
    size_t sent;
};

struct control {
    struct ev_loop *loop;
    struct control_options options;
    ev_io accept;
    struct timer timer;   /* the earliest deadline of all */
    mono_ns accept_again; /* MONO_NEVER: accepting */
    uint64_t tickets;     /* handed out so far */
    unsigned connections;
    unsigned strangers;
    struct connection all[CONTROL_CONNECTIONS_MAX];
};

static bool may_command(const struct control *control, uid_t uid)
{
    return uid == 0 || uid == control->options.owner;
}

/* After each change: who is heard, and when to look at deadlines. */
static void settle(struct control *control)
{
    mono_ns first = control->accept_again;

    for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        const struct connection *c = &control->all[i];

        if (c->state != CONNECTION_FREE && c->deadline < first) {
            first = c->deadline;
        }
    }
    timer_arm(&control->timer, first);

    /* When all places are taken the next ones wait in the socket's backlog. */
    if (control->accept_again == MONO_NEVER && control->connections < CONTROL_CONNECTIONS_MAX) {
        ev_io_start(control->loop, &control->accept);
    } else {
        ev_io_stop(control->loop, &control->accept);
    }
}

/* What is left unread would turn the client's end of file into an error. */
static void drain(int fd)
{
    char rest[4096];
    size_t drained = 0;
    ssize_t n;

    while (drained < DRAIN_MAX && (n = recv(fd, rest, sizeof(rest), MSG_DONTWAIT)) > 0) {
        drained += (size_t)n;
    }
}

static void connection_end(struct connection *c)
{
    struct control *control = c->control;

    assert(c->state != CONNECTION_FREE);
    assert(control->connections > 0);
    ev_io_stop(control->loop, &c->io);
    drain(c->fd);
    (void)close(c->fd);
    free(c->line);
    free(c->reply);
    control->connections--;
    if (!may_command(control, c->uid)) {
        control->strangers--;
    }
    *c = (struct connection){.control = control, .state = CONNECTION_FREE, .fd = -1};
}

static void connection_write(struct connection *c)
{
    while (c->sent < c->reply_size) {
        ssize_t n =
            send(c->fd, c->reply + c->sent, c->reply_size - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            c->sent += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            ev_io_start(c->control->loop, &c->io);
            return;
        } else if (errno != EINTR) {
            break; /* the client has gone: nothing to say to it */
        }
    }
    connection_end(c);
}

/* The answer begins: from here on nothing is read, and the place of the NUL is the line feed's. */
static void connection_reply(struct connection *c, char *line)
{
    ev_io_stop(c->control->loop, &c->io);
    if (line == NULL) {
        connection_end(c);
        return;
    }
    free(c->line);
    c->line = NULL;
    c->state = CONNECTION_WRITING;
    c->deadline = clock_now() + c->control->options.reply_within;
    c->reply = line;
    c->reply_size = strlen(line) + 1;
    c->reply[c->reply_size - 1] = '\n';
    ev_io_set(&c->io, c->fd, EV_WRITE);
    connection_write(c);
}

/* NULL: out of memory. */
static char *sentence(int code, const char *text)
{
    json_t *object = json_pack("{s:i, s:o}", "code", code, "text", json_text(text));
    char *line = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

    json_decref(object);
    return line;
}

static void refuse(struct connection *c, int code, const char *text)
{
    connection_reply(c, sentence(code, text));
}

/* A whole line is there. */
static void connection_request(struct connection *c, size_t length)
{
    struct control *control = c->control;
    struct request request;
    char reason[160];

    if (length + 1 < c->line_size) {
        refuse(c, EXIT_CODE_USAGE, "a connection takes one request on one line");
        return;
    }
    if (request_parse(c->line, length, &request, reason, sizeof(reason)) < 0) {
        refuse(c, EXIT_CODE_USAGE, reason);
        return;
    }
    if (request.kind != REQUEST_STATUS && !may_command(control, c->uid)) {
        log_warn("command_refused", "uid=%u", (unsigned)c->uid);
        refuse(c, EXIT_CODE_NOT_PERMITTED, "only the daemon's own user and root may command it");
        return;
    }

    ev_io_stop(control->loop, &c->io);
    free(c->line);
    c->line = NULL;
    c->state = CONNECTION_WAITING;
    c->deadline = clock_now() + control->options.answer_within;
    c->ticket = ++control->tickets;
    control->options.on_request(control->options.ctx, c->ticket, &request, c->uid);
}

static void connection_read(struct connection *c)
{
    ssize_t n = recv(c->fd, c->line + c->line_size, CONTROL_LINE_MAX - c->line_size, MSG_DONTWAIT);

    if (n == -1) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            connection_end(c);
        }
        return;
    }
    if (n == 0) {
        if (c->line_size > 0) {
            refuse(c, EXIT_CODE_USAGE, "the request does not end with a line feed");
        } else {
            connection_end(c); /* it only looked whether somebody is here */
        }
        return;
    }

    const char *end = memchr(c->line + c->line_size, '\n', (size_t)n);
    c->line_size += (size_t)n;
    if (end != NULL) {
        connection_request(c, (size_t)(end - c->line));
    } else if (c->line_size == CONTROL_LINE_MAX) {
        char text[80];

        (void)snprintf(text, sizeof(text), "a request has at most %d bytes", CONTROL_LINE_MAX);
        refuse(c, EXIT_CODE_USAGE, text);
    }
}

static void on_connection(struct ev_loop *loop, ev_io *io, int revents)
{
    struct connection *c = io->data;

    (void)loop;
    (void)revents;
    switch (c->state) {
    case CONNECTION_READING:
        connection_read(c);
        break;
    case CONNECTION_WRITING:
        connection_write(c);
        break;
    case CONNECTION_FREE:
    case CONNECTION_WAITING:
        assert(!"a connection that is not listened to was heard");
        break;
    }
    settle(c->control);
}

/* Says one sentence to a connection that gets no place, without waiting. */
static void turn_away(int fd, int code, const char *text)
{
    char *line = sentence(code, text);

    if (line != NULL) {
        size_t size = strlen(line) + 1;

        line[size - 1] = '\n';
        (void)send(fd, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        free(line);
    }
    drain(fd);
    (void)close(fd);
}

static struct connection *free_place(struct control *control)
{
    for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        if (control->all[i].state == CONNECTION_FREE) {
            return &control->all[i];
        }
    }
    return NULL;
}

static void welcome(struct control *control, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1) {
        (void)close(fd);
        return;
    }
    bool stranger = !may_command(control, peer.uid);
    if (stranger && control->strangers >= CONTROL_STRANGERS_MAX) {
        turn_away(fd, EXIT_CODE_UNAVAILABLE, "too many connections: try again in a moment");
        return;
    }

    struct connection *c = free_place(control);
    assert(c != NULL); /* or nothing would have been accepted */
    char *line = malloc(CONTROL_LINE_MAX);
    if (line == NULL) {
        (void)close(fd);
        return;
    }
    *c = (struct connection){
        .control = control,
        .state = CONNECTION_READING,
        .fd = fd,
        .uid = peer.uid,
        .deadline = clock_now() + control->options.request_within,
        .line = line,
    };
    control->connections++;
    control->strangers += stranger ? 1 : 0;
    ev_io_init(&c->io, on_connection, fd, EV_READ);
    c->io.data = c;
    ev_io_start(control->loop, &c->io);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int revents)
{
    struct control *control = io->data;

    (void)loop;
    (void)revents;
    for (int i = 0; i < ACCEPTS_A_TURN && control->connections < CONTROL_CONNECTIONS_MAX; i++) {
        int fd = accept4(control->options.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            welcome(control, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) {
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            /* No descriptors, no memory: the socket stays readable, and a loop would spin. */
            log_warn("accept_failed", "error=%s", log_text(strerror(errno)).is);
            control->accept_again = clock_now() + ACCEPT_PAUSE;
        }
        break;
    }
    settle(control);
}

static void connection_overdue(struct connection *c)
{
    switch (c->state) {
    case CONNECTION_READING:
        refuse(c, EXIT_CODE_USAGE, "no request came in time");
        return;
    case CONNECTION_WAITING:
        refuse(c, EXIT_CODE_UNAVAILABLE, "the supervisor did not answer in time");
        return;
    case CONNECTION_WRITING:
        connection_end(c);
        return;
    case CONNECTION_FREE:
        return;
    }
}

static void on_due(void *ctx)
{
    struct control *control = ctx;
    mono_ns now = clock_now();

    for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        struct connection *c = &control->all[i];

        if (c->state != CONNECTION_FREE && now >= c->deadline) {
            connection_overdue(c);
        }
    }
    if (now >= control->accept_again) {
        control->accept_again = MONO_NEVER;
    }
    settle(control);
}

struct control *control_new(struct ev_loop *loop, const struct control_options *options)
{
    int flags = fcntl(options->listen_fd, F_GETFL);

    assert(options->on_request != NULL);
    if (flags == -1 || fcntl(options->listen_fd, F_SETFL, flags | O_NONBLOCK) == -1) {
        return NULL;
    }
    struct control *control = calloc(1, sizeof(*control));
    if (control == NULL) {
        return NULL;
    }
    control->loop = loop;
    control->options = *options;
    control->accept_again = MONO_NEVER;
    for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        control->all[i].control = control;
        control->all[i].fd = -1;
    }
    int rc = timer_init(&control->timer, loop, on_due, control);
    if (rc < 0) {
        free(control);
        errno = -rc;
        return NULL;
    }
    ev_io_init(&control->accept, on_accept, options->listen_fd, EV_READ);
    control->accept.data = control;
    settle(control);
    return control;
}

void control_free(struct control *control)
{
    if (control == NULL) {
        return;
    }
    for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        if (control->all[i].state != CONNECTION_FREE) {
            connection_end(&control->all[i]);
        }
    }
    ev_io_stop(control->loop, &control->accept);
    timer_release(&control->timer);
    free(control);
}

void control_set_answer_within(struct control *control, dur_ns limit)
{
    control->options.answer_within = limit;
}

void control_answer(struct control *control, uint64_t ticket, char *line)
{
    for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
        struct connection *c = &control->all[i];

        if (c->state == CONNECTION_WAITING && c->ticket == ticket) {
            connection_reply(c, line);
            settle(control);
            return;
        }
    }
    free(line);
}

void control_say(struct control *control, uint64_t ticket, int code, const char *text)
{
    control_answer(control, ticket, sentence(code, text));
}
