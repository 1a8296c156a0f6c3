#include "worker/sql/sql_order.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

enum { ORDER_MAX = 1024 * 1024 }; /* a value of the configuration has 64 KiB at most */

/* Then the texts, in the order of text_at(), each with its NUL. Both ends are one program. */
struct header {
    char magic[8];
    uint64_t size; /* of all of it */
    struct server_address address;
    dur_ns connect_timeout;
    dur_ns lease;
    uint64_t transaction;
};

static const char magic[8] = "pgb-sql";

/* The texts one by one; NULL: there are no more. */
static const char **text_at(struct sql_order *o, size_t i)
{
    const char **const texts[] = {&o->job,      &o->dsn,    &o->password_file,
                                  &o->password, &o->schema, &o->application_name,
                                  &o->epoch,    &o->role,   &o->statements};

    return i < sizeof(texts) / sizeof(texts[0]) ? texts[i] : NULL;
}

static void write_order(FILE *to, const struct sql_order *order)
{
    struct sql_order o = *order;
    struct header header = {.address = o.address,
                            .connect_timeout = o.connect_timeout,
                            .lease = o.lease,
                            .transaction = o.transaction};
    const char **text;

    memcpy(header.magic, magic, sizeof(magic));
    header.size = sizeof(header);
    for (size_t i = 0; (text = text_at(&o, i)) != NULL; i++) {
        header.size += strlen(*text) + 1;
    }
    (void)fwrite(&header, sizeof(header), 1, to);
    for (size_t i = 0; (text = text_at(&o, i)) != NULL; i++) {
        (void)fwrite(*text, strlen(*text) + 1, 1, to);
    }
}

int sql_order_seal(const struct sql_order *order)
{
    int fd = memfd_create("pgbaton statements", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int copy = fd == -1 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    FILE *to = copy == -1 ? NULL : fdopen(copy, "w");
    int rc = 0;

    if (to == NULL) {
        rc = -errno;
        if (copy != -1) {
            (void)close(copy);
        }
        goto close_fd;
    }
    write_order(to, order);

    bool failed = ferror(to) != 0;

    if (fclose(to) != 0 || failed) {
        rc = -ENOMEM;
    } else if (fcntl(fd, F_ADD_SEALS, SEALS) == -1) {
        rc = -errno;
    }

close_fd:
    if (rc < 0 && fd != -1) {
        (void)close(fd);
    }
    return rc < 0 ? rc : fd;
}

static int load(int fd, char **ret_bytes, size_t *ret_size)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals == -1 || (seals & SEALS) != SEALS || fstat(fd, &st) == -1 ||
        (size_t)st.st_size < sizeof(struct header) || st.st_size > ORDER_MAX) {
        return -EINVAL;
    }

    size_t size = (size_t)st.st_size;
    char *bytes = malloc(size);

    if (bytes == NULL) {
        return -ENOMEM;
    }
    if (pread(fd, bytes, size, 0) != (ssize_t)size) {
        free(bytes);
        return -EIO;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;
}

int sql_order_unseal(int fd, struct sql_order *ret_order)
{
    struct sql_order order = {.transaction = false};
    struct header header;
    char *bytes = NULL;
    size_t size = 0;
    size_t at = sizeof(header);
    const char **text;
    int rc = load(fd, &bytes, &size);

    if (rc < 0) {
        return rc;
    }
    memcpy(&header, bytes, sizeof(header));
    if (memcmp(header.magic, magic, sizeof(magic)) != 0 || header.size != size) {
        free(bytes);
        return -EINVAL;
    }
    for (size_t i = 0; (text = text_at(&order, i)) != NULL; i++) {
        const char *nul = memchr(bytes + at, '\0', size - at);

        if (nul == NULL) {
            free(bytes);
            return -EINVAL;
        }
        *text = bytes + at;
        at = (size_t)(nul - bytes) + 1;
    }
    order.sealed = bytes;
    order.address = header.address;
    order.connect_timeout = header.connect_timeout;
    order.lease = header.lease;
    order.transaction = header.transaction != 0;
    *ret_order = order;
    return 0;
}

void sql_order_release(struct sql_order *order)
{
    free((char *)(uintptr_t)order->sealed);
    *order = (struct sql_order){.sealed = NULL};
}
