/*
 * zone_tzif.h - PURE: the files that tzdata installs (TZif, RFC 9636), versions 1 to 4.
 *
 * A file may hold anything: every count and every index is checked before it is used.
 */
#ifndef PGBATON_COMMON_ZONE_TZIF_H
#define PGBATON_COMMON_ZONE_TZIF_H

#include "common/zone.h"

/* More bytes than any of them has: a larger file is none of them. */
enum { ZONE_TZIF_MAX = 256 * 1024 };

/* zone_tzif_room - how many spans such a file can make at most; 0: it is no TZif file. */
size_t zone_tzif_room(const void *bytes, size_t size);

/*
 * zone_tzif_read - fill spans, of which there is room for what zone_tzif_room() has said. Returns
 * how many there are, or -EINVAL with the reason in reterr.
 */
int zone_tzif_read(const void *bytes, size_t size, struct zone_span *spans, size_t room,
                   char *reterr, size_t reterr_size);

#endif
