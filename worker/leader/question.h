/*
 * question.h - PURE: what is asked of the ledger, and what an answer says of
 * questions that failed before it.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_QUESTION_H
#define PGBATON_WORKER_LEADER_QUESTION_H

#include <stdbool.h>

enum question { ASK_NOTHING, ASK_LOAD, ASK_CLAIM, ASK_WRITE, ASK_REQUESTS, ASK_PRUNE };

/* question_is_lesser - where only this one fails, runs are started and recorded all the same. */
bool question_is_lesser(enum question question);

/*
 * question_proves - the one was answered: does what failed work again? Not known is it as long as
 * the one that failed is still to be asked (pending): a table may be readable and not writable, and
 * another one may be there when this one is not.
 */
bool question_proves(enum question answered, enum question failed, bool pending);

#endif
