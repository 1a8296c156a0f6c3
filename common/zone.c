#include "common/zone.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct zone_span utc_span = {.from = ZONE_BEGIN, .shown = ZONE_BEGIN};
static const struct zone utc = {.name = "UTC", .spans = &utc_span, .count = 1};

const struct zone *zone_utc(void)
{
    return &utc;
}

bool zone_is_utc_name(const char *name)
{
    return strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '.';
}

bool zone_is_name(const char *name, char *why, size_t why_size)
{
    bool at_start = true; /* of a part between slashes: none is empty or begins with a dot */

    if (strlen(name) >= ZONE_NAME_MAX) {
        (void)snprintf(why, why_size, "it has more than %d bytes", ZONE_NAME_MAX - 1);
        return false;
    }
    for (const char *at = name; *at != '\0'; at++) {
        bool right = at_start ? is_name_byte(*at) && *at != '.' : is_name_byte(*at) || *at == '/';

        if (!right) {
            (void)snprintf(why, why_size, "a name such as Europe/Berlin or UTC is right");
            return false;
        }
        at_start = *at == '/';
    }
    if (at_start) {
        (void)snprintf(why, why_size, "a name such as Europe/Berlin or UTC is right");
        return false;
    }
    return true;
}

size_t zone_span_at(const struct zone *zone, int64_t second)
{
    size_t low = 0;
    size_t high = zone->count;

    assert(zone->count > 0);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (zone->spans[middle].from <= second) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t zone_span_end(const struct zone *zone, size_t span)
{
    return span + 1 < zone->count ? zone->spans[span + 1].from : ZONE_END;
}

int32_t zone_offset(const struct zone *zone, int64_t second)
{
    return zone->spans[zone_span_at(zone, second)].offset;
}

int64_t zone_first(const struct zone *zone, int64_t wall_second)
{
    /* Before this no clock can have shown it. */
    int64_t earliest = wall_second - ZONE_OFFSET_MAX;

    for (size_t i = zone_span_at(zone, earliest); i < zone->count; i++) {
        const struct zone_span *span = &zone->spans[i];

        if (wall_second < zone_span_end(zone, i) + span->offset) {
            int64_t second = wall_second - span->offset;

            return second > span->from ? second : span->from;
        }
    }
    return ZONE_END;
}
