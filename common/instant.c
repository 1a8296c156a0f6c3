#include "common/instant.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/calendar.h"

#define SECOND_NS DUR_S(1)

enum { MINUTE_S = 60, HOUR_S = 3600, NANO_DIGITS = 9 };

int64_t instant_second(wall_ns at)
{
    return at / SECOND_NS - (at % SECOND_NS < 0 ? 1 : 0);
}

/* Exactly so many digits, as a number that is in the range. */
static bool take_number(const char **at, int digits, uint32_t least, uint32_t most,
                        uint32_t *ret_number)
{
    uint32_t number = 0;

    for (int i = 0; i < digits; i++) {
        if ((*at)[i] < '0' || (*at)[i] > '9') {
            return false;
        }
        number = number * 10 + (uint32_t)((*at)[i] - '0');
    }
    if (number < least || number > most) {
        return false;
    }
    *at += digits;
    *ret_number = number;
    return true;
}

static bool take(const char **at, char c)
{
    if (**at != c) {
        return false;
    }
    (*at)++;
    return true;
}

static bool take_date(const char **at, int64_t *ret_days)
{
    uint32_t year = 0;
    uint32_t month = 0;
    uint32_t day = 0;

    if (!take_number(at, 4, 0, 9999, &year) || !take(at, '-') ||
        !take_number(at, 2, 1, 12, &month) || !take(at, '-') ||
        !take_number(at, 2, 1, calendar_month_days((int32_t)year, month), &day)) {
        return false;
    }
    *ret_days = calendar_days((int32_t)year, month, day);
    return true;
}

/* HH:MM, :SS and a fraction of it where they are there. */
static bool take_time(const char **at, int64_t *ret_second, int64_t *ret_nanos)
{
    uint32_t hour = 0;
    uint32_t minute = 0;
    uint32_t second = 0;
    int64_t nanos = 0;

    if (!take_number(at, 2, 0, 23, &hour) || !take(at, ':') ||
        !take_number(at, 2, 0, 59, &minute)) {
        return false;
    }
    if (take(at, ':')) {
        if (!take_number(at, 2, 0, 59, &second)) {
            return false;
        }
        if (take(at, '.')) {
            int digits = 0;

            for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
                nanos = digits < NANO_DIGITS ? nanos * 10 + (**at - '0') : nanos;
            }
            if (digits == 0) {
                return false;
            }
            for (; digits < NANO_DIGITS; digits++) {
                nanos *= 10;
            }
        }
    }
    *ret_second = (int64_t)hour * HOUR_S + (int64_t)minute * MINUTE_S + second;
    *ret_nanos = nanos;
    return true;
}

/* Z or +01:00. */
static bool take_offset(const char **at, int64_t *ret_offset)
{
    bool west = **at == '-';
    uint32_t hours = 0;
    uint32_t minutes = 0;

    if (take(at, 'Z') || take(at, 'z')) {
        *ret_offset = 0;
        return true;
    }
    if (!take(at, '+') && !take(at, '-')) {
        return false;
    }
    if (!take_number(at, 2, 0, 23, &hours) || !take(at, ':') ||
        !take_number(at, 2, 0, 59, &minutes)) {
        return false;
    }
    *ret_offset = ((int64_t)hours * HOUR_S + (int64_t)minutes * MINUTE_S) * (west ? -1 : 1);
    return true;
}

static int refuse(const char *text, char *reterr, size_t reterr_size)
{
    (void)snprintf(reterr, reterr_size,
                   "'%.60s' is not a time such as 2026-12-24T18:00, 2026-12-24 18:00:30 or "
                   "2026-12-24T18:00:00+01:00",
                   text);
    return -EINVAL;
}

int instant_parse(const char *text, const struct zone *zone, wall_ns *ret_instant, char *reterr,
                  size_t reterr_size)
{
    const char *at = text;
    int64_t days = 0;
    int64_t second_of_day = 0;
    int64_t nanos = 0;
    int64_t offset = 0;
    int64_t second = 0;

    if (!take_date(&at, &days) || !(take(&at, 'T') || take(&at, 't') || take(&at, ' ')) ||
        !take_time(&at, &second_of_day, &nanos)) {
        return refuse(text, reterr, reterr_size);
    }
    second = days * CALENDAR_DAY_S + second_of_day;
    if (*at != '\0') {
        if (!take_offset(&at, &offset) || *at != '\0') {
            return refuse(text, reterr, reterr_size);
        }
        second -= offset;
    } else {
        int64_t first = zone_first(zone, second);

        /* Right after a gap no fraction has passed. */
        nanos = first + zone_offset(zone, first) == second ? nanos : 0;
        second = first;
    }
    if (second <= ZONE_BEGIN || second >= ZONE_END) {
        (void)snprintf(reterr, reterr_size, "'%.60s' is out of range; 1678 to 2261 are right",
                       text);
        return -EINVAL;
    }
    *ret_instant = second * SECOND_NS + nanos;
    return 0;
}

struct instant_in_zone instant_in_zone(wall_ns at, const struct zone *zone)
{
    struct instant_in_zone text;
    int64_t second = instant_second(at);
    int64_t nanos = at - second * SECOND_NS;
    int32_t minutes = zone_offset(zone, second) / MINUTE_S; /* RFC 3339 has no seconds here */
    int64_t time = 0;
    struct calendar_date date =
        calendar_date(calendar_split(second + (int64_t)minutes * MINUTE_S, &time));
    char fraction[16] = "";
    char offset[16] = "Z";

    if (nanos != 0) {
        size_t length = (size_t)snprintf(fraction, sizeof(fraction), ".%09" PRId64, nanos);

        while (fraction[length - 1] == '0') {
            fraction[--length] = '\0';
        }
    }
    if (!zone_is_utc_name(zone->name)) {
        uint32_t size = (uint32_t)(minutes < 0 ? -minutes : minutes);

        (void)snprintf(offset, sizeof(offset), "%c%02u:%02u", minutes < 0 ? '-' : '+', size / 60,
                       size % 60);
    }
    (void)snprintf(text.is, sizeof(text.is), "%04d-%02u-%02uT%02d:%02d:%02d%s%s", date.year,
                   date.month, date.day, (int)(time / HOUR_S), (int)(time / MINUTE_S % 60),
                   (int)(time % MINUTE_S), fraction, offset);
    return text;
}
