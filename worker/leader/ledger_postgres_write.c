/*
 * A write as a question. What it says of one run, or one job, more than once is
 * made one: a statement changes each row once at most. The rows come in the order
 * of their keys, so that two attempts at the same cannot wait for each other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/leader/ledger_postgres_private.h"

static int compare_changes(const void *a, const void *b)
{
    const struct ledger_change *one = *(const struct ledger_change *const *)a;
    const struct ledger_change *other = *(const struct ledger_change *const *)b;
    int order = strcmp(one->id, other->id);

    return order != 0 ? order : (one > other) - (one < other); /* both are in one array */
}

static int compare_jobs(const void *a, const void *b)
{
    const struct ledger_job_change *one = *(const struct ledger_job_change *const *)a;
    const struct ledger_job_change *other = *(const struct ledger_job_change *const *)b;
    int order = strcmp(one->job, other->job);

    return order != 0 ? order : (one > other) - (one < other);
}

/* The later change of the same run on top of the earlier one. */
static struct ledger_change merge(struct ledger_change first, const struct ledger_change *then)
{
    if (then->kind != LEDGER_UPDATE || first.kind == LEDGER_DELETE) {
        return first.kind == LEDGER_DELETE || then->kind == LEDGER_INSERT ? first : *then;
    }
    first.outcome = then->outcome;
    first.reason = then->reason;
    first.due_at = then->due_at != 0 ? then->due_at : first.due_at;
    first.started_at = then->started_at != 0 ? then->started_at : first.started_at;
    first.ended_at = then->ended_at != 0 ? then->ended_at : first.ended_at;
    first.code = then->code != -1 ? then->code : first.code;
    first.result = then->result != NULL ? then->result : first.result;
    if (then->output_head_bytes > 0) {
        first.output_head = then->output_head;
        first.output_head_bytes = then->output_head_bytes;
    }
    if (then->output_tail_bytes > 0) {
        first.output_tail = then->output_tail;
        first.output_tail_bytes = then->output_tail_bytes;
    }
    first.output_bytes = then->output_bytes != 0 ? then->output_bytes : first.output_bytes;
    return first;
}

static struct ledger_job_change merge_jobs(struct ledger_job_change first,
                                           const struct ledger_job_change *then)
{
    if (then->sets_tick || (then->advances && !first.sets_tick && !first.advances)) {
        first.sets_tick = then->sets_tick;
        first.advances = then->advances;
        first.last_tick = then->last_tick;
        first.schedule_hash = then->schedule_hash;
    } else if (then->advances) {
        first.last_tick = then->last_tick > first.last_tick ? then->last_tick : first.last_tick;
        first.schedule_hash = then->schedule_hash;
    }
    if (then->sets_paused) {
        first.sets_paused = true;
        first.paused = then->paused;
    }
    if (then->sets_failures) {
        first.sets_failures = true;
        first.failures = then->failures;
    }
    return first;
}

/* In the order of the statement's parameters. */
struct change_arrays {
    struct sql_array *kind;
    struct sql_array *id;
    struct sql_array *outcome;
    struct sql_array *reason;
    struct sql_array *job;
    struct sql_array *at;
    struct sql_array *last_at;
    struct sql_array *count;
    struct sql_array *attempt;
    struct sql_array *origin;
    struct sql_array *parent;
    struct sql_array *due;
    struct sql_array *started;
    struct sql_array *ended;
    struct sql_array *code;
    struct sql_array *result;
    struct sql_array *head;
    struct sql_array *tail;
    struct sql_array *bytes;
};

static struct change_arrays change_arrays(struct ledger_parameters *ps)
{
    /* Initialisers have no order of their own. */
    struct change_arrays to;

    to.kind = ledger_parameters_add(ps, SQL_TEXT);
    to.id = ledger_parameters_add(ps, SQL_TEXT);
    to.outcome = ledger_parameters_add(ps, SQL_TEXT);
    to.reason = ledger_parameters_add(ps, SQL_TEXT);
    to.job = ledger_parameters_add(ps, SQL_TEXT);
    to.at = ledger_parameters_add(ps, SQL_INT8);
    to.last_at = ledger_parameters_add(ps, SQL_INT8);
    to.count = ledger_parameters_add(ps, SQL_INT8);
    to.attempt = ledger_parameters_add(ps, SQL_INT4);
    to.origin = ledger_parameters_add(ps, SQL_TEXT);
    to.parent = ledger_parameters_add(ps, SQL_TEXT);
    to.due = ledger_parameters_add(ps, SQL_INT8);
    to.started = ledger_parameters_add(ps, SQL_INT8);
    to.ended = ledger_parameters_add(ps, SQL_INT8);
    to.code = ledger_parameters_add(ps, SQL_INT4);
    to.result = ledger_parameters_add(ps, SQL_TEXT);
    to.head = ledger_parameters_add(ps, SQL_BYTEA);
    to.tail = ledger_parameters_add(ps, SQL_BYTEA);
    to.bytes = ledger_parameters_add(ps, SQL_INT8);
    return to;
}

static void add_change(struct change_arrays *to, const struct ledger_change *c, bool ascii)
{
    static const char *const kinds[] = {
        [LEDGER_INSERT] = "i", [LEDGER_UPDATE] = "u", [LEDGER_DELETE] = "d"};
    bool inserts = c->kind == LEDGER_INSERT;

    sql_array_add_text(to->kind, kinds[c->kind], ascii);
    sql_array_add_text(to->id, c->id, ascii);
    sql_array_add_text(to->outcome, outcome_name(c->outcome), ascii);
    sql_array_add_text(to->reason, c->reason, ascii);
    sql_array_add_text(to->job, inserts ? c->job : NULL, ascii);
    sql_array_add_int8(to->at, inserts ? ledger_micros(c->scheduled_at) : 0);
    ledger_add_moment(to->last_at, inserts ? c->last_at : 0);
    sql_array_add_int8(to->count, inserts && c->count > 0 ? (int64_t)c->count : 1);
    sql_array_add_int4(to->attempt, (int32_t)c->attempt);
    sql_array_add_text(to->origin, inserts ? run_origin_name(c->origin) : NULL, ascii);
    sql_array_add_text(to->parent, inserts ? c->parent : NULL, ascii);
    ledger_add_moment(to->due, c->due_at);
    ledger_add_moment(to->started, c->started_at);
    ledger_add_moment(to->ended, c->ended_at);
    if (c->code == -1) {
        sql_array_add_null(to->code);
    } else {
        sql_array_add_int4(to->code, c->code);
    }
    sql_array_add_text(to->result, c->result, ascii);
    sql_array_add_bytes(to->head, c->output_head, c->output_head_bytes);
    sql_array_add_bytes(to->tail, c->output_tail, c->output_tail_bytes);
    if (c->output_bytes == 0) {
        sql_array_add_null(to->bytes);
    } else {
        sql_array_add_int8(to->bytes, (int64_t)c->output_bytes);
    }
}

static int build_changes(struct ledger_parameters *ps, const struct ledger_write *w, bool ascii)
{
    struct change_arrays to = change_arrays(ps);
    size_t count = w->change_count;
    const struct ledger_change **sorted = calloc(count + 1, sizeof(const struct ledger_change *));

    if (sorted == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &w->changes[i];
    }
    qsort(sorted, count, sizeof(const struct ledger_change *), compare_changes);
    for (size_t i = 0; i < count; i++) {
        struct ledger_change change = *sorted[i];

        while (i + 1 < count && strcmp(sorted[i + 1]->id, change.id) == 0) {
            change = merge(change, sorted[++i]);
        }
        add_change(&to, &change, ascii);
    }
    free(sorted);
    return 0;
}

/* In the order of the statement's parameters. */
struct job_arrays {
    struct sql_array *job;
    struct sql_array *sets_tick;
    struct sql_array *tick;
    struct sql_array *hash;
    struct sql_array *sets_paused;
    struct sql_array *paused;
    struct sql_array *sets_failures;
    struct sql_array *failures;
};

static struct job_arrays job_arrays(struct ledger_parameters *ps)
{
    struct job_arrays to;

    to.job = ledger_parameters_add(ps, SQL_TEXT);
    to.sets_tick = ledger_parameters_add(ps, SQL_BOOL);
    to.tick = ledger_parameters_add(ps, SQL_INT8);
    to.hash = ledger_parameters_add(ps, SQL_TEXT);
    to.sets_paused = ledger_parameters_add(ps, SQL_BOOL);
    to.paused = ledger_parameters_add(ps, SQL_BOOL);
    to.sets_failures = ledger_parameters_add(ps, SQL_BOOL);
    to.failures = ledger_parameters_add(ps, SQL_INT4);
    return to;
}

static void add_job(struct job_arrays *to, const struct ledger_job_change *j, bool ascii)
{
    sql_array_add_text(to->job, j->job, ascii);
    sql_array_add_bool(to->sets_tick, j->sets_tick);
    ledger_add_moment(to->tick, j->sets_tick || j->advances ? j->last_tick : 0);
    if (j->sets_tick || j->advances) {
        ledger_add_hash(to->hash, j->schedule_hash);
    } else {
        sql_array_add_null(to->hash);
    }
    sql_array_add_bool(to->sets_paused, j->sets_paused);
    sql_array_add_bool(to->paused, j->sets_paused && j->paused);
    sql_array_add_bool(to->sets_failures, j->sets_failures);
    sql_array_add_int4(to->failures, j->sets_failures ? (int32_t)j->failures : 0);
}

static int build_jobs(struct ledger_parameters *ps, const struct ledger_write *w, bool ascii)
{
    struct job_arrays to = job_arrays(ps);
    size_t count = w->job_count;
    const struct ledger_job_change **sorted =
        calloc(count + 1, sizeof(const struct ledger_job_change *));

    if (sorted == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &w->jobs[i];
    }
    qsort(sorted, count, sizeof(const struct ledger_job_change *), compare_jobs);
    for (size_t i = 0; i < count; i++) {
        struct ledger_job_change change = *sorted[i];

        while (i + 1 < count && strcmp(sorted[i + 1]->job, change.job) == 0) {
            change = merge_jobs(change, sorted[++i]);
        }
        add_job(&to, &change, ascii);
    }
    free(sorted);
    return 0;
}

static void build_answers(struct ledger_parameters *ps, const struct ledger_write *w, bool ascii)
{
    struct sql_array *id = ledger_parameters_add(ps, SQL_INT8);
    struct sql_array *done = ledger_parameters_add(ps, SQL_BOOL);
    struct sql_array *run = ledger_parameters_add(ps, SQL_TEXT);
    struct sql_array *text = ledger_parameters_add(ps, SQL_TEXT);

    for (size_t i = 0; i < w->answer_count; i++) {
        sql_array_add_int8(id, w->answers[i].request);
        sql_array_add_bool(done, w->answers[i].done);
        sql_array_add_text(run, w->answers[i].run_id, ascii);
        sql_array_add_text(text, w->answers[i].text, ascii);
    }
}

int ledger_write_build(struct ledger_postgres *p)
{
    struct ledger_parameters *ps = &p->parameters;

    ledger_parameters_begin(p);
    int rc = build_changes(ps, &p->write, p->ascii_only);

    if (rc == 0) {
        rc = build_jobs(ps, &p->write, p->ascii_only);
    }
    if (rc < 0) {
        return rc;
    }
    build_answers(ps, &p->write, p->ascii_only);
    return ledger_parameters_finish(ps);
}
