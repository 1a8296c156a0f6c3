#include "supervisor/cli/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static int digit(char c)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(letters, c);

    return at == NULL ? -1 : (int)(at - letters);
}

/* Four letters; the padding of the last group counts as zeroes. */
static long group_of(const char *text, size_t padding)
{
    long group = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i >= 4 - padding ? 0 : digit(text[i]);

        if (value < 0) {
            return -EINVAL;
        }
        group = group << 6 | value;
    }
    return group;
}

long base64_decode(const char *text, size_t length, unsigned char *to)
{
    long size = 0;

    if (length % 4 != 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < length; i += 4) {
        bool last = i + 4 == length;
        size_t padding = 0;

        if (last && text[i + 3] == '=') {
            padding = text[i + 2] == '=' ? 2 : 1;
        }
        long group = group_of(text + i, padding);
        if (group < 0) {
            return -EINVAL;
        }
        for (size_t byte = 0; byte < 3 - padding; byte++) {
            to[size++] = (unsigned char)(group >> (16 - 8 * byte) & 0xff);
        }
    }
    return size;
}
