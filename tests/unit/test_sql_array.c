#include "worker/database/sql_array.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_bytes(struct sql_array *a, const char *bytes, size_t length)
{
    cr_assert_eq(sql_array_finish(a), 0);
    cr_assert_eq(a->used, length, "%zu bytes", a->used);
    cr_expect_eq(memcmp(a->bytes, bytes, length), 0);
    sql_array_release(a);
}

#define BYTES(text) (text), sizeof(text) - 1

Test(sql_array, nothing_is_an_array_of_no_dimension)
{
    struct sql_array a;

    sql_array_init(&a, SQL_TEXT);
    expect_bytes(&a, BYTES("\0\0\0\0"
                           "\0\0\0\0"
                           "\0\0\0\x19"));
}

Test(sql_array, values_are_as_the_server_writes_them)
{
    struct sql_array a;

    sql_array_init(&a, SQL_INT8);
    sql_array_add_int8(&a, 258);
    sql_array_add_null(&a);
    sql_array_add_int8(&a, -1);
    expect_bytes(&a, BYTES("\0\0\0\1"
                           "\0\0\0\1"
                           "\0\0\0\x14"
                           "\0\0\0\3"
                           "\0\0\0\1"
                           "\0\0\0\x08\0\0\0\0\0\0\1\2"
                           "\xff\xff\xff\xff"
                           "\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff"));
    sql_array_init(&a, SQL_BOOL);
    sql_array_add_bool(&a, true);
    expect_bytes(&a, BYTES("\0\0\0\1"
                           "\0\0\0\0"
                           "\0\0\0\x10"
                           "\0\0\0\1"
                           "\0\0\0\1"
                           "\0\0\0\1\1"));
}

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    bool ascii_only;
    const char *kept;
} texts[] = {
    {"quotes and braces are nothing special", "'\"\\{,}",      false, "'\"\\{,}"},
    {"a character stays",                     "\xc3\xbc",      false, "\xc3\xbc"},
    {"half of one is none",                   "a\xc3",         false, "a?"},
    {"nor is a byte on its own",              "a\xff" "b",     false, "a?b"},
    {"nor half of a pair of UTF-16",          "\xed\xa0\x80",  false, "???"},
    {"where the database has no such character it goes", "a\xc3\xbc" "b", true, "a??b"},
};
/* clang-format on */

Test(sql_array, a_text_is_always_one_that_the_server_takes)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sql_array a;
        size_t length = strlen(texts[i].kept);

        sql_array_init(&a, SQL_TEXT);
        sql_array_add_text(&a, texts[i].text, texts[i].ascii_only);
        cr_assert_eq(sql_array_finish(&a), 0);
        cr_assert_eq(a.used, 24 + length);
        cr_expect_eq(memcmp(a.bytes + 24, texts[i].kept, length), 0, "%s", texts[i].title);
        sql_array_release(&a);
    }
}
