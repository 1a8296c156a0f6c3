#include "common/zone_load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/zone_tzif.h"

#define DIRECTORY "/usr/share/zoneinfo"

enum { PATH_BYTES = 4096 };

/* As the C library and everything that uses it. */
static const char *directory(void)
{
    const char *named = getenv("TZDIR");

    return named != NULL && named[0] == '/' ? named : DIRECTORY;
}

static int refuse(const char *name, const char *why, char *reterr, size_t reterr_size)
{
    (void)snprintf(reterr, reterr_size, "'%.80s' is no time zone: %s", name, why);
    return -EINVAL;
}

static int refuse_file(const char *name, int error, char *reterr, size_t reterr_size)
{
    char why[256];

    if (error != ENOENT && error != ENOTDIR) {
        (void)snprintf(why, sizeof(why), "%.100s/%.60s: %s", directory(), name, strerror(error));
    } else if (access(directory(), F_OK) == -1) {
        (void)snprintf(why, sizeof(why),
                       "this system has none (there is no %.100s); install tzdata, or use UTC",
                       directory());
    } else {
        (void)snprintf(why, sizeof(why),
                       "%.100s has none of that name; names such as Europe/Berlin or UTC are right",
                       directory());
    }
    return refuse(name, why, reterr, reterr_size);
}

/* All of a regular file, or a negative errno. */
static int read_all(int fd, struct config_memory *memory, struct zone_bytes *ret_bytes)
{
    struct stat st;
    char *bytes;
    size_t got = 0;

    if (fstat(fd, &st) == -1) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    }
    if (st.st_size == 0 || st.st_size > ZONE_TZIF_MAX) {
        return -EINVAL;
    }
    bytes = config_memory_take(memory, (size_t)st.st_size);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    while (got < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + got, (size_t)st.st_size - got);

        if (n == 0 || (n == -1 && errno != EINTR)) {
            return n == 0 ? -EINVAL : -errno; /* it became shorter under our eyes */
        }
        got += n > 0 ? (size_t)n : 0;
    }
    *ret_bytes = (struct zone_bytes){.bytes = bytes, .size = got};
    return 0;
}

int zone_read(struct config_memory *memory, const char *name, struct zone_bytes *ret_bytes,
              char *reterr, size_t reterr_size)
{
    char path[PATH_BYTES];
    char why[128];
    int rc;

    *ret_bytes = (struct zone_bytes){.size = 0};
    if (!zone_is_name(name, why, sizeof(why))) {
        return refuse(name, why, reterr, reterr_size);
    }
    if (zone_is_utc_name(name)) {
        return 0;
    }
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory(), name) >= sizeof(path)) {
        return refuse_file(name, ENAMETOOLONG, reterr, reterr_size);
    }

    /* Whatever it is, opening it does not wait. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    rc = fd == -1 ? -errno : read_all(fd, memory, ret_bytes);
    if (fd != -1) {
        (void)close(fd);
    }
    if (rc == -EINVAL) {
        return refuse(name, "it is no file of a time zone", reterr, reterr_size);
    }
    return rc == 0 || rc == -ENOMEM ? rc : refuse_file(name, -rc, reterr, reterr_size);
}

int zone_make(struct config_memory *memory, const char *name, struct zone_bytes from,
              struct zone *ret_zone, char *reterr, size_t reterr_size)
{
    size_t room = from.size == 0 ? 0 : zone_tzif_room(from.bytes, from.size);
    struct zone_span *spans;
    char why[128];
    int count;

    if (from.size == 0) {
        *ret_zone = *zone_utc();
        return 0;
    }
    if (room == 0) {
        return refuse(name, "it is no file of a time zone", reterr, reterr_size);
    }
    spans = calloc(room, sizeof(*spans));
    if (spans == NULL) {
        return -ENOMEM;
    }
    count = zone_tzif_read(from.bytes, from.size, spans, room, why, sizeof(why));
    if (count > 0) {
        struct zone_span *kept = config_memory_take(memory, (size_t)count * sizeof(*kept));

        if (kept != NULL) {
            memcpy(kept, spans, (size_t)count * sizeof(*kept));
        }
        *ret_zone = (struct zone){
            .name = config_memory_text(memory, name), .spans = kept, .count = (size_t)count};
    }
    free(spans);
    if (count < 0) {
        return refuse(name, why, reterr, reterr_size);
    }
    return config_memory_failed(memory) ? -ENOMEM : 0;
}
