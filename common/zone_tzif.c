#include "common/zone_tzif.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/zone_rule.h"

enum {
    HEADER_BYTES = 44,
    COUNTS_AT = 20,
    TYPE_BYTES = 6,
    TYPES_MAX = 256,
    OLD_TIME_BYTES = 4, /* of the first block, which is all that version 1 has */
    TIME_BYTES = 8,
};

/* The rule is written out for all years that wall_ns reaches. */
enum { FIRST_YEAR = 1677, LAST_YEAR = 2262, CHANGES_A_YEAR = 2 };

static const char magic[] = {'T', 'Z', 'i', 'f'};

/* One block: where its parts are, all of them inside the file. */
struct block {
    size_t times;
    size_t types;
    size_t time_bytes;
    const unsigned char *time;  /* times × time_bytes */
    const unsigned char *index; /* times × 1: which type begins there */
    const unsigned char *type;  /* types × TYPE_BYTES */
    const unsigned char *end;
    bool has_leap_seconds;
};

static uint32_t word_at(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t time_at(const struct block *b, size_t i)
{
    const unsigned char *at = b->time + i * b->time_bytes;

    if (b->time_bytes == OLD_TIME_BYTES) {
        return (int32_t)word_at(at);
    }
    return (int64_t)((uint64_t)word_at(at) << 32 | word_at(at + 4));
}

static int32_t offset_of_type(const struct block *b, size_t type)
{
    return (int32_t)word_at(b->type + type * TYPE_BYTES);
}

/* The block whose header is at `at`; false: it does not fit into what is there. */
static bool find_block(const unsigned char *at, const unsigned char *end, size_t time_bytes,
                       struct block *ret_block)
{
    enum { UT, STD, LEAP, TIMES, TYPES, CHARS, COUNTS };
    uint64_t count[COUNTS];
    uint64_t length;

    if (end - at < HEADER_BYTES || memcmp(at, magic, sizeof(magic)) != 0) {
        return false;
    }
    for (size_t i = 0; i < COUNTS; i++) {
        count[i] = word_at(at + COUNTS_AT + i * 4);
    }
    /* Each count has 32 bits: the sum cannot overflow 64. */
    length = count[TIMES] * (time_bytes + 1) + count[TYPES] * TYPE_BYTES + count[CHARS] +
             count[LEAP] * (time_bytes + 4) + count[STD] + count[UT];
    if (length > (uint64_t)(end - at - HEADER_BYTES)) {
        return false;
    }
    *ret_block = (struct block){
        .times = count[TIMES],
        .types = count[TYPES],
        .time_bytes = time_bytes,
        .time = at + HEADER_BYTES,
        .index = at + HEADER_BYTES + count[TIMES] * time_bytes,
        .type = at + HEADER_BYTES + count[TIMES] * (time_bytes + 1),
        .end = at + HEADER_BYTES + length,
        .has_leap_seconds = count[LEAP] > 0,
    };
    return true;
}

/* The block that counts, and what follows it: the rule between two line feeds, or nothing. */
static bool find(const void *bytes, size_t size, struct block *ret_block, const char **ret_rule,
                 size_t *ret_rule_length)
{
    const unsigned char *at = bytes;
    const unsigned char *end = at + size;
    struct block old;

    *ret_rule_length = 0;
    if (!find_block(at, end, OLD_TIME_BYTES, &old)) {
        return false;
    }
    if (at[sizeof(magic)] == '\0') {
        *ret_block = old;
        return true;
    }
    if (at[sizeof(magic)] < '2' || !find_block(old.end, end, TIME_BYTES, ret_block)) {
        return false;
    }

    const unsigned char *rule = ret_block->end;
    const unsigned char *rule_end = NULL;

    if (rule < end && *rule == '\n') {
        rule++;
        rule_end = memchr(rule, '\n', (size_t)(end - rule));
    }
    if (rule_end == NULL) {
        return false;
    }
    *ret_rule = (const char *)rule;
    *ret_rule_length = (size_t)(rule_end - rule);
    return true;
}

size_t zone_tzif_room(const void *bytes, size_t size)
{
    struct block block;
    const char *rule;
    size_t rule_length;

    if (size > ZONE_TZIF_MAX || !find(bytes, size, &block, &rule, &rule_length)) {
        return 0;
    }
    return 1 + block.times + (size_t)(LAST_YEAR - FIRST_YEAR + 1) * CHANGES_A_YEAR;
}

static const char *what_is_wrong(const struct block *b)
{
    if (b->has_leap_seconds) {
        return "it counts leap seconds, which no clock of ours does";
    }
    if (b->types == 0 || b->types > TYPES_MAX) {
        return "it has no type of local time";
    }
    for (size_t i = 0; i < b->types; i++) {
        int64_t offset = offset_of_type(b, i);

        if (offset > ZONE_OFFSET_MAX || offset < -ZONE_OFFSET_MAX) {
            return "an offset in it is more than a day";
        }
    }
    for (size_t i = 0; i < b->times; i++) {
        if (b->index[i] >= b->types) {
            return "a type in it does not exist";
        }
        if (i > 0 && time_at(b, i) <= time_at(b, i - 1)) {
            return "its times do not ascend";
        }
    }
    return NULL;
}

/* Spans as they come, in the order of their beginnings. */
struct making {
    struct zone_span *spans;
    size_t count;
};

/* From that second on the clocks have this offset. */
static void change(struct making *m, int64_t from, int32_t offset)
{
    struct zone_span *last = &m->spans[m->count - 1];

    if (from >= ZONE_END) {
        return;
    }
    if (from <=
        last->from) { /* at the same moment, or before all that counts: it takes its place */
        last->offset = offset;
        if (m->count > 1 && last[-1].offset == offset) {
            m->count--;
        }
    } else if (last->offset != offset) {
        m->spans[m->count++] = (struct zone_span){.from = from, .offset = offset};
    }
}

/* All changes of the rule after that second. */
static void write_out(struct making *m, const struct zone_rule *rule, int64_t after)
{
    for (int32_t year = FIRST_YEAR; year <= LAST_YEAR; year++) {
        int64_t begins = zone_rule_begins(rule, year);
        int64_t ends = zone_rule_ends(rule, year);

        if (begins < ends && begins > after) {
            change(m, begins, rule->daylight);
        }
        if (ends > after) {
            change(m, ends, rule->standard);
        }
        if (begins >= ends && begins > after) {
            change(m, begins, rule->daylight);
        }
    }
}

static void note_what_was_shown(struct making *m)
{
    int64_t shown = ZONE_BEGIN - ZONE_OFFSET_MAX;

    for (size_t i = 0; i < m->count; i++) {
        if (i > 0) {
            int64_t until = m->spans[i].from + m->spans[i - 1].offset;

            shown = until > shown ? until : shown;
        }
        m->spans[i].shown = shown;
    }
}

static int refuse(const char *why, char *reterr, size_t reterr_size)
{
    (void)snprintf(reterr, reterr_size, "%s", why);
    return -EINVAL;
}

int zone_tzif_read(const void *bytes, size_t size, struct zone_span *spans, size_t room,
                   char *reterr, size_t reterr_size)
{
    struct block b = {0};
    struct zone_rule rule = {0};
    const char *rule_text = NULL;
    size_t rule_length = 0;
    const char *wrong;

    if (room == 0 || room != zone_tzif_room(bytes, size) ||
        !find(bytes, size, &b, &rule_text, &rule_length)) {
        return refuse("it is no file of a time zone", reterr, reterr_size);
    }
    wrong = what_is_wrong(&b);
    if (wrong != NULL) {
        return refuse(wrong, reterr, reterr_size);
    }
    if (rule_length > 0 && zone_rule_parse(rule_text, rule_length, &rule) < 0) {
        return refuse("its rule for the years to come cannot be read", reterr, reterr_size);
    }

    struct making m = {.spans = spans, .count = 1};

    spans[0] = (struct zone_span){.from = ZONE_BEGIN, .offset = offset_of_type(&b, 0)};
    for (size_t i = 0; i < b.times; i++) {
        change(&m, time_at(&b, i), offset_of_type(&b, b.index[i]));
    }
    if (rule.changes) {
        write_out(&m, &rule, b.times > 0 ? time_at(&b, b.times - 1) : ZONE_BEGIN);
    }
    note_what_was_shown(&m);
    return (int)m.count;
}
