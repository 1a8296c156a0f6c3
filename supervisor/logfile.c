#include "supervisor/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/deeds.h"

enum { LOG_MODE = 0640 };

static int open_file(const char *path, const struct privileges *privileges)
{
    /* A FIFO that nobody reads would otherwise hold us here, and with us everything. */
    const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, flags | O_CREAT | O_EXCL, LOG_MODE);

    if (fd == -1 && errno == EEXIST) {
        fd = open(path, flags);
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
