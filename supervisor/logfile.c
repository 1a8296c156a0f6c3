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

int logfile_open(const char *path, const struct privileges *privileges)
{
    int before = log_fd_get();
    int fd = path == NULL ? STDERR_FILENO : open_file(path, privileges);

    if (fd < 0) {
        return fd;
    }
    log_fd(fd);
    if (before > STDERR_FILENO) {
        (void)close(before);
    }
    return 0;
}

void logfile_reopen(struct supervisor *s)
{
    int rc = logfile_open(s->config->pgbaton.log_file, NULL);

    if (rc < 0) {
        log_error("log_file_failed", "file=%s error=%s", log_text(s->config->pgbaton.log_file).is,
                  log_text(strerror(-rc)).is);
        return;
    }
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        deeds_send(s, (enum child_slot)slot, MESSAGE_LOG, NULL, log_fd_get());
    }
    log_info("log_reopened", "file=%s", log_text(s->config->pgbaton.log_file).is);
}
