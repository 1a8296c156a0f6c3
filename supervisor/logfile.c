#include "supervisor/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int open_or_stderr(const char *path, const struct privileges *privileges)
{
    return path == NULL ? STDERR_FILENO : open_file(path, privileges);
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
                  log_text(strerror(-fd)).is);
        return;
    }
    logfile_adopt(s, fd);
}
