/*
 * Sizes: what is taken, how it is written, what is refused.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "common/array.h"
#include "common/size.h"

#define KIB INT64_C(1024)

/* clang-format off */
static const struct {
    const char *text;
    int rc;
    int64_t bytes;
    const char *means;
} cases[] = {
    {"0",       0, 0, "0"},
    {"1",       0, 1, "1"},
    {"4096",    0, 4 * KIB, "4KiB"},
    {"1000",    0, 1000, "1000"},
    {"1025",    0, 1025, "1025"},
    {"64KiB",   0, 64 * KIB, "64KiB"},
    {"64K",     0, 64 * KIB, "64KiB"},
    {"64k",     0, 64 * KIB, "64KiB"},
    {"64kB",    0, 64 * KIB, "64KiB"},
    {"1024KiB", 0, KIB * KIB, "1MiB"},
    {"1MiB",    0, KIB * KIB, "1MiB"},
    {"3GB",     0, 3 * KIB * KIB * KIB, "3GiB"},
    {"1024GiB", 0, KIB * KIB * KIB * KIB, "1024GiB"},
    {"0MiB",    0, 0, "0"},
    {"1025GiB", -ERANGE, 0, NULL},
    {"99999999999999999999999999", -ERANGE, 0, NULL},
    {"",        -EINVAL, 0, NULL},
    {"KiB",     -EINVAL, 0, NULL},
    {"-1",      -EINVAL, 0, NULL},
    {"1.5MiB",  -EINVAL, 0, NULL},
    {"1 KiB",   -EINVAL, 0, NULL},
    {"1 ",      -EINVAL, 0, NULL},
    {"1kib",    -EINVAL, 0, NULL},
    {"1s",      -EINVAL, 0, NULL},
};
/* clang-format on */

Test(size, texts)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t bytes = -1;
        int rc = size_parse(cases[i].text, &bytes);

        cr_expect_eq(rc, cases[i].rc, "%s: %d", cases[i].text, rc);
        if (cases[i].rc == 0) {
            cr_expect_eq(bytes, cases[i].bytes, "%s", cases[i].text);
            cr_expect_str_eq(size_text(bytes).is, cases[i].means, "%s", cases[i].text);
        } else {
            cr_expect_eq(bytes, -1, "%s: nothing is written", cases[i].text);
        }
    }
}
