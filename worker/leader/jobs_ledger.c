/* What is asked of the ledger: claims, changes, requests; gathered, and asked one after the other.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/job.h"

/* Requests are announced; this is for the announcement that got lost, or never comes (SQLite). */
#define REQUESTS_EVERY DUR_S(5)
#define REQUESTS_EVERY_SQLITE DUR_S(1)
#define PRUNE_EVERY DUR_MS(500)
#define PRUNE_AGED_EVERY DUR_S(300)

static struct ledger_claim claim_of(const struct tick *tick, struct claim_names *names)
{
    const struct job *job = tick->job;

    (void)snprintf(names->id, sizeof(names->id), "%s", tick->id);
    (void)snprintf(names->job, sizeof(names->job), "%s", job->board.name);
    return (struct ledger_claim){
        .id = names->id,
        .job = names->job,
        .scheduled_at = tick->plan.scheduled_at,
        .attempt = tick->plan.attempt,
        .origin = tick->plan.origin,
        .promotes = tick->promotes,
        .advances = !tick->promotes && tick->plan.origin == ORIGIN_SCHEDULE &&
                    schedule_is_clocked(&job->plan.schedule),
        .schedule_hash = job->schedule_hash,
    };
}

static void ask_claims(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;
    size_t count = 0;
    size_t kept = 0;

    if (a->claim_batch == NULL) {
        a->claim_batch = jobs_must_have(calloc(LEDGER_BATCH_MAX, sizeof(*a->claim_batch)));
        a->claim_names = jobs_must_have(calloc(LEDGER_BATCH_MAX, sizeof(*a->claim_names)));
    }
    for (size_t i = 0; i < a->claim_count; i++) { /* those that were forgotten leave holes */
        if (a->claims[i] != NULL) {
            a->claims[kept++] = a->claims[i];
        }
    }
    a->claim_count = kept;
    for (; count < kept && count < LEDGER_BATCH_MAX; count++) {
        a->claim_batch[count] = claim_of(a->claims[count], &a->claim_names[count]);
    }
    if (count == 0) {
        return;
    }
    a->claims_asked = count;
    a->question = ASK_CLAIM;
    ledger_claim(a->ledger, a->claim_batch, count);
}

/* Runs that go on longer than results are gathered are worth a line of their own: of the others the
 * end is told, and no start. They are in the order of their starts. */
static void report_starts(struct jobs *jobs, mono_ns now)
{
    struct asking *a = &jobs->asking;
    mono_ns young = jobs->ending == ENDING_NOT ? now - LEDGER_WRITE_WITHIN : MONO_NEVER;

    while (a->unreported != NULL && a->change_count < LEDGER_BATCH_MAX) {
        struct tick *tick = a->unreported;

        if (tick->run->started_at > young) {
            return;
        }
        struct change *change =
            jobs_ask_change(jobs, LEDGER_UPDATE, tick->id, OUTCOME_RUNNING, NULL);

        change->is.started_at = tick->run->started_wall;
        jobs_forget_report(jobs, tick);
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A job's last tick must not be written without the rows of the ticks before it, nor they without
 * it: a leader that ends between the two would leave ticks without a row, or with a second one. */
static void make_job_batch(struct asking *a)
{
    size_t count = 0;

    while (count < a->job_change_count &&
           a->job_changes[count].after <= a->changes_written + a->changes_asked) {
        count++;
    }
    if (count > a->job_batch_room) {
        free(a->job_batch);
        free(a->job_names);
        a->job_batch_room = count < LEDGER_BATCH_MAX ? LEDGER_BATCH_MAX : count;
        a->job_batch = jobs_must_have(calloc(a->job_batch_room, sizeof(*a->job_batch)));
        a->job_names = jobs_must_have(calloc(a->job_batch_room, sizeof(*a->job_names)));
    }
    for (size_t i = 0; i < count; i++) {
        a->job_batch[i] = a->job_changes[i].is;
        a->job_names[i] = a->job_changes[i].job;
        a->job_batch[i].job = a->job_names[i].is;
    }
    a->job_changes_asked = count;
}

/* A write must fit into a message, and be done within its time limit: outputs may be large. */
static size_t fitting_changes(const struct asking *a)
{
    size_t most = least(a->change_count, LEDGER_BATCH_MAX);
    size_t bytes = 0;
    size_t count = 0;

    while (count < most) {
        const struct ledger_change *change = &a->changes[count]->is;

        bytes += change->output_head_bytes + change->output_tail_bytes;
        if (count > 0 && !a->changes[count]->follows && bytes > LEDGER_WRITE_BYTES_MAX) {
            break;
        }
        count++;
    }
    /* What follows from a run is written in one transaction with its end. */
    while (count > 1 && count < a->change_count && a->changes[count]->follows) {
        count--;
    }
    return count;
}

static void make_batches(struct asking *a)
{
    if (a->change_batch == NULL) {
        a->change_batch = jobs_must_have(calloc(LEDGER_BATCH_MAX, sizeof(*a->change_batch)));
        a->answer_batch = jobs_must_have(calloc(LEDGER_BATCH_MAX, sizeof(*a->answer_batch)));
    }
    a->changes_asked = fitting_changes(a);
    make_job_batch(a);
    /* An answer tells of a run: it must not be written before it. */
    a->answers_asked =
        a->changes_asked < a->change_count ? 0 : least(a->answer_count, LEDGER_BATCH_MAX);
    for (size_t i = 0; i < a->changes_asked; i++) {
        a->change_batch[i] = a->changes[i]->is;
    }
    for (size_t i = 0; i < a->answers_asked; i++) {
        const struct answer *answer = &a->answers[i];

        a->answer_batch[i] = answer->is;
        a->answer_batch[i].run_id = answer->run_id[0] != '\0' ? answer->run_id : NULL;
        a->answer_batch[i].text = answer->text;
    }
}

bool jobs_has_to_write(const struct asking *a)
{
    return a->change_count > 0 || a->job_change_count > 0 || a->answer_count > 0 ||
           a->unreported != NULL;
}

static void ask_write(struct jobs *jobs, mono_ns now)
{
    struct asking *a = &jobs->asking;

    report_starts(jobs, now);
    make_batches(a);
    if (a->changes_asked + a->job_changes_asked + a->answers_asked == 0) {
        a->write_at = now + LEDGER_WRITE_WITHIN; /* there are only young runs */
        return;
    }
    a->question = ASK_WRITE;
    a->write_at = MONO_NEVER;
    const struct ledger_write write = {
        .changes = a->change_batch,
        .change_count = a->changes_asked,
        .jobs = a->job_batch,
        .job_count = a->job_changes_asked,
        .answers = a->answer_batch,
        .answer_count = a->answers_asked,
    };
    ledger_write(a->ledger, &write);
}

static void ask_prune(struct jobs *jobs, mono_ns now)
{
    struct asking *a = &jobs->asking;

    a->prune_at = now + PRUNE_EVERY;
    a->prunes_aged = a->prune_aged_at <= now;
    if (a->prunes_aged) {
        a->prune_aged_at = now + PRUNE_AGED_EVERY;
        a->question = ASK_PRUNE;
        ledger_prune(a->ledger, NULL);
        return;
    }
    for (size_t i = 0; i < jobs->count; i++) {
        struct job *job = jobs->list[(a->prune_row + i) % jobs->count];

        if (job->closed > 0) {
            a->prune_row = (a->prune_row + i + 1) % jobs->count;
            job->closed = 0;
            (void)snprintf(a->pruned, sizeof(a->pruned), "%s", job->board.name);
            a->question = ASK_PRUNE;
            ledger_prune(a->ledger, job->board.name);
            return;
        }
    }
}

static struct question_choice choose(const struct jobs *jobs, mono_ns now)
{
    const struct asking *a = &jobs->asking;
    const struct question_facts facts = {
        .ending = jobs->ending != ENDING_NOT,
        .load_wanted = a->load_wanted,
        .has_claims = a->claim_count > 0,
        .claims_at = a->claims_at,
        .has_writes = jobs_has_to_write(a),
        .is_full = a->change_count >= LEDGER_BATCH_MAX,
        .says_tick = a->tick_changes > 0,
        .write_at = a->write_at,
        .has_answers = a->answer_count > 0,
        .requests_wanted = a->requests_wanted,
        .requests_at = a->requests_at,
        .prune_at = a->prune_at,
        .before = a->before,
    };

    return question_choose(&facts, now);
}

static dur_ns requests_every(const struct jobs *jobs)
{
    return jobs->world.config->database.kind == DATABASE_SQLITE ? REQUESTS_EVERY_SQLITE
                                                                : REQUESTS_EVERY;
}

void jobs_ask_now(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;
    mono_ns now = clock_now();

    if (a->ledger == NULL || !a->ready || a->question != ASK_NOTHING || a->again_at > now ||
        !ledger_is_free(a->ledger)) {
        return;
    }
    enum question next = choose(jobs, now).question;
    a->patience = (struct question_patience){.asked_at = now};
    switch (next) {
    case ASK_NOTHING:
        return;
    case ASK_LOAD:
        a->load_wanted = false;
        a->question = ASK_LOAD;
        ledger_load(a->ledger);
        break;
    case ASK_CLAIM:
        ask_claims(jobs);
        break;
    case ASK_WRITE:
        ask_write(jobs, now);
        break;
    case ASK_REQUESTS:
        a->requests_wanted = false;
        a->requests_at = now + requests_every(jobs);
        a->question = ASK_REQUESTS;
        ledger_take_requests(a->ledger);
        break;
    case ASK_PRUNE:
        ask_prune(jobs, now);
        break;
    }
    a->before = next;
}

mono_ns jobs_ask_next(const struct jobs *jobs)
{
    const struct asking *a = &jobs->asking;

    if (a->question != ASK_NOTHING) { /* the answer, or its failure, comes first, or nothing */
        return question_look_at(&a->patience);
    }
    if (a->ledger == NULL || !a->ready || !ledger_is_free(a->ledger)) {
        return MONO_NEVER; /* on_ready comes first */
    }
    const struct question_choice choice = choose(jobs, clock_now());
    mono_ns at = choice.question != ASK_NOTHING ? 0 : choice.at;

    return at < a->again_at ? a->again_at : at;
}

bool jobs_asked_all(const struct jobs *jobs)
{
    const struct asking *a = &jobs->asking;

    return a->ledger == NULL || !a->ready || (!jobs_has_to_write(a) && a->question != ASK_WRITE);
}

mono_ns jobs_gives_up_asking_at(const struct jobs *jobs)
{
    const struct asking *a = &jobs->asking;

    return a->failed ? a->failed_at + LEDGER_GIVE_UP_AFTER : MONO_NEVER;
}

bool jobs_claims_wait(const struct jobs *jobs)
{
    const struct asking *a = &jobs->asking;

    for (size_t i = 0; i < a->claim_count; i++) { /* those that were forgotten leave holes */
        if (a->claims[i] != NULL) {
            return true;
        }
    }
    return false;
}
