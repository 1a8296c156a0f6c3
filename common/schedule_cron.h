/*
 * schedule_cron.h - PURE: the fields of a cron expression, as bits.
 */
#ifndef PGBATON_COMMON_SCHEDULE_CRON_H
#define PGBATON_COMMON_SCHEDULE_CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCHEDULE_CRON_NTH = 5 }; /* mon#1 to mon#5 */

/* Bit n stands for the value n. */
struct schedule_cron {
    uint64_t seconds;
    uint64_t minutes;
    uint32_t hours;
    uint32_t days;                           /* of the month: 1 to 31 */
    uint32_t nearest_days;                   /* 15W: the working day that is nearest to it */
    uint16_t months;                         /* 1 to 12 */
    uint8_t weekdays;                        /* 0 to 6, Sunday is 0 */
    uint8_t last_weekdays;                   /* 5L: the last one of the month */
    uint8_t nth_weekdays[SCHEDULE_CRON_NTH]; /* mon#2 in the second of these */
    bool last_day;                           /* L */
    bool last_working_day;                   /* LW */
    bool days_both; /* a day must match both of its fields; else either one is enough */
    bool fixed;     /* neither minute nor hour begins with *: see daylight saving in schedule.h */
};

/*
 * schedule_cron_parse - five fields, or six with seconds first. job is the name that H and ~ are
 * made from; NULL: not known. Returns 0, or -EINVAL with the reason in reterr; then *ret_cron is
 * not touched.
 */
int schedule_cron_parse(const char *text, const char *job, bool day_and,
                        struct schedule_cron *ret_cron, char *reterr, size_t reterr_size);

#endif
