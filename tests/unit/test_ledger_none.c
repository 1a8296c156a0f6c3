/* The ledger where there is none: everything is granted, nothing is remembered. */
#include <criterion/criterion.h>

#include "tests/unit/config_fixture.h"
#include "tests/unit/sqlite_user.h"

TestSuite(ledger_none, .init = config_fixture_up, .fini = config_fixture_down, .timeout = 60);

Test(ledger_none, grants_everything_and_forgets_it)
{
    struct sqlite_user u;
    const struct ledger_claim claim = {.id = "1", .job = "a", .scheduled_at = 1};
    const struct ledger_claim claims[] = {claim, claim};
    const struct ledger_change change = {.kind = LEDGER_UPDATE, .id = "1"};

    user_open(&u, 7, "[election]\nenabled = no\n");
    cr_expect_eq(user_begin(&u, 0, 0), HEARD_READY);
    cr_expect_eq(user_claim_one(&u, &claim), LEDGER_GRANTED);
    cr_expect_eq(user_claim(&u, claims, 2), HEARD_CLAIMED);
    cr_expect_eq(u.verdict_count, 2);
    cr_expect_eq(u.verdicts[1], LEDGER_GRANTED);
    cr_expect_eq(user_change(&u, &change), HEARD_WRITTEN);
    wall_ns before = clock_wall();
    cr_expect_eq(user_load(&u), HEARD_LOADED);
    cr_expect_eq(u.run_count, 0);
    cr_expect_eq(u.job_count, 0);
    cr_expect_geq(u.clock, before);
    cr_expect_eq(user_take_requests(&u), HEARD_REQUESTS);
    cr_expect_eq(u.request_count, 0);
    cr_expect_eq(user_prune(&u, "a"), HEARD_PRUNED);
    cr_expect_eq(u.pruned, 0);
    user_close(&u);
}
