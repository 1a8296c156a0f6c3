#include "tests/support/links.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/program.h"
#include "tests/support/text.h"

static int run_ip(const char *network, const char *words)
{
    char *script = text_format("ip %s", words);
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct program_spec spec = {.argv = argv, .network = network};
    int code = program_run(&spec);

    free(script);
    return code;
}

static void ip(const char *network, const char *words)
{
    cr_assert_eq(run_ip(network, words), 0, "failed: ip %s", words);
}

void links_enter(void)
{
    if (run_ip(NULL, "-V") != 0) {
        cr_skip_test("there is no ip(8) here (package iproute2)");
    }
    if (unshare(CLONE_NEWNET) != 0) {
        cr_skip_test("network namespaces cannot be made here: %s", strerror(errno));
    }
    ip(NULL, "link set lo up");
    if (run_ip(NULL, "link add probe0 type veth peer name probe1") != 0) {
        cr_skip_test("this kernel has no veth devices");
    }
    ip(NULL, "link delete probe0");
}

/* Until our end of file. */
static _Noreturn void hold(int line)
{
    char byte = 0;

    if (unshare(CLONE_NEWNET) != 0 || send(line, &byte, 1, MSG_NOSIGNAL) != 1) {
        _exit(1);
    }
    while (recv(line, &byte, 1, 0) > 0) {
    }
    _exit(0);
}

static void start_holder(struct link *l)
{
    int line[2];
    char byte;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
    (void)fflush(NULL);
    l->holder = fork();
    cr_assert(l->holder >= 0);
    if (l->holder == 0) {
        (void)dup2(line[1], 3);
        (void)close_range(4, ~0U, 0);
        hold(3);
    }
    (void)close(line[1]);
    l->line = line[0];
    cr_assert_eq(recv(l->line, &byte, 1, 0), 1, "a second network namespace cannot be made");
}

void link_make(struct link *l, unsigned number)
{
    char words[160];

    *l = (struct link){.line = -1};
    start_holder(l);
    (void)snprintf(l->network, sizeof l->network, "/proc/%d/ns/net", (int)l->holder);
    (void)snprintf(l->near, sizeof l->near, "near%u", number);
    (void)snprintf(l->address, sizeof l->address, "10.77.%u.1", number);

    (void)snprintf(words, sizeof words, "link add %s type veth peer name far netns %d", l->near,
                   (int)l->holder);
    ip(NULL, words);
    (void)snprintf(words, sizeof words, "address add %s/24 dev %s", l->address, l->near);
    ip(NULL, words);
    (void)snprintf(words, sizeof words, "link set %s up", l->near);
    ip(NULL, words);
    (void)snprintf(words, sizeof words, "address add 10.77.%u.2/24 dev far", number);
    ip(l->network, words);
    ip(l->network, "link set lo up");
    link_set(l, true);
}

void link_set(const struct link *l, bool up)
{
    ip(l->network, up ? "link set far up" : "link set far down");
}

void link_release(struct link *l)
{
    (void)close(l->line);
    (void)waitpid(l->holder, NULL, 0);
}
