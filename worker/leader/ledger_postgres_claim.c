/* A claim as a question, and the verdict on each of its ticks. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/leader/ledger_postgres_private.h"

/* In the order of the statement's parameters. */
struct claim_arrays {
    struct sql_array *id;
    struct sql_array *job;
    struct sql_array *at;
    struct sql_array *attempt;
    struct sql_array *origin;
    struct sql_array *promoted;
    struct sql_array *promoted_at;
    struct sql_array *advanced;
    struct sql_array *advanced_at;
    struct sql_array *hash;
};

void ledger_claim_release(struct ledger_claimed *claim)
{
    free(claim->places);
    free(claim->verdicts);
    *claim = (struct ledger_claimed){0};
}

/* Of two with the same id only the first one counts. */
static int compare_places(const void *a, const void *b)
{
    const struct claim_place *one = a;
    const struct claim_place *other = b;
    int order = strcmp(one->id, other->id);

    return order != 0 ? order : (one->at > other->at) - (one->at < other->at);
}

static int find_places(struct ledger_claimed *claim)
{
    free(claim->places);
    free(claim->verdicts);
    claim->places = calloc(claim->count, sizeof(*claim->places));
    claim->verdicts = calloc(claim->count, sizeof(*claim->verdicts));
    if (claim->places == NULL || claim->verdicts == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < claim->count; i++) {
        claim->places[i] = (struct claim_place){.id = claim->claims[i].id, .at = i};
    }
    qsort(claim->places, claim->count, sizeof(*claim->places), compare_places);
    return 0;
}

/* NULL: none of ours. */
static const struct claim_place *find(const struct ledger_claimed *claim, const char *id)
{
    const struct claim_place sought = {.id = id, .at = 0};
    size_t low = 0;
    size_t high = claim->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_places(&claim->places[middle], &sought) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == claim->count || strcmp(claim->places[low].id, id) != 0) {
        return NULL;
    }
    return &claim->places[low];
}

static struct claim_arrays claim_arrays(struct ledger_parameters *ps)
{
    /* Initialisers have no order of their own. */
    struct claim_arrays to;

    to.id = ledger_parameters_add(ps, SQL_TEXT);
    to.job = ledger_parameters_add(ps, SQL_TEXT);
    to.at = ledger_parameters_add(ps, SQL_INT8);
    to.attempt = ledger_parameters_add(ps, SQL_INT4);
    to.origin = ledger_parameters_add(ps, SQL_TEXT);
    to.promoted = ledger_parameters_add(ps, SQL_TEXT);
    to.promoted_at = ledger_parameters_add(ps, SQL_INT8);
    to.advanced = ledger_parameters_add(ps, SQL_TEXT);
    to.advanced_at = ledger_parameters_add(ps, SQL_INT8);
    to.hash = ledger_parameters_add(ps, SQL_TEXT);
    return to;
}

static void add(struct claim_arrays *to, const struct ledger_claim *claim, bool ascii_only)
{
    int64_t at = ledger_micros(claim->scheduled_at);

    if (claim->promotes) {
        sql_array_add_text(to->promoted, claim->id, ascii_only);
        sql_array_add_int8(to->promoted_at, at);
    } else {
        sql_array_add_text(to->id, claim->id, ascii_only);
        sql_array_add_text(to->job, claim->job, ascii_only);
        sql_array_add_int8(to->at, at);
        sql_array_add_int4(to->attempt, (int32_t)claim->attempt);
        sql_array_add_text(to->origin, run_origin_name(claim->origin), ascii_only);
    }
    if (claim->advances) {
        sql_array_add_text(to->advanced, claim->job, ascii_only);
        sql_array_add_int8(to->advanced_at, at);
        ledger_add_hash(to->hash, claim->schedule_hash);
    }
}

/*
 * New rows in the caller's order: of two for the same instant the first one gets
 * it. Rows that are there in the order of their keys: two attempts at the same
 * cannot wait for each other.
 */
int ledger_claim_build(struct ledger_postgres *p)
{
    struct ledger_parameters *ps = &p->parameters;
    int rc = find_places(&p->claim);

    if (rc < 0) {
        return rc;
    }
    ledger_parameters_begin(p);
    struct claim_arrays to = claim_arrays(ps);

    for (size_t i = 0; i < p->claim.count; i++) {
        if (!p->claim.claims[i].promotes) {
            add(&to, &p->claim.claims[i], p->ascii_only);
        }
    }
    for (size_t i = 0; i < p->claim.count; i++) {
        const struct ledger_claim *claim = &p->claim.claims[p->claim.places[i].at];
        if (claim->promotes) {
            add(&to, claim, p->ascii_only);
        }
    }
    return ledger_parameters_finish(ps);
}

static void tell(struct ledger_postgres *p)
{
    /* Whoever is told may claim the next ones at once. */
    struct ledger_claimed told = p->claim;

    p->claim = (struct ledger_claimed){0};
    ledger_postgres_done(p);
    p->ledger.events.on_claimed(p->ledger.events.ctx, told.verdicts, told.count,
                                told.database_clock);
    ledger_claim_release(&told);
}

static void grant(struct ledger_claimed *claim, const char *id)
{
    const struct claim_place *place = find(claim, id);

    if (place != NULL) {
        claim->verdicts[place->at] = LEDGER_GRANTED;
    }
}

/* What was not granted is ahead of the clock, or there already: perhaps by an attempt of ours. */
static int ask_for_the_rest(struct ledger_postgres *p)
{
    struct ledger_parameters *ps = &p->parameters;

    ledger_parameters_begin(p);
    struct sql_array *ids = ledger_parameters_add(ps, SQL_TEXT);
    for (size_t i = 0; i < p->claim.count; i++) {
        if (p->claim.verdicts[i] == LEDGER_TAKEN) {
            sql_array_add_text(ids, p->claim.claims[i].id, p->ascii_only);
        }
    }
    return ledger_parameters_finish(ps);
}

void ledger_claim_answered(struct ledger_postgres *p, const PGresult *result)
{
    struct ledger_claimed *claim = &p->claim;
    bool all_settled = true;

    if (ledger_postgres_is_over(p, result)) {
        return;
    }
    claim->database_clock = ledger_moment(result, 0, 1);
    /* The limit that the statement went by: a reload may have changed it since. */
    int64_t limit = ledger_micros(claim->database_clock) + p->prepared_skew / LEDGER_RESOLUTION;
    for (size_t i = 0; i < claim->count; i++) {
        bool ahead = ledger_micros(claim->claims[i].scheduled_at) > limit;
        claim->verdicts[i] = ahead ? LEDGER_AHEAD : LEDGER_TAKEN;
    }
    for (int row = 0; row < PQntuples(result); row++) {
        grant(claim, PQgetvalue(result, row, 2));
    }
    for (size_t i = 0; i < claim->count; i++) {
        all_settled = all_settled && claim->verdicts[i] != LEDGER_TAKEN;
    }
    if (all_settled) {
        tell(p);
    } else if (ask_for_the_rest(p) < 0) {
        ledger_postgres_failed(p, "out of memory");
    } else {
        ledger_postgres_ask(p, MATTER_CLAIMED);
    }
}

void ledger_claimed_answered(struct ledger_postgres *p, const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++) {
        grant(&p->claim, PQgetvalue(result, row, 0));
    }
    tell(p);
}
