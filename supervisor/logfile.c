#include "supervisor/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"
#include "supervisor/deeds.h"

enum { LOG_MODE = 0640 };

/* A FIFO that nobody reads would otherwise hold us here, and with us everything. */
enum { LOG_FLAGS = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

/* With root's rights only what is there under that very name: a link was perhaps made by somebody
 * who may write into the directory, and leads to a file that he may not write. */
static int open_existing_as_root(const char *path)
{
    struct stat about;
    int fd = open(path, LOG_FLAGS | O_NOFOLLOW);

    if (fd != -1 && (fstat(fd, &about) == -1 || (S_ISREG(about.st_mode) && about.st_nlink > 1))) {
        (void)close(fd);
        errno = EMLINK;
        return -1;
    }
    return fd;
}

static int open_existing(const char *path, const struct privileges *privileges)
{
    if (privileges == NULL || !privileges->change) {
        return open(path, LOG_FLAGS);
    }
    (void)setfsgid(privileges->gid);
    (void)setfsuid(privileges->uid);
    int fd = open(path, LOG_FLAGS);
    int error = errno;
    (void)setfsuid(geteuid());
    (void)setfsgid(getegid());
    errno = error;
    return fd == -1 && (error == EACCES || error == EPERM) ? open_existing_as_root(path) : fd;
}

static int open_file(const char *path, const struct privileges *privileges)
{
    int fd = open(path, LOG_FLAGS | O_CREAT | O_EXCL, LOG_MODE);

    if (fd == -1 && errno == EEXIST) {
        fd = open_existing(path, privileges);
    } else if (fd != -1 && privileges != NULL && privileges->change &&
               fchown(fd, privileges->uid, privileges->gid) == -1) {
        int rc = -errno;
        (void)close(fd);
        return rc;
    }
    return fd == -1 ? -errno : fd;
}

/* Names of what is open already. By its name it could be opened by whoever started us only, not by
 * the user that we become; a socket not at all. A negative number: it is none of them. */
static int own_descriptor(const char *path)
{
    static const struct {
        const char *path;
        int fd;
    } known[] = {
        {"/dev/stdout", STDOUT_FILENO},     {"/dev/fd/1", STDOUT_FILENO},
        {"/proc/self/fd/1", STDOUT_FILENO}, {"/dev/stderr", STDERR_FILENO},
        {"/dev/fd/2", STDERR_FILENO},       {"/proc/self/fd/2", STDERR_FILENO},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(path, known[i].path) == 0) {
            return known[i].fd;
        }
    }
    return -1;
}

static int open_or_stderr(const char *path, const struct privileges *privileges)
{
    if (path == NULL) {
        return STDERR_FILENO;
    }
    int own = own_descriptor(path);
    if (own < 0) {
        return open_file(path, privileges);
    }
    int fd = fcntl(own, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return fd == -1 ? -errno : fd;
}

const char *logfile_error(int rc)
{
    switch (rc) {
    case -ELOOP:
        return "it is a link that [pgbaton] user may not write through, or one that leads nowhere";
    case -EMLINK:
        return "[pgbaton] user may not write it, and it has another name too";
    default:
        return strerror(-rc);
    }
}

static void log_there(int fd)
{
    int before = log_fd_get();

    log_fd(fd);
    logfile_forget(before);
}

int logfile_open(const char *path, const struct privileges *privileges)
{
    int fd = open_or_stderr(path, privileges);

    if (fd < 0) {
        return fd;
    }
    log_there(fd);
    return 0;
}

int logfile_prepare(const char *path)
{
    return open_or_stderr(path, NULL);
}

void logfile_forget(int fd)
{
    if (fd > STDERR_FILENO) {
        (void)close(fd);
    }
}

void logfile_adopt(struct supervisor *s, int fd)
{
    log_there(fd);
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        deeds_send(s, (enum child_slot)slot, MESSAGE_LOG, NULL, log_fd_get());
    }
    log_info("log_reopened", "file=%s", log_text(s->config->pgbaton.log_file).is);
}

void logfile_reopen(struct supervisor *s)
{
    int fd = logfile_prepare(s->config->pgbaton.log_file);

    if (fd < 0) {
        log_error("log_file_failed", "file=%s error=%s", log_text(s->config->pgbaton.log_file).is,
                  log_text(logfile_error(fd)).is);
        return;
    }
    logfile_adopt(s, fd);
}
