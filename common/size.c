#include "common/size.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"

#define KIB INT64_C(1024)
#define SIZE_TEXT_LIMIT (KIB * KIB * KIB * KIB)

/* Those that are written come first, from the largest to the smallest; then what is read too. */
static const struct {
    const char *name;
    int64_t bytes;
} units[] = {
    {"GiB", KIB *KIB *KIB},
    {"MiB", KIB *KIB},
    {"KiB", KIB},
    {"", 1},
    {"GB", KIB *KIB *KIB},
    {"MB", KIB *KIB},
    {"kB", KIB},
    {"B", 1},
    {"G", KIB *KIB *KIB},
    {"M", KIB *KIB},
    {"K", KIB},
    {"KB", KIB},
    {"k", KIB},
};

int size_parse(const char *text, int64_t *ret_bytes)
{
    size_t digits = strspn(text, "0123456789");
    int64_t count = 0;
    int64_t unit = 0;

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            unit = units[i].bytes;
        }
    }
    if (digits == 0 || unit == 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < digits; i++) {
        count = count * 10 + (text[i] - '0');
        if (count > SIZE_TEXT_LIMIT / unit) {
            return -ERANGE;
        }
    }
    *ret_bytes = count * unit;
    return 0;
}

struct size_text size_text(int64_t bytes)
{
    struct size_text text;
    size_t fits = 0;

    assert(bytes >= 0);
    while (bytes % units[fits].bytes != 0 || bytes < units[fits].bytes) {
        if (units[fits].bytes == 1) {
            break; /* 0 */
        }
        fits++;
    }
    (void)snprintf(text.is, sizeof(text.is), "%" PRId64 "%s", bytes / units[fits].bytes,
                   units[fits].name);
    return text;
}
