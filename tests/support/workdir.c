#include "tests/support/workdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JANITOR_TRIES = 300 }; /* 100 ms apart: what still runs in there ends meanwhile */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    if (remove(path) == -1 && errno == EBUSY) { /* a disk that only this test sees */
        (void)umount2(path, MNT_DETACH);
        (void)remove(path);
    }
    return 0;
}

static void remove_tree(const char *path)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};

    for (int i = 0; i < JANITOR_TRIES && access(path, F_OK) == 0; i++) {
        (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        if (access(path, F_OK) == 0) {
            (void)nanosleep(&pause, NULL);
        }
    }
}

/* Forked twice: the janitor is nobody's child, so no test waits for it by accident. */
static void janitor_start(const char *path, pid_t watched)
{
    int fd = (int)syscall(SYS_pidfd_open, watched, 0);
    cr_assert(fd >= 0);
    pid_t between = fork();
    cr_assert(between >= 0);
    if (between == 0) {
        if (fork() == 0) {
            struct pollfd end = {.fd = 3, .events = POLLIN};

            (void)setsid();
            (void)prctl(PR_SET_NAME, "test-janitor");
            (void)dup2(fd, 3);
            /* Nothing of the test's may stay open through us: the runner waits for its end of file.
             */
            (void)close_range(4, ~0U, 0);
            int null = open("/dev/null", O_RDWR);
            (void)dup2(null, STDIN_FILENO);
            (void)dup2(null, STDOUT_FILENO);
            (void)dup2(null, STDERR_FILENO);
            while (poll(&end, 1, -1) < 0 && errno == EINTR) {
            }
            remove_tree(path);
        }
        _exit(0);
    }
    (void)close(fd);
    (void)waitpid(between, NULL, 0);
}

static const char *temporary(void)
{
    const char *dir = getenv("TMPDIR");

    return dir != NULL && strlen(dir) < 40 ? dir
                                           : "/tmp"; /* a UNIX socket's path is at most 107 bytes */
}

void workdir_make(struct workdir *w)
{
    (void)snprintf(w->path, sizeof w->path, "%s/pgbaton-test.XXXXXX", temporary());
    cr_assert_not_null(mkdtemp(w->path), "%s cannot be made", w->path);
    cr_assert_eq(chmod(w->path, 0755), 0);
    if (getenv("PGBATON_TEST_KEEP") != NULL) {
        (void)fprintf(stderr, "kept: %s\n", w->path);
    } else {
        janitor_start(w->path, getpid());
    }
}

/* When that process started: with its pid, a name that no other run has. */
static unsigned long long started_at(pid_t pid)
{
    char path[64];
    char line[1024] = "";
    unsigned long long at = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *from = fopen(path, "re");
    if (from != NULL) {
        if (fgets(line, sizeof line, from) == NULL) {
            line[0] = '\0';
        }
        (void)fclose(from);
    }
    const char *rest = strrchr(line, ')'); /* the name before it may hold anything */
    if (rest != NULL) {
        (void)sscanf(
            rest,
            ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
            &at);
    }
    return at;
}

void workdir_of_run(struct workdir *w, int *ret_lock)
{
    pid_t runner = getppid();
    char path[160];

    (void)snprintf(w->path, sizeof w->path, "%s/pgbaton-run.%d.%llu", temporary(), (int)runner,
                   started_at(runner));
    if (mkdir(w->path, 0755) == 0) {
        janitor_start(w->path, runner);
    } else {
        cr_assert_eq(errno, EEXIST, "%s cannot be made", w->path);
    }
    (void)snprintf(path, sizeof path, "%s/lock", w->path);
    *ret_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(*ret_lock >= 0);
    cr_assert_eq(flock(*ret_lock, LOCK_EX), 0);
}
