#include "common/schedule.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/duration.h"
#include "common/instant.h"
#include "common/random.h"
#include "common/schedule_cron_next.h"
#include "common/schedule_field.h"
#include "common/schedule_pick.h"

/* Below this a job would be nothing but process starts. */
#define SCHEDULE_EVERY_MIN DUR_MS(10)

#define FORMS                                                                                      \
    "'30 3 * * *', '@daily', 'every 30s', 'at 2026-12-24T18:00', '@elected', '@released', "        \
    "'always', 'after JOB' or 'manual'"

/* Fractions of a schedule's own text go as far as this: what a ledger keeps. */
#define RESOLUTION DUR_MS(1)

#define SECOND_NS DUR_S(1)

/* What a choice that is made from the job's name is for; below are the fields. */
enum { PICK_JITTER = FIELD_COUNT };

static const struct {
    const char *word;
    enum schedule_kind kind;
} words[] = {
    {"always", SCHEDULE_ALWAYS},
    {"@elected", SCHEDULE_ELECTED},
    {"@released", SCHEDULE_RELEASED},
    {"manual", SCHEDULE_MANUAL},
};

static const struct {
    const char *word;
    const char *fields;
} macros[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
};

/* A text on its way into a schedule. */
struct parsing {
    const struct schedule_options *options;
    struct schedule *schedule;
    char *reterr;
    size_t reterr_size;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *at)
{
    while (is_blank(*at)) {
        at++;
    }
    return at;
}

static const char *skip_word(const char *at)
{
    while (*at != '\0' && !is_blank(*at)) {
        at++;
    }
    return at;
}

/* What follows the word at the start of text, when it is this one; else NULL. */
static const char *after_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(text, word, length) != 0 || !(text[length] == '\0' || is_blank(text[length]))) {
        return NULL;
    }
    return skip_blanks(text + length);
}

/* In any case: as the fields are read. */
static bool is_hash(char c)
{
    return c == 'H' || c == 'h';
}

/* Does it begin like a number, a star, or one of cron's signs? A word that begins with an H does
 * not: what follows the sign is no letter. */
static bool looks_like_cron(const char *text)
{
    const char *end = skip_word(text);

    return *skip_blanks(end) != '\0' &&
           ((*text >= '0' && *text <= '9') || strchr("*?~", *text) ||
            (is_hash(*text) && (is_blank(text[1]) || strchr("/(,", text[1]) != NULL)));
}

static dur_ns jitter_of(const struct schedule_options *options)
{
    uint64_t steps = (uint64_t)(options->jitter / RESOLUTION);

    if (steps == 0 || options->job == NULL) {
        return 0;
    }
    return (dur_ns)schedule_pick(options->job, PICK_JITTER, steps) * RESOLUTION;
}

static int parse_every(struct parsing *p, const char *text)
{
    dur_ns length = 0;

    if (duration_parse(text, &length) < 0) {
        (void)snprintf(
            p->reterr, p->reterr_size,
            "'every %.40s' needs a duration such as 'every 30s': one number and one unit, "
            "such as 90m",
            text);
        return -EINVAL;
    }
    if (length < SCHEDULE_EVERY_MIN) {
        (void)snprintf(p->reterr, p->reterr_size, "'every %.40s' is too often: at least 'every %s'",
                       text, duration_text(SCHEDULE_EVERY_MIN).is);
        return -EINVAL;
    }
    p->schedule->kind = SCHEDULE_EVERY;
    p->schedule->every = length;
    p->schedule->offset = jitter_of(p->options);
    return 0;
}

static int parse_cron(struct parsing *p, const char *text)
{
    int rc = schedule_cron_parse(text, p->options->job, p->options->day_and, &p->schedule->cron,
                                 p->reterr, p->reterr_size);

    p->schedule->kind = SCHEDULE_CRON;
    p->schedule->offset = jitter_of(p->options);
    return rc;
}

static int parse_at(struct parsing *p, const char *text)
{
    wall_ns at = 0;
    int rc = instant_parse(text, p->schedule->zone, &at, p->reterr, p->reterr_size);

    p->schedule->kind = SCHEDULE_AT;
    p->schedule->at = instant_second(at) * SECOND_NS +
                      (at - instant_second(at) * SECOND_NS) / RESOLUTION * RESOLUTION;
    return rc;
}

size_t schedule_parent_length(const char *parent)
{
    return (size_t)(skip_word(parent) - parent);
}

#define AFTER_FORMS "right are 'after JOB' (when it succeeds) and 'after JOB any' (when it ends)"

static int parse_after(struct parsing *p, const char *text)
{
    const char *rest = skip_blanks(skip_word(text));
    const char *behind_any = after_word(rest, "any");

    if (*text == '\0') {
        (void)snprintf(p->reterr, p->reterr_size, "'after' names no job; " AFTER_FORMS);
        return -EINVAL;
    }
    if (*rest != '\0' && (behind_any == NULL || *behind_any != '\0')) {
        (void)snprintf(
            p->reterr, p->reterr_size,
            "'after %.40s': behind the job's name '%.40s' is not understood; " AFTER_FORMS, text,
            rest);
        return -EINVAL;
    }
    p->schedule->kind = SCHEDULE_AFTER;
    p->schedule->parent = text;
    p->schedule->any = *rest != '\0';
    return 0;
}

/* Everything that is none of the forms with a word in front. */
static int parse_rest(struct parsing *p, const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(text, words[i].word) == 0) {
            p->schedule->kind = words[i].kind;
            return 0;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(macros); i++) {
        if (strcmp(text, macros[i].word) == 0) {
            return parse_cron(p, macros[i].fields);
        }
    }
    if (looks_like_cron(text)) {
        return parse_cron(p, text);
    }
    if (strcmp(text, "@reboot") == 0) {
        (void)snprintf(p->reterr, p->reterr_size,
                       "'@reboot' is not a schedule here; '@elected' runs once each time an "
                       "instance becomes the leader");
        return -EINVAL;
    }
    (void)snprintf(p->reterr, p->reterr_size, "'%.60s' is not a schedule such as " FORMS, text);
    return -EINVAL;
}

int schedule_parse(const char *text, const struct schedule_options *options,
                   struct schedule *ret_schedule, char *reterr, size_t reterr_size)
{
    static const struct schedule_options none = {0};
    static const struct {
        const char *word;
        int (*parse)(struct parsing *p, const char *text);
    } forms[] = {{"every", parse_every}, {"at", parse_at}, {"after", parse_after}};
    struct schedule schedule = {0};
    struct parsing p = {.options = options == NULL ? &none : options, .reterr_size = reterr_size};
    const char *at = skip_blanks(text);
    int rc = 0;

    p.schedule = &schedule;
    p.reterr = reterr;
    schedule.zone = p.options->zone == NULL ? zone_utc() : p.options->zone;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        const char *rest = after_word(at, forms[i].word);

        if (rest != NULL) {
            rc = forms[i].parse(&p, rest);
            goto done;
        }
    }
    rc = parse_rest(&p, at);
done:
    if (rc == 0) {
        *ret_schedule = schedule;
    }
    return rc;
}

bool schedule_depends_on_name(const char *text)
{
    for (const char *at = skip_blanks(text); looks_like_cron(skip_blanks(text)) && *at != '\0';
         at++) {
        /* Names of days and months have an H behind a letter. */
        bool inside =
            at > text && ((at[-1] >= 'a' && at[-1] <= 'z') || (at[-1] >= 'A' && at[-1] <= 'Z'));

        if (*at == '~' || (is_hash(*at) && !inside)) {
            return true;
        }
    }
    return false;
}

bool schedule_is_clocked(const struct schedule *schedule)
{
    switch (schedule->kind) {
    case SCHEDULE_EVERY:
    case SCHEDULE_CRON:
    case SCHEDULE_AT:
        return true;
    case SCHEDULE_AFTER:
    case SCHEDULE_ALWAYS:
    case SCHEDULE_ELECTED:
    case SCHEDULE_RELEASED:
    case SCHEDULE_MANUAL:
        return false;
    }
    return false;
}

/* The instant without its jitter. */
static wall_ns before_offset(wall_ns instant, dur_ns offset)
{
    return instant < INT64_MIN + offset ? INT64_MIN : instant - offset;
}

static wall_ns next_of_grid(const struct schedule *s, wall_ns after)
{
    assert(s->every > 0);

    /* How far into its cell of the grid; before 1970 the remainder is negative. */
    dur_ns into = before_offset(after, s->offset) % s->every;

    if (into < 0) {
        into += s->every;
    }

    dur_ns ahead = s->every - into;

    return after > WALL_NEVER - ahead ? WALL_NEVER : after + ahead;
}

/*
 * A fixed time is due when the clocks on the wall show it, or a later one, for the first time. From
 * the second `from` on only what was not shown before is left; that which falls into the gap before
 * a span has its first second.
 */
static int64_t next_fixed(const struct schedule *s, int64_t from)
{
    const struct zone *zone = s->zone;
    size_t i = zone_span_at(zone, from);
    int64_t unseen = zone->spans[i].shown;

    if (from > zone->spans[i].from && from + zone->spans[i].offset > unseen) {
        unseen = from + zone->spans[i].offset;
    }

    int64_t due = schedule_cron_next(&s->cron, unseen, ZONE_END);

    for (; due != SCHEDULE_CRON_NONE && i < zone->count; i++) {
        const struct zone_span *span = &zone->spans[i];

        if (due < zone_span_end(zone, i) + span->offset) {
            return due - span->offset > span->from ? due - span->offset : span->from;
        }
    }
    return ZONE_END;
}

/*
 * The others follow the wall clock: in each span what its clocks show. What was found beyond its
 * end holds for the next one too, unless that begins later, or goes back and shows an hour again.
 */
static int64_t next_shown(const struct schedule *s, int64_t from)
{
    const struct zone *zone = s->zone;
    size_t i = zone_span_at(zone, from);
    int64_t shown = from + zone->spans[i].offset;
    int64_t due = schedule_cron_next(&s->cron, shown, ZONE_END);

    for (;;) {
        int64_t end = zone_span_end(zone, i);
        int64_t second = due == SCHEDULE_CRON_NONE ? ZONE_END : due - zone->spans[i].offset;

        if (second < end) {
            return second;
        }
        if (++i == zone->count) {
            return ZONE_END;
        }

        int64_t begins = end + zone->spans[i].offset;
        int64_t ended = end + zone->spans[i - 1].offset;

        if (begins < ended) {
            int64_t again = schedule_cron_next(&s->cron, begins, ended);

            due = again == SCHEDULE_CRON_NONE ? due : again;
        } else if (due < begins) {
            due = schedule_cron_next(&s->cron, begins, ZONE_END);
        }
    }
}

static wall_ns next_of_cron(const struct schedule *s, wall_ns after)
{
    int64_t from = instant_second(before_offset(after, s->offset)) + 1;
    int64_t limit = (WALL_NEVER - s->offset) / SECOND_NS;

    assert(s->zone != NULL);
    if (from < ZONE_BEGIN + ZONE_OFFSET_MAX) { /* nobody's wall showed anything before */
        from = ZONE_BEGIN + ZONE_OFFSET_MAX;
    }
    if (from >= ZONE_END) {
        return WALL_NEVER;
    }

    int64_t second = s->cron.fixed ? next_fixed(s, from) : next_shown(s, from);

    return second >= limit ? WALL_NEVER : second * SECOND_NS + s->offset;
}

wall_ns schedule_next(const struct schedule *schedule, wall_ns after)
{
    switch (schedule->kind) {
    case SCHEDULE_EVERY:
        return next_of_grid(schedule, after);
    case SCHEDULE_CRON:
        return next_of_cron(schedule, after);
    case SCHEDULE_AT:
        return schedule->at > after ? schedule->at : WALL_NEVER;
    case SCHEDULE_AFTER:
    case SCHEDULE_ALWAYS:
    case SCHEDULE_ELECTED:
    case SCHEDULE_RELEASED:
    case SCHEDULE_MANUAL:
        break;
    }
    return WALL_NEVER;
}

uint64_t schedule_hash(const struct schedule *schedule)
{
    const struct schedule_cron *c = &schedule->cron;
    char text[512] = "";

    switch (schedule->kind) {
    case SCHEDULE_EVERY:
        (void)snprintf(text, sizeof(text), "every %" PRId64 " + %" PRId64, schedule->every,
                       schedule->offset);
        break;
    case SCHEDULE_CRON:
        (void)snprintf(text, sizeof(text),
                       "cron %" PRIx64 " %" PRIx64 " %x %x %x %x %x %x %x %x %x %x %x %d %d %d %d "
                       "+ %" PRId64 " %s",
                       c->seconds, c->minutes, c->hours, c->days, c->nearest_days, c->months,
                       c->weekdays, c->last_weekdays, c->nth_weekdays[0], c->nth_weekdays[1],
                       c->nth_weekdays[2], c->nth_weekdays[3], c->nth_weekdays[4], c->last_day,
                       c->last_working_day, c->days_both, c->fixed, schedule->offset,
                       schedule->zone->name);
        break;
    case SCHEDULE_AT:
        (void)snprintf(text, sizeof(text), "at %" PRId64, schedule->at);
        break;
    case SCHEDULE_AFTER:
        (void)snprintf(text, sizeof(text), "after %.*s%s",
                       (int)schedule_parent_length(schedule->parent), schedule->parent,
                       schedule->any ? " any" : "");
        break;
    case SCHEDULE_ALWAYS:
        (void)snprintf(text, sizeof(text), "always");
        break;
    case SCHEDULE_ELECTED:
        (void)snprintf(text, sizeof(text), "@elected");
        break;
    case SCHEDULE_RELEASED:
        (void)snprintf(text, sizeof(text), "@released");
        break;
    case SCHEDULE_MANUAL:
        (void)snprintf(text, sizeof(text), "manual");
        break;
    }
    return random_hash(text);
}
