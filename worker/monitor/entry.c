#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"

/* Places in main()'s argv, after the program and --monitor: see common/child.h. */
enum {
    ENTRY_CHANNEL = 2,
    ENTRY_BOARD,
    ENTRY_LISTEN,
    ENTRY_SUPERVISOR,
    ENTRY_GENERATION,
    ENTRY_LOG,
    ENTRY_COUNT,
};

static bool read_number(const char *text, uint64_t most, uint64_t *ret_number)
{
    char *end;

    if (text[0] < '0' || text[0] > '9') { /* strtoull would take a sign and blanks */
        return false;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > most) {
        return false;
    }
    *ret_number = number;
    return true;
}

/* A number of a descriptor that is open. */
static bool read_fd(const char *text, int *ret_fd)
{
    uint64_t number;

    if (!read_number(text, INT_MAX, &number) || fcntl((int)number, F_GETFD) == -1) {
        return false;
    }
    *ret_fd = (int)number;
    return true;
}

static bool read_entry(char **argv, struct child *c, int *ret_board_fd, int *ret_listen_fd)
{
    uint64_t supervisor;
    int log;

    if (!read_fd(argv[ENTRY_CHANNEL], &c->up.fd) || !read_fd(argv[ENTRY_BOARD], ret_board_fd) ||
        !read_fd(argv[ENTRY_LISTEN], ret_listen_fd) || !read_fd(argv[ENTRY_LOG], &log) ||
        !read_number(argv[ENTRY_SUPERVISOR], INT_MAX, &supervisor) || supervisor == 0 ||
        !read_number(argv[ENTRY_GENERATION], UINT64_MAX, &c->up.generation)) {
        return false;
    }
    if (c->up.fd <= STDERR_FILENO) {
        return false;
    }
    c->supervisor = (pid_t)supervisor;
    c->up.far = FROM_SUPERVISOR;
    log_fd(log);
    return true;
}

int monitor_entry(int argc, char **argv)
{
    struct child c = {.name = "monitor"};
    int board_fd;
    int listen_fd;

    log_role("monitor");
    if (argc != ENTRY_COUNT || !read_entry(argv, &c, &board_fd, &listen_fd)) {
        (void)fprintf(stderr, "pgbaton: --monitor is for the supervisor's own use\n");
        return CHILD_EXIT_PROTOCOL;
    }
    /* From here on nothing that is exec'd gains anything, whoever may have started us. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
        log_error("no_new_privs_failed", "error=%s", log_text(strerror(errno)).is);
        return CHILD_EXIT_FAILED;
    }
    c.board = scoreboard_open(board_fd);
    if (c.board == NULL) {
        log_error("scoreboard_failed", "error=%s", log_text(strerror(errno)).is);
        return CHILD_EXIT_FAILED;
    }
    if (getrandom(&c.seed, sizeof(c.seed), GRND_NONBLOCK) != (ssize_t)sizeof(c.seed)) {
        c.seed = (uint64_t)clock_now(); /* only jitter depends on it */
    }

    const int keep[] = {board_fd, listen_fd};
    child_enter(&c, keep, sizeof(keep) / sizeof(keep[0]));
    /* Not main()'s argv: the title of the process is written over it. */
    char listen_text[16];
    char *arguments[] = {listen_text, NULL};
    (void)snprintf(listen_text, sizeof(listen_text), "%d", listen_fd);
    c.argc = 1;
    c.argv = arguments;
    return monitor_main(&c);
}
