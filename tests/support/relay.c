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
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CABLES_MAX = 64, RELAY_LINE = 3, RELAY_LISTEN = 4 };

/* What was read from one side, on its way to the other; size 0: that side's end. */
struct packet {
    struct packet *next;
    mono_ns due;
    size_t size;
    char bytes[16384];
};

/* One connection: 0 is the instance's side, 1 the server's. */
struct cable {
    enum relay_state state;
    unsigned client_port;     /* by which the server knows it */
    int fd[2];                /* -1: that side is gone */
    struct packet *first[2];  /* from that side, under way */
    struct packet **after[2]; /* where the next one goes; NULL: none is under way */
};

struct switchboard {
    struct cable cables[CABLES_MAX];
    size_t count;
    enum relay_state state; /* of new ones */
    unsigned server_port;
};

/* Answered with how many connections it was about. */
struct order {
    enum relay_state state;
    unsigned client_port; /* 0: all, and new ones too */
};

static bool passes(enum relay_state state, int side)
{
    switch (state) {
    case RELAY_PASS:
    case RELAY_DELAY:
        return true;
    case RELAY_STALL:
    case RELAY_RESET:
    case RELAY_RESET_INSTANCE:
    case RELAY_LOSE_SERVER:
        return false;
    case RELAY_RESET_SERVER:
        return side == 0; /* it is read, and answered with a reset */
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

static void forget_packet(struct cable *c, int side)
{
    struct packet *gone = c->first[side];

    c->first[side] = gone->next;
    if (gone->next == NULL) {
        c->after[side] = NULL;
    }
    free(gone);
}

static void cable_cut(struct switchboard *b, size_t n)
{
    struct cable *c = &b->cables[n];

    for (int side = 0; side < 2; side++) {
        if (c->fd[side] >= 0) {
            (void)close(c->fd[side]);
        }
        while (c->first[side] != NULL) {
            forget_packet(c, side);
        }
    }
    if (n != --b->count) {
        *c = b->cables[b->count];
        for (int side = 0; side < 2; side++) { /* a pointer into the cable itself */
            if (c->after[side] == &b->cables[b->count].first[side]) {
                c->after[side] = &c->first[side];
            }
        }
    }
}

static unsigned port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;

    return getsockname(fd, (struct sockaddr *)&at, &length) == 0 ? ntohs(at.sin_port) : 0;
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
    if (b->state == RELAY_LOSE_SERVER || b->state == RELAY_RESET_SERVER) {
        b->cables[b->count++] = (struct cable){.state = b->state, .fd = {instance, -1}};
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
    b->cables[b->count++] =
        (struct cable){.state = b->state, .client_port = port_of(server), .fd = {instance, server}};
}

/* Blocking writes are fine: the packets of these tests are small. */
static bool deliver(int to, const char *bytes, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t now = send(to, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (now <= 0) {
            return false;
        }
        sent += (size_t)now;
    }
    return true;
}

/* Whatever is under way goes before it. */
static void put_under_way(struct cable *c, int side, struct packet *packet, mono_ns due)
{
    packet->next = NULL;
    packet->due = due;
    *(c->after[side] == NULL ? &c->first[side] : c->after[side]) = packet;
    c->after[side] = &packet->next;
}

/* false: the cable is cut. */
static bool forward(struct cable *c, int side, bool late)
{
    static struct packet packet;
    ssize_t got = recv(c->fd[side], packet.bytes, sizeof packet.bytes, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (c->fd[1 - side] < 0) {
        reset(c->fd[side]);
        c->fd[side] = -1;
        return false;
    }
    packet.size = got > 0 ? (size_t)got : 0;
    if (late || c->first[side] != NULL) {
        struct packet *later = malloc(sizeof *later);
        if (later == NULL) {
            return false;
        }
        *later = packet;
        put_under_way(c, side, later, clock_now() + (late ? RELAY_LATE : 0));
        if (packet.size == 0) { /* nothing more is to be read, and poll(2) would always say so */
            (void)shutdown(c->fd[side], SHUT_RD);
        }
        return true;
    }
    return packet.size > 0 && deliver(c->fd[1 - side], packet.bytes, packet.size);
}

/* false: the cable is cut. */
static bool deliver_due(struct cable *c, int side, mono_ns now)
{
    while (c->first[side] != NULL && c->first[side]->due <= now) {
        struct packet *packet = c->first[side];

        if (packet->size == 0 || c->fd[1 - side] < 0 ||
            !deliver(c->fd[1 - side], packet->bytes, packet->size)) {
            return false;
        }
        forget_packet(c, side);
    }
    return true;
}

static bool has_ended(const struct cable *c, int side)
{
    for (const struct packet *p = c->first[side]; p != NULL; p = p->next) {
        if (p->size == 0) {
            return true;
        }
    }
    return false;
}

static void serve_late(struct switchboard *b)
{
    mono_ns now = clock_now();

    for (size_t n = b->count; n-- > 0;) {
        for (int side = 0; side < 2; side++) {
            if (passes(b->cables[n].state, side) && !deliver_due(&b->cables[n], side, now)) {
                cable_cut(b, n);
                break;
            }
        }
    }
}

/* For poll(2): until the next late packet is due. */
static int patience_ms(const struct switchboard *b)
{
    mono_ns next = MONO_NEVER;

    for (size_t n = 0; n < b->count; n++) {
        for (int side = 0; side < 2; side++) {
            const struct packet *first = b->cables[n].first[side];
            if (first != NULL && passes(b->cables[n].state, side) && first->due < next) {
                next = first->due;
            }
        }
    }
    if (next == MONO_NEVER) {
        return -1;
    }
    dur_ns left = next - clock_now();
    return left <= 0 ? 0 : (int)(left / DUR_MS(1)) + 1;
}

static unsigned obey(struct switchboard *b, const struct order *given)
{
    enum relay_state order = given->state;
    unsigned about = 0;

    if (given->client_port == 0) {
        b->state = order;
    }
    for (size_t n = b->count; n-- > 0;) {
        struct cable *cable = &b->cables[n];

        if (given->client_port != 0 && given->client_port != cable->client_port) {
            continue;
        }
        about++;
        cable->state = order;
        if ((order == RELAY_RESET || order == RELAY_RESET_INSTANCE) && cable->fd[0] >= 0) {
            reset(cable->fd[0]);
            cable->fd[0] = -1;
        }
        if ((order == RELAY_RESET || order == RELAY_RESET_SERVER || order == RELAY_LOSE_SERVER) &&
            cable->fd[1] >= 0) {
            reset(cable->fd[1]);
            cable->fd[1] = -1;
        }
        if (cable->fd[0] < 0 && cable->fd[1] < 0) {
            cable_cut(b, n);
        }
    }
    return about;
}

/* The end of a side that is stalled is not seen either; where the instance's side was reset alone,
 * nobody takes what the server says. */
static bool is_read(const struct cable *c, int side)
{
    return passes(c->state, side) && c->fd[0] >= 0 && c->fd[side] >= 0 && !has_ended(c, side);
}

static void serve_cables(struct switchboard *b, const struct pollfd *sides)
{
    for (size_t n = b->count; n-- > 0;) {
        struct cable *cable = &b->cables[n];

        for (int side = 0; side < 2; side++) {
            /* What was readable before an order may not be wanted any more: look at the state
             * again. */
            if (sides[2 * n + (size_t)side].revents == 0 || !is_read(cable, side)) {
                continue;
            }
            if (!forward(cable, side, cable->state == RELAY_DELAY)) {
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
                /* -1 is left out by poll(2) */
                bool open = is_read(&board.cables[n], side);
                watched[2 + 2 * n + (size_t)side] =
                    (struct pollfd){.fd = open ? board.cables[n].fd[side] : -1, .events = POLLIN};
            }
        }
        (void)poll(watched, 2 + 2 * board.count, patience_ms(&board));
        serve_cables(&board, watched + 2);
        serve_late(&board);
        if (watched[0].revents != 0) {
            struct order order;
            if (recv(RELAY_LINE, &order, sizeof order, 0) != sizeof order) {
                _exit(0);
            }
            unsigned about = obey(&board, &order);
            (void)send(RELAY_LINE, &about, sizeof about, MSG_NOSIGNAL);
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

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line), 0);
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

static unsigned tell(struct relay *r, const struct order *order)
{
    unsigned about = 0;

    cr_assert_eq(send(r->line, order, sizeof *order, MSG_NOSIGNAL), (ssize_t)sizeof *order);
    cr_assert_eq(recv(r->line, &about, sizeof about, 0), (ssize_t)sizeof about);
    return about;
}

void relay_set(struct relay *r, enum relay_state state)
{
    (void)tell(r, &(struct order){.state = state});
}

void relay_set_one(struct relay *r, unsigned client_port, enum relay_state state)
{
    cr_assert_neq(client_port, 0);
    cr_assert_eq(tell(r, &(struct order){.state = state, .client_port = client_port}), 1,
                 "no connection comes from port %u", client_port);
}

void relay_stop(struct relay *r)
{
    (void)close(r->line);
    (void)waitpid(r->pid, NULL, 0);
}
