#include "tests/support/names.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/text.h"
#include "tests/support/wait.h"

enum { DNS_PORT = 53 };

static bool loopback_up(void)
{
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return false;
    }
    (void)strcpy(request.ifr_name, "lo");
    bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    (void)close(fd);
    return up;
}

/* Tried in a child first: this process cannot go back. */
static bool world_make(void)
{
    return unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && loopback_up();
}

bool world_enter(void)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        _exit(world_make() ? 0 : 1);
    }
    int status = 1;
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        return false;
    }
    cr_assert(world_make());
    return true;
}

static void stand_for(const char *file, const char *target)
{
    cr_assert_eq(mount(file, target, NULL, MS_BIND, NULL), 0, "%s", target);
}

static void make_file(const struct workdir *w, const char *name, const char *text,
                      const char *target)
{
    char *path = text_format("%s/%s", w->path, name);

    text_write(path, text);
    stand_for(path, target);
    free(path);
}

void names_begin(struct names *n, const struct workdir *w, unsigned seconds, unsigned times)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(DNS_PORT),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    n->server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert(n->server >= 0);
    cr_assert_eq(bind(n->server, (struct sockaddr *)&at, sizeof at), 0);
    char *resolver =
        text_format("nameserver 127.0.0.1\noptions timeout:%u attempts:%u\n", seconds, times);
    make_file(w, "resolv.conf", resolver, "/etc/resolv.conf");
    free(resolver);
    make_file(w, "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n",
              "/etc/nsswitch.conf");
    (void)snprintf(n->hosts, sizeof n->hosts, "%s/hosts", w->path);
    text_write(n->hosts, "");
    stand_for(n->hosts, "/etc/hosts");
}

static int questions_within(const struct names *n, dur_ns limit)
{
    struct pollfd asked = {.fd = n->server, .events = POLLIN};

    return poll(&asked, 1, (int)(limit / DUR_MS(1)));
}

void names_wait_question(struct names *n)
{
    cr_assert_eq(questions_within(n, WAIT_LIMIT), 1, "nobody asked for a name");
}

bool names_asked(const struct names *n)
{
    return questions_within(n, 0) == 1;
}
