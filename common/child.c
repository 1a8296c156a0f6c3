#include "common/child.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/log.h"

enum { KEEP_MAX = 16 };

static int compare_fds(const void *a, const void *b)
{
    int x = *(const int *)a;
    int y = *(const int *)b;

    return (x > y) - (x < y);
}

/* Closes everything between 3 and the end but what is in keep[]. Returns 0 or a negative errno. */
static int close_all_but(int *keep, size_t count)
{
    int from = STDERR_FILENO + 1;

    qsort(keep, count, sizeof(*keep), compare_fds);
    for (size_t i = 0; i < count; i++) {
        if (keep[i] > from && close_range((unsigned)from, (unsigned)keep[i] - 1, 0) == -1) {
            return -errno;
        }
        if (keep[i] >= from) {
            from = keep[i] + 1;
        }
    }
    return close_range((unsigned)from, ~0U, 0) == -1 ? -errno : 0;
}

/* The signals of a child's signalfd, and those that must not end it: they are the supervisor's. */
static int open_signals(int *ret_fd)
{
    static const int read_here[] = {SIGTERM, SIGINT, SIGQUIT, SIGCHLD};
    static const int only_blocked[] = {SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t mine;
    sigset_t blocked;

    (void)sigemptyset(&mine);
    for (size_t i = 0; i < sizeof(read_here) / sizeof(read_here[0]); i++) {
        (void)sigaddset(&mine, read_here[i]);
    }
    blocked = mine;
    for (size_t i = 0; i < sizeof(only_blocked) / sizeof(only_blocked[0]); i++) {
        (void)sigaddset(&blocked, only_blocked[i]);
    }
    /* Blocked first: with its default action one of them would end us before we listen. */
    if (sigprocmask(SIG_SETMASK, &blocked, NULL) == -1) {
        return -errno;
    }
    for (int sig = 1; sig < NSIG; sig++) {
        (void)signal(sig, SIG_DFL); /* refused for SIGKILL and SIGSTOP, and libc's own: fine */
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error, like a full disk */
    *ret_fd = signalfd(-1, &mine, SFD_NONBLOCK | SFD_CLOEXEC);
    return *ret_fd == -1 ? -errno : 0;
}

void child_watch_parent(struct child *c)
{
    /* End of file on the channel is how we learn that the supervisor is gone. This is for the
     * case that we are too busy to read it. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == -1) {
        child_die(c, CHILD_EXIT_FAILED, "no parent-death signal: %s", strerror(errno));
    }
    if (getppid() != c->supervisor) {
        _exit(CHILD_EXIT_ASKED); /* it died before prctl() */
    }
}

static void set_process_name(const char *name)
{
    char short_name[16]; /* all that the kernel keeps */

    (void)snprintf(short_name, sizeof(short_name), "pgbaton-%s", name);
    (void)prctl(PR_SET_NAME, short_name);
}

void child_enter(struct child *c, const int *keep, size_t keep_count)
{
    int kept[KEEP_MAX];
    size_t count = 0;

    assert(keep_count + 2 <= KEEP_MAX);
    assert(c->up.fd > STDERR_FILENO);

    for (size_t i = 0; i < keep_count; i++) {
        kept[count++] = keep[i];
    }
    kept[count++] = c->up.fd;
    kept[count++] = log_fd_get();

    int rc = close_all_but(kept, count);

    if (rc < 0) {
        child_die(c, CHILD_EXIT_FAILED, "cannot close what is not ours: %s", strerror(-rc));
    }
    rc = open_signals(&c->signal_fd);
    if (rc < 0) {
        child_die(c, CHILD_EXIT_FAILED, "no signalfd: %s", strerror(-rc));
    }
    child_watch_parent(c);
    set_process_name(c->name);
    child_title("%s", c->name);
    log_role(c->name);

    /* A loop of its own, never the default one: that would take SIGCHLD for itself. */
    c->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (c->loop == NULL) {
        child_die(c, CHILD_EXIT_FAILED, "no event loop");
    }
}

/* Where the title goes: the memory of the arguments and, behind them, of the environment. */
static struct {
    char *start; /* NULL: child_title_init was not called, or had no memory */
    size_t size;
    char **environment; /* our copy: setenv(3) makes another one, and leaves this one to us */
} title;

static void free_strings(char **strings)
{
    for (char **s = strings; s != NULL && *s != NULL; s++) {
        free(*s);
    }
    free(strings);
}

static char **copy_strings(char **from, size_t count)
{
    char **to = calloc(count + 1, sizeof(*to));

    for (size_t i = 0; to != NULL && i < count; i++) {
        to[i] = strdup(from[i]);
        if (to[i] == NULL) {
            free_strings(to);
            return NULL;
        }
    }
    return to;
}

/* The title is written over what argv and environ point to, so both are copied away first: the
 * program goes on reading its environment, and the keeper the command behind "--". */
void child_title_init(int argc, char **argv)
{
    size_t count = 0;

    if (argc < 1 || argv[0] == NULL) {
        return;
    }
    char *start = argv[0];
    char *end = start;

    for (int i = 0; i < argc && argv[i] == end; i++) {
        end += strlen(argv[i]) + 1;
    }
    for (; environ[count] != NULL; count++) {
        if (environ[count] == end) {
            end += strlen(environ[count]) + 1;
        }
    }
    char **new_environ = copy_strings(environ, count);
    char **new_argv = copy_strings(argv, (size_t)argc);

    if (new_environ == NULL || new_argv == NULL) {
        free_strings(new_environ); /* no title is better than no environment */
        free_strings(new_argv);
        return;
    }
    title.environment = environ = new_environ;
    memcpy(argv, new_argv, sizeof(*argv) * (size_t)argc);
    free(new_argv); /* the strings live on in argv */
    title.start = start;
    title.size = (size_t)(end - start);
}

void child_title(const char *format, ...)
{
    char text[256];
    va_list args;

    if (title.start == NULL) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* All of the rest is zeroed, or ps would show what was there before. */
    memset(title.start, 0, title.size);
    (void)snprintf(title.start, title.size, "pgbaton: %s", text);
}

/* Sleeps until the channel has something to read, or the moment has come. */
static bool wait_readable(int fd, mono_ns until)
{
    mono_ns now = clock_now();

    while (now < until) {
        struct pollfd in = {.fd = fd, .events = POLLIN};
        int n = poll(&in, 1, (int)((until - now) / DUR_MS(1)) + 1);

        if (n > 0) {
            return true;
        }
        if (n == -1 && errno != EINTR) {
            return false;
        }
        now = clock_now();
    }
    return false;
}

/* The first message, whatever it is; ends the process where there is none. */
static void receive_first(struct child *c, struct message *ret_first, int *ret_fd)
{
    mono_ns until = clock_now() + HELLO_LIMIT;
    int rc = -EAGAIN;

    while (rc == -EAGAIN) {
        if (!wait_readable(c->up.fd, until)) {
            child_die(c, CHILD_EXIT_FAILED, "no configuration from the supervisor in time");
        }
        rc = channel_receive(&c->up, ret_first, ret_fd);
    }
    if (rc == 0) {
        _exit(CHILD_EXIT_ASKED); /* the supervisor is gone */
    }
    if (rc < 0) {
        child_die(c, CHILD_EXIT_PROTOCOL, "the supervisor's first message: %s", strerror(-rc));
    }
}

void child_hello(struct child *c, struct config **ret_config, struct message *ret_first)
{
    int fd = -1;
    int rc = channel_send(&c->up, MESSAGE_HELLO, NULL, -1);

    if (rc == -EPIPE) {
        _exit(CHILD_EXIT_ASKED);
    }
    if (rc < 0) {
        child_die(c, CHILD_EXIT_FAILED, "cannot say HELLO: %s", strerror(-rc));
    }
    receive_first(c, ret_first, &fd);
    if (ret_first->header.type == MESSAGE_STOP) {
        _exit(CHILD_EXIT_ASKED); /* it began to stop while we were starting */
    }
    if (ret_first->header.type != MESSAGE_CONFIG || fd == -1) {
        child_die(c, CHILD_EXIT_PROTOCOL, "%s came where the configuration should have",
                  message_name(ret_first->header.type));
    }
    rc = config_unseal(fd, ret_config);
    (void)close(fd);
    if (rc < 0) {
        child_die(c, CHILD_EXIT_PROTOCOL, "the configuration cannot be read: %s", strerror(-rc));
    }
}

void child_die(struct child *c, enum child_exit code, const char *format, ...)
{
    struct message m;
    va_list args;

    memset(&m, 0, sizeof(m));
    va_start(args, format);
    (void)vsnprintf(m.u.last_words.text, sizeof(m.u.last_words.text), format, args);
    va_end(args);
    /* If nobody listens the exit code has to do. */
    (void)channel_send(&c->up, MESSAGE_LAST_WORDS, &m, -1);
    _exit((int)code);
}

mono_ns child_alive_at(const struct child *c, mono_ns now)
{
    assert(now >= 0);
    mono_ns phase = DUR_MS(c->supervisor) % ALIVE_INTERVAL;

    return now + ALIVE_INTERVAL - (now + phase) % ALIVE_INTERVAL;
}

void child_take_log(int fd)
{
    int before = log_fd_get();

    log_fd(fd);
    if (before > STDERR_FILENO) {
        (void)close(before);
    }
}
