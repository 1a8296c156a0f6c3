#include <criterion/criterion.h>

#include "worker/probe/witness.h"

#define LED DUR_S(100)
#define HERE                                                                                       \
    {                                                                                              \
        .system_id = 71, .timeline = 2                                                             \
    }

/* clang-format off */
static const struct {
    const char *title;
    struct witness witness;
    mono_ns asked_at;
    struct server_identity looked_at;
    bool holds;
    enum witness_verdict verdict;
} cases[] = {
    {"the backend is seen with the key",
        {7, LED, HERE}, LED + 1, HERE, true, WITNESS_CONFIRMS},
    {"the key is seen without the backend",
        {7, LED, HERE}, LED + 1, HERE, false, WITNESS_DENIES},
    {"a look in the very instant counts",
        {7, LED, HERE}, LED, HERE, false, WITNESS_DENIES},
    {"a look that was sent before our worker led is no evidence against it",
        {7, LED, HERE}, LED - 1, HERE, false, WITNESS_UNKNOWN},
    {"nor is one for it",
        {7, LED, HERE}, LED - 1, HERE, true, WITNESS_UNKNOWN},
    {"nobody leads: there is nothing to deny",
        {0, LED, HERE}, LED + 1, HERE, false, WITNESS_UNKNOWN},
    {"another cluster knows nothing of our backend",
        {7, LED, HERE}, LED + 1, {.system_id = 72, .timeline = 2}, false, WITNESS_UNKNOWN},
    {"nor does another timeline of the same one",
        {7, LED, HERE}, LED + 1, {.system_id = 71, .timeline = 3}, false, WITNESS_UNKNOWN},
    {"a pid that came back on another cluster confirms nothing",
        {7, LED, HERE}, LED + 1, {.system_id = 72, .timeline = 2}, true, WITNESS_UNKNOWN},
    {"two clusters that do not say which they are may be two",
        {7, LED, {0}}, LED + 1, {0}, false, WITNESS_UNKNOWN},
    {"a system without its timeline may be the old primary",
        {7, LED, {.system_id = 71}}, LED + 1, {.system_id = 71}, false, WITNESS_UNKNOWN},
    {"a timeline without its system says nothing",
        {7, LED, {.timeline = 2}}, LED + 1, {.timeline = 2}, false, WITNESS_UNKNOWN},
};
/* clang-format on */

Test(witness, says_no_only_where_it_can_tell)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum witness_verdict got = witness_verdict(&cases[i].witness, cases[i].asked_at,
                                                   cases[i].looked_at, cases[i].holds);

        cr_expect(got == cases[i].verdict, "%s: %d", cases[i].title, (int)got);
    }
}

Test(witness, looks_for_the_backend_from_the_moment_on_that_it_was_told)
{
    const struct witness witness = {7, LED, HERE};
    const struct witness nobody = {0, LED, HERE};

    cr_expect(witness_pid(&witness, LED) == 7);
    cr_expect(witness_pid(&witness, LED - 1) == 0);
    cr_expect(witness_pid(&nobody, LED + 1) == 0);
}
