#include "tests/bench/table.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int by_length(const void *a, const void *b)
{
    dur_ns x = *(const dur_ns *)a;
    dur_ns y = *(const dur_ns *)b;

    return (x > y) - (x < y);
}

void series_add(struct series *s, dur_ns took)
{
    cr_assert(s->count < SERIES_MAX);
    s->took[s->count++] = took;
    qsort(s->took, s->count, sizeof s->took[0], by_length);
}

double series_median_ms(struct series *s)
{
    cr_assert(s->count > 0);
    size_t high = s->count / 2;
    size_t low = (s->count - 1) / 2;
    return (double)(s->took[low] + s->took[high]) / 2 / (double)DUR_MS(1);
}

double series_worst_ms(struct series *s)
{
    cr_assert(s->count > 0);
    return (double)s->took[s->count - 1] / (double)DUR_MS(1);
}

double series_part_ms(const struct series *s, unsigned percent)
{
    cr_assert(s->count > 0);
    size_t rank = (s->count * percent + 99) / 100; /* the nearest one, from 1 */
    return (double)s->took[rank - 1] / (double)DUR_MS(1);
}

/* Every test is a process of its own: the head is printed by the one that starts them. */
ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    struct utsname system;
    double load[3] = {0};
    time_t now = time(NULL);
    char date[32];

    (void)tests;
    (void)uname(&system);
    (void)getloadavg(load, 3);
    (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime(&now));
    printf("%s, %s %s %s, %ld processors, load %.1f at the start\n\n"
           "| measure | measured | worst | floor | ratio | mark | reached |\n"
           "| --- | ---: | ---: | ---: | ---: | ---: | --- |\n",
           date, system.sysname, system.release, system.machine, sysconf(_SC_NPROCESSORS_ONLN),
           load[0]);
    (void)fflush(stdout);
}

static const char *verdict(double measured, double most)
{
    return measured <= most ? "yes" : "NO";
}

void table_times(const char *what, struct series *s, struct series *floor, double mark)
{
    double median = series_median_ms(s);
    double least = series_median_ms(floor);

    printf("| %s | %.2f ms | %.2f | %.2f | %.2f | %.1f × floor | %s |\n", what, median,
           series_worst_ms(s), least, median / least, mark, verdict(median / least, mark));
    (void)fflush(stdout);
}

void table_floor(const char *what, struct series *s)
{
    printf("| %s | %.2f ms | %.2f | | | | |\n", what, series_median_ms(s), series_worst_ms(s));
    (void)fflush(stdout);
}

void table_beside(const char *what, double measured, double floor, double mark)
{
    printf("| %s | %.2f ms | | %.2f | %.2f | %.1f × floor | %s |\n", what, measured, floor,
           measured / floor, mark, verdict(measured / floor, mark));
    (void)fflush(stdout);
}

void table_above(const char *what, double measured, double floor, double mark)
{
    printf("| %s | %.2f ms | | %.2f | | floor + %.0f ms | %s |\n", what, measured, floor, mark,
           verdict(measured, floor + mark));
    (void)fflush(stdout);
}

void table_rate(const char *what, double measured, double mark)
{
    if (mark == 0) {
        printf("| %s | %.0f /s | | | | | |\n", what, measured);
    } else {
        printf("| %s | %.0f /s | | | | at least %.0f /s | %s |\n", what, measured, mark,
               verdict(mark, measured));
    }
    (void)fflush(stdout);
}

void table_rate_beside(const char *what, double measured, double floor, double mark)
{
    printf("| %s | %.0f /s | | %.0f | %.2f | at least %.1f × floor | %s |\n", what, measured, floor,
           measured / floor, mark, verdict(mark, measured / floor));
    (void)fflush(stdout);
}

void table_amount(const char *what, double measured, double mark, const char *unit)
{
    if (mark == 0) {
        printf("| %s | %.1f %s | | | | | |\n", what, measured, unit);
    } else {
        printf("| %s | %.1f %s | | | | %.0f %s | %s |\n", what, measured, unit, mark, unit,
               verdict(measured, mark));
    }
    (void)fflush(stdout);
}
