#include "worker/leader/question.h"

bool question_is_lesser(enum question question)
{
    return question == ASK_REQUESTS || question == ASK_PRUNE;
}

bool question_proves(enum question answered, enum question failed, bool pending)
{
    return answered == failed || !pending || question_is_lesser(failed);
}
