#include "common/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"

/* What is longer than this is a slip of the finger, and far from an overflow. */
#define DURATION_MAX (DUR_S(60) * 60 * 24 * 36525)

/* From the longest to the shortest: the text of a length takes the first that divides it. */
static const struct {
    const char *name;
    dur_ns length;
} units[] = {
    {"w", DUR_S(7 * 24 * 3600)},
    {"d", DUR_S(24 * 3600)},
    {"h", DUR_S(3600)},
    {"m", DUR_S(60)},
    {"s", DUR_S(1)},
    {"ms", DUR_MS(1)},
};

static dur_ns unit_length(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strcmp(units[i].name, name) == 0) {
            return units[i].length;
        }
    }
    return 0;
}

int duration_parse(const char *text, dur_ns *ret_length)
{
    const char *at = text;
    int64_t count = 0;

    if (*at < '0' || *at > '9') {
        return -EINVAL;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        if (count > DURATION_MAX / 10) {
            return -ERANGE;
        }
        count = count * 10 + (*at - '0');
    }

    dur_ns unit = unit_length(at);

    if (unit == 0 && !(count == 0 && *at == '\0')) {
        return -EINVAL;
    }
    if (unit != 0 && count > DURATION_MAX / unit) {
        return -ERANGE;
    }
    *ret_length = count * unit;
    return 0;
}

struct duration_text duration_text(dur_ns length)
{
    struct duration_text text;
    const char *sign = length < 0 ? "-" : "";
    uint64_t left = length < 0 ? 0 - (uint64_t)length : (uint64_t)length;
    size_t fits = ARRAY_LEN(units) - 1;

    left -= left % (uint64_t)DUR_MS(1);
    if (left == 0) {
        return (struct duration_text){.is = "0"};
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (left % (uint64_t)units[i].length == 0) {
            fits = i;
            break;
        }
    }
    (void)snprintf(text.is, sizeof(text.is), "%s%" PRIu64 "%s", sign,
                   left / (uint64_t)units[fits].length, units[fits].name);
    return text;
}
