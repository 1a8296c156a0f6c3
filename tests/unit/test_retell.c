#include <criterion/criterion.h>

#include "worker/leader/retell.h"

/* clang-format off */
static const struct {
    const char *title;
    struct {
        bool succeeded;
        uint64_t told;
        uint64_t to_know; /* when the answer comes */
        enum retell_verdict verdict;
        bool log;
    } answers[4];
} cases[] = {
    {"told at once",
        {{true, 5, 5, RETELL_DONE, false},   {true, 6, 6, RETELL_DONE, false}}},
    {"a reload while it is told",
        {{true, 5, 6, RETELL_NOW, false},    {true, 6, 6, RETELL_DONE, false}}},
    {"it fails for a while, is logged once, and again when it fails anew",
        {{false, 5, 5, RETELL_LATER, true},  {false, 5, 5, RETELL_LATER, false},
         {true, 5, 5, RETELL_DONE, false},   {false, 6, 6, RETELL_LATER, true}}},
    {"a failure is waited for with another hash too",
        {{false, 5, 6, RETELL_LATER, true},  {false, 6, 6, RETELL_LATER, false},
         {true, 6, 6, RETELL_DONE, false}}},
};
/* clang-format on */

Test(retell, goes_on_until_the_followers_can_know_the_latest_jobs)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct retell retell = {0};

        for (size_t n = 0; n < 4 && cases[i].answers[n].told != 0; n++) {
            bool log = !cases[i].answers[n].log;

            retell_asked(&retell, cases[i].answers[n].told);
            cr_expect_eq(retell_answered(&retell, cases[i].answers[n].succeeded,
                                         cases[i].answers[n].to_know, &log),
                         cases[i].answers[n].verdict, "%s: answer %zu", cases[i].title, n);
            cr_expect_eq(log, cases[i].answers[n].log, "%s: answer %zu", cases[i].title, n);
        }
    }
}
