/*
 * Lists of exit codes: what is taken, how it is written, what is refused.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/array.h"
#include "common/exit_codes.h"

/* clang-format off */
static const struct {
    const char *text;
    const char *means;  /* NULL: refused */
    const char *reason;
} cases[] = {
    {"0",               "0", NULL},
    {"0,3,75-78",       "0,3,75-78", NULL},
    {" 3 , 0 ,\t4 ",    "0,3,4", NULL},
    {"3,4,5,9,10",      "3-5,9,10", NULL},
    {"5-5,5",           "5", NULL},
    {"0-255",           "0-255", NULL},
    {"64,63,127,128",   "63,64,127,128", NULL},
    {"007",             "7", NULL},
    {"",                NULL, "'' is no list of exit codes from 0 to 255 such as 0,3,75-78"},
    {"0,",              NULL, "'0,' is no list"},
    {",0",              NULL, "',0' is no list"},
    {"0,,1",            NULL, "is no list"},
    {"0 1",             NULL, "is no list"},
    {"256",             NULL, "is no list"},
    {"1000",            NULL, "is no list"},
    {"-1",              NULL, "is no list"},
    {"1-",              NULL, "is no list"},
    {"1-2-3",           NULL, "is no list"},
    {"all",             NULL, "is no list"},
    {"0x1",             NULL, "is no list"},
    {"78-75",           NULL, "78-75 is the wrong way round; write 75-78"},
};
/* clang-format on */

Test(exit_codes, lists)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct exit_codes codes;
        char text[EXIT_CODES_TEXT_MAX];
        char reason[200] = "";
        int rc = exit_codes_parse(cases[i].text, &codes, reason, sizeof(reason));

        if (cases[i].means == NULL) {
            cr_expect_eq(rc, -EINVAL, "%s", cases[i].text);
            cr_expect_not_null(strstr(reason, cases[i].reason), "%s: %s", cases[i].text, reason);
        } else {
            cr_assert_eq(rc, 0, "%s: %s", cases[i].text, reason);
            cr_expect_str_eq(exit_codes_text(&codes, text), cases[i].means, "%s", cases[i].text);
        }
    }
}

Test(exit_codes, has_those_of_the_list_and_no_others)
{
    struct exit_codes codes;
    char reason[200];

    cr_assert_eq(exit_codes_parse("3,63-64,255", &codes, reason, sizeof(reason)), 0);
    for (int code = -300; code <= 300; code++) {
        bool expected = code == 3 || code == 63 || code == 64 || code == 255;

        cr_expect_eq(exit_codes_has(&codes, code), expected, "%d", code);
    }
}

Test(exit_codes, the_longest_list_fits)
{
    struct exit_codes codes = {{0}};
    struct exit_codes again;
    char text[EXIT_CODES_TEXT_MAX];
    char reason[200];

    for (int i = 0; i < 4; i++) {
        codes.bits[i] = UINT64_C(0xAAAAAAAAAAAAAAAA);
    }
    cr_expect_lt(strlen(exit_codes_text(&codes, text)), sizeof(text) - 1);
    cr_assert_eq(exit_codes_parse(text, &again, reason, sizeof(reason)), 0);
    cr_expect_eq(memcmp(&codes, &again, sizeof(codes)), 0);
}
