#include "tests/support/wall_clock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/program.h"

/* It stands beside the test program; a server runs as a user that may not reach that. */
static void copy_library(const char *to)
{
    char library[PATH_MAX + 16];
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    cr_assert(length > 0);
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    (void)snprintf(library, sizeof library, "%s/clock.so", self);
    const char *argv[] = {"install", "-m", "755", library, to, NULL};
    cr_assert_eq(program_run(&(struct program_spec){.argv = argv}), 0, "cannot copy %s", library);
}

void wall_clock_make(struct wall_clock *c, const struct workdir *w, const char *name)
{
    char library[128];

    (void)snprintf(library, sizeof library, "%s/%s.so", w->path, name);
    (void)snprintf(c->preload, sizeof c->preload, "LD_PRELOAD=%s", library);
    (void)snprintf(c->file, sizeof c->file, "PGBATON_TEST_CLOCK=%s/%s", w->path, name);
    copy_library(library);

    const char *path = strchr(c->file, '=') + 1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    cr_assert(fd >= 0);
    cr_assert_eq(fchmod(fd, 0644), 0);
    cr_assert_eq(ftruncate(fd, sizeof *c->shared), 0);
    void *view = mmap(NULL, sizeof *c->shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(view, MAP_FAILED);
    (void)close(fd);
    c->shared = view;
    c->environment[0] = c->preload;
    c->environment[1] = c->file;
    /* Where a sanitizer is linked in: it wants to be the first, and need not be. */
    c->environment[2] = "ASAN_OPTIONS=verify_asan_link_order=0";
    c->environment[3] = NULL;
}

void wall_clock_set(struct wall_clock *c, dur_ns offset)
{
    c->shared->offset = offset;
}

void wall_clock_stop(struct wall_clock *c, pid_t pid)
{
    c->shared->stopped_at = clock_wall() + c->shared->offset;
    c->shared->stopped_pid = pid;
}
