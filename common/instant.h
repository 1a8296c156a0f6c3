/*
 * instant.h - PURE: an instant as text, and the text that people write for one.
 */
#ifndef PGBATON_COMMON_INSTANT_H
#define PGBATON_COMMON_INSTANT_H

#include <stddef.h>

#include "common/clock.h"
#include "common/zone.h"

/*
 * instant_parse - RFC 3339 ("2026-12-24T18:00:00+01:00", "...Z"), or a date and a time as the
 * clocks of zone show them: "2026-12-24 18:00", with seconds or not, T or a blank between. One that
 * they leave out is the moment right after the gap, one that they show twice is the first. Returns
 * 0; -EINVAL, with what would be right in reterr.
 */
int instant_parse(const char *text, const struct zone *zone, wall_ns *ret_instant, char *reterr,
                  size_t reterr_size);

struct instant_in_zone {
    char is[48];
};
/* instant_in_zone - RFC 3339 with the offset that the zone has then ("Z" in UTC); the fraction only
 * where there is one. Use at once: .is */
struct instant_in_zone instant_in_zone(wall_ns at, const struct zone *zone);

/* instant_second - the second that an instant is in, before 1970 too. */
int64_t instant_second(wall_ns at);

#endif
