#include "tests/unit/schedule_oracle.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { LOOK_S = 12 * 3600, DAY_MINUTES = 1440, WARM_UP_DAYS = 2 };

static const char zoneinfo[] = "/usr/share/zoneinfo";

/* --- drawing --- */

static unsigned draw(struct prng *random, unsigned from, unsigned to)
{
    return from + (unsigned)prng_below(random, to - from + 1);
}

static void say(struct oracle_cron *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct oracle_cron *c, const char *format, ...)
{
    size_t used = strlen(c->text);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(c->text + used, sizeof c->text - used, format, arguments);
    va_end(arguments);
}

/* A list of one to three values, ranges and steps. */
static void draw_list(struct prng *random, struct oracle_cron *c, unsigned least, unsigned most,
                      bool *values, unsigned base)
{
    unsigned items = draw(random, 1, 3);

    for (unsigned i = 0; i < items; i++) {
        unsigned a = draw(random, least, most);
        unsigned b = draw(random, least, most);
        unsigned step = draw(random, 1, (most - least) / 2 > 0 ? (most - least) / 2 : 1);

        say(c, "%s", i == 0 ? "" : ",");
        switch (draw(random, 0, 4)) {
        case 0:
        case 1:
            say(c, "%u", a);
            values[a - base] = true;
            break;
        case 2: /* it may wrap */
            say(c, "%u-%u", a, b);
            for (unsigned v = a;; v = v == most ? least : v + 1) {
                values[v - base] = true;
                if (v == b) {
                    break;
                }
            }
            break;
        case 3:
            say(c, "%u/%u", a, step);
            for (unsigned v = a; v <= most; v += step) {
                values[v - base] = true;
            }
            break;
        default: {
            unsigned low = a < b ? a : b;
            unsigned high = a < b ? b : a;

            say(c, "%u-%u/%u", low, high, step);
            for (unsigned v = low; v <= high; v += step) {
                values[v - base] = true;
            }
        }
        }
    }
}

/* Returns whether the field begins with a star. */
static bool draw_field(struct prng *random, struct oracle_cron *c, unsigned least, unsigned most,
                       bool *values, unsigned stars_of_ten)
{
    if (draw(random, 1, 10) > stars_of_ten) {
        draw_list(random, c, least, most, values, 0);
        return false;
    }

    unsigned step = draw(random, 0, 2) == 0 ? draw(random, 2, most - least) : 1;

    say(c, step == 1 ? "*" : "*/%u", step);
    for (unsigned v = least; v <= most; v += step) {
        values[v] = true;
    }
    return true;
}

static void draw_day(struct prng *random, struct oracle_cron *c)
{
    unsigned n = draw(random, 1, 31);

    switch (draw(random, 0, 11)) {
    case 0:
        say(c, "L");
        c->last_day = true;
        break;
    case 1:
        say(c, "LW");
        c->last_working_day = true;
        break;
    case 2:
        say(c, "%uW", n);
        c->nearest[n] = true;
        break;
    case 3:
        say(c, "%u,15W,L", n);
        c->day[n] = c->nearest[15] = c->last_day = true;
        break;
    default:
        c->day_is_star = draw_field(random, c, 1, 31, c->day, 5);
    }
}

static void draw_weekday(struct prng *random, struct oracle_cron *c)
{
    static const char *const names[] = {"sun", "MON", "Tue", "wed", "thu", "fri", "sat"};
    unsigned n = draw(random, 0, 6);
    unsigned k = draw(random, 1, 4);

    switch (draw(random, 0, 12)) {
    case 0:
        say(c, "%uL", n == 0 ? 7 : n);
        c->last_weekday[n] = true;
        break;
    case 1:
        say(c, "%s#%u", names[n], k);
        c->nth_weekday[n][k] = true;
        break;
    case 2:
        say(c, "%s-%s", names[n], names[(n + k) % 7]);
        for (unsigned i = 0; i <= k; i++) {
            c->weekday[(n + i) % 7] = true;
        }
        break;
    case 3:
        say(c, "7,%uL,%s#2", n, names[n]);
        c->weekday[0] = c->last_weekday[n] = c->nth_weekday[n][2] = true;
        break;
    case 4: /* 7 is the same day as 0 */
        say(c, "7/%u", k);
        for (unsigned i = 0; i < 7; i += k) {
            c->weekday[i] = true;
        }
        break;
    case 5:
        say(c, "?");
        c->weekday_is_star = true;
        memset(c->weekday, true, sizeof c->weekday);
        break;
    default:
        c->weekday_is_star = draw_field(random, c, 0, 6, c->weekday, 6);
    }
}

/* --- what matches --- */

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_length(int year, int month)
{
    return month == 2                                              ? 28 + is_leap(year)
           : month == 4 || month == 6 || month == 9 || month == 11 ? 30
                                                                   : 31;
}

struct date {
    int year, month, day, weekday;
};

/* Days since the epoch, the C library's way. */
static struct date date_of(int64_t days)
{
    time_t at = days * 86400;
    struct tm tm;

    gmtime_r(&at, &tm);
    return (struct date){tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_wday};
}

/* By trying the days around it, the closest first. */
static bool is_nearest_working_day(const struct date *d, int to)
{
    int length = month_length(d->year, d->month);

    for (int distance = 0; distance <= 2; distance++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            int day = to + sign * distance;
            int weekday = ((d->weekday + day - d->day) % 7 + 7) % 7;

            if (day >= 1 && day <= length && weekday != 0 && weekday != 6) {
                return day == d->day;
            }
        }
    }
    return false;
}

static bool day_field_matches(const struct oracle_cron *c, const struct date *d)
{
    int length = month_length(d->year, d->month);

    if (c->day[d->day] || (c->last_day && d->day == length) ||
        (c->last_working_day && is_nearest_working_day(d, length))) {
        return true;
    }
    for (int n = 1; n <= length; n++) {
        if (c->nearest[n] && is_nearest_working_day(d, n)) {
            return true;
        }
    }
    return false;
}

static bool day_matches(const struct oracle_cron *c, int64_t days)
{
    struct date d = date_of(days);
    bool day = day_field_matches(c, &d);
    bool weekday = c->weekday[d.weekday] || c->nth_weekday[d.weekday][(d.day + 6) / 7] ||
                   (c->last_weekday[d.weekday] && d.day + 7 > month_length(d.year, d.month));

    if (!c->month[d.month]) {
        return false;
    }
    return c->day_is_star || c->weekday_is_star || c->day_and ? day && weekday : day || weekday;
}

static bool comes_in_four_years(const struct oracle_cron *c)
{
    for (int64_t day = 10957; day < 10957 + 4 * 366; day++) {
        if (day_matches(c, day)) {
            return true;
        }
    }
    return false;
}

void oracle_draw(struct prng *random, struct oracle_cron *ret_cron)
{
    do {
        struct oracle_cron *c = ret_cron;
        bool star;

        *c = (struct oracle_cron){.day_and = draw(random, 0, 3) == 0};
        c->second[0] = true;
        if (draw(random, 0, 4) == 0) {
            c->second[0] = false;
            (void)draw_field(random, c, 0, 59, c->second, 1);
            say(c, " ");
        }
        star = draw_field(random, c, 0, 59, c->minute, 3);
        say(c, " ");
        star = draw_field(random, c, 0, 23, c->hour, 4) || star;
        c->is_fixed = !star;
        say(c, " ");
        draw_day(random, c);
        say(c, " ");
        (void)draw_field(random, c, 1, 12, c->month, 7);
        say(c, " ");
        draw_weekday(random, c);
    } while (!comes_in_four_years(ret_cron));
}

/* --- clocks --- */

static int64_t offset_at(int64_t second)
{
    time_t at = second;
    struct tm tm;

    cr_assert_not_null(localtime_r(&at, &tm));
    return tm.tm_gmtoff;
}

void oracle_zone_make(struct oracle_zone *zone, const char *name, int64_t from, int64_t to)
{
    char tz[128];

    (void)snprintf(tz, sizeof tz, ":%s", name);
    cr_assert_eq(setenv("TZ", tz, 1), 0);
    tzset();
    *zone = (struct oracle_zone){.changes = malloc(2000 * sizeof *zone->changes), .count = 1};
    zone->changes[0] = (struct oracle_change){from, offset_at(from)};
    for (int64_t at = from + LOOK_S; at < to; at += LOOK_S) {
        int64_t offset = offset_at(at);

        if (offset == zone->changes[zone->count - 1].offset) {
            continue;
        }

        int64_t low = at - LOOK_S;
        int64_t high = at;

        while (high - low > 1) {
            int64_t middle = (low + high) / 2;

            *(offset_at(middle) == offset ? &high : &low) = middle;
        }
        cr_assert_lt(zone->count, 2000);
        zone->changes[zone->count++] = (struct oracle_change){high, offset};
    }
}

void oracle_zone_release(struct oracle_zone *zone)
{
    free(zone->changes);
    *zone = (struct oracle_zone){0};
}

/* What the walk remembers. */
struct walk {
    const struct oracle_cron *cron;
    int64_t shown; /* the latest minute that the clocks have shown */
    int64_t day;   /* the one that was looked at last, and what came out */
    bool day_matches;
};

static bool minute_matches(struct walk *w, int64_t wall_minute)
{
    int64_t of_day = wall_minute % DAY_MINUTES;

    if (!w->cron->minute[of_day % 60] || !w->cron->hour[of_day / 60]) {
        return false;
    }
    if (wall_minute / DAY_MINUTES != w->day) {
        w->day = wall_minute / DAY_MINUTES;
        w->day_matches = day_matches(w->cron, w->day);
    }
    return w->day_matches;
}

/* Is one of the minutes that were left out, from shown + 1 to wall - 1, a fixed time? */
static bool was_left_out(struct walk *w, int64_t wall)
{
    for (int64_t minute = w->shown + 1; w->cron->is_fixed && minute < wall; minute++) {
        if (minute_matches(w, minute)) {
            return true;
        }
    }
    return false;
}

void oracle_walk(const struct oracle_cron *cron, const struct oracle_zone *zone, int64_t from,
                 int64_t to, void (*due)(void *ctx, int64_t second), void *ctx)
{
    struct walk w = {.cron = cron, .shown = -1, .day = -1};
    int64_t begin = from - WARM_UP_DAYS * 86400;
    size_t i = 0;

    begin = (begin < zone->changes[0].from ? zone->changes[0].from : begin) / 60 * 60;
    for (int64_t at = begin; at < to; at += 60) {
        while (i + 1 < zone->count && zone->changes[i + 1].from <= at) {
            i++;
        }

        int64_t wall = (at + zone->changes[i].offset) / 60;
        bool again = wall <= w.shown;
        bool late = w.shown >= 0 && was_left_out(&w, wall);
        bool matches = minute_matches(&w, wall) && !(again && cron->is_fixed);

        for (int s = 0; s < 60 && (late || matches); s++) {
            if (at + s >= from && at + s < to &&
                ((s == 0 && late) || (matches && cron->second[s]))) {
                due(ctx, at + s);
            }
        }
        w.shown = again ? w.shown : wall;
    }
}

/* --- all zones --- */

static char **names;
static size_t name_count;

static int take_name(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    const char *name = path + sizeof zoneinfo;
    char magic[4] = "";
    FILE *file;

    (void)st;
    (void)at;
    if (kind != FTW_F || strncmp(name, "right/", 6) == 0 || strncmp(name, "posix/", 6) == 0) {
        return 0;
    }
    file = fopen(path, "rb");
    if (file != NULL && fread(magic, 1, 4, file) == 4 && memcmp(magic, "TZif", 4) == 0 &&
        name_count < 2000) {
        names[name_count++] = strdup(name);
    }
    return file == NULL ? 0 : fclose(file);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **oracle_names(size_t *ret_count)
{
    names = calloc(2001, sizeof *names);
    name_count = 0;
    (void)nftw(zoneinfo, take_name, 20, 0);
    qsort(names, name_count, sizeof *names, by_name);
    *ret_count = name_count;
    return names;
}

void oracle_names_free(char **all)
{
    for (size_t i = 0; all[i] != NULL; i++) {
        free(all[i]);
    }
    free(all);
}
