#include <criterion/criterion.h>
#include <string.h>

#include "worker/database/connect.h"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    size_t size;
    const char *line;
} cases[] = {
    {"line feeds become spaces",             "a\nb\n",                 99, "a b"},
    {"white space is one space",             " a \t b\n\tc \n\n",      99, "a b c"},
    {"what is said twice in a row is said once", "no: x\nno: x\n",     99, "no: x"},
    {"the same words later on are not lost", "a\nb\na\n",              99, "a b a"},
    {"nothing is nothing",                   "\n \n",                  99, ""},
    {"what does not fit is cut",             "abc\ndef",               6,  "abc d"},
};
/* clang-format on */

Test(connect, makes_one_line_of_a_text)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[99] = "?";

        connect_one_line(cases[i].text, line, cases[i].size);
        cr_expect_str_eq(line, cases[i].line, "%s: '%s'", cases[i].title, line);
    }
}
