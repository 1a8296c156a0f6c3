/*
 * question.h - PURE: what is asked of the ledger, and what an answer says of
 * questions that failed before it.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_QUESTION_H
#define PGBATON_WORKER_LEADER_QUESTION_H

#include <stdbool.h>

#include "common/clock.h"

enum question { ASK_NOTHING, ASK_LOAD, ASK_CLAIM, ASK_WRITE, ASK_REQUESTS, ASK_PRUNE };

/* What waits to be asked. */
struct question_facts {
    bool ending; /* the term: what is left is written, and nothing else begins */
    bool load_wanted;
    bool has_claims;
    mono_ns claims_at; /* not before */
    bool has_writes;
    bool is_full;     /* more writes would not fit into one question */
    bool says_tick;   /* a write tells of a job's last tick */
    mono_ns write_at; /* they are gathered until then */
    bool has_answers; /* to requests, among the writes */
    bool requests_wanted;
    mono_ns requests_at;
    mono_ns prune_at;
    enum question before; /* the one that was asked last */
};

struct question_choice {
    enum question question;
    mono_ns at; /* NOTHING: when to choose again, if nothing else happens; always after now */
};

/* question_choose - neither claims nor writes keep the other waiting for ever. */
struct question_choice question_choose(const struct question_facts *facts, mono_ns now);

/* question_is_lesser - where only this one fails, runs are started and recorded all the same. */
bool question_is_lesser(enum question question);

/*
 * question_proves - the one was answered: does what failed work again? Not known is it as long as
 * the one that failed is still to be asked (pending): a table may be readable and not writable, and
 * another one may be there when this one is not.
 */
bool question_proves(enum question answered, enum question failed, bool pending);

/* How long an answer is waited for. All but asked_at begins with zeroes. */
struct question_patience {
    mono_ns asked_at;
    mono_ns overdue_at; /* it is late: its answer may be there, and is heard until then. 0: not */
    bool silent;        /* what is due is not to wait for it any more */
};

/*
 * question_falls_silent - there is no answer at this moment: is it silent from
 * now on? Once true. It is heard first: if it was us who stood still, the answer
 * is there and was not read.
 */
bool question_falls_silent(struct question_patience *p, mono_ns now);

/* question_look_at - when to ask that again, if there is no answer; MONO_NEVER: no more. */
mono_ns question_look_at(const struct question_patience *p);

#endif
