#include "worker/database/lock_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"

/* Not in linux/magic.h of every kernel that we build on. */
enum {
    MAGIC_CEPH = 0x00c36400,
    MAGIC_GFS2 = 0x01161970,
    MAGIC_LUSTRE = 0x0bd00bd0,
    MAGIC_FUSE = 0x65735546,
};
#define MAGIC_CIFS UINT32_C(0xff534d42)
#define MAGIC_SMB2 UINT32_C(0xfe534d42)

enum { TERM_FILE_MAX = 1024 };                     /* bytes; what write_term() makes is below 400 */
enum { TERM_TRIES = 51, TERM_PAUSE_NS = 2000000 }; /* 100 ms in all */

/* File systems on which a lock is known only to this host, or may be lost without a word. */
static bool is_network_file_system(uint32_t magic)
{
    static const uint32_t refused[] = {
        NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,   MAGIC_CIFS,   MAGIC_SMB2, AFS_SUPER_MAGIC,
        CODA_SUPER_MAGIC, NCP_SUPER_MAGIC,   V9FS_MAGIC,   MAGIC_CEPH, MAGIC_GFS2,
        MAGIC_LUSTRE,     OCFS2_SUPER_MAGIC, AFS_FS_MAGIC, MAGIC_FUSE,
    };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (refused[i] == magic) {
            return true;
        }
    }
    return false;
}

static int path_with(char ret_path[PATH_MAX], const char *database_path, const char *suffix)
{
    int length = snprintf(ret_path, PATH_MAX, "%s%s", database_path, suffix);

    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int lock_file_open(const char *database_path, char *reterr, size_t size)
{
    char path[PATH_MAX];
    struct statfs file_system;
    int rc = path_with(path, database_path, ".lock");

    if (rc < 0) {
        (void)snprintf(reterr, size, "the path of the SQLite file is too long");
        return rc;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd == -1) {
        rc = -errno;
        (void)snprintf(reterr, size, "cannot open %s: %s", path, strerror(-rc));
        return rc;
    }
    if (fstatfs(fd, &file_system) == -1) {
        rc = -errno;
        (void)snprintf(reterr, size, "cannot tell the file system of %s: %s", path, strerror(-rc));
        goto close_fd;
    }
    if (is_network_file_system((uint32_t)file_system.f_type)) {
        rc = -EREMOTE;
        (void)snprintf(
            reterr, size,
            "%s is on a network or FUSE file system, where a lock does not reach the other "
            "hosts: put it on a local disk, or use PostgreSQL",
            path);
        goto close_fd;
    }
    return fd;

close_fd:
    (void)close(fd);
    return rc;
}

static struct flock one_byte(enum lock_byte byte, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
}

int lock_file_try(int fd, enum lock_byte byte)
{
    struct flock lock = one_byte(byte, F_WRLCK);

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    return errno == EACCES ? -EAGAIN : -errno;
}

int lock_file_unlock(int fd, enum lock_byte byte)
{
    struct flock lock = one_byte(byte, F_UNLCK);

    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

int lock_file_is_held(int fd, enum lock_byte byte)
{
    struct flock lock = one_byte(byte, F_WRLCK);

    if (fcntl(fd, F_OFD_GETLK, &lock) == -1) {
        return -errno;
    }
    return lock.l_type == F_UNLCK ? 0 : 1;
}

bool lock_file_is_same(int fd, const char *database_path)
{
    char path[PATH_MAX];
    struct stat held;
    struct stat named;

    return path_with(path, database_path, ".lock") == 0 && fstat(fd, &held) == 0 &&
           lstat(path, &named) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

static void close_all_but(int fd)
{
    if (fd > 0) {
        (void)close_range(0, (unsigned)fd - 1, 0);
    }
    (void)close_range((unsigned)fd + 1, UINT_MAX, 0);
}

/* The waiter. It shares the description, so what it locks the worker holds too. */
_Noreturn static void wait_in_child(int fd, enum lock_byte byte, pid_t parent)
{
    struct flock lock = one_byte(byte, F_WRLCK);
    sigset_t none;

    close_all_but(fd);
    child_title("lock waiter"); /* not the worker a second time */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) { /* it ended before the line above */
        _exit(1);
    }
    int rc;
    do {
        rc = fcntl(fd, F_OFD_SETLKW, &lock);
    } while (rc == -1 && errno == EINTR);
    _exit(rc == 0 ? 0 : 1);
}

pid_t lock_file_wait(int fd, enum lock_byte byte)
{
    pid_t parent = getpid();

    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == -1) {
        return -errno;
    }
    if (pid == 0) {
        wait_in_child(fd, byte, parent);
    }
    return pid;
}

/* One line of the file, if it has that key: what is behind the "=". */
static const char *value_of(const char *line, const char *key)
{
    size_t length = strlen(key);

    return strncmp(line, key, length) == 0 && line[length] == '=' ? line + length + 1 : NULL;
}

static bool parse_number(const char *text, char **ret_end, int base, uint64_t *ret_number)
{
    /* strtoull takes signs and blanks, which nobody wrote here. */
    if (strchr("0123456789abcdef", *text) == NULL || *text == '\0') {
        return false;
    }
    errno = 0;
    *ret_number = strtoull(text, ret_end, base);
    return errno == 0;
}

static bool parse_epoch(const char *text, struct epoch *ret_epoch)
{
    char *end;

    return parse_number(text, &end, 10, &ret_epoch->generation) && *end == '.' &&
           parse_number(end + 1, &end, 10, &ret_epoch->number) && *end == '\0';
}

enum term_line {
    TERM_EPOCH = 1,
    TERM_INCARNATION = 2,
    TERM_LEASE = 4,
    TERM_ENDED = 8,
    TERM_INSTANCE = 16,
    TERM_ALL = 31,
};

/* Which line it was; 0: one that cannot be read. */
static unsigned parse_line(const char *line, struct lock_term *term)
{
    uint64_t number;
    char *end;
    const char *value;

    if ((value = value_of(line, "epoch")) != NULL) {
        return parse_epoch(value, &term->epoch) ? TERM_EPOCH : 0;
    }
    if ((value = value_of(line, "incarnation")) != NULL) {
        bool good = parse_number(value, &end, 16, &term->incarnation) && *end == '\0';
        return good ? TERM_INCARNATION : 0;
    }
    if ((value = value_of(line, "lease_ms")) != NULL) {
        bool good = parse_number(value, &end, 10, &number) && *end == '\0' &&
                    number <= (uint64_t)(INT64_MAX / DUR_MS(1));
        term->lease = good ? DUR_MS(number) : 0;
        return good ? TERM_LEASE : 0;
    }
    if ((value = value_of(line, "ended")) != NULL) {
        int length = snprintf(term->ended_as, sizeof(term->ended_as), "%s", value);
        term->ended = value[0] != '\0';
        return length < (int)sizeof(term->ended_as) ? TERM_ENDED : 0;
    }
    if ((value = value_of(line, "instance")) != NULL) {
        (void)snprintf(term->instance, sizeof(term->instance), "%s", value);
        return TERM_INSTANCE;
    }
    return 0;
}

/* Takes text apart in place. */
static int parse_term(char *text, struct lock_term *ret_term)
{
    struct lock_term term = {.lease = 0};
    unsigned seen = 0;

    while (*text != '\0') {
        char *end = strchr(text, '\n');
        if (end == NULL) {
            return -EINVAL; /* cut off */
        }
        *end = '\0';
        unsigned line = parse_line(text, &term);
        if (line == 0 || (seen & line) != 0) {
            return -EINVAL;
        }
        seen |= line;
        text = end + 1;
    }
    if (seen != TERM_ALL) {
        return -EINVAL;
    }
    *ret_term = term;
    return 0;
}

int lock_term_read(const char *database_path, struct lock_term *ret_term)
{
    char path[PATH_MAX];
    char text[TERM_FILE_MAX + 1];
    int rc = path_with(path, database_path, ".term");

    if (rc < 0) {
        return rc;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd == -1) {
        return -errno;
    }
    ssize_t length = read(fd, text, TERM_FILE_MAX);
    rc = length == -1 ? -errno : 0;
    (void)close(fd);
    if (rc < 0) {
        return rc;
    }
    text[length] = '\0';
    if (strlen(text) != (size_t)length) {
        return -EINVAL;
    }
    return parse_term(text, ret_term);
}

static int write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written == -1 && errno == EINTR) {
            continue;
        }
        if (written == -1) {
            return -errno;
        }
        text += written;
        length -= (size_t)written;
    }
    return 0;
}

/* After a rename the name itself must reach the disk too. */
static int sync_directory_of(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        (void)snprintf(directory, sizeof(directory), ".");
    } else {
        (void)snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - path), path);
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1) {
        return -errno;
    }
    int rc = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    return rc;
}

/* All that may take long: the disk has the text before anybody is kept from the file's name. */
static int make_temporary(const char *temporary, const char *text)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd == -1) {
        return -errno;
    }
    int rc = write_all(fd, text, strlen(text));
    if (rc == 0 && fsync(fd) == -1) {
        rc = -errno;
    }
    (void)close(fd);
    if (rc < 0) {
        (void)unlink(temporary);
    }
    return rc;
}

/* Byte 2, through a description of its own: whoever closes it gives the byte up. It is held only
 * for a look and a rename, unless its holder was stopped there. */
static int open_for_term(const char *database_path)
{
    char text[TERM_FILE_MAX];
    int fd = lock_file_open(database_path, text, sizeof(text));

    if (fd < 0) {
        return fd;
    }
    int rc = lock_file_try(fd, LOCK_BYTE_TERM);
    for (int tries = 1; rc == -EAGAIN && tries < TERM_TRIES; tries++) {
        const struct timespec pause = {.tv_nsec = TERM_PAUSE_NS};

        (void)nanosleep(&pause, NULL);
        rc = lock_file_try(fd, LOCK_BYTE_TERM);
    }
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    return fd;
}

/* 0: PATH.term says that term, and nothing of an end. */
static int is_open_there(const char *database_path, const struct lock_term *term)
{
    struct lock_term there = {.lease = 0};
    int rc = lock_term_read(database_path, &there);

    if (rc < 0) {
        return rc;
    }
    return there.incarnation == term->incarnation && epoch_equal(there.epoch, term->epoch) &&
                   !there.ended
               ? 0
               : -ESTALE;
}

static int put_in_place(const char *database_path, const char *temporary,
                        const struct lock_term *only_for)
{
    char path[PATH_MAX];
    int rc = path_with(path, database_path, ".term");
    int fd = rc < 0 ? rc : open_for_term(database_path);

    rc = fd < 0 ? fd : 0;
    if (rc == 0 && only_for != NULL) {
        rc = is_open_there(database_path, only_for);
    }
    if (rc == 0 && rename(temporary, path) == -1) {
        rc = -errno;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (rc < 0) {
        (void)unlink(temporary);
        return rc;
    }
    return sync_directory_of(path);
}

/* only_for: the open term that is replaced; NULL: whatever is there. */
static int write_term(const char *database_path, const struct lock_term *term,
                      const struct lock_term *only_for)
{
    char temporary[PATH_MAX];
    char suffix[32];
    char instance[INSTANCE_MAX];
    char text[TERM_FILE_MAX];

    /* Probe and worker may both write: each has a temporary file of its own. */
    (void)snprintf(suffix, sizeof(suffix), ".term.%d", (int)getpid());
    int rc = path_with(temporary, database_path, suffix);
    if (rc < 0) {
        return rc;
    }
    (void)snprintf(instance, sizeof(instance), "%s", term->instance);
    for (char *c = instance; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ') { /* a label may not make lines of its own */
            *c = '?';
        }
    }
    int length = snprintf(text, sizeof(text),
                          "epoch=%s\nincarnation=%016" PRIx64 "\nlease_ms=%" PRId64
                          "\nended=%s\ninstance=%s\n",
                          epoch_text(term->epoch).is, term->incarnation, term->lease / DUR_MS(1),
                          term->ended ? term->ended_as : "", instance);
    assert(length > 0 && length < (int)sizeof(text));
    rc = make_temporary(temporary, text);
    return rc < 0 ? rc : put_in_place(database_path, temporary, only_for);
}

int lock_term_write(const char *database_path, const struct lock_term *term)
{
    return write_term(database_path, term, NULL);
}

int lock_term_end(const char *database_path, const struct lock_term *ended)
{
    return write_term(database_path, ended, ended);
}
