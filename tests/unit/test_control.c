#include <criterion/criterion.h>
#include <errno.h>
#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/array.h"
#include "common/control.h"
#include "worker/monitor/control.h"

enum { NOBODY = 65534 };
#define FAR_ABOVE DUR_S(20) /* what a loaded machine never needs */

/* The server and what it handed on. */
static struct ev_loop *loop;
static struct control *control;
static int listen_fd;
static struct sockaddr_un address;
static socklen_t address_size;
static unsigned requests;
static uint64_t last_ticket;
static struct request last_request;
static char *answer; /* what to answer at once; NULL: nothing yet */

static void on_request(void *ctx, uint64_t ticket, const struct request *request, uid_t uid)
{
    (void)ctx;
    (void)uid;
    requests++;
    last_ticket = ticket;
    last_request = *request;
    if (answer != NULL) {
        control_answer(control, ticket, strdup(answer));
    }
}

static void serve(const struct control_options *options)
{
    control_free(control);
    control = control_new(loop, options);
    cr_assert(control != NULL);
}

static struct control_options patient(void)
{
    return (struct control_options){
        .listen_fd = listen_fd,
        .owner = getuid(),
        .request_within = FAR_ABOVE,
        .reply_within = FAR_ABOVE,
        .answer_within = FAR_ABOVE,
        .on_request = on_request,
    };
}

static void up(void)
{
    struct control_options options;

    loop = ev_loop_new(EVFLAG_AUTO);
    listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(listen_fd >= 0);
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* a name of no more than the family: the kernel picks one that nobody else has */
    cr_assert_eq(bind(listen_fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    address_size = sizeof(address);
    cr_assert_eq(getsockname(listen_fd, (struct sockaddr *)&address, &address_size), 0);
    cr_assert_eq(listen(listen_fd, 128), 0);
    answer = strdup("{\"is\":\"answered\"}");
    options = patient();
    serve(&options);
}

static void down(void)
{
    control_free(control);
    (void)close(listen_fd);
    ev_loop_destroy(loop);
    free(answer);
}

TestSuite(control, .init = up, .fini = down, .timeout = 120);

static int client(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, address_size), 0, "%s", strerror(errno));
    return fd;
}

/* One turn of the server; it may wait, but not for ever. */
static void on_turn_over(struct ev_loop *l, ev_timer *timer, int revents)
{
    (void)l;
    (void)timer;
    (void)revents;
}

static void turn(void)
{
    ev_timer timer;

    ev_timer_init(&timer, on_turn_over, 0.01, 0.);
    ev_timer_start(loop, &timer);
    ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &timer);
}

/* All that the server says until it closes; the server runs meanwhile. */
static char *read_to_end(int fd)
{
    mono_ns limit = clock_now() + FAR_ABOVE;
    size_t room = 1024;
    size_t size = 0;
    char *text = malloc(room);

    for (;;) {
        ssize_t n = recv(fd, text + size, room - size - 1, MSG_DONTWAIT);

        cr_assert(clock_now() < limit, "the server does not close");
        if (n == 0) {
            text[size] = '\0';
            (void)close(fd);
            return text;
        }
        if (n == -1) {
            cr_assert(errno == EAGAIN, "%s", strerror(errno));
            turn();
            continue;
        }
        size += (size_t)n;
        if (room - size < 1024) {
            room *= 2;
            text = realloc(text, room);
        }
    }
}

static void say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect_code(char *reply, int code, const char *title)
{
    json_t *object = json_loads(reply, 0, NULL);

    cr_assert(object != NULL, "%s: '%s' is no JSON", title, reply);
    cr_expect_eq(json_integer_value(json_object_get(object, "code")), code, "%s: %s", title, reply);
    cr_expect(json_is_string(json_object_get(object, "text")), "%s: %s", title, reply);
    cr_expect_eq(reply[strlen(reply) - 1], '\n', "%s: %s", title, reply);
    json_decref(object);
    free(reply);
}

Test(control, answers_a_request_with_one_line_and_end_of_file)
{
    int fd = client();

    say(fd, "{\"command\":\"status\"}\n");
    char *reply = read_to_end(fd);
    cr_expect_str_eq(reply, "{\"is\":\"answered\"}\n");
    cr_expect_eq(requests, 1);
    cr_expect(last_request.fleet);
    free(reply);
}

Test(control, a_request_may_come_byte_by_byte)
{
    const char *request = "{\"command\":\"step-down\",\"for_ms\":1500,\"force\":true}\n";
    int fd = client();

    for (const char *c = request; *c != '\0'; c++) {
        cr_assert_eq(send(fd, c, 1, MSG_NOSIGNAL), 1);
        turn();
    }
    free(read_to_end(fd));
    cr_expect_eq(requests, 1);
    cr_expect_eq(last_request.kind, REQUEST_ORDER);
    cr_expect_eq(last_request.command, COMMAND_STEP_DOWN);
    cr_expect_eq(last_request.length, DUR_MS(1500));
    cr_expect(last_request.force);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *line;
} refusals[] = {
    {"what is no JSON is refused",               "status\n"},
    {"an empty line is refused",                 "\n"},
    {"an array is refused",                      "[\"status\"]\n"},
    {"a request without a command is refused",   "{}\n"},
    {"a command must be a string",               "{\"command\":1}\n"},
    {"an unknown command is refused",            "{\"command\":\"fire\"}\n"},
    {"an unknown key is refused",                "{\"command\":\"stop\",\"now\":true}\n"},
    {"a key of another command is refused",      "{\"command\":\"status\",\"force\":true}\n"},
    {"a key twice is refused",                   "{\"command\":\"stop\",\"command\":\"status\"}\n"},
    {"force must be a boolean",                  "{\"command\":\"step-down\",\"force\":1}\n"},
    {"a length must be a number",                "{\"command\":\"step-down\",\"for_ms\":\"30s\"}\n"},
    {"a length must be whole",                   "{\"command\":\"step-down\",\"for_ms\":1.5}\n"},
    {"a length is not below zero",               "{\"command\":\"step-down\",\"for_ms\":-1}\n"},
    {"a length has a limit",                     "{\"command\":\"step-down\",\"for_ms\":604800001}\n"},
    {"a length that overflows is refused",       "{\"command\":\"step-down\",\"for_ms\":99999999999999999999}\n"},
    {"a connection takes one request",           "{\"command\":\"status\"}\n{\"command\":\"status\"}\n"},
    {"text after the object is refused",         "{\"command\":\"status\"} x\n"},
    {"a string of no UTF-8 is refused",          "{\"command\":\"\xff\xfe\"}\n"},
};
/* clang-format on */

Test(control, refusals)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        int fd = client();

        say(fd, refusals[i].line);
        expect_code(read_to_end(fd), EXIT_CODE_USAGE, refusals[i].title);
        cr_expect_eq(requests, 0, "%s", refusals[i].title);
    }
}

Test(control, a_request_that_is_too_long_is_refused)
{
    char much[2 * CONTROL_LINE_MAX + 1];
    int fd = client();

    (void)memset(much, ' ', sizeof(much) - 1);
    much[sizeof(much) - 1] = '\0';
    say(fd, much);
    expect_code(read_to_end(fd), EXIT_CODE_USAGE, "too long");
    cr_expect_eq(requests, 0);
}

Test(control, a_request_without_its_line_feed_is_refused)
{
    int fd = client();

    say(fd, "{\"command\":\"stop\"}");
    (void)shutdown(fd, SHUT_WR);
    expect_code(read_to_end(fd), EXIT_CODE_USAGE, "no line feed");
    cr_expect_eq(requests, 0);
}

Test(control, a_client_that_only_looks_is_let_go)
{
    int fd = client();

    (void)shutdown(fd, SHUT_WR);
    char *reply = read_to_end(fd);
    cr_expect_str_eq(reply, "");
    free(reply);
}

Test(control, a_client_that_says_nothing_is_told_so_after_its_time)
{
    struct control_options options = patient();

    options.request_within = DUR_MS(20);
    serve(&options);
    expect_code(read_to_end(client()), EXIT_CODE_USAGE, "silent");
}

Test(control, a_request_that_nobody_answers_is_told_so_after_its_time)
{
    struct control_options options = patient();
    int fd = client();

    options.answer_within = DUR_MS(20);
    serve(&options);
    free(answer);
    answer = NULL;
    say(fd, "{\"command\":\"reload\"}\n");
    expect_code(read_to_end(fd), EXIT_CODE_UNAVAILABLE, "no answer");
    control_say(control, last_ticket, EXIT_CODE_DONE, "too late"); /* is dropped */
}

Test(control, an_answer_that_comes_later_reaches_who_asked)
{
    int first = client();
    int second = client();

    free(answer);
    answer = NULL;
    say(first, "{\"command\":\"stop\"}\n");
    while (requests < 1) {
        turn();
    }
    uint64_t ticket = last_ticket;
    say(second, "{\"command\":\"stop\"}\n");
    while (requests < 2) {
        turn();
    }
    control_say(control, last_ticket, EXIT_CODE_FAILED, "second");
    control_say(control, ticket, EXIT_CODE_DONE, "first\xff");
    expect_code(read_to_end(first), EXIT_CODE_DONE, "first");
    expect_code(read_to_end(second), EXIT_CODE_FAILED, "second");
}

Test(control, an_answer_for_nobody_is_dropped)
{
    int fd = client();

    control_say(control, 12345, EXIT_CODE_DONE, "nobody asked");
    free(answer);
    answer = NULL;
    say(fd, "{\"command\":\"stop\"}\n");
    while (requests < 1) {
        turn();
    }
    (void)close(fd);
    control_say(control, last_ticket, EXIT_CODE_DONE, "gone meanwhile");
    cr_expect_eq(requests, 1);
}

Test(control, a_hundred_connections_at_once_are_all_answered)
{
    int fds[100];

    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = client();
        say(fds[i], "{\"command\":\"status\"}\n");
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        char *reply = read_to_end(fds[i]);

        cr_expect_str_eq(reply, "{\"is\":\"answered\"}\n", "connection %zu", i);
        free(reply);
    }
    cr_expect_eq(requests, ARRAY_LEN(fds));
}

Test(control, silent_clients_only_delay_the_others)
{
    struct control_options options = patient();
    int silent[CONTROL_CONNECTIONS_MAX];

    options.request_within = DUR_MS(50);
    serve(&options);
    for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
        silent[i] = client();
    }
    int fd = client();
    say(fd, "{\"command\":\"status\"}\n");
    char *reply = read_to_end(fd);
    cr_expect_str_eq(reply, "{\"is\":\"answered\"}\n");
    free(reply);
    for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
        (void)close(silent[i]);
    }
}

static void make_answer_big(size_t size)
{
    free(answer);
    answer = malloc(size + 1);
    (void)memset(answer, 'x', size);
    answer[size] = '\0';
}

Test(control, a_slow_reader_gets_all_and_holds_nobody_up)
{
    enum { BIG = 8 * 1024 * 1024 };
    int slow = client();
    int quick = client();

    make_answer_big(BIG);
    say(slow, "{\"command\":\"status\"}\n");
    while (requests < 1) {
        turn();
    }
    free(answer);
    answer = strdup("quick");
    say(quick, "{\"command\":\"status\"}\n");
    char *reply = read_to_end(quick);
    cr_expect_str_eq(reply, "quick\n");
    free(reply);
    reply = read_to_end(slow);
    cr_expect_eq(strlen(reply), BIG + 1);
    free(reply);
}

Test(control, a_reader_that_never_reads_is_dropped_after_its_time)
{
    struct control_options options = patient();
    mono_ns limit = clock_now() + FAR_ABOVE;
    int fd = client();
    char byte;

    options.reply_within = DUR_MS(20);
    serve(&options);
    make_answer_big(8 * 1024 * 1024);
    say(fd, "{\"command\":\"status\"}\n");
    /* Its end of the connection is closed when a write of ours fails. */
    while (send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 || errno == EAGAIN) {
        cr_assert(clock_now() < limit, "it is still served");
        turn();
    }
    cr_expect_eq(errno, EPIPE);
    cr_expect_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 1, "what was sent is not lost");
    (void)close(fd);
}

/* The kernel tells the effective user of the moment of connect(2). */
static int stranger(void)
{
    if (geteuid() != 0) {
        struct control_options options = patient();

        options.owner = getuid() + 1;
        serve(&options);
        return client();
    }
    cr_assert_eq(seteuid(NOBODY), 0);
    int fd = client();
    cr_assert_eq(seteuid(0), 0);
    return fd;
}

Test(control, a_stranger_may_ask_for_the_status)
{
    int fd = stranger();

    say(fd, "{\"command\":\"status\",\"fleet\":false}\n");
    free(read_to_end(fd));
    cr_expect_eq(requests, 1);
    cr_expect_not(last_request.fleet);
}

Test(control, a_stranger_may_not_command)
{
    static const char *const orders[] = {"stop", "reload", "step-down"};

    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        char line[64];
        int fd = stranger();

        (void)snprintf(line, sizeof(line), "{\"command\":\"%s\"}\n", orders[i]);
        say(fd, line);
        expect_code(read_to_end(fd), EXIT_CODE_NOT_PERMITTED, orders[i]);
    }
    cr_expect_eq(requests, 0);
}

/* What jobs print may be secret, and each question costs the database something. */
Test(control, a_stranger_may_not_read_what_is_recorded)
{
    static const char *const lines[] = {
        "{\"command\":\"jobs\"}\n",
        "{\"command\":\"history\"}\n",
        "{\"command\":\"output\",\"run\":\"1.1-1\"}\n",
        "{\"command\":\"trigger\",\"job\":\"a\"}\n",
        "{\"command\":\"answer\",\"request\":1,\"withdraw\":true}\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        int fd = stranger();

        say(fd, lines[i]);
        expect_code(read_to_end(fd), EXIT_CODE_NOT_PERMITTED, lines[i]);
    }
    cr_expect_eq(requests, 0);
}

Test(control, strangers_cannot_keep_the_owner_out)
{
    int silent[CONTROL_STRANGERS_MAX];

    if (geteuid() != 0) {
        cr_skip_test("needs two users");
    }
    for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
        silent[i] = stranger();
    }
    int one_more = stranger();
    expect_code(read_to_end(one_more), EXIT_CODE_UNAVAILABLE, "one stranger too many");
    int owner = client();
    say(owner, "{\"command\":\"stop\"}\n");
    free(read_to_end(owner));
    cr_expect_eq(requests, 1);
    for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
        (void)close(silent[i]);
    }
}
