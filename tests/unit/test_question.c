/* What an answer of the ledger says of a question that failed before it. */
#include <criterion/criterion.h>

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
