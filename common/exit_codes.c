#include "common/exit_codes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* The code at *at, which moves behind it; -1: there is none, or none that a process can have. */
static int take_code(const char **at)
{
    const char *from = skip_blanks(*at);
    size_t length = strspn(from, "0123456789");
    int code = 0;

    if (length == 0 || length > 3) {
        return -1;
    }
    for (size_t i = 0; i < length; i++) {
        code = code * 10 + (from[i] - '0');
    }
    *at = skip_blanks(from + length);
    return code <= EXIT_CODE_MAX ? code : -1;
}

static void add(struct exit_codes *codes, int code)
{
    codes->bits[code / 64] |= UINT64_C(1) << (code % 64);
}

int exit_codes_parse(const char *text, struct exit_codes *ret_codes, char *reterr,
                     size_t reterr_size)
{
    struct exit_codes codes = {{0}};
    const char *at = text;

    for (;;) {
        int first = take_code(&at);
        int last = first;

        if (first >= 0 && *at == '-') {
            at++;
            last = take_code(&at);
        }
        if (first < 0 || last < 0 || (*at != ',' && *at != '\0')) {
            (void)snprintf(reterr, reterr_size,
                           "'%.80s' is no list of exit codes from 0 to %d such as 0,3,75-78", text,
                           (int)EXIT_CODE_MAX);
            return -EINVAL;
        }
        if (last < first) {
            (void)snprintf(reterr, reterr_size, "%d-%d is the wrong way round; write %d-%d", first,
                           last, last, first);
            return -EINVAL;
        }
        for (int code = first; code <= last; code++) {
            add(&codes, code);
        }
        if (*at == '\0') {
            break;
        }
        at++;
    }
    *ret_codes = codes;
    return 0;
}

bool exit_codes_has(const struct exit_codes *codes, int code)
{
    return code >= 0 && code <= EXIT_CODE_MAX && (codes->bits[code / 64] >> (code % 64) & 1) != 0;
}

const char *exit_codes_text(const struct exit_codes *codes, char *text)
{
    size_t used = 0;

    text[0] = '\0';
    for (int first = 0; first <= EXIT_CODE_MAX; first++) {
        int last = first;

        if (!exit_codes_has(codes, first)) {
            continue;
        }
        while (exit_codes_has(codes, last + 1)) {
            last++;
        }
        used += (size_t)snprintf(text + used, EXIT_CODES_TEXT_MAX - used, "%s%d",
                                 used == 0 ? "" : ",", first);
        if (last > first) {
            used += (size_t)snprintf(text + used, EXIT_CODES_TEXT_MAX - used, "%c%d",
                                     last == first + 1 ? ',' : '-', last);
        }
        first = last;
    }
    return text;
}
