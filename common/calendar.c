#include "common/calendar.h"

#include <stdbool.h>

/*
 * Years are counted from March, so that the day that comes and goes is the last one of a year; an
 * era has 400 years and always the same number of days.
 */
enum {
    ERA_YEARS = 400,
    ERA_DAYS = 146097,
    EPOCH_DAYS = 719468, /* from 0000-03-01 to 1970-01-01 */
    EPOCH_WEEKDAY = 4,   /* 1970-01-01 was a Thursday */
};

static int64_t floor_divide(int64_t number, int64_t by)
{
    return number / by - (number % by < 0 ? 1 : 0);
}

int64_t calendar_split(int64_t seconds, int64_t *ret_second_of_day)
{
    int64_t days = floor_divide(seconds, CALENDAR_DAY_S);

    *ret_second_of_day = seconds - days * CALENDAR_DAY_S;
    return days;
}

int64_t calendar_days(int32_t year, uint32_t month, uint32_t day)
{
    int64_t from_march = (int64_t)year - (month <= 2 ? 1 : 0);
    int64_t era = floor_divide(from_march, ERA_YEARS);
    int64_t year_of_era = from_march - era * ERA_YEARS;
    int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * ERA_DAYS + day_of_era - EPOCH_DAYS;
}

struct calendar_date calendar_date(int64_t days)
{
    int64_t shifted = days + EPOCH_DAYS;
    int64_t era = floor_divide(shifted, ERA_DAYS);
    uint32_t day_of_era = (uint32_t)(shifted - era * ERA_DAYS);
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t from_march = (5 * day_of_year + 2) / 153;
    uint32_t month = from_march < 10 ? from_march + 3 : from_march - 9;

    return (struct calendar_date){
        .year = (int32_t)(era * ERA_YEARS + year_of_era + (month <= 2 ? 1 : 0)),
        .month = month,
        .day = day_of_year - (153 * from_march + 2) / 5 + 1,
    };
}

static bool is_leap(int32_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

uint32_t calendar_month_days(int32_t year, uint32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year) ? 1U : 0U);
}

uint32_t calendar_weekday(int64_t days)
{
    int64_t weekday = (days + EPOCH_WEEKDAY) % 7;

    return (uint32_t)(weekday < 0 ? weekday + 7 : weekday);
}
