#include "supervisor/cli/client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/control.h"
#include "supervisor/rundir.h"

enum {
    REPLY_MAX = 64 * 1024 * 1024, /* bytes; the status of 16384 jobs has about 4 million */
    REPLY_STEP = 64 * 1024,
};

__attribute__((format(printf, 2, 3))) static void complain(const struct client *client,
                                                           const char *format, ...)
{
    va_list args;

    if (client->quiet) {
        return;
    }
    va_start(args, format);
    (void)fputs("pgbaton: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

/* The socket was bound by the supervisor, so the kernel's word on its peer is the supervisor's pid.
 */
static void watch_daemon(struct client *client)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0) {
        client->pid = peer.pid;
        client->daemon = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    }
}

static int refused(const struct client *client, int error)
{
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
        complain(client,
                 "no daemon answers at %s: start one with `pgbaton run`, or name the "
                 "configuration of the one that you mean with -c",
                 client->path);
        return EXIT_CODE_UNAVAILABLE;
    case EACCES:
    case EPERM:
        complain(client, "%s: not permitted: ask as the daemon's own user or as root",
                 client->path);
        return EXIT_CODE_NOT_PERMITTED;
    case EAGAIN:
        complain(client,
                 "the daemon at %s takes no connection within %d s: it is overloaded or "
                 "hangs",
                 client->path, (int)(CLIENT_CONNECT_WITHIN / DUR_S(1)));
        return EXIT_CODE_UNAVAILABLE;
    default:
        complain(client, "%s: %s", client->path, strerror(error));
        return EXIT_CODE_UNAVAILABLE;
    }
}

int client_connect(struct client *client, const char *path, bool quiet)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* connect(2) waits for a place in the backlog as long as a send may last */
    struct timeval limit = {.tv_sec = CLIENT_CONNECT_WITHIN / DUR_S(1)};

    *client = (struct client){.fd = -1, .daemon = -1, .quiet = quiet};
    (void)snprintf(client->path, sizeof(client->path), "%s", path);
    if (strlen(path) >= sizeof(address.sun_path)) {
        complain(client, "%s: too long for a socket (at most %zu bytes): use a shorter run_dir",
                 path, sizeof(address.sun_path) - 1);
        return EXIT_CODE_UNAVAILABLE;
    }
    (void)memcpy(address.sun_path, path, strlen(path) + 1);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd == -1 ||
        setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == -1 ||
        connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) == -1) {
        int code = refused(client, errno);

        client_close(client);
        return code;
    }
    watch_daemon(client);
    return EXIT_CODE_DONE;
}

int client_open(struct client *client, const struct config *cfg, bool quiet)
{
    char dir[200];
    char path[sizeof(dir) + sizeof("/" CONTROL_SOCKET_NAME)];
    char reason[REASON_MAX];

    *client = (struct client){.fd = -1, .daemon = -1, .quiet = quiet};
    if (rundir_path(cfg, true, dir, sizeof(dir), reason, sizeof(reason)) < 0) {
        complain(client, "%s", reason);
        return EXIT_CODE_UNAVAILABLE;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", dir, CONTROL_SOCKET_NAME);
    return client_connect(client, path, quiet);
}

/* True when fd can be read before that moment. */
static bool readable(int fd, mono_ns before)
{
    struct pollfd on = {.fd = fd, .events = POLLIN};

    for (;;) {
        mono_ns now = clock_now();
        int left_ms = now >= before ? 0 : (int)((before - now + DUR_MS(1) - 1) / DUR_MS(1));
        int n = poll(&on, 1, left_ms);

        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

static int lost(const struct client *client, const char *why)
{
    bool ended = client_wait_gone(client, 0);

    complain(client, "the daemon at %s: %s", client->path, ended ? "it has just ended" : why);
    return EXIT_CODE_UNAVAILABLE;
}

static int send_request(struct client *client, json_t *request)
{
    char *line = json_dumps(request, JSON_COMPACT);
    int code = EXIT_CODE_DONE;

    if (line == NULL) {
        return lost(client, "out of memory");
    }
    size_t size = strlen(line) + 1;
    line[size - 1] = '\n';
    /* A request is shorter than the smallest buffer of a socket: it goes at once or not at all. */
    if (send(client->fd, line, size, MSG_NOSIGNAL) != (ssize_t)size) {
        code = lost(client, "takes no request");
    }
    free(line);
    return code;
}

struct reply {
    char *bytes; /* owned */
    size_t size;
    size_t room;
};

static bool make_room(struct reply *reply)
{
    if (reply->room - reply->size >= REPLY_STEP) {
        return true;
    }
    size_t room = reply->room == 0 ? REPLY_STEP : reply->room * 2;
    char *bytes = room > REPLY_MAX ? NULL : realloc(reply->bytes, room);
    if (bytes == NULL) {
        return false;
    }
    reply->bytes = bytes;
    reply->room = room;
    return true;
}

static int read_reply(const struct client *client, mono_ns before, struct reply *reply)
{
    for (;;) {
        if (!make_room(reply)) {
            return lost(client, "its reply is too long");
        }
        if (!readable(client->fd, before)) {
            return lost(client, "no reply in time: it is busy, stopped or hangs");
        }
        ssize_t n =
            recv(client->fd, reply->bytes + reply->size, reply->room - reply->size, MSG_DONTWAIT);
        if (n == 0) {
            return EXIT_CODE_DONE;
        }
        if (n > 0) {
            reply->size += (size_t)n;
        } else if (errno != EAGAIN && errno != EINTR) {
            return lost(client, strerror(errno));
        }
    }
}

int client_ask(struct client *client, json_t *request, dur_ns within, json_t **ret_reply)
{
    struct reply reply = {.bytes = NULL};
    json_error_t error;

    int code = send_request(client, request);
    if (code == EXIT_CODE_DONE) {
        code = read_reply(client, clock_now() + within, &reply);
    }
    if (code == EXIT_CODE_DONE && reply.size == 0) {
        code = lost(client, "went away without a reply");
    }
    if (code == EXIT_CODE_DONE) {
        json_t *object = json_loadb(reply.bytes, reply.size, 0, &error);

        if (json_is_object(object)) {
            *ret_reply = object;
        } else {
            json_decref(object);
            code = lost(client, "its reply cannot be read: is it another version?");
        }
    }
    free(reply.bytes);
    return code;
}

bool client_wait_gone(const struct client *client, dur_ns within)
{
    return client->daemon != -1 && readable(client->daemon, clock_now() + within);
}

void client_close(struct client *client)
{
    if (client->fd != -1) {
        (void)close(client->fd);
        client->fd = -1;
    }
    if (client->daemon != -1) {
        (void)close(client->daemon);
        client->daemon = -1;
    }
}
