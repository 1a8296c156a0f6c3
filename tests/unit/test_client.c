#include "supervisor/cli/client.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/control.h"

#define FAR_ABOVE DUR_S(20)

static char dir[] = "/tmp/pgbaton-test-XXXXXX";
static char path[sizeof(dir) + sizeof("/" CONTROL_SOCKET_NAME)];
static pid_t server; /* 0: none */

static void up(void)
{
    cr_redirect_stderr();
    cr_assert(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, CONTROL_SOCKET_NAME);
}

static void down(void)
{
    if (server > 0) {
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
    }
    (void)unlink(path);
    (void)rmdir(dir);
}

TestSuite(client, .init = up, .fini = down, .timeout = 120);

static int listener(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)strcpy(address.sun_path, path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == -1 || listen(fd, 1) == -1) {
        return -1;
    }
    return fd;
}

/* A process that takes one request, says that much, and ends; at SIGKILL where it says nothing. */
static void serve(const char *reply)
{
    int ready[2];
    char byte;

    cr_assert_eq(pipe(ready), 0);
    server = fork();
    if (server == 0) {
        char request[256];
        int fd = listener();

        (void)close(ready[0]);
        (void)close(ready[1]);
        int client = accept(fd, NULL, NULL);
        (void)!read(client, request, sizeof(request));
        if (reply == NULL) {
            (void)pause();
        }
        (void)!write(client, reply, strlen(reply));
        (void)close(client);
        (void)pause();
    }
    (void)close(ready[1]);
    (void)!read(ready[0], &byte, 1); /* end of file: it listens */
    (void)close(ready[0]);
}

static int ask(dur_ns within, json_t **ret_reply)
{
    struct client client;
    json_t *request = json_pack("{s:s}", "command", "status");
    int code = client_connect(&client, path, false);

    if (code == EXIT_CODE_DONE) {
        code = client_ask(&client, request, within, ret_reply);
    }
    client_close(&client);
    json_decref(request);
    return code;
}

Test(client, reads_a_reply_to_its_end)
{
    json_t *reply = NULL;

    serve("{\"code\":0,\n \"text\":\"done\"}\n");
    cr_expect_eq(ask(FAR_ABOVE, &reply), EXIT_CODE_DONE);
    cr_expect_str_eq(json_string_value(json_object_get(reply, "text")), "done");
    json_decref(reply);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *reply;
} unreadable[] = {
    {"no reply at all is unavailable",     ""},
    {"a reply that is cut is unavailable", "{\"code\":0,"},
    {"garbage is unavailable",             "hello\n"},
    {"an array is unavailable",            "[]\n"},
};
/* clang-format on */

Test(client, replies_that_cannot_be_read)
{
    for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
        json_t *reply = NULL;

        serve(unreadable[i].reply);
        cr_expect_eq(ask(FAR_ABOVE, &reply), EXIT_CODE_UNAVAILABLE, "%s", unreadable[i].title);
        cr_expect(reply == NULL, "%s", unreadable[i].title);
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
        (void)unlink(path);
    }
}

Test(client, does_not_wait_for_ever)
{
    json_t *reply = NULL;

    serve(NULL);
    cr_expect_eq(ask(DUR_MS(50), &reply), EXIT_CODE_UNAVAILABLE);
}

Test(client, no_socket_is_no_daemon)
{
    json_t *reply = NULL;

    cr_expect_eq(ask(FAR_ABOVE, &reply), EXIT_CODE_UNAVAILABLE);
}

Test(client, a_socket_that_nobody_listens_to_is_no_daemon)
{
    json_t *reply = NULL;
    int fd = listener();

    (void)close(fd);
    cr_expect_eq(ask(FAR_ABOVE, &reply), EXIT_CODE_UNAVAILABLE);
}

Test(client, a_path_that_no_socket_can_have_is_said)
{
    struct client client;
    char longer[200];

    (void)memset(longer, 'x', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    cr_expect_eq(client_connect(&client, longer, false), EXIT_CODE_UNAVAILABLE);
    client_close(&client);
}

Test(client, a_socket_of_others_is_not_permitted)
{
    struct client client;
    int fd = listener();

    if (geteuid() != 0) {
        cr_skip_test("needs two users");
    }
    cr_assert_eq(seteuid(65534), 0);
    cr_expect_eq(client_connect(&client, path, false), EXIT_CODE_NOT_PERMITTED);
    cr_assert_eq(seteuid(0), 0);
    client_close(&client);
    (void)close(fd);
}

Test(client, sees_the_end_of_the_process_that_bound_the_socket)
{
    struct client client;

    serve("{}\n");
    cr_assert_eq(client_connect(&client, path, false), EXIT_CODE_DONE);
    cr_expect_eq(client.pid, server);
    cr_expect_not(client_wait_gone(&client, DUR_MS(10)));
    (void)kill(server, SIGKILL);
    cr_expect(client_wait_gone(&client, FAR_ABOVE));
    client_close(&client);
    client_close(&client);
}
