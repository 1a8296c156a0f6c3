#include "worker/leader/question.h"

#include "worker/leader/scheduler.h"

/* Rounds of the loop in which an answer that is there is read. */
#define HEARD_WITHIN DUR_MS(50)

bool question_is_lesser(enum question question)
{
    return question == ASK_REQUESTS || question == ASK_PRUNE;
}

bool question_proves(enum question answered, enum question failed, bool pending)
{
    return answered == failed || !pending || question_is_lesser(failed);
}

static enum question choose(const struct question_facts *f, mono_ns now)
{
    bool write = f->has_writes && (f->write_at <= now || f->ending || f->is_full);
    bool claim = f->has_claims && f->claims_at <= now;

    if (f->load_wanted) {
        return ASK_LOAD;
    }
    /* A claim says what its job's last tick is: what is known of the ticks before it comes first.
     */
    if (claim && f->says_tick) {
        return ASK_WRITE;
    }
    if (claim && !(write && f->before == ASK_CLAIM)) {
        return ASK_CLAIM;
    }
    if (write) {
        return ASK_WRITE;
    }
    if (f->ending) {
        return ASK_NOTHING;
    }
    /* Those whose answers are not written yet would be read again. */
    if (!f->has_answers && (f->requests_wanted || f->requests_at <= now)) {
        return ASK_REQUESTS;
    }
    return f->prune_at <= now ? ASK_PRUNE : ASK_NOTHING;
}

static mono_ns earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

struct question_choice question_choose(const struct question_facts *f, mono_ns now)
{
    struct question_choice choice = {.question = choose(f, now), .at = MONO_NEVER};

    if (choice.question != ASK_NOTHING) {
        return choice;
    }
    if (f->has_claims) {
        choice.at = earlier(choice.at, f->claims_at);
    }
    if (f->has_writes) {
        choice.at = earlier(choice.at, f->write_at);
    }
    if (!f->ending) {
        choice.at = earlier(choice.at, f->prune_at);
    }
    if (!f->ending && !f->has_answers) {
        choice.at = earlier(choice.at, f->requests_at);
    }
    return choice;
}

bool question_falls_silent(struct question_patience *p, mono_ns now)
{
    if (p->silent || now < p->asked_at + SCHEDULER_LATE) {
        return false;
    }
    if (p->overdue_at == 0) {
        p->overdue_at = now + HEARD_WITHIN;
    }
    p->silent = now >= p->overdue_at;
    return p->silent;
}

mono_ns question_look_at(const struct question_patience *p)
{
    if (p->silent) {
        return MONO_NEVER;
    }
    return p->overdue_at != 0 ? p->overdue_at : p->asked_at + SCHEDULER_LATE;
}
