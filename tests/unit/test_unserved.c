#include <criterion/criterion.h>

#include "worker/probe/unserved.h"

/* Looks every 20 s: S some of our jobs are unserved, N none, - nobody leads. As many verdicts: S it
 * is said, . it is not. */
/* clang-format off */
static const struct {
    const char *title;
    const char *looks;
    const char *verdicts;
} cases[] = {
    {"the same jobs",                                     "NNNNN",      "....."},
    {"said after a minute, until it is over",             "SSSSSNS",    "...SS.."},
    {"a deployment that is over within the minute",       "SSSNNNN",    "......."},
    {"a minute in pieces is none",                        "SSSNSSSNSS", ".........."},
    {"nor is one in which nobody was to be seen",         "SSS-SSS-S",  "........."},
    {"a whole one after that is",                         "SS-SSSS",    "......S"},
    {"while nobody leads, what was said stays",           "SSSS---",    "...SSSS"},
    {"and stays when the next leader has not got them",   "SSSS-S",     "...SSS"},
    {"until the next leader has them",                    "SSSS-N",     "...SS."},
    {"while nobody leads, nothing is said anew",          "-----",      "....."},
};
/* clang-format on */

static enum unserved_sight sight_of(char look)
{
    if (look == '-') {
        return UNSERVED_UNKNOWN;
    }
    return look == 'S' ? UNSERVED_SOME : UNSERVED_NONE;
}

Test(unserved, is_said_after_a_minute_without_a_break)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct unserved unserved = {0};

        for (size_t n = 0; cases[i].looks[n] != '\0'; n++) {
            mono_ns now = DUR_S(1000) + (mono_ns)n * DUR_S(20);

            cr_expect_eq(unserved_look(&unserved, sight_of(cases[i].looks[n]), now),
                         cases[i].verdicts[n] == 'S', "%s: look %zu", cases[i].title, n);
        }
    }
}

Test(unserved, is_not_said_a_moment_before_the_minute_is_over)
{
    struct unserved unserved = {0};

    cr_expect_not(unserved_look(&unserved, UNSERVED_SOME, 5));
    cr_expect_not(unserved_look(&unserved, UNSERVED_SOME, 4 + UNSERVED_AFTER));
    cr_expect(unserved_look(&unserved, UNSERVED_SOME, 5 + UNSERVED_AFTER));
}
