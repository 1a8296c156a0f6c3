/*
 * schedule_oracle.h - when a cron expression is due, found out the slow way: minute by minute, by
 * clocks on the wall that the C library sets. Written apart from common/schedule*.c and
 * common/zone*.c: nothing of them is used, not even the parser; the expressions are drawn, as text
 * and as what it means.
 *
 * TZ belongs to the process, which is the test's own.
 */
#ifndef PGBATON_TESTS_UNIT_SCHEDULE_ORACLE_H
#define PGBATON_TESTS_UNIT_SCHEDULE_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/random.h"

/* A drawn expression. */
struct oracle_cron {
    char text[256];
    bool day_and;
    bool second[60];
    bool minute[60];
    bool hour[24];
    bool day[32];
    bool nearest[32];
    bool last_day;
    bool last_working_day;
    bool month[13];
    bool weekday[7];
    bool last_weekday[7];
    bool nth_weekday[7][6];
    bool day_is_star;
    bool weekday_is_star;
    bool is_fixed;
};

/* oracle_draw - an expression that comes at least once in four years. */
void oracle_draw(struct prng *random, struct oracle_cron *ret_cron);

/* From then on clocks have that offset; found by asking localtime_r() twice a day. */
struct oracle_change {
    int64_t from;
    int64_t offset;
};
struct oracle_zone {
    struct oracle_change *changes; /* owned */
    size_t count;
};
void oracle_zone_make(struct oracle_zone *zone, const char *name, int64_t from, int64_t to);
void oracle_zone_release(struct oracle_zone *zone);

/* oracle_walk - each second from `from` to before `to` in which it is due, in their order. Walks
 * from some days before, so that it knows what clocks have shown. */
void oracle_walk(const struct oracle_cron *cron, const struct oracle_zone *zone, int64_t from,
                 int64_t to, void (*due)(void *ctx, int64_t second), void *ctx);

/* oracle_zones - the names of all zones of this system, sorted; freed with oracle_names_free(). */
char **oracle_names(size_t *ret_count);
void oracle_names_free(char **names);

#endif
