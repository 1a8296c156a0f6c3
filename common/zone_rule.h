/*
 * zone_rule.h - PURE: the rule for the years to come, as POSIX writes it:
 * "CET-1CEST,M3.5.0,M10.5.0/3".
 */
#ifndef PGBATON_COMMON_ZONE_RULE_H
#define PGBATON_COMMON_ZONE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum zone_day_kind {
    ZONE_DAY_JULIAN,  /* Jn: 1 to 365, 29 February is not counted */
    ZONE_DAY_OF_YEAR, /* n: 0 to 365, it is */
    ZONE_DAY_WEEKDAY, /* Mm.w.d: the w-th such weekday of the month, 5 is the last one */
};

/* When the clocks are set, by the time that they show until then. */
struct zone_day {
    enum zone_day_kind kind;
    uint32_t number;
    uint32_t month;
    uint32_t week;
    uint32_t weekday;
    int32_t time; /* seconds since that day's midnight, may be on other days */
};

struct zone_rule {
    int32_t standard; /* offsets, in seconds east of UTC */
    int32_t daylight;
    bool changes; /* else there is no daylight and no days */
    struct zone_day begins;
    struct zone_day ends;
};

/* zone_rule_parse - length bytes that need no NUL. 0 or -EINVAL. */
int zone_rule_parse(const char *text, size_t length, struct zone_rule *ret_rule);

/* zone_rule_begins, zone_rule_ends - the second in which daylight time begins, or ends, that year.
 */
int64_t zone_rule_begins(const struct zone_rule *rule, int32_t year);
int64_t zone_rule_ends(const struct zone_rule *rule, int32_t year);

#endif
