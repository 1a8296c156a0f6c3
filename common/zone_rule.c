#include "common/zone_rule.h"

#include <errno.h>
#include <string.h>

#include "common/calendar.h"

enum { HOUR_S = 3600, MINUTE_S = 60, WEEKDAYS = 7, LAST_WEEK = 5, FEBRUARY = 2 };

/* What may be written: offsets up to a day, times of a change up to a week. */
enum { OFFSET_HOURS_MAX = 24, TIME_HOURS_MAX = 167, NAME_LENGTH_MIN = 3 };

static const int32_t default_time = 2 * HOUR_S;

struct reading {
    const char *at;
    const char *end;
};

static char peek(const struct reading *r)
{
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reading *r, char c)
{
    if (r->at == r->end || *r->at != c) {
        return false;
    }
    r->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool take_number(struct reading *r, uint32_t least, uint32_t most, uint32_t *ret_number)
{
    uint32_t number = 0;

    if (!is_digit(peek(r))) {
        return false;
    }
    while (is_digit(peek(r)) && number <= most) {
        number = number * 10 + (uint32_t)(*r->at++ - '0');
    }
    *ret_number = number;
    return number >= least && number <= most;
}

/* CET, <+03>: it is not looked at further. */
static bool skip_name(struct reading *r)
{
    const char *from = r->at;
    bool quoted = take(r, '<');

    while (is_letter(peek(r)) ||
           (quoted && (is_digit(peek(r)) || peek(r) == '+' || peek(r) == '-'))) {
        r->at++;
    }
    return r->at - from >= NAME_LENGTH_MIN && (!quoted || take(r, '>'));
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct reading *r, uint32_t hours_most, int32_t *ret_seconds)
{
    bool negative = take(r, '-');
    uint32_t hours = 0;
    uint32_t minutes = 0;
    uint32_t seconds = 0;

    if (!negative) {
        (void)take(r, '+');
    }
    if (!take_number(r, 0, hours_most, &hours)) {
        return false;
    }
    if (take(r, ':')) {
        if (!take_number(r, 0, 59, &minutes)) {
            return false;
        }
        if (take(r, ':') && !take_number(r, 0, 59, &seconds)) {
            return false;
        }
    }
    *ret_seconds = (int32_t)(hours * HOUR_S + minutes * MINUTE_S + seconds) * (negative ? -1 : 1);
    return true;
}

/* The sign of an offset there is the other way round: west is positive. */
static bool take_offset(struct reading *r, int32_t *ret_offset)
{
    int32_t west = 0;

    if (!take_time(r, OFFSET_HOURS_MAX, &west)) {
        return false;
    }
    *ret_offset = -west;
    return true;
}

static bool take_day(struct reading *r, struct zone_day *ret_day)
{
    bool right = false;

    *ret_day = (struct zone_day){.time = default_time};
    if (take(r, 'J')) {
        ret_day->kind = ZONE_DAY_JULIAN;
        right = take_number(r, 1, 365, &ret_day->number);
    } else if (take(r, 'M')) {
        ret_day->kind = ZONE_DAY_WEEKDAY;
        right = take_number(r, 1, 12, &ret_day->month) && take(r, '.') &&
                take_number(r, 1, LAST_WEEK, &ret_day->week) && take(r, '.') &&
                take_number(r, 0, WEEKDAYS - 1, &ret_day->weekday);
    } else {
        ret_day->kind = ZONE_DAY_OF_YEAR;
        right = take_number(r, 0, 365, &ret_day->number);
    }
    return right && (!take(r, '/') || take_time(r, TIME_HOURS_MAX, &ret_day->time));
}

int zone_rule_parse(const char *text, size_t length, struct zone_rule *ret_rule)
{
    struct reading r = {.at = text, .end = text + length};
    struct zone_rule rule = {.changes = false};

    if (!skip_name(&r) || !take_offset(&r, &rule.standard)) {
        return -EINVAL;
    }
    if (r.at < r.end) {
        rule.changes = true;
        rule.daylight = rule.standard + HOUR_S;
        if (!skip_name(&r) || (peek(&r) != ',' && !take_offset(&r, &rule.daylight)) ||
            !take(&r, ',') || !take_day(&r, &rule.begins) || !take(&r, ',') ||
            !take_day(&r, &rule.ends) || r.at != r.end) {
            return -EINVAL;
        }
    }
    *ret_rule = rule;
    return 0;
}

static int64_t day_of(const struct zone_day *day, int32_t year)
{
    switch (day->kind) {
    case ZONE_DAY_JULIAN: {
        bool leap = calendar_month_days(year, FEBRUARY) == 29;
        uint32_t before_march = 31 + 28;

        return calendar_days(year, 1, 1) + day->number - 1 +
               (leap && day->number > before_march ? 1 : 0);
    }
    case ZONE_DAY_OF_YEAR:
        return calendar_days(year, 1, 1) + day->number;
    case ZONE_DAY_WEEKDAY:
        break;
    }

    int64_t first = calendar_days(year, day->month, 1);
    uint32_t ahead = (day->weekday + WEEKDAYS - calendar_weekday(first)) % WEEKDAYS;
    uint32_t number = ahead + (day->week - 1) * WEEKDAYS;

    if (number >= calendar_month_days(year, day->month)) { /* there is no fifth one */
        number -= WEEKDAYS;
    }
    return first + number;
}

int64_t zone_rule_begins(const struct zone_rule *rule, int32_t year)
{
    return day_of(&rule->begins, year) * CALENDAR_DAY_S + rule->begins.time - rule->standard;
}

int64_t zone_rule_ends(const struct zone_rule *rule, int32_t year)
{
    return day_of(&rule->ends, year) * CALENDAR_DAY_S + rule->ends.time - rule->daylight;
}
