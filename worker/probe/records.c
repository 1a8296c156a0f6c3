#include "worker/probe/records.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "worker/monitor/json_text.h"

#define US_A_SECOND 1000000.0

/* NULL: out of memory. */
static char *base64(const unsigned char *bytes, size_t size)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((size + 2) / 3 * 4 + 1);
    char *to = text;

    if (text == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < size; i += 3) {
        unsigned second = i + 1 < size ? bytes[i + 1] : 0;
        unsigned third = i + 2 < size ? bytes[i + 2] : 0;
        unsigned group = (unsigned)bytes[i] << 16 | second << 8 | third;

        *to++ = letters[group >> 18];
        *to++ = letters[group >> 12 & 63];
        *to++ = i + 1 < size ? letters[group >> 6 & 63] : '=';
        *to++ = i + 2 < size ? letters[group & 63] : '=';
    }
    *to = '\0';
    return text;
}

static json_t *bytes_value(const char *bytes, size_t size)
{
    char *text = base64((const unsigned char *)bytes, size);
    json_t *made = text == NULL ? NULL : json_string(text);

    free(text);
    return made;
}

/* A moment that no wall_ns can hold was put there by somebody else. */
static json_t *moment_value(int64_t us)
{
    if (us > WALL_NEVER / DUR_US(1) || us < -(WALL_NEVER / DUR_US(1))) {
        return json_null();
    }
    return json_moment(us * DUR_US(1));
}

json_t *record_value(enum record_type type, const char *text, size_t size)
{
    if (text == NULL) {
        return json_null();
    }
    switch (type) {
    case RECORD_TEXT:
        return json_text(text);
    case RECORD_INTEGER:
        return json_integer(strtoll(text, NULL, 10));
    case RECORD_BOOLEAN:
        return json_boolean(text[0] == 't' || text[0] == '1');
    case RECORD_MOMENT:
        return moment_value(strtoll(text, NULL, 10));
    case RECORD_LENGTH:
        return json_real((double)strtoll(text, NULL, 10) / US_A_SECOND);
    case RECORD_BYTES:
        return bytes_value(text, size);
    }
    return json_null();
}

json_t *record_row(const struct record *record,
                   const char *(*cell)(void *ctx, size_t column, size_t *ret_size), void *ctx)
{
    struct json_making making = {.object = json_object()};

    for (size_t i = 0; i < record->count; i++) {
        enum record_type type = record->columns[i].type;
        size_t size = 0;
        const char *text = cell(ctx, i, &size);

        if (type == RECORD_BYTES && record->encoded) {
            type = RECORD_TEXT;
        }
        json_put(&making, record->columns[i].name, record_value(type, text, size));
    }
    return json_made(&making);
}
