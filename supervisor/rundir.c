#include "supervisor/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/control.h"

enum { LISTEN_BACKLOG = 16, PATH_SIZE = 4096 };

enum { CANDIDATE_RUN, CANDIDATE_RUNTIME, CANDIDATE_TMP, CANDIDATES };

static int join(char *to, size_t size, const char *directory, const char *name)
{
    int n = snprintf(to, size, "%s/%s", directory, name);

    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* One that we may not look into has one too: then who connects is told that it is not permitted. */
static bool has_socket(const char *directory)
{
    char path[PATH_SIZE];
    struct stat st;

    if (join(path, sizeof(path), directory, CONTROL_SOCKET_NAME) < 0) {
        return false;
    }
    return stat(path, &st) == 0 ? S_ISSOCK(st.st_mode) : errno == EACCES;
}

/* Is it a directory that is ours alone to write to? */
static bool is_safe(const struct stat *st)
{
    return S_ISDIR(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & S_IWOTH) == 0;
}

static bool is_usable(const char *directory)
{
    struct stat st;

    if (mkdir(directory, 0750) == -1 && errno != EEXIST) {
        return false;
    }
    return lstat(directory, &st) == 0 && is_safe(&st);
}

/*
 * Where everybody may make a directory, one that is not ours was made by
 * somebody else: orders would go to whoever that is. /run is root's.
 */
static bool may_ask(int candidate, const char *directory)
{
    struct stat st;

    return (candidate == CANDIDATE_RUN || (lstat(directory, &st) == 0 && is_safe(&st))) &&
           has_socket(directory);
}

/* The defaults, in the order of CONTRACT.md; "" where there is none. */
static void list_candidates(char to[CANDIDATES][PATH_SIZE])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    (void)snprintf(to[CANDIDATE_RUN], PATH_SIZE, "/run/pgbaton");
    (void)snprintf(to[CANDIDATE_RUNTIME], PATH_SIZE, "%s%s", runtime != NULL ? runtime : "",
                   runtime != NULL && runtime[0] == '/' ? "/pgbaton" : "");
    if (to[CANDIDATE_RUNTIME][0] != '/') {
        to[CANDIDATE_RUNTIME][0] = '\0';
    }
    (void)snprintf(to[CANDIDATE_TMP], PATH_SIZE, "/tmp/pgbaton-%u", (unsigned)geteuid());
}

int rundir_path(const struct config *cfg, bool for_command, char *ret_path, size_t size,
                char *reterr, size_t reterr_size)
{
    static char candidates[CANDIDATES][PATH_SIZE];
    const char *chosen = cfg->pgbaton.run_dir;

    list_candidates(candidates);
    for (int i = 0; chosen == NULL && i < CANDIDATES; i++) {
        if (candidates[i][0] != '\0' &&
            (for_command ? may_ask(i, candidates[i]) : is_usable(candidates[i]))) {
            chosen = candidates[i];
        }
    }
    if (chosen == NULL) {
        (void)snprintf(reterr, reterr_size, "none of %s%s%s, %s %s", candidates[0],
                       candidates[1][0] != '\0' ? ", " : "", candidates[1], candidates[2],
                       for_command ? "has a control socket: no instance runs there"
                                   : "can be used; set [pgbaton] run_dir");
        return -ENOENT;
    }
    if (snprintf(ret_path, size, "%s", chosen) >= (int)size) {
        (void)snprintf(reterr, reterr_size, "%s is too long", chosen);
        return -ENAMETOOLONG;
    }
    return 0;
}

/* The directory, made or found, and safe. */
static int open_directory(const char *path, char *reterr, size_t reterr_size)
{
    struct stat st;

    if (mkdir(path, 0750) == -1 && errno != EEXIST) {
        int rc = -errno;
        (void)snprintf(reterr, reterr_size, "cannot make %s: %s", path, strerror(-rc));
        return rc;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1 || fstat(fd, &st) == -1) {
        int rc = -errno;
        (void)snprintf(reterr, reterr_size, "cannot open %s: %s", path, strerror(-rc));
        if (fd != -1) {
            (void)close(fd);
        }
        return rc;
    }
    if (!is_safe(&st)) {
        (void)snprintf(
            reterr, reterr_size,
            "%s belongs to uid %u and has mode %04o: it must be our own (uid %u) and not "
            "writable for others",
            path, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777), (unsigned)geteuid());
        (void)close(fd);
        return -EPERM;
    }
    return fd;
}

static int lock_pid_file(int directory, const char *path, char *reterr, size_t reterr_size)
{
    char text[16] = "";
    int fd = openat(directory, "pgbaton.pid", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);

    if (fd == -1) {
        int rc = -errno;
        (void)snprintf(reterr, reterr_size, "cannot open %s/pgbaton.pid: %s", path, strerror(-rc));
        return rc;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        text[n > 0 ? (size_t)n : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        (void)snprintf(reterr, reterr_size, "another instance runs in %s (pid %s)", path,
                       text[0] != '\0' ? text : "unknown");
        (void)close(fd);
        return -EBUSY;
    }
    int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) == -1 || pwrite(fd, text, (size_t)length, 0) != length) {
        int rc = errno != 0 ? -errno : -EIO;
        (void)snprintf(reterr, reterr_size, "cannot write %s/pgbaton.pid: %s", path, strerror(-rc));
        (void)close(fd);
        return rc;
    }
    return fd;
}

int rundir_claim(const char *path, char *reterr, size_t reterr_size)
{
    int directory = open_directory(path, reterr, reterr_size);

    if (directory < 0) {
        return directory;
    }
    int rc = lock_pid_file(directory, path, reterr, reterr_size);
    (void)close(directory);
    return rc;
}

int rundir_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc = join(address.sun_path, sizeof(address.sun_path), path, CONTROL_SOCKET_NAME);

    if (rc < 0) {
        return rc;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1) {
        return -errno;
    }
    /* The lock of pgbaton.pid is ours: a socket that is there belongs to nobody alive. */
    (void)unlink(address.sun_path);
    mode_t before = umask(0117);
    rc = bind(fd, (struct sockaddr *)&address, sizeof(address)) == -1 ? -errno : 0;
    (void)umask(before);
    if (rc == 0 && listen(fd, LISTEN_BACKLOG) == -1) {
        rc = -errno;
    }
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    return fd;
}
