/*
 * schedule_cron_next.h - PURE: the search for the next wall second that the fields of a cron
 * expression match. Knows the calendar, and no zones.
 */
#ifndef PGBATON_COMMON_SCHEDULE_CRON_NEXT_H
#define PGBATON_COMMON_SCHEDULE_CRON_NEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/schedule_cron.h"

#define SCHEDULE_CRON_NONE INT64_MAX

/* schedule_cron_next - the first wall second from `from` on, and below limit, that the fields
 * match; SCHEDULE_CRON_NONE. */
int64_t schedule_cron_next(const struct schedule_cron *cron, int64_t from, int64_t limit);

/* schedule_cron_matches - is it one of them? */
bool schedule_cron_matches(const struct schedule_cron *cron, int64_t wall_second);

/* schedule_cron_days - the days of a month that match, bit n for day n; 0 where the month does not.
 */
uint32_t schedule_cron_days(const struct schedule_cron *cron, int32_t year, uint32_t month);

#endif
