/*
 * table.h - the one table that make bench prints: each measure, what it is
 * compared with in the same run, its mark, and whether it was reached.
 *
 * For people: nothing fails when a mark is missed.
 */
#ifndef PGBATON_TESTS_BENCH_TABLE_H
#define PGBATON_TESTS_BENCH_TABLE_H

#include <stddef.h>

#include "common/clock.h"

enum { SERIES_MAX = 256 };

/* The same thing measured several times. */
struct series {
    dur_ns took[SERIES_MAX];
    size_t count;
};

void series_add(struct series *s, dur_ns took);
double series_median_ms(struct series *s);
double series_worst_ms(struct series *s);
/* series_part_ms - no more than that many of a hundred took longer than the others: 99 for the 99th
 * percentile. */
double series_part_ms(const struct series *s, unsigned percent);

/* table_times - a row of times in ms, whose median is to be at most mark × that of the floor. */
void table_times(const char *what, struct series *s, struct series *floor, double mark);

/* table_floor - what others are compared with: a row without a mark. */
void table_floor(const char *what, struct series *s);

/* table_beside - measured is to be at most mark × floor, both in ms. */
void table_beside(const char *what, double measured, double floor, double mark);

/* table_above - measured is to be at most mark above the floor, all in ms. */
void table_above(const char *what, double measured, double floor, double mark);

/* table_rate - measured is to be at least mark a second; mark 0: it has none. */
void table_rate(const char *what, double measured, double mark);

/* table_rate_beside - measured is to be at least mark × floor, both a second. */
void table_rate_beside(const char *what, double measured, double floor, double mark);

/* table_amount - measured is to be at most mark, in that unit; mark 0: it has none. */
void table_amount(const char *what, double measured, double mark, const char *unit);

#endif
