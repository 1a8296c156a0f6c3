/*
 * zone_load.h - the time zones of this system: files of tzdata, read into memory that the caller
 * owns. UTC is there without them.
 *
 * Runs in: every process that reads a configuration, and `pgbaton next`. Reads files, never logs.
 */
#ifndef PGBATON_COMMON_ZONE_LOAD_H
#define PGBATON_COMMON_ZONE_LOAD_H

#include <stddef.h>

#include "common/config_memory.h"
#include "common/zone.h"

/* What a zone was made from; none (size 0) for UTC. */
struct zone_bytes {
    const void *bytes;
    size_t size;
};

/*
 * zone_read - the file of that name, below $TZDIR or /usr/share/zoneinfo. Returns 0; -EINVAL (the
 * name is none, or there is no such zone) with the reason, and what would be right, in reterr;
 * -ENOMEM.
 */
int zone_read(struct config_memory *memory, const char *name, struct zone_bytes *ret_bytes,
              char *reterr, size_t reterr_size);

/* zone_make - a zone out of what was read. Returns as zone_read(); the name is copied. */
int zone_make(struct config_memory *memory, const char *name, struct zone_bytes from,
              struct zone *ret_zone, char *reterr, size_t reterr_size);

#endif
