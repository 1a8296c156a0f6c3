/*
 * schedule_field.h - PURE: one field of a cron expression: lists, ranges, steps, names, and the
 * signs that only days have.
 */
#ifndef PGBATON_COMMON_SCHEDULE_FIELD_H
#define PGBATON_COMMON_SCHEDULE_FIELD_H

#include <stddef.h>

#include "common/schedule_cron.h"

/* In their order in an expression; the first may be left out. */
enum schedule_field {
    FIELD_SECOND,
    FIELD_MINUTE,
    FIELD_HOUR,
    FIELD_DAY,
    FIELD_MONTH,
    FIELD_WEEKDAY,
    FIELD_COUNT,
};

/*
 * schedule_field_parse - adds what length bytes of text say to cron, whose bits of that field are
 * clear. job is for H and ~; NULL: not known. Returns 0, or -EINVAL with the reason in reterr.
 */
int schedule_field_parse(enum schedule_field field, const char *text, size_t length,
                         const char *job, struct schedule_cron *cron, char *reterr,
                         size_t reterr_size);

/* schedule_field_name - "minute", "day of month", ... */
const char *schedule_field_name(enum schedule_field field);

#endif
