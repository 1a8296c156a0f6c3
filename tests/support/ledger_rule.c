#include "tests/support/ledger_rule.h"

void ledger_try(const struct ledger_backend *backend, void (*rule)(struct ledger_fixture *f))
{
    static struct ledger_fixture f;

    ledger_fixture_up(&f, backend, "");
    rule(&f);
    ledger_fixture_down(&f);
}

wall_ns a_past(void)
{
    return (clock_wall() / DUR_S(1) - 3600) * DUR_S(1) + DUR_US(123456);
}

struct ledger_claim a_tick(const char *id, const char *job, wall_ns at)
{
    return (struct ledger_claim){
        .id = id,
        .job = job,
        .scheduled_at = at,
        .attempt = 1,
        .advances = true,
        .schedule_hash = 0x0123456789abcdef,
    };
}

struct ledger_change an_update(const char *id, enum outcome outcome)
{
    return (struct ledger_change){.kind = LEDGER_UPDATE, .id = id, .outcome = outcome, .code = -1};
}

struct ledger_change an_insert(const char *id, const char *job, wall_ns at, enum outcome outcome)
{
    return (struct ledger_change){
        .kind = LEDGER_INSERT,
        .id = id,
        .job = job,
        .scheduled_at = at,
        .count = 1,
        .attempt = 1,
        .outcome = outcome,
        .code = -1,
    };
}

void ledger_user_claim_one(struct ledger_user *u, const struct ledger_claim *claim,
                           enum ledger_verdict verdict)
{
    cr_assert_eq(ledger_user_claim(u, claim, 1), TOLD_CLAIMED, "%s", u->text);
    cr_assert_eq(u->verdict_count, 1);
    cr_assert_eq(u->verdicts[0], verdict, "the verdict on %s is %d", claim->id, u->verdicts[0]);
}

void ledger_user_change_one(struct ledger_user *u, const struct ledger_change *change)
{
    cr_assert_eq(ledger_user_change(u, change, 1), TOLD_WRITTEN, "%s", u->text);
}
