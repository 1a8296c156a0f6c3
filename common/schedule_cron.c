#include "common/schedule_cron.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/calendar.h"
#include "common/schedule_cron_next.h"
#include "common/schedule_field.h"

struct fields {
    struct {
        const char *text;
        size_t length;
    } list[FIELD_COUNT];
    bool has_seconds;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Into list from the end, so that what is left out is the first. Returns how many there are. */
static size_t split(const char *text, struct fields *ret_fields)
{
    size_t count = 0;

    for (const char *at = text; *at != '\0';) {
        while (is_blank(*at)) {
            at++;
        }

        const char *from = at;

        while (*at != '\0' && !is_blank(*at)) {
            at++;
        }
        if (at > from) {
            if (count < FIELD_COUNT) {
                ret_fields->list[count].text = from;
                ret_fields->list[count].length = (size_t)(at - from);
            }
            count++;
        }
    }
    return count;
}

static int split_fields(const char *text, struct fields *ret_fields, char *reterr,
                        size_t reterr_size)
{
    size_t count = split(text, ret_fields);

    if (count != FIELD_COUNT && count != FIELD_COUNT - 1) {
        (void)snprintf(reterr, reterr_size,
                       "'%.60s' has %zu fields; right are 5 (minute, hour, day of month, month, "
                       "day of week), or 6 with seconds first",
                       text, count);
        return -EINVAL;
    }
    ret_fields->has_seconds = count == FIELD_COUNT;
    if (!ret_fields->has_seconds) {
        memmove(&ret_fields->list[FIELD_MINUTE], &ret_fields->list[0],
                count * sizeof(ret_fields->list[0]));
    }
    return 0;
}

static bool begins_with_star(const struct fields *fields, enum schedule_field field)
{
    char first = fields->list[field].text[0];

    return first == '*' || first == '?';
}

/* May choices that are made from the job's name decide which days there are? */
static bool days_may_be_hashed(const struct fields *fields)
{
    for (enum schedule_field f = FIELD_DAY; f < FIELD_COUNT; f++) {
        const char *text = fields->list[f].text;

        for (size_t i = 0; i < fields->list[f].length; i++) {
            if (text[i] == 'H' || text[i] == 'h' || text[i] == '~') {
                return true;
            }
        }
    }
    return false;
}

/* All there is repeats itself after 400 years. */
enum { FIRST_YEAR = 2000, YEARS = 400 };

static bool ever_comes(const struct schedule_cron *cron)
{
    int64_t from = calendar_days(FIRST_YEAR, 1, 1) * CALENDAR_DAY_S;
    int64_t limit = calendar_days(FIRST_YEAR + YEARS, 1, 1) * CALENDAR_DAY_S;

    return schedule_cron_next(cron, from, limit) != SCHEDULE_CRON_NONE;
}

static int refuse_never(const char *text, const struct schedule_cron *cron, char *reterr,
                        size_t reterr_size)
{
    struct schedule_cron any_weekday = *cron;
    const char *why =
        "no such day of month is such a weekday; with day_match = or either is enough";

    any_weekday.weekdays = 0x7f;
    if (!ever_comes(&any_weekday)) {
        why = "none of its months has such a day; L is the last day of a month";
    }
    (void)snprintf(reterr, reterr_size, "'%.60s' never comes: %s", text, why);
    return -EINVAL;
}

int schedule_cron_parse(const char *text, const char *job, bool day_and,
                        struct schedule_cron *ret_cron, char *reterr, size_t reterr_size)
{
    struct schedule_cron cron = {0};
    struct fields fields = {0};
    int rc = split_fields(text, &fields, reterr, reterr_size);

    for (enum schedule_field f = fields.has_seconds ? FIELD_SECOND : FIELD_MINUTE;
         f < FIELD_COUNT && rc == 0; f++) {
        rc = schedule_field_parse(f, fields.list[f].text, fields.list[f].length, job, &cron, reterr,
                                  reterr_size);
    }
    if (rc < 0) {
        return rc;
    }
    if (!fields.has_seconds) {
        cron.seconds = 1;
    }
    cron.fixed = !begins_with_star(&fields, FIELD_MINUTE) && !begins_with_star(&fields, FIELD_HOUR);
    cron.days_both =
        day_and || begins_with_star(&fields, FIELD_DAY) || begins_with_star(&fields, FIELD_WEEKDAY);
    if (!ever_comes(&cron) && (job != NULL || !days_may_be_hashed(&fields))) {
        return refuse_never(text, &cron, reterr, reterr_size);
    }
    *ret_cron = cron;
    return 0;
}
