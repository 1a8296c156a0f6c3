/*
 * One question at a time, on the connection that the term has too. The
 * statements are prepared while the heir waits, so that the first claim of its
 * term does not wait for them; in a term's new session, or where that failed, or
 * they are gone, the next question does it first.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/leader/ledger_postgres_private.h"

static struct ledger_postgres *of(struct ledger *l)
{
    return (struct ledger_postgres *)l;
}

/* ---- parameters ---- */

void ledger_parameters_release(struct ledger_parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        sql_array_release(&parameters->arrays[i]);
    }
    parameters->count = 0;
}

struct sql_array *ledger_parameters_add(struct ledger_parameters *parameters, enum sql_type type)
{
    assert(parameters->count < SESSION_PARAMETERS_MAX);
    struct sql_array *a = &parameters->arrays[parameters->count++];

    sql_array_init(a, type);
    return a;
}

int ledger_parameters_finish(struct ledger_parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        int rc = sql_array_finish(&parameters->arrays[i]);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void ledger_parameters_begin(struct ledger_postgres *p)
{
    ledger_parameters_release(&p->parameters);
    struct sql_array *epoch = ledger_parameters_add(&p->parameters, SQL_INT8);

    sql_array_add_int8(epoch, (int64_t)p->ledger.epoch.generation);
    sql_array_add_int8(epoch, (int64_t)p->ledger.epoch.number);
}

int64_t ledger_micros(wall_ns moment)
{
    int64_t micros = moment / LEDGER_RESOLUTION;

    return moment % LEDGER_RESOLUTION < 0 ? micros - 1 : micros;
}

void ledger_add_moment(struct sql_array *a, wall_ns moment)
{
    if (moment == 0) {
        sql_array_add_null(a);
    } else {
        sql_array_add_int8(a, ledger_micros(moment));
    }
}

void ledger_add_hash(struct sql_array *a, uint64_t hash)
{
    char digits[20];

    (void)snprintf(digits, sizeof(digits), "%016" PRIx64, hash);
    sql_array_add_text(a, digits, true);
}

/* What is beyond the years that nanoseconds can count was written by somebody. */
wall_ns ledger_moment(const PGresult *result, int row, int column)
{
    int64_t micros = strtoll(PQgetvalue(result, row, column), NULL, 10);
    int64_t most = INT64_MAX / LEDGER_RESOLUTION;

    if (PQgetisnull(result, row, column) != 0) {
        return 0;
    }
    return (micros > most ? most : micros < -most ? -most : micros) * LEDGER_RESOLUTION;
}

/* ---- the end of a question ---- */

void ledger_postgres_done(struct ledger_postgres *p)
{
    ledger_parameters_release(&p->parameters);
    p->matter = MATTER_NONE;
    p->prepared_anew = false;
}

void ledger_postgres_failed(struct ledger_postgres *p, const char *text)
{
    ledger_postgres_done(p);
    p->ledger.events.on_failed(p->ledger.events.ctx, text);
}

bool ledger_postgres_is_over(struct ledger_postgres *p, const PGresult *result)
{
    if (strcmp(PQgetvalue(result, 0, 0), "0") != 0) {
        return false;
    }
    ledger_postgres_done(p);
    p->ledger.events.on_term_over(p->ledger.events.ctx);
    return true;
}

static bool has_state(const char *state, const char *const *list)
{
    for (; state != NULL && *list != NULL; list++) {
        if (strcmp(state, *list) == 0) {
            return true;
        }
    }
    return false;
}

/* One line; libpq's own text is for a terminal. */
static void tell_refusal(struct ledger_postgres *p, const PGresult *result)
{
    static const char *const other_tables[] = {"42P01", "3F000", "42703", "42883",
                                               "42804", "42P10", "0A000", NULL};
    static const char *const no_right[] = {"42501", NULL};
    static const char *const in_the_way[] = {"55P03", "57014", "40P01", "40001", NULL};
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *said = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *hint = "";
    char text[REASON_MAX];

    if (has_state(state, other_tables)) {
        hint = "the tables are missing or of another version (run `pgbaton init-db`): ";
    } else if (has_state(state, no_right)) {
        hint = "not permitted (`pgbaton init-db --print` lists the rights): ";
    }
    if (!has_state(state, in_the_way)) {
        p->prepared = false; /* what has changed may have changed what the statements mean */
    }
    (void)snprintf(text, sizeof(text), "%s%s", hint,
                   said != NULL ? said : "an answer that was not asked for");
    ledger_postgres_failed(p, text);
}

/* True: the same question is asked again, because now it may be answered. */
static bool may_be_asked_otherwise(struct ledger_postgres *p, const PGresult *result)
{
    static const char *const no_statement[] = {"26000", NULL};
    static const char *const no_character[] = {"22P05", "22021", NULL};
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (has_state(state, no_statement) && !p->prepared_anew) {
        p->prepared = false;
        p->prepared_anew = true;
        return true;
    }
    if (has_state(state, no_character) && !p->ascii_only) {
        p->ascii_only = true;
        return (p->matter == MATTER_CLAIM && ledger_claim_build(p) == 0) ||
               (p->matter == MATTER_WRITE && ledger_write_build(p) == 0);
    }
    return false;
}

/* ---- answers ---- */

static void write_answered(struct ledger_postgres *p, const PGresult *result)
{
    if (!ledger_postgres_is_over(p, result)) {
        ledger_postgres_done(p);
        p->ledger.events.on_written(p->ledger.events.ctx);
    }
}

static void prune_answered(struct ledger_postgres *p, const PGresult *result)
{
    if (!ledger_postgres_is_over(p, result)) {
        size_t rows = strtoull(PQgetvalue(result, 0, 1), NULL, 10);

        ledger_postgres_done(p);
        p->ledger.events.on_pruned(p->ledger.events.ctx, rows);
    }
}

/* How many columns an answer has, whether it has a row at least, and who understands it. */
static const struct {
    int columns;
    int rows_least;
    void (*answered)(struct ledger_postgres *p, const PGresult *result);
} matters[MATTER_COUNT] = {
    [MATTER_LOAD] = {15, 1, ledger_load_answered},
    [MATTER_CLAIM] = {3, 1, ledger_claim_answered},
    [MATTER_CLAIMED] = {1, 0, ledger_claimed_answered},
    [MATTER_WRITE] = {1, 1, write_answered},
    [MATTER_REQUESTS] = {5, 0, ledger_requests_answered},
    [MATTER_PRUNE] = {2, 1, prune_answered},
    [MATTER_PRUNE_AGED] = {2, 1, prune_answered},
};

static void on_answer(void *ctx, PGresult *result)
{
    struct ledger_postgres *p = ctx;

    p->asking = false;
    if (PQresultStatus(result) == PGRES_TUPLES_OK &&
        PQnfields(result) == matters[p->matter].columns &&
        PQntuples(result) >= matters[p->matter].rows_least) {
        matters[p->matter].answered(p, result);
    } else if (!may_be_asked_otherwise(p, result)) {
        tell_refusal(p, result);
    }
}

/* ---- questions ---- */

static void on_prepared(void *ctx, PGresult *result)
{
    struct ledger_postgres *p = ctx;

    p->asking = false;
    p->prepared = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!p->prepared && p->matter != MATTER_NONE) {
        tell_refusal(p, result);
    } /* without a question it was early: the tables may be there when it is asked */
}

static void prepare(struct ledger_postgres *p)
{
    PGconn *connection = session_connection(ledger_connection_session(p->connection));
    char *sql = connection == NULL ? NULL : ledger_postgres_prepare_sql(p, connection);
    const struct ledger_question question = {
        .sql = sql != NULL ? sql : "SELECT 1/0", /* out of memory: it has failed */
        .on_answer = on_prepared,
    };

    p->asking = true;
    p->prepared_skew = p->ledger.limits.max_clock_skew;
    ledger_connection_ask(p->connection, LEDGER_ASKER_RUNS, &question);
    free(sql);
}

/* One message of the protocol, where there is nothing but the epoch to be said. */
static void ask_simply(struct ledger_postgres *p)
{
    char sql[LEDGER_SIMPLE_SQL_MAX];
    const struct ledger_question question = {.sql = sql, .on_answer = on_answer};

    ledger_postgres_simple_sql(p, sql);
    ledger_connection_ask(p->connection, LEDGER_ASKER_RUNS, &question);
}

static void ask_prepared(struct ledger_postgres *p)
{
    const char *values[SESSION_PARAMETERS_MAX];
    int lengths[SESSION_PARAMETERS_MAX];
    const struct ledger_question question = {
        .sql = ledger_postgres_statement(p->matter),
        .prepared = true,
        .count = p->parameters.count,
        .values = values,
        .lengths = lengths,
        .on_answer = on_answer,
    };

    for (int i = 0; i < p->parameters.count; i++) {
        values[i] = p->parameters.arrays[i].bytes;
        lengths[i] = (int)p->parameters.arrays[i].used;
    }
    ledger_connection_ask(p->connection, LEDGER_ASKER_RUNS, &question);
}

static void tell_ready(struct ledger_postgres *p)
{
    if (!p->told_ready) {
        p->told_ready = true;
        p->ledger.events.on_ready(p->ledger.events.ctx);
    }
}

static void on_turn(void *ctx)
{
    struct ledger_postgres *p = ctx;
    bool is_early = !p->begun && !p->prepared_early;

    if (p->asking) {
        return;
    }
    if (p->outdated) {
        p->outdated = false;
        p->prepared = false;
    }
    if (!p->prepared && (p->matter != MATTER_NONE || is_early)) {
        p->prepared_early = true;
        prepare(p);
    } else if (p->matter != MATTER_NONE) {
        p->asking = true;
        if (p->matter == MATTER_LOAD || p->matter == MATTER_REQUESTS) {
            ask_simply(p);
        } else {
            ask_prepared(p);
        }
    } else if (p->begun) {
        tell_ready(p);
    }
}

void ledger_postgres_ask(struct ledger_postgres *p, enum ledger_matter matter)
{
    p->matter = matter;
    ledger_connection_proceed(p->connection);
}

static void on_soon(struct ev_loop *loop, ev_timer *soon, int revents)
{
    struct ledger_postgres *p = soon->data;

    (void)loop;
    (void)revents;
    if (p->unbuilt) {
        p->unbuilt = false;
        p->asking = false;
        ledger_postgres_failed(p, "out of memory");
    } else {
        ledger_connection_proceed(p->connection);
    }
}

/* Where the parameters cannot be built that is told, but not from inside of this call. */
static void ask_built(struct ledger_postgres *p, enum ledger_matter matter, int rc)
{
    p->matter = matter;
    if (rc < 0) {
        p->unbuilt = true;
        p->asking = true; /* so that it is not sent */
        ev_timer_start(p->ledger.loop, &p->soon);
    } else {
        ledger_connection_proceed(p->connection);
    }
}

/* ---- the connection ---- */

static void on_connection_ready(void *ctx)
{
    struct ledger_postgres *p = ctx;

    p->prepared = false; /* whatever was, was in another session */
    p->prepared_early = false;
}

static void on_connection_down(void *ctx, const char *text)
{
    struct ledger_postgres *p = ctx;
    bool was_asked = p->matter != MATTER_NONE;
    /* Nothing is asked of what is not free: of one that does not come back nobody would hear. */
    bool stays_away = p->begun && !p->told_ready;

    p->asking = false;
    p->prepared = false;
    p->told_ready = false;
    p->unbuilt = false;
    if (was_asked || stays_away) {
        char line[REASON_MAX];

        (void)snprintf(line, sizeof(line), "the ledger's connection: %s", text);
        ledger_postgres_failed(p, line);
    }
}

/* ---- the interface ---- */

static int postgres_open(struct ledger *l)
{
    struct ledger_postgres *p = of(l);
    const struct ledger_options *options = &l->options;
    const struct ledger_connection_events events = {
        .on_ready = on_connection_ready,
        .on_turn = on_turn,
        .on_down = on_connection_down,
        .ctx = p,
    };

    p->connection = ledger_connection_open(l->loop, options->config, &options->address,
                                           &options->server, options->seed);
    if (p->connection == NULL) {
        return -ENOMEM;
    }
    ledger_connection_attach(p->connection, LEDGER_ASKER_RUNS, &events);
    return 0;
}

static void postgres_begin(struct ledger *l)
{
    assert(!of(l)->begun);
    of(l)->begun = true;
    ev_timer_start(l->loop, &of(l)->soon); /* on_ready is not told from inside of this call */
}

static bool postgres_is_free(const struct ledger *l)
{
    const struct ledger_postgres *p = (const struct ledger_postgres *)l;

    return p->told_ready && p->matter == MATTER_NONE;
}

static void postgres_load(struct ledger *l)
{
    ask_built(of(l), MATTER_LOAD, 0);
}

static void postgres_claim(struct ledger *l, const struct ledger_claim *claims, size_t count)
{
    of(l)->claim.claims = claims;
    of(l)->claim.count = count;
    ask_built(of(l), MATTER_CLAIM, ledger_claim_build(of(l)));
}

static void postgres_write(struct ledger *l, const struct ledger_write *write)
{
    of(l)->write = *write;
    ask_built(of(l), MATTER_WRITE, ledger_write_build(of(l)));
}

static void postgres_take_requests(struct ledger *l)
{
    ask_built(of(l), MATTER_REQUESTS, 0);
}

static void postgres_prune(struct ledger *l, const char *job)
{
    ledger_parameters_begin(of(l));
    if (job != NULL) {
        sql_array_add_text(ledger_parameters_add(&of(l)->parameters, SQL_TEXT), job, false);
    }
    ask_built(of(l), job != NULL ? MATTER_PRUNE : MATTER_PRUNE_AGED,
              ledger_parameters_finish(&of(l)->parameters));
}

/* They are in the statements: those are prepared anew, with the next question. */
static void postgres_limit(struct ledger *l)
{
    of(l)->outdated = true;
}

static void postgres_close(struct ledger *l)
{
    struct ledger_postgres *p = of(l);

    ledger_connection_close(p->connection);
    ev_timer_stop(l->loop, &p->soon);
    ledger_parameters_release(&p->parameters);
    ledger_claim_release(&p->claim);
    free(p);
}

static const struct ledger_kind postgres = {
    .open = postgres_open,
    .begin = postgres_begin,
    .is_free = postgres_is_free,
    .load = postgres_load,
    .claim = postgres_claim,
    .write = postgres_write,
    .take_requests = postgres_take_requests,
    .prune = postgres_prune,
    .limit = postgres_limit,
    .close = postgres_close,
};

struct ledger *ledger_postgres_new(void)
{
    struct ledger_postgres *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        return NULL;
    }
    p->ledger.kind = &postgres;
    p->matter = MATTER_NONE;
    ev_timer_init(&p->soon, on_soon, 0., 0.);
    p->soon.data = p;
    return &p->ledger;
}

struct ledger_connection *ledger_connection_of(struct ledger *l)
{
    return l->kind == &postgres ? of(l)->connection : NULL;
}
