#include "tests/support/relay.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CABLES_MAX = 64, RELAY_LINE = 3, RELAY_LISTEN = 4 };

/* One connection: 0 is the instance's side, 1 the server's. */
struct cable {
    int fd[2];
};

struct switchboard {
    struct cable cables[CABLES_MAX];
    size_t count;
    enum relay_state state;
    unsigned server_port;
};

static bool passes(enum relay_state state, int side)
{
    switch (state) {
    case RELAY_PASS:
        return true;
    case RELAY_STALL:
    case RELAY_RESET:
    case RELAY_RESET_INSTANCE:
        return false;
    case RELAY_STALL_UP:
        return side != 0;
    case RELAY_STALL_DOWN:
        return side != 1;
    }
    return false;
}

static void reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(fd);
}

static void cable_cut(struct switchboard *b, size_t n)
{
    for (int side = 0; side < 2; side++) {
        if (b->cables[n].fd[side] >= 0) {
            (void)close(b->cables[n].fd[side]);
        }
    }
    b->cables[n] = b->cables[--b->count];
}

static void cable_new(struct switchboard *b)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)b->server_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    int instance = accept4(RELAY_LISTEN, NULL, NULL, SOCK_CLOEXEC);

    if (instance < 0) {
        return;
    }
    if (b->state == RELAY_RESET || b->state == RELAY_RESET_INSTANCE || b->count == CABLES_MAX) {
        reset(instance);
        return;
    }
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&to, sizeof to) != 0) {
        reset(instance);
        (void)close(server);
        return;
    }
    (void)setsockopt(instance, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    b->cables[b->count++] = (struct cable){.fd = {instance, server}};
}

/* false: that side has ended. Blocking writes are fine: the packets of these tests are small. */
static bool forward(int from, int to)
{
    char bytes[16384];
    ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    for (ssize_t sent = 0; sent < got;) {
        ssize_t now = send(to, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (now <= 0) {
            return false;
        }
        sent += now;
    }
    return got > 0;
}

static void obey(struct switchboard *b, enum relay_state order)
{
    b->state = order;
    for (size_t n = b->count; n-- > 0;) {
        struct cable *cable = &b->cables[n];

        if ((order == RELAY_RESET || order == RELAY_RESET_INSTANCE) && cable->fd[0] >= 0) {
            reset(cable->fd[0]);
            cable->fd[0] = -1;
        }
        if (order == RELAY_RESET) {
            reset(cable->fd[1]);
            cable->fd[1] = -1;
            cable_cut(b, n);
        }
    }
}

static void serve_cables(struct switchboard *b, const struct pollfd *sides)
{
    for (size_t n = b->count; n-- > 0;) {
        struct cable *cable = &b->cables[n];

        for (int side = 0; side < 2; side++) {
            /* What was readable before an order may not be wanted any more: look at the state
             * again. */
            if (sides[2 * n + (size_t)side].revents == 0 || !passes(b->state, side) ||
                cable->fd[0] < 0) {
                continue;
            }
            if (!forward(cable->fd[side], cable->fd[1 - side])) {
                cable_cut(b, n);
                break;
            }
        }
    }
}

static _Noreturn void relay_run(unsigned server_port)
{
    static struct switchboard board;
    static struct pollfd watched[2 + 2 * CABLES_MAX];

    board = (struct switchboard){.state = RELAY_PASS, .server_port = server_port};
    for (;;) {
        watched[0] = (struct pollfd){.fd = RELAY_LINE, .events = POLLIN};
        watched[1] = (struct pollfd){.fd = RELAY_LISTEN, .events = POLLIN};
        for (size_t n = 0; n < board.count; n++) {
            for (int side = 0; side < 2; side++) {
                /* -1 is left out by poll(2): the end of a side that is stalled is not seen either
                 */
                bool open = passes(board.state, side) && board.cables[n].fd[0] >= 0;
                watched[2 + 2 * n + (size_t)side] =
                    (struct pollfd){.fd = open ? board.cables[n].fd[side] : -1, .events = POLLIN};
            }
        }
        (void)poll(watched, 2 + 2 * board.count, -1);
        serve_cables(&board, watched + 2);
        if (watched[0].revents != 0) {
            char order;
            if (recv(RELAY_LINE, &order, 1, 0) != 1) {
                _exit(0);
            }
            obey(&board, (enum relay_state)order);
            (void)send(RELAY_LINE, &order, 1, MSG_NOSIGNAL);
        }
        if (watched[1].revents != 0) {
            cable_new(&board);
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
    cr_assert_eq(listen(fd, 64), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

void relay_start(struct relay *r, unsigned server_port)
{
    int line[2];
    int listening = listen_anywhere(&r->port);

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
    (void)fflush(NULL);
    r->pid = fork();
    cr_assert(r->pid >= 0);
    if (r->pid == 0) {
        int far = fcntl(line[1], F_DUPFD, RELAY_LISTEN + 1);
        int door = fcntl(listening, F_DUPFD, RELAY_LISTEN + 1);
        (void)dup2(far, RELAY_LINE);
        (void)dup2(door, RELAY_LISTEN);
        (void)close_range(RELAY_LISTEN + 1, ~0U, 0);
        relay_run(server_port);
    }
    (void)close(line[1]);
    (void)close(listening);
    r->line = line[0];
}

void relay_set(struct relay *r, enum relay_state state)
{
    char order = (char)state;

    cr_assert_eq(send(r->line, &order, 1, MSG_NOSIGNAL), 1);
    cr_assert_eq(recv(r->line, &order, 1, 0), 1);
}

void relay_stop(struct relay *r)
{
    (void)close(r->line);
    (void)waitpid(r->pid, NULL, 0);
}
