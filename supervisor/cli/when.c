#include "supervisor/cli/when.h"

#include <errno.h>
#include <stdio.h>

#include "common/config_memory.h"
#include "common/duration.h"
#include "common/instant.h"
#include "common/zone_load.h"

static int parse_in(struct config_memory *memory, const char *text, const char *name,
                    wall_ns *ret_at, char *reterr, size_t size)
{
    struct zone_bytes bytes;
    struct zone zone;
    wall_ns at;

    int rc = zone_read(memory, name, &bytes, reterr, size);
    if (rc == 0) {
        rc = zone_make(memory, name, bytes, &zone, reterr, size);
    }
    if (rc == -ENOMEM) {
        (void)snprintf(reterr, size, "out of memory");
    }
    if (rc == 0) {
        rc = instant_parse(text, &zone, &at, reterr, size);
    }
    if (rc == 0 && at <= 0) {
        (void)snprintf(reterr, size, "nothing is on record from before 1970");
        rc = -EINVAL;
    }
    if (rc == 0) {
        *ret_at = at;
    }
    return rc;
}

int when_parse(const char *text, const char *zone, wall_ns *ret_at, char *reterr, size_t size)
{
    struct config_memory memory = {.blocks = NULL};
    int rc = parse_in(&memory, text, zone == NULL ? "UTC" : zone, ret_at, reterr, size);

    config_memory_release(&memory);
    return rc < 0 ? -EINVAL : 0;
}

int when_parse_since(const char *text, const char *zone, wall_ns *ret_at, char *reterr, size_t size)
{
    wall_ns now = clock_wall();
    dur_ns length;

    if (duration_parse(text, &length) == 0) {
        *ret_at = length < now ? now - length : 1;
        return 0;
    }
    return when_parse(text, zone, ret_at, reterr, size);
}
