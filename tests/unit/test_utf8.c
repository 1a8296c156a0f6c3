#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/utf8.h"
#include "supervisor/cli/table.h"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    size_t length;
} characters[] = {
    {"ASCII",                            "a",                1},
    {"the end of the text",              "",                 1},
    {"two bytes",                        "\xc3\xa9",         2},
    {"three bytes",                      "\xe2\x82\xac",     3},
    {"four bytes",                       "\xf0\x9f\x98\x80", 4},
    {"the last character",               "\xf4\x8f\xbf\xbf", 4},
    {"beyond the last character",        "\xf4\x90\x80\x80", 0},
    {"a second byte alone",              "\x9b",             0},
    {"a first byte at the end",          "\xc3",             0},
    {"a character that was cut",         "\xf0\x9f\x98",     0},
    {"a long form of a slash",           "\xc0\xaf",         0},
    {"a long form of three bytes",       "\xe0\x80\xaf",     0},
    {"a long form of four bytes",        "\xf0\x80\x80\xaf", 0},
    {"half of a pair of UTF-16",         "\xed\xa0\x80",     0},
    {"no first byte",                    "\xff",             0},
};
/* clang-format on */

Test(utf8, characters)
{
    for (size_t i = 0; i < ARRAY_LEN(characters); i++) {
        cr_expect_eq(utf8_length(characters[i].text), characters[i].length, "%s",
                     characters[i].title);
    }
}

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    const char *printed;
} texts[] = {
    {"what is safe stays",                  "caf\xc3\xa9 \xe2\x82\xac", "caf\xc3\xa9 \xe2\x82\xac"},
    {"a sequence that moves the cursor",    "\033[2J",                  "\\x1b[2J"},
    {"its other form, as UTF-8",            "\xc2\x9b" "2J",            "\\xc2\\x9b2J"},
    {"its other form, as a byte",           "\x9b" "2J",                "\\x9b2J"},
    {"a byte of another encoding",          "caf\xe9",                  "caf\\xe9"},
    {"a line feed, a return, a delete",     "\n\r\x7f",                 "\\x0a\\x0d\\x7f"},
};
/* clang-format on */

Test(utf8, a_terminal_obeys_nothing_of_what_is_printed)
{
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char *printed = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&printed, &size);

        print_safe(to, texts[i].text);
        cr_assert_eq(fclose(to), 0);
        cr_expect_str_eq(printed, texts[i].printed, "%s", texts[i].title);
        free(printed);
    }
}
