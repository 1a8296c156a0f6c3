/*
 * zone.h - PURE: a time zone: which offset from UTC the clocks on the wall have, and when.
 *
 * A zone is a table of spans, made once (zone_tzif.h) and never changed, that reaches as far as
 * wall_ns does: the rule for the years to come is written out. So every question is a binary
 * search. The C library's own zones cannot be used here: tzset() belongs to the whole process, one
 * zone at a time, and reads files.
 *
 * A "second" is counted from the Unix epoch; a "wall second" is what the clocks on the wall show,
 * counted as if it were UTC.
 */
#ifndef PGBATON_COMMON_ZONE_H
#define PGBATON_COMMON_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds outside of these are in no wall_ns. */
#define ZONE_BEGIN (-INT64_C(9223372036))
#define ZONE_END INT64_C(9223372036)

/* No offset is larger, east or west; in seconds. */
#define ZONE_OFFSET_MAX INT64_C(93600)

enum { ZONE_NAME_MAX = 64 }; /* with its NUL */

struct zone_span {
    int64_t from;  /* its first second */
    int64_t shown; /* above every wall second that was shown before it */
    int32_t offset;
};

struct zone {
    const char *name;
    const struct zone_span *spans; /* the first begins at ZONE_BEGIN; each offset is another one */
    size_t count;                  /* at least 1 */
};

/* zone_utc - always there, whatever the system has. */
const struct zone *zone_utc(void);

/* zone_is_utc_name - one of the names that stand for zone_utc(). */
bool zone_is_utc_name(const char *name);

/*
 * zone_is_name - may this be the name of a zone ("Europe/Berlin")? Never one that leads out of the
 * directory of the zones. If not, why says what would be right.
 */
bool zone_is_name(const char *name, char *why, size_t why_size);

/* zone_span_at - the span that a second is in. */
size_t zone_span_at(const struct zone *zone, int64_t second);

/* zone_span_end - the second after its last one. */
int64_t zone_span_end(const struct zone *zone, size_t span);

/* zone_offset - seconds east of UTC at that second. */
int32_t zone_offset(const struct zone *zone, int64_t second);

/*
 * zone_first - the first second at which the clocks on the wall show this wall second or, where it
 * was left out, a later one. ZONE_END: never.
 */
int64_t zone_first(const struct zone *zone, int64_t wall_second);

#endif
