/*
 * Comments to the end of the line, which an INI file does not have: found where they are, and
 * nowhere else.
 */
#include <criterion/criterion.h>

#include "common/array.h"
#include "common/sql_text.h"

/* clang-format off */
static const struct {
    const char *text;
    int at;  /* -1: there is none */
} cases[] = {
    {"", -1},
    {"SELECT 1", -1},
    {"SELECT 1 - -1, 2 -1", -1},
    {"SELECT j->'a'->>'b'", -1},
    {"DELETE FROM t -- all of them WHERE a", 14},
    {"--", 0},
    {"SELECT '--'", -1},
    {"SELECT 'it''s -- this'", -1},
    {"SELECT 'a' -- b", 11},
    {"SELECT E'it\\'s -- this'", -1},
    {"SELECT e'it\\'s -- this'", -1},
    {"SELECT (E'\\\\') -- b", 15},
    {"SELECT E'it''s \\'-- this'", -1},
    {"SELECT E'never closed \\'", -1},
    {"SELECT E'never closed \\", -1},
    {"SELECT 'a\\' -- b", 12},
    {"SELECT date'\\' -- b", 15},
    {"SELECT \"E\"'\\' -- b", 14},
    {"SELECT E\"\\\" -- b", 12},
    {"SELECT U&'\\' -- b", 13},
    {"SELECT \"--\" FROM \"a\"\"--\"", -1},
    {"SELECT /* -- */ 1", -1},
    {"SELECT /* a /* -- */ -- */ 1 -- x", 29},
    {"SELECT /* '*/ 1 -- x", 16},
    {"SELECT 'never closed --", -1},
    {"/* never closed --", -1},
    {"DO $$ BEGIN -- x END $$", 12},
    {"a/", -1},
    {"a-", -1},
};
/* clang-format on */

Test(sql_text, line_comments)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *at = sql_text_line_comment(cases[i].text);

        cr_expect_eq(at == NULL ? -1 : (int)(at - cases[i].text), cases[i].at, "%s", cases[i].text);
    }
}
