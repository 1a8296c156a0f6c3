/* What an answer of the ledger says of a question that failed before it. */
#include <criterion/criterion.h>

#include "common/random.h"
#include "worker/leader/question.h"

Test(question, an_answer_proves_that_the_same_works_and_no_other_that_is_still_to_be_asked)
{
    static const enum question great[] = {ASK_LOAD, ASK_CLAIM, ASK_WRITE};

    for (size_t i = 0; i < 3; i++) {
        for (enum question answered = ASK_LOAD; answered <= ASK_PRUNE; answered++) {
            cr_expect_eq(question_proves(answered, great[i], true), answered == great[i], "%zu %d",
                         i, (int)answered);
            cr_expect(question_proves(answered, great[i], false), "it would never be proved");
        }
    }
}

Test(question, without_requests_and_old_rows_the_rest_works)
{
    cr_expect(question_is_lesser(ASK_REQUESTS));
    cr_expect(question_is_lesser(ASK_PRUNE));
    cr_expect_not(question_is_lesser(ASK_LOAD));
    cr_expect_not(question_is_lesser(ASK_CLAIM));
    cr_expect_not(question_is_lesser(ASK_WRITE));
    cr_expect(question_proves(ASK_CLAIM, ASK_PRUNE, true));
    cr_expect(question_proves(ASK_CLAIM, ASK_REQUESTS, true));
}

static mono_ns moment(struct prng *random)
{
    uint64_t kind = prng_below(random, 8);

    return kind == 0 ? MONO_NEVER : kind == 1 ? 0 : DUR_S((int64_t)prng_below(random, 20));
}

/* The shell would turn without a pause. */
Test(question, where_nothing_is_asked_the_next_look_lies_ahead)
{
    const mono_ns now = DUR_S(10);
    struct prng random;

    prng_seed(&random, 1);
    for (int i = 0; i < 200000; i++) {
        const struct question_facts facts = {
            .ending = prng_below(&random, 2) != 0,
            .has_claims = prng_below(&random, 2) != 0,
            .claims_at = moment(&random),
            .has_writes = prng_below(&random, 2) != 0,
            .says_tick = prng_below(&random, 2) != 0,
            .write_at = moment(&random),
            .has_answers = prng_below(&random, 2) != 0,
            .requests_wanted = prng_below(&random, 2) != 0,
            .requests_at = moment(&random),
            .prune_at = moment(&random),
            .before = (enum question)prng_below(&random, 6),
        };
        struct question_choice choice = question_choose(&facts, now);

        cr_assert(choice.question != ASK_NOTHING || choice.at > now);
        cr_assert(!facts.ending || choice.question == ASK_NOTHING || choice.question == ASK_CLAIM ||
                  choice.question == ASK_WRITE);
    }
}

Test(question, that_is_not_answered_is_heard_once_more_and_then_silent)
{
    struct question_patience p = {.asked_at = DUR_S(10)};

    cr_expect_not(question_falls_silent(&p, DUR_S(11)), "in time");
    cr_expect_eq(question_look_at(&p), DUR_S(12));
    cr_expect_not(question_falls_silent(&p, DUR_S(60)), "it may be us who stood still");
    cr_expect_eq(question_look_at(&p), DUR_S(60) + DUR_MS(50));
    cr_expect(question_falls_silent(&p, DUR_S(60) + DUR_MS(50)));
    cr_expect(p.silent);
    cr_expect_not(question_falls_silent(&p, DUR_S(70)), "once");
    cr_expect_eq(question_look_at(&p), MONO_NEVER);
}
