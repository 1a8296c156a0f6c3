/*
 * How many ticks a second does the ledger alone take: claimed in one batch, their
 * ends written in another, as the leader does it? A job costs nothing here.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/bench/table.h"
#include "tests/support/ledger_fixture.h"

enum { BATCH = 500 };

#define SUSTAINED DUR_S(10)

static const struct epoch epoch = {.generation = 1, .number = 1};

struct batch {
    char jobs[BATCH][16];
    char ids[BATCH][RUN_ID_MAX];
    struct ledger_claim claims[BATCH];
    struct ledger_change changes[BATCH];
};

static void fill(struct batch *b, size_t round, wall_ns instant)
{
    for (size_t i = 0; i < BATCH; i++) {
        (void)snprintf(b->jobs[i], sizeof b->jobs[i], "job-%zu", i);
        (void)snprintf(b->ids[i], sizeof b->ids[i], "1.1-%zu", round * BATCH + i);
        b->claims[i] = (struct ledger_claim){
            .id = b->ids[i],
            .job = b->jobs[i],
            .scheduled_at = instant,
            .attempt = 1,
            .origin = ORIGIN_SCHEDULE,
            .advances = true,
            .schedule_hash = 4711,
        };
        b->changes[i] = (struct ledger_change){
            .kind = LEDGER_UPDATE,
            .id = b->ids[i],
            .outcome = OUTCOME_SUCCEEDED,
            .count = 1,
            .attempt = 1,
            .started_at = instant + DUR_MS(1),
            .ended_at = instant + DUR_MS(2),
        };
    }
}

/* Ticks a second. */
static double rate_of(const struct ledger_backend *backend)
{
    static struct ledger_fixture f;
    static struct ledger_user u;
    static struct batch b;
    size_t rounds = 0;

    ledger_fixture_up(&f, backend, "");
    ledger_user_open(&u, &f, epoch, 1);
    wall_ns instant = clock_wall() / DUR_S(1) * DUR_S(1) - DUR_S(3600);
    mono_ns begin = clock_now();
    while (clock_now() - begin < SUSTAINED) {
        fill(&b, rounds++, instant);
        instant += DUR_S(1);
        cr_assert_eq(ledger_user_claim(&u, b.claims, BATCH), TOLD_CLAIMED, "%s", u.text);
        for (size_t i = 0; i < BATCH; i++) {
            cr_assert_eq(u.verdicts[i], LEDGER_GRANTED);
        }
        cr_assert_eq(ledger_user_change(&u, b.changes, BATCH), TOLD_WRITTEN, "%s", u.text);
    }
    double seconds = (double)(clock_now() - begin) / (double)DUR_S(1);
    cr_assert_eq(ledger_count(&f, "run", "outcome = 'succeeded'"), (long)(rounds * BATCH));
    ledger_user_close(&u);
    ledger_fixture_down(&f);
    return (double)(rounds * BATCH) / seconds;
}

Test(bench, ledger, .timeout = 300)
{
    table_rate("ledger alone, PostgreSQL: ticks claimed and completed",
               rate_of(&ledger_backend_postgres), 2000);
}
