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
/* Ticks that the database's clock has not come to are asked for again after this. */
#define CLOCK_AGAIN DUR_S(1)
#define PRUNE_EVERY DUR_MS(500)
#define PRUNE_AGAIN DUR_S(60) /* after a failure */
#define PRUNE_AGED_EVERY DUR_S(300)

/* ---- asking ---- */

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

/* Runs that go on longer than results are gathered are worth a line of their own. */
static void report_starts(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;

    while (a->unreported != NULL && a->change_count < LEDGER_BATCH_MAX) {
        struct tick *tick = a->unreported;
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
        if (count > 0 && bytes > LEDGER_WRITE_BYTES_MAX) {
            break;
        }
        count++;
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

static bool has_to_write(const struct asking *a)
{
    return a->change_count > 0 || a->job_change_count > 0 || a->answer_count > 0 ||
           a->unreported != NULL;
}

static void ask_write(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;

    report_starts(jobs);
    make_batches(a);
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
        .has_writes = has_to_write(a),
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
        ask_write(jobs);
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

    if (a->ledger == NULL || !a->ready || a->question != ASK_NOTHING ||
        !ledger_is_free(a->ledger)) {
        return MONO_NEVER; /* an answer, or on_ready, comes first */
    }
    const struct question_choice choice = choose(jobs, clock_now());
    mono_ns at = choice.question != ASK_NOTHING ? 0 : choice.at;

    return at < a->again_at ? a->again_at : at;
}

bool jobs_asked_all(const struct jobs *jobs)
{
    const struct asking *a = &jobs->asking;

    return a->ledger == NULL || !a->ready || (!has_to_write(a) && a->question != ASK_WRITE);
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

/* ---- answers ---- */

static bool is_pending(const struct jobs *jobs, enum question question)
{
    const struct asking *a = &jobs->asking;

    switch (question) {
    case ASK_LOAD:
        return a->load_wanted;
    case ASK_CLAIM:
        return jobs_claims_wait(jobs);
    case ASK_WRITE:
        return has_to_write(a);
    case ASK_NOTHING:
    case ASK_REQUESTS:
    case ASK_PRUNE:
        break;
    }
    return false;
}

/* Any answer that is none of a failure: the ledger works, as far as that proves it. */
static void went_well(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;
    enum question answered = a->question;

    a->question = ASK_NOTHING;
    jobs_turn_soon(jobs);
    if (a->failed &&
        !question_proves(answered, a->failed_question, is_pending(jobs, a->failed_question))) {
        return;
    }
    if (a->failed) {
        log_info("ledger_works", "epoch=%s", epoch_text(jobs->epoch).is);
    }
    a->failed = false;
    a->again_at = 0;
    backoff_reset(&a->backoff);
    if (a->loaded) {
        scheduler_ledger(&jobs->scheduler, true, clock_wall());
    }
}

static void hear_clock(struct jobs *jobs, wall_ns database_clock)
{
    const struct config *cfg = jobs->world.config;

    jobs->asking.database_ahead = database_clock - clock_wall();
    if (cfg->election.enabled && cfg->database.kind != DATABASE_NONE) { /* else it is our own */
        bool agrees = scheduler_database_clock(&jobs->scheduler, database_clock, clock_wall(),
                                               clock_now(), cfg->database.max_clock_skew);

        jobs->clock_doubted = jobs->clock_doubted && !agrees;
    }
}

static void on_loaded(void *ctx, const struct ledger_state *state)
{
    struct jobs *jobs = ctx;

    hear_clock(jobs, state->database_clock);
    jobs_take_state(jobs, state);
    jobs->asking.loaded = true;
    went_well(jobs);
}

static void on_claimed(void *ctx, const enum ledger_verdict *verdicts, size_t count,
                       wall_ns database_clock)
{
    struct jobs *jobs = ctx;
    struct asking *a = &jobs->asking;
    size_t ahead = 0;

    assert(a->question == ASK_CLAIM);
    assert(count == a->claims_asked);
    went_well(jobs);
    hear_clock(jobs, database_clock);
    for (size_t i = 0; i < count; i++) {
        struct tick *tick = a->claims[i];

        a->claims[i] = NULL;
        if (tick == NULL) {
            continue; /* forgotten meanwhile */
        }
        switch (verdicts[i]) {
        case LEDGER_GRANTED:
            tick->claimed = true;
            scheduler_granted(&jobs->scheduler, &tick->plan);
            break;
        case LEDGER_TAKEN:
            log_debug("tick_taken", "job=%s scheduled_at=%s", log_text(tick->job->board.name).is,
                      instant_text(tick->plan.scheduled_at).is);
            jobs_drop_tick(jobs, tick);
            break;
        case LEDGER_AHEAD: /* asked again, until the clock is right or we do not lead any more */
            a->claims[i] = tick;
            ahead += jobs_is_ahead(jobs, tick);
            break;
        }
    }
    a->claims_asked = 0;
    if (ahead > 0 && !a->clock_said) {
        log_error("clock_ahead", "ticks=%zu clock=%s database_clock=%s effect=%s", ahead,
                  instant_text(clock_wall()).is, instant_text(database_clock).is,
                  "\"they are not started before the database's clock has come to them\"");
    }
    a->clock_said = ahead > 0;
    a->claims_at = ahead > 0 ? clock_now() + CLOCK_AGAIN : 0;
}

static void drop_first(void *list, size_t *count, size_t gone, size_t size)
{
    *count -= gone;
    if (*count > 0) { /* where there never was one there is no list */
        memmove(list, (char *)list + gone * size, *count * size);
    }
}

static void forget_first(struct asking *a)
{
    for (size_t i = 0; i < a->changes_asked; i++) {
        jobs_free_change(a->changes[i]);
    }
    for (size_t i = 0; i < a->job_changes_asked; i++) {
        a->tick_changes -= jobs_says_tick(&a->job_changes[i]);
    }
    a->changes_written += a->changes_asked;
    drop_first(a->changes, &a->change_count, a->changes_asked, sizeof(*a->changes));
    drop_first(a->job_changes, &a->job_change_count, a->job_changes_asked, sizeof(*a->job_changes));
    drop_first(a->answers, &a->answer_count, a->answers_asked, sizeof(*a->answers));
    a->changes_asked = a->job_changes_asked = a->answers_asked = 0;
}

static void on_written(void *ctx)
{
    struct jobs *jobs = ctx;
    struct asking *a = &jobs->asking;

    assert(a->question == ASK_WRITE);
    went_well(jobs);
    for (size_t i = 0; i < a->changes_asked; i++) {
        struct tick *tick = a->changes[i]->tick;

        if (tick != NULL) {
            tick->changes--;
            scheduler_settled(&jobs->scheduler, &tick->plan);
        }
        if (a->changes[i]->hooks != HOOK_NONE) {
            jobs_run_hooks(jobs, a->changes[i]);
        }
    }
    forget_first(a);
    if (has_to_write(a)) {
        a->write_at = clock_now() + LEDGER_WRITE_WITHIN;
    }
}

static void on_requests(void *ctx, const struct ledger_request *requests, size_t count)
{
    struct jobs *jobs = ctx;

    jobs->asking.requests_failed = false;
    went_well(jobs);
    jobs_take_requests(jobs, requests, count);
}

static void on_pruned(void *ctx, size_t rows)
{
    struct jobs *jobs = ctx;

    struct asking *a = &jobs->asking;

    a->prune_failed = false;
    went_well(jobs);
    if (rows == 0) {
        return;
    }
    if (a->prunes_aged) { /* there may be more of it */
        a->prune_aged_at = 0;
    } else if (jobs->count > 0) {
        jobs->list[(a->prune_row + jobs->count - 1) % jobs->count]->closed++;
    }
}

static void fail_once(bool *said, const char *event, const char *text)
{
    if (!*said) {
        log_warn(event, "error=%s", log_text(text).is);
    }
    *said = true;
}

/* Is it the question that failed, and not what it was asked on? A SQLite file is opened anew after
 * each failure; where it cannot be, that is a failure of its own. */
static bool is_there(const struct jobs *jobs)
{
    return jobs->world.config->database.kind == DATABASE_SQLITE ||
           ledger_is_free(jobs->asking.ledger);
}

/* Old rows that stay, and requests that cannot be read, are no reason not to start what is due. */
static void lesser_failed(struct jobs *jobs, enum question question, const char *text)
{
    struct asking *a = &jobs->asking;

    if (question == ASK_PRUNE) {
        a->prune_at = clock_now() + PRUNE_AGAIN;
        fail_once(&a->prune_failed, "history_not_pruned", text);
    } else {
        fail_once(&a->requests_failed, "requests_not_read", text);
    }
    jobs_turn_soon(jobs);
}

/* What was asked stays where it is: it is asked again. */
static void on_failed(void *ctx, const char *text)
{
    struct jobs *jobs = ctx;
    struct asking *a = &jobs->asking;
    enum question question = a->question;

    a->question = ASK_NOTHING;
    if (question_is_lesser(question) && is_there(jobs)) {
        lesser_failed(jobs, question, text);
        return;
    }
    a->claims_asked = a->changes_asked = a->job_changes_asked = a->answers_asked = 0;
    a->load_wanted = a->load_wanted || question == ASK_LOAD;
    if (question == ASK_WRITE) {
        a->write_at = clock_now();
    }
    if (!a->failed) {
        a->failed_at = clock_now();
        log_error("ledger_failed", "epoch=%s error=%s effect=%s", epoch_text(jobs->epoch).is,
                  log_text(text).is, "\"nothing is started until it works\"");
    }
    if (!a->failed || question != ASK_NOTHING) { /* what it was asked on may fail meanwhile, too */
        a->failed_question = question;
    }
    a->failed = true;
    a->again_at = clock_now() + backoff_next(&a->backoff, &jobs->random);
    scheduler_ledger(&jobs->scheduler, false, clock_wall());
    jobs_turn_soon(jobs);
}

static void on_ready(void *ctx)
{
    struct jobs *jobs = ctx;
    struct asking *a = &jobs->asking;

    a->ready = true;
    a->again_at = 0;                                      /* what failed was the connection */
    a->requests_wanted = a->requests_wanted || a->failed; /* an answer proves that it works */
    jobs_turn_soon(jobs);
}

static void on_term_over(void *ctx)
{
    struct jobs *jobs = ctx;

    jobs->asking.question = ASK_NOTHING;
    jobs->asking.ready = false;
    scheduler_ledger(&jobs->scheduler, false, clock_wall());
    jobs->events.on_term_over(jobs->events.ctx);
}

struct ledger_events jobs_ledger_events(struct jobs *jobs)
{
    return (struct ledger_events){
        .on_loaded = on_loaded,
        .on_claimed = on_claimed,
        .on_written = on_written,
        .on_requests = on_requests,
        .on_pruned = on_pruned,
        .on_failed = on_failed,
        .on_ready = on_ready,
        .on_term_over = on_term_over,
        .ctx = jobs,
    };
}
