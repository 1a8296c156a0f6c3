#include "tests/bench/wiretap.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIRES_MAX = 16, LENGTH_BYTES = 4, RELAY_LINE = 3, RELAY_DOOR = 4 };

/* One connection, and where in a message its client is. */
struct wire {
    int client;
    int server;
    bool introduced;  /* the first message has no type before its length */
    unsigned awaited; /* bytes of type and length that are still to come */
    uint32_t length;  /* of those that came */
    uint32_t rest;    /* of the message's body */
};

static void message_begins(struct wire *w)
{
    w->awaited = LENGTH_BYTES + (w->introduced ? 1 : 0);
    w->length = 0;
}

/* How many messages end within these bytes. */
static unsigned count_messages(struct wire *w, const unsigned char *bytes, size_t count)
{
    unsigned ended = 0;

    for (size_t i = 0; i < count; i++) {
        if (w->awaited > 0) {
            w->awaited--;
            w->length = w->awaited >= LENGTH_BYTES ? 0 : w->length << 8 | bytes[i];
            w->rest = w->length - LENGTH_BYTES;
        } else {
            w->rest--;
        }
        if (w->awaited == 0 && w->rest == 0) {
            ended++;
            w->introduced = true;
            message_begins(w);
        }
    }
    return ended;
}

static int connect_to(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        _exit(1);
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* false: that side has ended. */
static bool pass_on(struct wire *w, bool client_speaks, uint64_t *said)
{
    unsigned char bytes[16384];
    int from = client_speaks ? w->client : w->server;
    int to = client_speaks ? w->server : w->client;
    ssize_t got = recv(from, bytes, sizeof bytes, 0);

    if (got <= 0) {
        return false;
    }
    if (client_speaks) {
        __atomic_add_fetch(said, count_messages(w, bytes, (size_t)got), __ATOMIC_RELAXED);
    }
    for (ssize_t sent = 0; sent < got;) {
        ssize_t now = send(to, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (now <= 0) {
            return false;
        }
        sent += now;
    }
    return true;
}

static _Noreturn void relay(int line, int door, unsigned server_port, uint64_t *said)
{
    static struct wire wires[WIRES_MAX];
    struct pollfd watched[2 + 2 * WIRES_MAX];
    size_t count = 0;

    for (;;) {
        watched[0] = (struct pollfd){.fd = line, .events = POLLIN};
        watched[1] = (struct pollfd){.fd = door, .events = POLLIN};
        for (size_t i = 0; i < count; i++) {
            watched[2 + 2 * i] = (struct pollfd){.fd = wires[i].client, .events = POLLIN};
            watched[3 + 2 * i] = (struct pollfd){.fd = wires[i].server, .events = POLLIN};
        }
        (void)poll(watched, 2 + 2 * count, -1);
        if (watched[0].revents != 0) {
            _exit(0);
        }
        for (size_t i = count; i-- > 0;) {
            if ((watched[2 + 2 * i].revents != 0 && !pass_on(&wires[i], true, said)) ||
                (watched[3 + 2 * i].revents != 0 && !pass_on(&wires[i], false, said))) {
                (void)close(wires[i].client);
                (void)close(wires[i].server);
                wires[i] = wires[--count];
            }
        }
        if (watched[1].revents != 0 && count < WIRES_MAX) {
            struct wire *w = &wires[count++];

            *w = (struct wire){.client = accept(door, NULL, NULL),
                               .server = connect_to(server_port)};
            message_begins(w);
        }
    }
}

static int listen_anywhere(unsigned *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(fd, WIRES_MAX), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

void wiretap_start(struct wiretap *w, unsigned server_port)
{
    int line[2];
    int door = listen_anywhere(&w->port);
    uint64_t *said =
        mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert(said != MAP_FAILED);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
    (void)fflush(NULL);
    w->said = said;
    w->pid = fork();
    cr_assert(w->pid >= 0);
    if (w->pid == 0) {
        /* Nothing of the test's, or the end of another one's line would not be seen. */
        int far = fcntl(line[1], F_DUPFD, RELAY_DOOR + 1);
        int listening = fcntl(door, F_DUPFD, RELAY_DOOR + 1);
        (void)dup2(far, RELAY_LINE);
        (void)dup2(listening, RELAY_DOOR);
        (void)close_range(RELAY_DOOR + 1, ~0U, 0);
        relay(RELAY_LINE, RELAY_DOOR, server_port, said);
    }
    (void)close(line[1]);
    (void)close(door);
    w->line = line[0];
}

void wiretap_stop(struct wiretap *w)
{
    (void)close(w->line);
    (void)waitpid(w->pid, NULL, 0);
}
