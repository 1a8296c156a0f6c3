#include "common/schedule_field.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/schedule_pick.h"

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

enum { WORD_LENGTH = 3, WEEKDAYS = 7, DAY_EVERY_MONTH_HAS = 28 };

/* clang-format off */
static const struct field_spec {
    const char *name;
    uint32_t least;
    uint32_t most;     /* as it may be written */
    uint32_t values;   /* how many there are: 0 and 7 are one weekday */
    const char *const *words;
    const char *right; /* what would be right */
} specs[FIELD_COUNT] = {
    [FIELD_SECOND]  = {"second", 0, 59, 60, NULL, "0 to 59, *, */5, 10-20, 1,2"},
    [FIELD_MINUTE]  = {"minute", 0, 59, 60, NULL, "0 to 59, *, */5, 10-20, 1,2, H or ~"},
    [FIELD_HOUR]    = {"hour", 0, 23, 24, NULL, "0 to 23, *, */2, 22-2, 1,2, H or ~"},
    [FIELD_DAY]     = {"day of month", 1, 31, 31, NULL, "1 to 31, *, ?, */2, 1-7, L, LW, 15W or H"},
    [FIELD_MONTH]   = {"month", 1, 12, 12, month_names, "1 to 12, jan to dec, *, */3, nov-feb or H"},
    [FIELD_WEEKDAY] = {"day of week", 0, 7, WEEKDAYS, weekday_names, "0 to 7, sun to sat, *, ?, mon-fri, 5L, mon#2 or H"},
};
/* clang-format on */

const char *schedule_field_name(enum schedule_field field)
{
    assert(field < FIELD_COUNT);
    return specs[field].name;
}

/* A field on its way into bits. */
struct reading {
    enum schedule_field field;
    const struct field_spec *spec;
    const char *text; /* the whole field, for what is said about it */
    size_t length;
    const char *at;
    const char *end;
    const char *job;
    struct schedule_cron *cron;
    char *reterr;
    size_t reterr_size;
};

static int refuse(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct reading *r, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(r->reterr, r->reterr_size, "%s '%.*s': ", r->spec->name,
                        (int)(r->length > 40 ? 40 : r->length), r->text);

    if (used >= 0 && (size_t)used < r->reterr_size) {
        va_start(arguments, format);
        (void)vsnprintf(r->reterr + used, r->reterr_size - (size_t)used, format, arguments);
        va_end(arguments);
    }
    return -EINVAL;
}

static int refuse_form(struct reading *r)
{
    return refuse(r, "right are %s", r->spec->right);
}

static char peek(const struct reading *r)
{
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reading *r, char c)
{
    if (peek(r) != c) {
        return false;
    }
    r->at++;
    return true;
}

/* L, W and H in any case, as names are. */
static bool take_letter(struct reading *r, char upper)
{
    return take(r, upper) || take(r, (char)(upper - 'A' + 'a'));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The field's name that stands here; its index, or -1. */
static int word_at(const struct reading *r)
{
    for (int i = 0; r->spec->words != NULL && r->spec->words[i] != NULL; i++) {
        if (r->end - r->at >= WORD_LENGTH &&
            strncasecmp(r->at, r->spec->words[i], WORD_LENGTH) == 0) {
            return i;
        }
    }
    return -1;
}

static bool value_is_next(const struct reading *r)
{
    return is_digit(peek(r)) || word_at(r) >= 0;
}

static int read_number(struct reading *r, uint32_t *ret_number)
{
    uint32_t number = 0;

    if (!is_digit(peek(r))) {
        return refuse_form(r);
    }
    for (; is_digit(peek(r)); r->at++) {
        number = number > 1000 ? number : number * 10 + (uint32_t)(*r->at - '0');
    }
    *ret_number = number;
    return 0;
}

/* A number of the field's range, or a name. */
static int read_value(struct reading *r, uint32_t *ret_value)
{
    int word = word_at(r);

    if (word >= 0) {
        r->at += WORD_LENGTH;
        *ret_value = (uint32_t)word + r->spec->least;
        return 0;
    }

    int rc = read_number(r, ret_value);

    if (rc == 0 && (*ret_value < r->spec->least || *ret_value > r->spec->most)) {
        return refuse(r, "%u is not one of %u to %u", *ret_value, r->spec->least, r->spec->most);
    }
    return rc;
}

/* Values one after the other; behind the largest comes the smallest. */
struct range {
    uint32_t from;
    uint32_t count;
    bool single; /* one value, from which a step goes to the end */
};

/* 7 is Sunday, as 0 is: of the two ways to write it the one that ranges count from. */
static uint32_t first_written(const struct field_spec *spec, uint32_t value)
{
    return spec->least + (value - spec->least) % spec->values;
}

static struct range range_between(const struct field_spec *spec, uint32_t from, uint32_t to)
{
    uint32_t last = to;

    if (first_written(spec, from) != from) {
        last = to == from ? first_written(spec, to) : to;
        from = first_written(spec, from);
    }
    return (struct range){
        .from = from,
        .count = last >= from ? last - from + 1 : last + spec->values - from + 1,
    };
}

static struct range whole(const struct field_spec *spec)
{
    return (struct range){.from = spec->least, .count = spec->values};
}

/* What H means without a range: of days only those that are in every month. */
static struct range whole_for_hash(const struct reading *r)
{
    struct range range = whole(r->spec);

    if (r->field == FIELD_DAY) {
        range.count = DAY_EVERY_MONTH_HAS;
    }
    return range;
}

static void add(struct reading *r, uint32_t value)
{
    uint32_t least = r->spec->least;
    uint64_t bit = UINT64_C(1) << (least + (value - least) % r->spec->values);

    switch (r->field) {
    case FIELD_SECOND:
        r->cron->seconds |= bit;
        return;
    case FIELD_MINUTE:
        r->cron->minutes |= bit;
        return;
    case FIELD_HOUR:
        r->cron->hours |= (uint32_t)bit;
        return;
    case FIELD_DAY:
        r->cron->days |= (uint32_t)bit;
        return;
    case FIELD_MONTH:
        r->cron->months |= (uint16_t)bit;
        return;
    case FIELD_WEEKDAY:
        r->cron->weekdays |= (uint8_t)bit;
        return;
    case FIELD_COUNT:
        break;
    }
    assert(false);
}

static int read_step(struct reading *r, uint32_t *ret_step)
{
    uint32_t step = 0;
    int rc = read_number(r, &step);

    /* As wide as the field is not wider: the first value, as cron has it. */
    if (rc == 0 && (step == 0 || step > r->spec->values)) {
        return refuse(r, "a step may be 1 to %u here", r->spec->values);
    }
    *ret_step = step;
    return rc;
}

static uint32_t pick(const struct reading *r, uint32_t count)
{
    return (uint32_t)schedule_pick(r->job == NULL ? "" : r->job, (uint64_t)r->field, count);
}

/* What is left of an item once its range is known: a step, and nothing else. */
static int finish_range(struct reading *r, struct range range, bool hashed)
{
    uint32_t step = 0;

    if (take(r, '/')) {
        int rc = read_step(r, &step);

        if (rc < 0) {
            return rc;
        }
        if (range.single) {
            range.from = first_written(r->spec, range.from);
            range.count = r->spec->least + r->spec->values - range.from;
        }
    }
    if (hashed && step == 0) {
        add(r, range.from + pick(r, range.count));
        return 0;
    }
    if (hashed) {
        uint32_t skip = pick(r, step < range.count ? step : range.count);

        range.from += skip;
        range.count -= skip;
    }
    for (uint32_t i = 0; i < range.count; i += step == 0 ? 1 : step) {
        add(r, range.from + i);
    }
    return 0;
}

/* H, H/15, H(0-29), H(0-29)/10. */
static int read_hash(struct reading *r)
{
    struct range range = whole_for_hash(r);
    uint32_t from = 0;
    uint32_t to = 0;

    if (take(r, '(')) {
        int rc = read_value(r, &from);

        if (rc == 0 && !take(r, '-')) {
            return refuse(r, "a range for H is written H(0-29)");
        }
        rc = rc < 0 ? rc : read_value(r, &to);
        if (rc < 0) {
            return rc;
        }
        if (!take(r, ')')) {
            return refuse(r, "a range for H is written H(0-29)");
        }
        range = range_between(r->spec, from, to);
    }
    return finish_range(r, range, true);
}

/* ~, 5~30, ~30, 5~: what is behind from. */
static int read_tilde(struct reading *r, uint32_t from, bool has_from)
{
    struct range range = whole_for_hash(r);
    uint32_t to = range.from + range.count - 1;

    if (value_is_next(r)) {
        int rc = read_value(r, &to);

        if (rc < 0) {
            return rc;
        }
    } else if (has_from && r->field == FIELD_DAY) {
        to = r->spec->most;
    }
    return finish_range(r, range_between(r->spec, has_from ? from : range.from, to), true);
}

/* L and LW. */
static int read_last_day(struct reading *r)
{
    if (r->field == FIELD_WEEKDAY) {
        return refuse(r, "L stands behind a weekday: 5L is the last Friday of a month");
    }
    if (take_letter(r, 'W')) {
        r->cron->last_working_day = true;
    } else {
        r->cron->last_day = true;
    }
    return 0;
}

/* mon#2 */
static int read_nth(struct reading *r, uint32_t weekday)
{
    uint32_t nth = 0;
    int rc = read_number(r, &nth);

    if (rc < 0 || nth == 0 || nth > SCHEDULE_CRON_NTH) {
        return refuse(r, "behind # may be 1 to %d", SCHEDULE_CRON_NTH);
    }
    r->cron->nth_weekdays[nth - 1] |= (uint8_t)(1U << weekday % WEEKDAYS);
    return 0;
}

static int read_from_value(struct reading *r)
{
    uint32_t from = 0;
    uint32_t to = 0;
    int rc = read_value(r, &from);

    if (rc < 0) {
        return rc;
    }
    if (r->field == FIELD_DAY && take_letter(r, 'W')) {
        r->cron->nearest_days |= UINT32_C(1) << from;
        return 0;
    }
    if (r->field == FIELD_WEEKDAY && take_letter(r, 'L')) {
        r->cron->last_weekdays |= (uint8_t)(1U << from % WEEKDAYS);
        return 0;
    }
    if (r->field == FIELD_WEEKDAY && take(r, '#')) {
        return read_nth(r, from);
    }
    if (take(r, '~')) {
        return read_tilde(r, from, true);
    }
    if (take(r, '-')) {
        rc = read_value(r, &to);
        return rc < 0 ? rc : finish_range(r, range_between(r->spec, from, to), false);
    }
    return finish_range(r, (struct range){.from = from, .count = 1, .single = true}, false);
}

static int read_item(struct reading *r)
{
    bool is_day = r->field == FIELD_DAY || r->field == FIELD_WEEKDAY;

    if (value_is_next(r)) {
        return read_from_value(r);
    }
    if (take(r, '*') || (is_day && take(r, '?'))) {
        return finish_range(r, whole(r->spec), false);
    }
    if (take(r, '?')) {
        return refuse(r, "? is for the day fields; write *");
    }
    if (take_letter(r, 'H')) {
        return read_hash(r);
    }
    if (take(r, '~')) {
        return read_tilde(r, 0, false);
    }
    if (is_day && take_letter(r, 'L')) {
        return read_last_day(r);
    }
    return refuse_form(r);
}

int schedule_field_parse(enum schedule_field field, const char *text, size_t length,
                         const char *job, struct schedule_cron *cron, char *reterr,
                         size_t reterr_size)
{
    struct reading r = {
        .field = field,
        .spec = &specs[field],
        .text = text,
        .length = length,
        .at = text,
        .end = text + length,
        .job = job,
        .cron = cron,
        .reterr_size = reterr_size,
    };

    r.reterr = reterr;
    do {
        int rc = read_item(&r);

        if (rc < 0) {
            return rc;
        }
    } while (take(&r, ','));
    return r.at == r.end ? 0 : refuse_form(&r);
}
