/*
 * calendar.h - PURE: the Gregorian calendar as arithmetic, for all years; no zones, no leap
 * seconds.
 *
 * Days are counted from 1970-01-01, a day has 86,400 seconds. Nothing here fails: a month that is
 * handed in is 1 to 12.
 */
#ifndef PGBATON_COMMON_CALENDAR_H
#define PGBATON_COMMON_CALENDAR_H

#include <stdint.h>

#define CALENDAR_DAY_S INT64_C(86400)

struct calendar_date {
    int32_t year;
    uint32_t month; /* 1 to 12 */
    uint32_t day;   /* 1 to 31 */
};

/* calendar_days - the number of the day; a day beyond the month's end counts on into the next. */
int64_t calendar_days(int32_t year, uint32_t month, uint32_t day);

/* calendar_date - the day with that number. */
struct calendar_date calendar_date(int64_t days);

/* calendar_month_days - 28 to 31. */
uint32_t calendar_month_days(int32_t year, uint32_t month);

/* calendar_weekday - 0 is Sunday, 6 Saturday. */
uint32_t calendar_weekday(int64_t days);

/* calendar_split - a moment in seconds into its day and the second of it, before 1970 too. */
int64_t calendar_split(int64_t seconds, int64_t *ret_second_of_day);

#endif
