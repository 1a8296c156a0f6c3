/* What goes in: claims, changes, and the deletion of what is old. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "worker/leader/ledger_sqlite_private.h"

enum { PRUNE_REQUESTS_MAX = 500 }; /* they are small */

/* How long an answer waits for whoever asked, and a request for a leader. */
#define ANSWER_KEPT DUR_S(24 * 3600)
#define REQUEST_KEPT (7 * ANSWER_KEPT)

struct hash_text {
    char is[17];
};

static struct hash_text hash_text(uint64_t hash)
{
    struct hash_text text;

    (void)snprintf(text.is, sizeof(text.is), "%016" PRIx64, hash);
    return text;
}

static int changed_rows(const struct ledger_sqlite *s)
{
    return sqlite3_changes(s->file.db);
}

/* generation, number, incarnation, instance: whose row it is. */
static void bind_term(const struct ledger_sqlite *s, struct statement *statement, int first)
{
    statement_number(statement, first, (sqlite3_int64)s->ledger.epoch.generation);
    statement_number(statement, first + 1, (sqlite3_int64)s->ledger.epoch.number);
    statement_text(statement, first + 2, s->incarnation);
    statement_text(statement, first + 3, s->ledger.options.config->pgbaton.instance);
}

/* ---- claims ---- */

static int claim_new(struct ledger_sqlite *s, const struct ledger_claim *c, wall_ns now)
{
    struct statement insert = ledger_sqlite_say(s, SQL_CLAIM_NEW);

    statement_text(&insert, 2, c->id);
    statement_text(&insert, 3, c->job);
    statement_moment(&insert, 4, c->scheduled_at);
    statement_number(&insert, 5, c->attempt);
    statement_text(&insert, 6, run_origin_name(c->origin));
    bind_term(s, &insert, 7);
    statement_moment(&insert, 11, now);
    return statement_run(&insert);
}

static int claim_promoted(struct ledger_sqlite *s, const struct ledger_claim *c)
{
    struct statement update = ledger_sqlite_say(s, SQL_CLAIM_PROMOTED);

    statement_text(&update, 2, c->id);
    bind_term(s, &update, 3);
    return statement_run(&update);
}

/* Was it granted already, by an answer that did not arrive? */
static int is_ours(struct ledger_sqlite *s, const struct ledger_claim *c, bool *ret_ours)
{
    struct statement look = ledger_sqlite_say(s, SQL_CLAIM_IS_OURS);

    statement_text(&look, 2, c->id);
    statement_number(&look, 3, (sqlite3_int64)s->ledger.epoch.generation);
    statement_number(&look, 4, (sqlite3_int64)s->ledger.epoch.number);
    statement_text(&look, 5, s->incarnation);
    statement_number(&look, 6, c->promotes);
    statement_text(&look, 7, c->job);
    statement_moment(&look, 8, c->scheduled_at);
    statement_number(&look, 9, c->attempt);
    *ret_ours = statement_next(&look);
    return statement_end(&look);
}

static int advance(struct ledger_sqlite *s, const char *job, wall_ns last_tick,
                   uint64_t schedule_hash)
{
    struct hash_text hash = hash_text(schedule_hash);
    struct statement update = ledger_sqlite_say(s, SQL_TICK_WAS);

    statement_text(&update, 2, job);
    statement_moment(&update, 3, last_tick);
    statement_text(&update, 4, hash.is);
    return statement_run(&update);
}

static int claim_one(struct ledger_sqlite *s, const struct ledger_claim *c, wall_ns now,
                     enum ledger_verdict *ret_verdict)
{
    bool granted;

    if (c->scheduled_at > now + s->ledger.limits.max_clock_skew) {
        *ret_verdict = LEDGER_AHEAD;
        return SQLITE_OK;
    }
    int rc = c->promotes ? claim_promoted(s, c) : claim_new(s, c, now);
    if (rc != SQLITE_OK) {
        return rc;
    }
    granted = changed_rows(s) > 0;
    if (!granted) {
        rc = is_ours(s, c, &granted);
    }
    /* Also one that was taken is done with: nobody need ask for it again. */
    if (rc == SQLITE_OK && c->advances) {
        rc = advance(s, c->job, c->scheduled_at, c->schedule_hash);
    }
    *ret_verdict = granted ? LEDGER_GRANTED : LEDGER_TAKEN;
    return rc;
}

int ledger_sqlite_claim(struct ledger_sqlite *s, struct ledger_answer *a)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < s->claim_count; i++) {
        rc = claim_one(s, &s->claims[i], a->now, &a->verdicts[i]);
    }
    return rc;
}

/* ---- changes ---- */

/* What has become of it: ?2 to ?12 of an insert, and of an update. */
static void bind_outcome(struct statement *statement, const struct ledger_change *c)
{
    statement_text(statement, 2, c->id);
    statement_text(statement, 3, outcome_name(c->outcome));
    statement_text(statement, 4, c->reason);
    statement_moment_if(statement, 5, c->due_at);
    statement_moment_if(statement, 6, c->started_at);
    statement_moment_if(statement, 7, c->ended_at);
    if (c->code >= 0 && !outcome_is_open(c->outcome)) {
        statement_number(statement, 8, c->code);
    }
    statement_text(statement, 9, c->result);
    statement_bytes(statement, 10, c->output_head, c->output_head_bytes);
    statement_bytes(statement, 11, c->output_tail, c->output_tail_bytes);
    if (c->output_bytes > 0) {
        statement_number(statement, 12, (sqlite3_int64)c->output_bytes);
    }
}

static int insert_run(struct ledger_sqlite *s, const struct ledger_change *c, wall_ns now)
{
    struct statement insert = ledger_sqlite_say(s, SQL_INSERT);

    bind_outcome(&insert, c);
    statement_text(&insert, 13, c->job);
    statement_moment(&insert, 14, c->scheduled_at);
    statement_number(&insert, 15, c->attempt);
    statement_moment_if(&insert, 16, c->last_at);
    statement_number(&insert, 17, c->count == 0 ? 1 : (sqlite3_int64)c->count);
    statement_text(&insert, 18, run_origin_name(c->origin));
    statement_text(&insert, 19, c->parent);
    bind_term(s, &insert, 20);
    statement_moment(&insert, 24, now);
    return statement_run(&insert);
}

static int update_run(struct ledger_sqlite *s, const struct ledger_change *c)
{
    struct statement update = ledger_sqlite_say(s, SQL_UPDATE);

    bind_outcome(&update, c);
    return statement_run(&update);
}

static int delete_run(struct ledger_sqlite *s, const struct ledger_change *c)
{
    struct statement delete = ledger_sqlite_say(s, SQL_DELETE);

    statement_text(&delete, 2, c->id);
    return statement_run(&delete);
}

static int change_run(struct ledger_sqlite *s, const struct ledger_change *c, wall_ns now)
{
    switch (c->kind) {
    case LEDGER_INSERT:
        return insert_run(s, c, now);
    case LEDGER_UPDATE:
        return update_run(s, c);
    case LEDGER_DELETE:
        return delete_run(s, c);
    }
    return SQLITE_MISUSE;
}

static int change_job(struct ledger_sqlite *s, const struct ledger_job_change *c)
{
    struct hash_text hash = hash_text(c->schedule_hash);

    if (c->advances) {
        int rc = advance(s, c->job, c->last_tick, c->schedule_hash);

        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    struct statement upsert = ledger_sqlite_say(s, SQL_JOB_IS);

    statement_text(&upsert, 2, c->job);
    if (c->sets_paused) {
        statement_number(&upsert, 3, c->paused);
    }
    if (c->sets_failures) {
        statement_number(&upsert, 4, c->failures);
    }
    statement_number(&upsert, 5, c->sets_tick);
    if (c->sets_tick) {
        statement_moment_if(&upsert, 6, c->last_tick);
        statement_text(&upsert, 7, hash.is);
    }
    return statement_run(&upsert);
}

static int answer_request(struct ledger_sqlite *s, const struct ledger_request_answer *r,
                          wall_ns now)
{
    struct statement update = ledger_sqlite_say(s, SQL_ANSWER);

    statement_number(&update, 2, r->request);
    statement_moment(&update, 3, now);
    statement_number(&update, 4, r->done);
    statement_text(&update, 5, r->run_id);
    statement_text(&update, 6, r->text);
    return statement_run(&update);
}

int ledger_sqlite_write(struct ledger_sqlite *s, struct ledger_answer *a)
{
    const struct ledger_write *w = &s->write;
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < w->change_count; i++) {
        rc = change_run(s, &w->changes[i], a->now);
    }
    for (size_t i = 0; rc == SQLITE_OK && i < w->job_count; i++) {
        rc = change_job(s, &w->jobs[i]);
    }
    for (size_t i = 0; rc == SQLITE_OK && i < w->answer_count; i++) {
        rc = answer_request(s, &w->answers[i], a->now);
    }
    return rc;
}

/* ---- what is old ---- */

static int prune_runs_before(struct ledger_sqlite *s, wall_ns before)
{
    struct statement delete = ledger_sqlite_say(s, SQL_PRUNE_AGED);

    statement_moment(&delete, 2, before);
    statement_number(&delete, 3, LEDGER_PRUNE_MAX);
    return statement_run(&delete);
}

/* The newest row that is one too many, if there are so many. */
static int first_beyond(struct ledger_sqlite *s, int kept, bool *ret_found, sqlite3_int64 ret_at[2])
{
    struct statement look = ledger_sqlite_say(s, SQL_PRUNE_FIRST_BEYOND);

    statement_text(&look, 2, s->prune_job);
    statement_number(&look, 3, kept);
    *ret_found = statement_next(&look);
    if (*ret_found) {
        ret_at[0] = sqlite3_column_int64(look.handle, 0);
        ret_at[1] = sqlite3_column_int64(look.handle, 1);
    }
    return statement_end(&look);
}

static int prune_beyond(struct ledger_sqlite *s, const sqlite3_int64 at[2])
{
    struct statement delete = ledger_sqlite_say(s, SQL_PRUNE_BEYOND);

    statement_text(&delete, 2, s->prune_job);
    statement_number(&delete, 3, at[0]);
    statement_number(&delete, 4, at[1]);
    statement_number(&delete, 5, LEDGER_PRUNE_MAX);
    return statement_run(&delete);
}

static int prune_requests(struct ledger_sqlite *s, wall_ns now)
{
    struct statement delete = ledger_sqlite_say(s, SQL_PRUNE_REQUESTS);

    statement_moment(&delete, 2, now - ANSWER_KEPT);
    statement_moment(&delete, 3, now - REQUEST_KEPT);
    statement_number(&delete, 4, PRUNE_REQUESTS_MAX);
    return statement_run(&delete);
}

static int prune_aged(struct ledger_sqlite *s, struct ledger_answer *a, dur_ns kept)
{
    int rc = prune_requests(s, a->now);

    if (rc == SQLITE_OK && kept > 0) {
        rc = prune_runs_before(s, a->now - kept);
        a->pruned = (size_t)changed_rows(s);
    }
    return rc;
}

static int prune_surplus(struct ledger_sqlite *s, struct ledger_answer *a, int kept)
{
    sqlite3_int64 at[2] = {0};
    bool found = false;
    int rc = kept > 0 ? first_beyond(s, kept, &found, at) : SQLITE_OK;

    if (rc == SQLITE_OK && found) {
        rc = prune_beyond(s, at);
        a->pruned = (size_t)changed_rows(s);
    }
    return rc;
}

/* 0 in the configuration: no limit. */
int ledger_sqlite_prune(struct ledger_sqlite *s, struct ledger_answer *a)
{
    const struct ledger_limits *limits = &s->ledger.limits;

    return s->prune_job[0] != '\0' ? prune_surplus(s, a, limits->history_runs)
                                   : prune_aged(s, a, limits->history);
}
