#include "common/duration.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "common/array.h"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    int rc;
    dur_ns length;
} parsed[] = {
    {"milliseconds", "250ms", 0, DUR_MS(250)},
    {"seconds", "10s", 0, DUR_S(10)},
    {"minutes", "5m", 0, DUR_S(300)},
    {"hours", "2h", 0, DUR_S(7200)},
    {"days", "1d", 0, DUR_S(86400)},
    {"weeks", "1w", 0, DUR_S(604800)},
    {"zero needs no unit", "0", 0, 0},
    {"zero may have one", "0s", 0, 0},
    {"leading zeros are no octal number", "010s", 0, DUR_S(10)},
    {"a number needs a unit", "10", -EINVAL, 0},
    {"a unit needs a number", "s", -EINVAL, 0},
    {"nothing is no duration", "", -EINVAL, 0},
    {"no blank between them", "10 s", -EINVAL, 0},
    {"nothing behind the unit", "10s ", -EINVAL, 0},
    {"one unit only", "1h30m", -EINVAL, 0},
    {"no fractions", "1.5s", -EINVAL, 0},
    {"no sign", "-1s", -EINVAL, 0},
    {"no other unit", "5 parsecs", -EINVAL, 0},
    {"units are small letters", "5S", -EINVAL, 0},
    {"a hundred years", "36525d", 0, DUR_S(86400) * 36525},
    {"not a day more", "36526d", -ERANGE, 0},
    {"digits without end do not wrap around", "99999999999999999999999999s", -ERANGE, 0},
};

static const struct {
    const char *title;
    dur_ns length;
    const char *text;
} printed[] = {
    {"nothing", 0, "0"},
    {"the largest unit that divides it", DUR_S(120), "2m"},
    {"no fractions", DUR_MS(1500), "1500ms"},
    {"not minutes and seconds", DUR_S(90), "90s"},
    {"weeks", DUR_S(604800) * 2, "2w"},
    {"what is finer than a millisecond is left out", DUR_MS(3) + 999999, "3ms"},
    {"less than a millisecond is nothing", 999999, "0"},
    {"a length that is over", -DUR_S(2), "-2s"},
};
/* clang-format on */

Test(duration, parse)
{
    for (size_t i = 0; i < ARRAY_LEN(parsed); i++) {
        dur_ns length = -1;

        cr_expect_eq(duration_parse(parsed[i].text, &length), parsed[i].rc, "%s", parsed[i].title);
        cr_expect_eq(length, parsed[i].rc == 0 ? parsed[i].length : -1, "%s: %lld", parsed[i].title,
                     (long long)length);
    }
}

Test(duration, text)
{
    for (size_t i = 0; i < ARRAY_LEN(printed); i++) {
        cr_expect_str_eq(duration_text(printed[i].length).is, printed[i].text, "%s: %s",
                         printed[i].title, duration_text(printed[i].length).is);
    }
}

Test(duration, text_is_read_back)
{
    for (dur_ns length = DUR_MS(1); length < DUR_S(86400) * 365; length = length * 3 + DUR_MS(7)) {
        dur_ns again = 0;

        cr_assert_eq(duration_parse(duration_text(length).is, &again), 0);
        cr_expect_eq(again, length / DUR_MS(1) * DUR_MS(1));
    }
}
