/*
 * The ledger in a SQLite file. Each question is one transaction, carried out on
 * the next turn of the loop. It looks first whether the election's row still is
 * ours: who writes has the file's one lock from then to the commit, so nothing
 * gets in after the next term wrote its epoch there.
 *
 * The lock on PATH.lock decides who leads; this row only keeps out who does not
 * know yet that he does no more.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/leader/ledger_sqlite_private.h"

#define RETRY_LEAST DUR_MS(200)

static const char was_replaced[] = "the SQLite file was deleted, or replaced by another one";

static struct ledger_sqlite *of(struct ledger *l)
{
    return (struct ledger_sqlite *)l;
}

static const struct config *config_of(const struct ledger_sqlite *s)
{
    return s->ledger.options.config;
}

static void close_file(struct ledger_sqlite *s)
{
    for (size_t i = 0; i < SQL_COUNT; i++) {
        (void)sqlite3_finalize(s->kept[i]);
        s->kept[i] = NULL;
    }
    sqlite_file_close(&s->file);
}

/* ---- whose term it is ---- */

struct row {
    bool found;
    struct epoch epoch;
    bool ours; /* by epoch and incarnation */
};

static int read_row(struct ledger_sqlite *s, struct row *ret_row)
{
    struct statement look = ledger_sqlite_say(s, SQL_ELECTION);

    *ret_row = (struct row){.found = statement_next(&look)};
    if (ret_row->found) {
        ret_row->epoch = (struct epoch){
            .generation = (uint64_t)sqlite3_column_int64(look.handle, 0),
            .number = (uint64_t)sqlite3_column_int64(look.handle, 1),
        };
        ret_row->ours = epoch_equal(ret_row->epoch, s->ledger.epoch) &&
                        strcmp(statement_read_text(&look, 2), s->incarnation) == 0;
    }
    return statement_end(&look);
}

static int write_row(struct ledger_sqlite *s)
{
    struct statement upsert = ledger_sqlite_say(s, SQL_TERM_IS);

    statement_number(&upsert, 2, (sqlite3_int64)s->ledger.epoch.generation);
    statement_number(&upsert, 3, (sqlite3_int64)s->ledger.epoch.number);
    statement_text(&upsert, 4, s->incarnation);
    statement_text(&upsert, 5, config_of(s)->pgbaton.instance);
    return statement_run(&upsert);
}

/* ---- the transaction ---- */

static int enter(struct ledger_sqlite *s, bool writes, struct row *ret_row)
{
    struct statement begin = ledger_sqlite_say(s, writes ? SQL_BEGIN_WRITING : SQL_BEGIN_READING);
    int rc = statement_run(&begin);

    return rc == SQLITE_OK ? read_row(s, ret_row) : rc;
}

static void take_back(struct ledger_sqlite *s)
{
    if (sqlite3_get_autocommit(s->file.db) == 0) { /* some errors have done it already */
        (void)sqlite3_exec(s->file.db, "ROLLBACK", NULL, NULL, NULL);
    }
}

/* Commit what went well; else take it back, and say why. */
static int leave(struct ledger_sqlite *s, int rc, char ret_text[SQLITE_FILE_TEXT_MAX])
{
    if (rc == SQLITE_OK) {
        struct statement commit = ledger_sqlite_say(s, SQL_COMMIT);
        rc = statement_run(&commit);
    }
    if (rc != SQLITE_OK) {
        sqlite_file_explain(&s->file, rc, ret_text, SQLITE_FILE_TEXT_MAX);
        take_back(s);
    }
    return rc;
}

/* ---- opening ---- */

static void go_down(struct ledger_sqlite *s)
{
    close_file(s);
    s->step = LEDGER_DOWN;
    timer_arm(&s->timer, clock_now() + backoff_next(&s->backoff, &s->random));
}

/* The attempts that follow most often fail for the same reason: that is not said again. */
static void tell_failed(struct ledger_sqlite *s, const char *text)
{
    const struct ledger_events *events = &s->ledger.events;

    (void)snprintf(s->told, sizeof(s->told), "%s", text);
    events->on_failed(events->ctx, text);
}

static void opening_failed(struct ledger_sqlite *s, const char *text)
{
    go_down(s);
    if (strcmp(s->told, text) != 0) {
        tell_failed(s, text);
    }
}

static void end_of_term(struct ledger_sqlite *s)
{
    const struct ledger_events *events = &s->ledger.events;

    close_file(s);
    s->step = LEDGER_OVER;
    s->asked = LEDGER_ASKS_NOTHING;
    events->on_term_over(events->ctx);
}

/* What the file says of the term, against ours. */
enum standing {
    STANDING_OURS,
    STANDING_BEFORE, /* of a term before ours, or of none: ours is to be written */
    STANDING_OTHER,
};

static enum standing standing_of(const struct ledger_sqlite *s, const struct row *row)
{
    if (row->found && row->ours) {
        return STANDING_OURS;
    }
    return !row->found || epoch_is_before(row->epoch, s->ledger.epoch) ? STANDING_BEFORE
                                                                       : STANDING_OTHER;
}

/* SQLITE_OK and what the row says, ours written where it may be; else a text. */
static int take_row(struct ledger_sqlite *s, struct row *ret_row, enum standing *ret_standing,
                    char ret_text[SQLITE_FILE_TEXT_MAX])
{
    int rc = enter(s, true, ret_row);

    if (rc == SQLITE_OK) {
        *ret_standing = standing_of(s, ret_row);
        if (*ret_standing == STANDING_BEFORE) {
            rc = write_row(s);
        }
    }
    return leave(s, rc, ret_text);
}

static void open_ledger(struct ledger_sqlite *s)
{
    const struct ledger_events *events = &s->ledger.events;
    const struct config_database *database = &config_of(s)->database;
    char text[SQLITE_FILE_TEXT_MAX] = "";
    struct row row;
    enum standing standing = STANDING_OTHER;

    if (sqlite_file_open(database->dsn,
                         database->create_schema ? SQLITE_FILE_CREATE : SQLITE_FILE_WRITE, &s->file,
                         text, sizeof(text)) < 0) {
        opening_failed(s, text);
        return;
    }
    if (take_row(s, &row, &standing, text) != SQLITE_OK) {
        opening_failed(s, text);
        return;
    }
    if (!sqlite_file_is_same(&s->file)) {
        opening_failed(s, was_replaced);
        return;
    }
    if (standing == STANDING_OTHER && s->row_written) {
        end_of_term(s);
        return;
    }
    if (standing == STANDING_OTHER) {
        (void)snprintf(text, sizeof(text),
                       "epoch %s is not after %s, which the SQLite file has seen: %s.term was lost "
                       "or is an old copy; move the SQLite file away, or set the epoch there "
                       "beyond it",
                       epoch_text(s->ledger.epoch).is, epoch_text(row.epoch).is, database->dsn);
        opening_failed(s, text);
        return;
    }
    s->row_written = true;
    s->step = LEDGER_READY;
    s->told[0] = '\0';
    backoff_reset(&s->backoff);
    events->on_ready(events->ctx);
}

/* ---- questions ---- */

static void answer_release(struct ledger_answer *a)
{
    config_memory_release(&a->texts);
    free(a->jobs);
    free(a->runs);
    free(a->requests);
}

static int carry_out(struct ledger_sqlite *s, enum ledger_question asked, struct ledger_answer *a)
{
    switch (asked) {
    case LEDGER_ASKS_NOTHING:
        break;
    case LEDGER_ASKS_LOAD:
        return ledger_sqlite_load(s, a);
    case LEDGER_ASKS_CLAIM:
        return ledger_sqlite_claim(s, a);
    case LEDGER_ASKS_WRITE:
        return ledger_sqlite_write(s, a);
    case LEDGER_ASKS_REQUESTS:
        return ledger_sqlite_take_requests(s, a);
    case LEDGER_ASKS_PRUNE:
        return ledger_sqlite_prune(s, a);
    }
    return SQLITE_MISUSE;
}

static void tell(struct ledger_sqlite *s, enum ledger_question asked, const struct ledger_answer *a)
{
    const struct ledger_events *events = &s->ledger.events;
    const struct ledger_state state = {
        .jobs = a->jobs,
        .job_count = a->job_count,
        .runs = a->runs,
        .run_count = a->run_count,
        .database_clock = a->now,
    };

    switch (asked) {
    case LEDGER_ASKS_NOTHING:
        break;
    case LEDGER_ASKS_LOAD:
        events->on_loaded(events->ctx, &state);
        break;
    case LEDGER_ASKS_CLAIM:
        events->on_claimed(events->ctx, a->verdicts, s->claim_count, a->now);
        break;
    case LEDGER_ASKS_WRITE:
        events->on_written(events->ctx);
        break;
    case LEDGER_ASKS_REQUESTS:
        events->on_requests(events->ctx, a->requests, a->request_count);
        break;
    case LEDGER_ASKS_PRUNE:
        events->on_pruned(events->ctx, a->pruned);
        break;
    }
}

static void answer(struct ledger_sqlite *s)
{
    enum ledger_question asked = s->asked;
    bool writes = asked != LEDGER_ASKS_LOAD && asked != LEDGER_ASKS_REQUESTS;
    char text[SQLITE_FILE_TEXT_MAX];
    struct ledger_answer a = {.now = clock_wall()};
    struct row row = {.found = false};
    int rc = enter(s, writes, &row);
    bool over = rc == SQLITE_OK && !row.ours;

    s->asked = LEDGER_ASKS_NOTHING;
    if (rc == SQLITE_OK && !over) {
        rc = carry_out(s, asked, &a);
    }
    rc = leave(s, rc, text);
    bool same = sqlite_file_is_same(&s->file);

    /* Of a file that is not there any more nothing counts, not even whose term it says. */
    if (!same || sqlite_file_must_reopen(rc)) {
        go_down(s);
        tell_failed(s, same ? text : was_replaced);
        s->told[0] = '\0'; /* if it cannot be opened again, that is for more than this question */
    } else if (rc != SQLITE_OK) {
        tell_failed(s, text);
    } else if (over) {
        end_of_term(s);
    } else {
        tell(s, asked, &a);
    }
    answer_release(&a);
}

static void on_due(void *ctx)
{
    struct ledger_sqlite *s = ctx;

    switch (s->step) {
    case LEDGER_DOWN:
        open_ledger(s);
        return;
    case LEDGER_READY:
        answer(s);
        return;
    case LEDGER_OVER: /* asked by somebody who was told already */
        end_of_term(s);
        return;
    case LEDGER_NOT_BEGUN:
        return;
    }
}

static void ask(struct ledger_sqlite *s, enum ledger_question question)
{
    assert(ledger_is_free(&s->ledger));
    s->asked = question;
    timer_arm(&s->timer, clock_now());
}

/* ---- the interface ---- */

static int sqlite_open(struct ledger *l)
{
    struct ledger_sqlite *s = of(l);

    (void)snprintf(s->incarnation, sizeof(s->incarnation), "%016" PRIx64, l->options.incarnation);
    s->backoff = (struct backoff){.least = RETRY_LEAST, .most = config_of(s)->election.backoff_max};
    prng_seed(&s->random, l->options.seed);
    return timer_init(&s->timer, l->loop, on_due, s);
}

/* Opened now, and not before: who does not lead yet has nothing to do in the file. */
static void sqlite_begin(struct ledger *l)
{
    assert(l->epoch.generation <= INT64_MAX);
    assert(l->epoch.number <= INT64_MAX);
    of(l)->step = LEDGER_DOWN;
    timer_arm(&of(l)->timer, clock_now());
}

static bool sqlite_is_free(const struct ledger *l)
{
    const struct ledger_sqlite *s = (const struct ledger_sqlite *)l;

    return (s->step == LEDGER_READY || s->step == LEDGER_OVER) && s->asked == LEDGER_ASKS_NOTHING;
}

static void sqlite_load(struct ledger *l)
{
    ask(of(l), LEDGER_ASKS_LOAD);
}

static void sqlite_claim(struct ledger *l, const struct ledger_claim *claims, size_t count)
{
    assert(count > 0 && count <= LEDGER_BATCH_MAX);
    of(l)->claims = claims;
    of(l)->claim_count = count;
    ask(of(l), LEDGER_ASKS_CLAIM);
}

static void sqlite_write(struct ledger *l, const struct ledger_write *write)
{
    assert(write->change_count <= LEDGER_BATCH_MAX);
    of(l)->write = *write;
    ask(of(l), LEDGER_ASKS_WRITE);
}

static void sqlite_take_requests(struct ledger *l)
{
    ask(of(l), LEDGER_ASKS_REQUESTS);
}

static void sqlite_prune(struct ledger *l, const char *job)
{
    struct ledger_sqlite *s = of(l);

    (void)snprintf(s->prune_job, sizeof(s->prune_job), "%s", job != NULL ? job : "");
    ask(s, LEDGER_ASKS_PRUNE);
}

static void sqlite_close(struct ledger *l)
{
    close_file(of(l));
    timer_release(&of(l)->timer);
    free(of(l));
}

static const struct ledger_kind sqlite = {
    .open = sqlite_open,
    .begin = sqlite_begin,
    .is_free = sqlite_is_free,
    .load = sqlite_load,
    .claim = sqlite_claim,
    .write = sqlite_write,
    .take_requests = sqlite_take_requests,
    .prune = sqlite_prune,
    .close = sqlite_close,
};

struct ledger *ledger_sqlite_new(void)
{
    struct ledger_sqlite *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->ledger.kind = &sqlite;
    return &s->ledger;
}
