#include "worker/probe/records.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/array.h"
#include "supervisor/cli/base64.h"

static char *said(enum record_type type, const char *text, size_t size)
{
    json_t *value = record_value(type, text, size);
    char *line = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));

    json_decref(value);
    return line;
}

/* clang-format off */
static const struct {
    enum record_type type;
    const char *text;
    const char *json;
} values[] = {
    {RECORD_TEXT,    NULL,               "null"},
    {RECORD_TEXT,    "a\"b",             "\"a\\\"b\""},
    {RECORD_TEXT,    "a\xff",            "\"a?\""},
    {RECORD_INTEGER, "-17",              "-17"},
    {RECORD_INTEGER, NULL,               "null"},
    {RECORD_BOOLEAN, "t",                "true"},
    {RECORD_BOOLEAN, "1",                "true"},
    {RECORD_BOOLEAN, "f",                "false"},
    {RECORD_BOOLEAN, "0",                "false"},
    {RECORD_MOMENT,  "1795428000012345", "\"2026-11-23T10:00:00.012Z\""},
    {RECORD_MOMENT,  "9223372036854775807", "null"},
    {RECORD_MOMENT,  "-9223372036854775808", "null"},
    {RECORD_LENGTH,  "3200000",          "3.2000000000000002"},
    {RECORD_LENGTH,  "-1",               "-9.9999999999999995e-07"},
};
/* clang-format on */

Test(records, become_json)
{
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char *json = said(values[i].type, values[i].text,
                          values[i].text == NULL ? 0 : strlen(values[i].text));

        if (values[i].type == RECORD_LENGTH) { /* as many digits as it likes */
            cr_expect_float_eq(strtod(json, NULL), strtod(values[i].json, NULL), 1e-12, "%s", json);
        } else {
            cr_expect_str_eq(json, values[i].json, "%zu", i);
        }
        free(json);
    }
}

Test(records, bytes_come_back_as_they_were)
{
    unsigned char bytes[256];
    unsigned char back[400];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 7 + 250);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        json_t *value = record_value(RECORD_BYTES, (const char *)bytes, size);
        const char *text = json_string_value(value);

        cr_assert_not_null(text);
        cr_assert_eq(base64_decode(text, strlen(text), back), (long)size);
        cr_assert_arr_eq(back, bytes, size);
        json_decref(value);
    }
}

Test(records, what_is_no_base64_is_refused)
{
    static const char *const wrong[] = {
        "A", "AA", "AAA", "A===", "====", "AA=A", "AA\nA", "AAA\xff", "AA==AAAA"};
    unsigned char to[16];

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        cr_expect_eq(base64_decode(wrong[i], strlen(wrong[i]), to), -EINVAL, "%s", wrong[i]);
    }
    cr_expect_eq(base64_decode("", 0, to), 0);
}
