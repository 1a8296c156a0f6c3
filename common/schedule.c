#include "common/schedule.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/duration.h"

/* Below this a job would be nothing but process starts. */
#define SCHEDULE_EVERY_MIN DUR_MS(10)

#define FORMS_OF_THIS_VERSION "'every 30s', 'always', '@elected', '@released' or 'manual'"

static const struct {
    const char *word;
    enum schedule_kind kind;
} words[] = {
    {"always", SCHEDULE_ALWAYS},
    {"@elected", SCHEDULE_ELECTED},
    {"@released", SCHEDULE_RELEASED},
    {"manual", SCHEDULE_MANUAL},
};

/* Forms that the contract has and this version does not. */
static const char *const macros[] = {
    "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly",
};

enum { CRON_FIELDS_MIN = 5, CRON_FIELDS_MAX = 6 };

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

/* The word at the start of text, when it is this one and something follows it; else NULL. */
static const char *after_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(text, word, length) != 0 || !is_blank(text[length])) {
        return NULL;
    }
    return skip_blanks(text + length);
}

static unsigned count_fields(const char *text)
{
    unsigned fields = 0;

    for (const char *at = skip_blanks(text); *at != '\0'; at = skip_blanks(at)) {
        fields++;
        while (*at != '\0' && !is_blank(*at)) {
            at++;
        }
    }
    return fields;
}

/* Five or six fields that begin like a number, a star, or one of cron's special signs. */
static bool looks_like_cron(const char *text)
{
    unsigned fields = count_fields(text);
    char first = *skip_blanks(text);

    return fields >= CRON_FIELDS_MIN && fields <= CRON_FIELDS_MAX &&
           ((first >= '0' && first <= '9') || first == '*' || first == 'H' || first == '~');
}

static bool is_later_form(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(macros); i++) {
        if (strcmp(text, macros[i]) == 0) {
            return true;
        }
    }
    return after_word(text, "at") != NULL || after_word(text, "after") != NULL ||
           looks_like_cron(text);
}

static int parse_every(const char *length_text, struct schedule *ret_schedule, char *reterr,
                       size_t reterr_size)
{
    dur_ns length = 0;

    if (duration_parse(length_text, &length) < 0) {
        (void)snprintf(reterr, reterr_size, "'every %.40s' needs a duration such as 'every 30s'",
                       length_text);
        return -EINVAL;
    }
    if (length < SCHEDULE_EVERY_MIN) {
        (void)snprintf(reterr, reterr_size, "'every %.40s' is too often: at least 'every %s'",
                       length_text, duration_text(SCHEDULE_EVERY_MIN).is);
        return -EINVAL;
    }
    *ret_schedule = (struct schedule){.kind = SCHEDULE_EVERY, .every = length};
    return 0;
}

int schedule_parse(const char *text, struct schedule *ret_schedule, char *reterr,
                   size_t reterr_size)
{
    const char *at = skip_blanks(text);
    const char *length_text = after_word(at, "every");

    if (length_text != NULL) {
        return parse_every(length_text, ret_schedule, reterr, reterr_size);
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(at, words[i].word) == 0) {
            *ret_schedule = (struct schedule){.kind = words[i].kind};
            return 0;
        }
    }
    if (is_later_form(at)) {
        (void)snprintf(reterr, reterr_size,
                       "'%.60s' is not available in this version; it has " FORMS_OF_THIS_VERSION,
                       at);
        return -ENOTSUP;
    }
    (void)snprintf(reterr, reterr_size, "'%.60s' is not a schedule such as " FORMS_OF_THIS_VERSION,
                   at);
    return -EINVAL;
}

wall_ns schedule_next(const struct schedule *schedule, wall_ns after)
{
    switch (schedule->kind) {
    case SCHEDULE_ALWAYS:
    case SCHEDULE_ELECTED:
    case SCHEDULE_RELEASED:
    case SCHEDULE_MANUAL:
        return WALL_NEVER;
    case SCHEDULE_EVERY:
        break;
    }
    assert(schedule->every > 0);

    /* How far into its cell of the grid; before 1970 the remainder is negative. */
    dur_ns into = after % schedule->every;

    if (into < 0) {
        into += schedule->every;
    }

    dur_ns ahead = schedule->every - into;

    return after > WALL_NEVER - ahead ? WALL_NEVER : after + ahead;
}

bool schedule_is_clocked(const struct schedule *schedule)
{
    return schedule->kind == SCHEDULE_EVERY;
}
