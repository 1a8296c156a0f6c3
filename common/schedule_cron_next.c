#include "common/schedule_cron_next.h"

#include <assert.h>

#include "common/calendar.h"

/*
 * From the largest field to the smallest, in each for the next bit that is set. Days are looked at
 * by the month, as a word of 31 bits.
 */
enum {
    SUNDAY = 0,
    SATURDAY = 6,
    WEEKDAYS = 7,
    WEEKDAY_BITS = 0x7f,
    HOUR_S = 3600,
    MINUTE_S = 60,
};

#define NO_TIME INT64_C(-1)

/* A month of some year: all that the days of a schedule depend on. */
struct month {
    uint32_t length;
    uint32_t first_weekday; /* of the 1st */
};

/* Bit n for day n, n from 1 to the end of the month. */
static uint32_t all_days(const struct month *m)
{
    return (uint32_t)((UINT64_C(1) << (m->length + 1)) - 2);
}

/* Weekdays as the seven days that begin with that weekday: bit 0 is the first of them. */
static uint32_t week_from(uint8_t weekdays, uint32_t first)
{
    uint32_t twice = (uint32_t)weekdays | (uint32_t)weekdays << WEEKDAYS;

    return twice >> first & WEEKDAY_BITS;
}

static uint32_t weekday_of(const struct month *m, uint32_t day)
{
    return (m->first_weekday + day - 1) % WEEKDAYS;
}

static uint32_t days_of_weekdays(const struct schedule_cron *cron, const struct month *m)
{
    uint64_t week = week_from(cron->weekdays, m->first_weekday);
    uint64_t days = 0;

    for (uint32_t i = 0; i < SCHEDULE_CRON_NTH; i++) {
        days |= (week | week_from(cron->nth_weekdays[i], m->first_weekday)) << (1 + i * WEEKDAYS);
    }
    if (cron->last_weekdays != 0) {
        uint32_t last_week = m->length - WEEKDAYS + 1; /* its first day */

        days |= (uint64_t)week_from(cron->last_weekdays, weekday_of(m, last_week)) << last_week;
    }
    return (uint32_t)(days & all_days(m));
}

/* The working day of this month that is nearest to it. */
static uint32_t nearest_working_day(const struct month *m, uint32_t day)
{
    switch (weekday_of(m, day)) {
    case SATURDAY:
        return day == 1 ? 3 : day - 1;
    case SUNDAY:
        return day == m->length ? day - 2 : day + 1;
    default:
        return day;
    }
}

static uint32_t days_of_month(const struct schedule_cron *cron, const struct month *m)
{
    uint32_t days = cron->days & all_days(m);

    if (cron->last_day) {
        days |= UINT32_C(1) << m->length;
    }
    if (cron->last_working_day) {
        days |= UINT32_C(1) << nearest_working_day(m, m->length);
    }
    for (uint32_t near = cron->nearest_days & all_days(m); near != 0; near &= near - 1) {
        days |= UINT32_C(1) << nearest_working_day(m, (uint32_t)__builtin_ctz(near));
    }
    return days;
}

uint32_t schedule_cron_days(const struct schedule_cron *cron, int32_t year, uint32_t month)
{
    if ((cron->months >> month & 1) == 0) {
        return 0;
    }

    struct month m = {
        .length = calendar_month_days(year, month),
        .first_weekday = calendar_weekday(calendar_days(year, month, 1)),
    };
    uint32_t days = days_of_month(cron, &m);
    uint32_t weekdays = days_of_weekdays(cron, &m);

    return cron->days_both ? days & weekdays : days | weekdays;
}

/* The first value from `from` on, or NO_TIME. */
static int64_t next_bit(uint64_t bits, int64_t from)
{
    uint64_t left = from < 64 ? bits >> from << from : 0;

    return left == 0 ? NO_TIME : __builtin_ctzll(left);
}

/* The first second of a day from that one on, or NO_TIME: it is on another day. */
static int64_t next_time(const struct schedule_cron *cron, int64_t from)
{
    int64_t first_minute = next_bit(cron->minutes, 0);
    int64_t first_second = next_bit(cron->seconds, 0);
    int64_t hour = next_bit(cron->hours, from / HOUR_S);

    if (hour == NO_TIME) {
        return NO_TIME;
    }
    if (hour == from / HOUR_S) {
        int64_t minute = next_bit(cron->minutes, from % HOUR_S / MINUTE_S);

        if (minute == from % HOUR_S / MINUTE_S) {
            int64_t second = next_bit(cron->seconds, from % MINUTE_S);

            if (second != NO_TIME) {
                return hour * HOUR_S + minute * MINUTE_S + second;
            }
            minute = next_bit(cron->minutes, minute + 1);
        }
        if (minute != NO_TIME) {
            return hour * HOUR_S + minute * MINUTE_S + first_second;
        }
        hour = next_bit(cron->hours, hour + 1);
    }
    return hour == NO_TIME ? NO_TIME : hour * HOUR_S + first_minute * MINUTE_S + first_second;
}

static int64_t first_second_of(int64_t day)
{
    return day * CALENDAR_DAY_S;
}

static int64_t below(int64_t wall_second, int64_t limit)
{
    return wall_second < limit ? wall_second : SCHEDULE_CRON_NONE;
}

/* From that day on, whole days: they begin with the first second that matches. */
static int64_t next_day(const struct schedule_cron *cron, int64_t from_day, int64_t limit)
{
    struct calendar_date date = calendar_date(from_day);
    int64_t time = next_time(cron, 0);

    assert(time != NO_TIME);
    while (first_second_of(calendar_days(date.year, date.month, date.day)) < limit) {
        uint32_t days = schedule_cron_days(cron, date.year, date.month);

        days = (uint32_t)((uint64_t)days >> date.day << date.day);
        if (days != 0) {
            int64_t day = calendar_days(date.year, date.month, (uint32_t)__builtin_ctz(days));

            return below(first_second_of(day) + time, limit);
        }

        int64_t month = next_bit(cron->months, (int64_t)date.month + 1);

        date.year += month == NO_TIME ? 1 : 0;
        date.month = (uint32_t)(month == NO_TIME ? next_bit(cron->months, 1) : month);
        date.day = 1;
    }
    return SCHEDULE_CRON_NONE;
}

int64_t schedule_cron_next(const struct schedule_cron *cron, int64_t from, int64_t limit)
{
    int64_t second = 0;
    int64_t day = calendar_split(from, &second);
    int64_t time = next_time(cron, second);

    assert(cron->months != 0);
    if (from >= limit) {
        return SCHEDULE_CRON_NONE;
    }
    if (time != NO_TIME) {
        struct calendar_date date = calendar_date(day);

        if ((schedule_cron_days(cron, date.year, date.month) >> date.day & 1) != 0) {
            return below(first_second_of(day) + time, limit);
        }
    }
    return next_day(cron, day + 1, limit);
}

bool schedule_cron_matches(const struct schedule_cron *cron, int64_t wall_second)
{
    return schedule_cron_next(cron, wall_second, wall_second + 1) == wall_second;
}
