/* What a configuration means for the election. */
#include <criterion/criterion.h>

#include "supervisor/deeds.h"
#include "tests/unit/config_fixture.h"

TestSuite(deeds, .init = config_fixture_up, .fini = config_fixture_down);

#define DATABASE "[database]\ndsn = host=localhost\n"
#define JOB "[job one]\nschedule = manual\nexec = true\n"

static struct election_terms terms_of(const char *text)
{
    static const char *const overrides[] = {NULL};

    config_fixture_write("pgbaton.ini", text);
    struct config_result result = config_fixture_read_with(overrides, overrides);

    cr_assert_eq(result.rc, 0, "%s", text);
    struct election_terms terms = deeds_terms(result.cfg);
    config_fixture_release(&result);
    return terms;
}

Test(deeds, who_may_campaign_and_how)
{
    static const struct {
        const char *title;
        const char *text;
        bool candidate;
        bool has_probe;
    } cases[] = {
        {"with a database there is an election", DATABASE JOB, true, true},
        {"one without jobs leads all the same", DATABASE, true, true},
        {"with [jobs] enabled = no the seat is never sought", DATABASE "[jobs]\nenabled = no\n" JOB,
         false, true},
        {"a file is as good as a database", "[database]\ndsn = sqlite:/tmp/no.db\n" JOB, true,
         true},
        {"without a database there is none", "[database]\ndsn = none\n" JOB, true, false},
        {"nor with [election] enabled = no, whatever the dsn",
         DATABASE "[election]\nenabled = no\n" JOB, true, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct election_terms terms = terms_of(cases[i].text);

        cr_expect_eq(terms.candidate, cases[i].candidate, "%s", cases[i].title);
        cr_expect_eq(terms.has_probe, cases[i].has_probe, "%s", cases[i].title);
    }
}

Test(deeds, jobs_drain_until_stop_timeout_less_the_longest_grace_less_a_second)
{
    struct election_terms terms =
        terms_of("[pgbaton]\nstop_timeout = 20s\n" DATABASE JOB "grace = 2s\n"
                 "[job two]\nschedule = manual\nexec = true\ngrace = 9s\n"
                 "[job off]\nschedule = manual\nexec = true\ngrace = 15s\nenabled = no\n");

    cr_expect_eq(terms.over, DUR_S(19));
    cr_expect_eq(terms.drain, DUR_S(10), "a disabled job has no grace to keep");
}

Test(deeds, a_loss_leaves_jobs_their_loss_grace_and_the_time_to_kill_them)
{
    struct election_terms terms =
        terms_of(DATABASE "[election]\nloss_grace = 1500ms\ntakeover_delay = 3s\n" JOB);

    cr_expect_eq(terms.loss, DUR_MS(1750));
}
