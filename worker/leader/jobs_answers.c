/* What becomes of what the ledger has answered, and of a ledger that fails, or says nothing. */
#include <assert.h>
#include <string.h>

#include "common/duration.h"
#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/job.h"

/* Ticks that the database's clock has not come to are asked for again after this. */
#define CLOCK_AGAIN DUR_S(1)
#define PRUNE_AGAIN DUR_S(60) /* after a failure */

static bool is_pending(const struct jobs *jobs, enum question question)
{
    const struct asking *a = &jobs->asking;

    switch (question) {
    case ASK_LOAD:
        return a->load_wanted;
    case ASK_CLAIM:
        return jobs_claims_wait(jobs);
    case ASK_WRITE:
        return jobs_has_to_write(a);
    case ASK_NOTHING:
    case ASK_REQUESTS:
    case ASK_PRUNE:
        break;
    }
    return false;
}

/* Ticks would gather behind a question that hangs, and all start when its answer comes, however
 * late that is. What says nothing for so long is away: of what is due meanwhile the policies
 * decide. */
void jobs_mind_silence(struct jobs *jobs, mono_ns now)
{
    struct asking *a = &jobs->asking;

    if (a->question == ASK_NOTHING || !question_falls_silent(&a->patience, now)) {
        return;
    }
    if (!a->failed) { /* else that was said */
        log_warn("ledger_silent", "epoch=%s effect=%s", epoch_text(jobs->epoch).is,
                 "\"nothing is started until it answers\"");
    }
    scheduler_ledger(&jobs->scheduler, false, clock_wall());
}

static void heard(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;

    if (a->patience.silent && !a->failed) {
        log_info("ledger_answers", "epoch=%s after=%s", epoch_text(jobs->epoch).is,
                 duration_text(clock_now() - a->patience.asked_at).is);
    }
    a->patience.silent = false;
}

/* Any answer that is none of a failure: the ledger works, as far as that proves it. */
static void went_well(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;
    enum question answered = a->question;

    a->question = ASK_NOTHING;
    heard(jobs);
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
            scheduler_granted(&jobs->scheduler, &tick->plan, clock_wall());
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
    if (jobs_has_to_write(a)) {
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

/* Of what was asked for last something is left. */
static void prune_again(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;
    struct job *job = a->prunes_aged ? NULL : jobs_find(jobs, a->pruned);

    if (a->prunes_aged) {
        a->prune_aged_at = 0;
    } else if (job != NULL) {
        job->closed++;
    }
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
    if (rows >= LEDGER_PRUNE_MAX) {
        a->prune_at = clock_now() + PRUNE_MORE_AFTER;
    }
    prune_again(jobs); /* there may be more of it */
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
    if (question == ASK_PRUNE) {
        prune_again(jobs);
    }
    if (question_is_lesser(question) && is_there(jobs)) {
        if (a->patience.silent && a->loaded && !a->failed) {
            scheduler_ledger(&jobs->scheduler, true, clock_wall());
        }
        heard(jobs);
        lesser_failed(jobs, question, text);
        return;
    }
    a->patience.silent = false;
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
    jobs->asking.patience.silent = false;
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
