#include "common/utf8.h"

static bool follows(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t utf8_length(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    if (c[0] < 0x80) {
        return 1;
    }
    if (c[0] < 0xc2 || c[0] > 0xf4 || !follows(c[1])) {
        return 0; /* 0xc0 and 0xc1 would begin a long form of one byte */
    }
    if (c[0] < 0xe0) {
        return 2;
    }
    /* A long form of two bytes, or a half of a pair of UTF-16. */
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0) || !follows(c[2])) {
        return 0;
    }
    if (c[0] < 0xf0) {
        return 3;
    }
    /* A long form of three bytes, or beyond the last character. */
    if ((c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] >= 0x90) || !follows(c[3])) {
        return 0;
    }
    return 4;
}

bool utf8_is_control(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    return c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0);
}
