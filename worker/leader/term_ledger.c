/*
 * The term is a row of pgbaton.term, and its epoch the one row of
 * pgbaton.election, written on the ledger's connection; what is
 * wanted waits its turn there.
 */
#include "worker/leader/term_ledger_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/database/schema.h"
#include "worker/leader/ledger.h"

/* What holds the election's row is most often a claim or an assertion, and short. Each attempt may
 * keep the ledger for its lock_timeout: not too often. */
#define JOBS_AGAIN_AFTER DUR_S(5)

static struct term_ledger *of(struct term *t)
{
    return (struct term_ledger *)t;
}

const struct config *term_ledger_config(const struct term_ledger *l)
{
    return l->term.options.config;
}

/* One line of it: the rest of what libpq makes of an error is for a terminal. */
const char *term_ledger_said(const PGresult *result)
{
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    return text != NULL ? text : "an answer that was not asked for";
}

static void ask_with(struct term_ledger *l, const char *sql, int count, const char *const *values,
                     void (*on_answer)(void *ctx, PGresult *result))
{
    const struct ledger_question question = {
        .sql = sql,
        .count = count,
        .values = values,
        .on_answer = on_answer,
    };

    ledger_connection_ask(l->ledger, LEDGER_ASKER_TERM, &question);
}

void term_ledger_ask(struct term_ledger *l, const char *sql,
                     void (*on_answer)(void *ctx, PGresult *result))
{
    ask_with(l, sql, 0, NULL, on_answer);
}

void term_ledger_ask_pipelined(struct term_ledger *l, const char *sql,
                               void (*on_answer)(void *ctx, PGresult *result))
{
    const struct ledger_question question = {
        .sql = sql,
        .pipelined = true,
        .on_answer = on_answer,
    };

    ledger_connection_ask(l->ledger, LEDGER_ASKER_TERM, &question);
}

void term_ledger_grant(struct term_ledger *l, enum wish wish)
{
    l->wanted[wish] = false;
}

/* A quoted literal, for messages of several statements, which take no parameters. */
static void quote(const struct term_ledger *l, const char *text, char ret_literal[LITERAL_MAX])
{
    PGconn *connection = session_connection(ledger_connection_session(l->ledger));
    char *literal = PQescapeLiteral(connection, text, strlen(text));

    /* Longer than any label can become; an empty one is refused by the server. */
    (void)snprintf(ret_literal, LITERAL_MAX, "%s", literal == NULL ? "NULL" : literal);
    PQfreemem(literal);
}

/* Fills in all but what the caller must keep: the literals. */
struct term_sql term_ledger_sql(const struct term_ledger *l, char ret_name[LITERAL_MAX],
                                char ret_instance[LITERAL_MAX])
{
    quote(l, term_ledger_config(l)->election.name, ret_name);
    quote(l, term_ledger_config(l)->pgbaton.instance, ret_instance);
    return (struct term_sql){
        .config = term_ledger_config(l),
        .schema = l->schema,
        .name = ret_name,
        .instance = ret_instance,
        .incarnation = l->term.options.incarnation,
    };
}

uint64_t term_ledger_number(const PGresult *result, int row, int column)
{
    return strtoull(PQgetvalue(result, row, column), NULL, 10);
}

/* ---- looking at the terms before ---- */

static struct takeover one_lease(const struct term_ledger *l)
{
    return (struct takeover){
        .wait = term_ledger_config(l)->election.lease,
        .reason = TAKEOVER_UNCLEAN,
    };
}

static struct takeover_term term_at(const PGresult *result, int row)
{
    const char *ended_as = PQgetvalue(result, row, 2);

    return (struct takeover_term){
        .generation = term_ledger_number(result, row, 8),
        .server = {.system_id = term_ledger_number(result, row, 0),
                   .timeline = (uint32_t)term_ledger_number(result, row, 1)},
        .ended_cleanly = strcmp(ended_as, "released") == 0 || strcmp(ended_as, "fenced") == 0,
        .lease = takeover_read_length(PQgetvalue(result, row, 3)),
        .heartbeat = takeover_read_length(PQgetvalue(result, row, 4)),
        .loss_grace = takeover_read_length(PQgetvalue(result, row, 5)),
        /* Of the newest it is the present, whatever the server's clock has done meanwhile. */
        .superseded_ago = row == 0 ? 0 : takeover_read_length(PQgetvalue(result, row, 6)),
        .unfinished_runs = term_ledger_number(result, row, 7),
        .runs_recorded = strcmp(PQgetvalue(result, row, 9), "t") == 0,
        .opened_ago = takeover_read_length(PQgetvalue(result, row, 10)),
    };
}

static void on_looked(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;
    struct takeover_term terms[TERM_SQL_LOOKED_MAX];
    const struct takeover_rules rules = term_rules(&l->term);
    struct takeover takeover = one_lease(l);

    if (!l->looks) { /* behind an opening that wrote nothing */
        return;
    }
    l->looks = false;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) <= TERM_SQL_LOOKED_MAX &&
        PQnfields(result) == 11) {
        int count = PQntuples(result);
        for (int i = 0; i < count; i++) {
            terms[i] = term_at(result, i);
        }
        takeover = takeover_decide(&rules, terms, (size_t)count);
    } else {
        log_warn("term_before_unknown", "error=%s", log_text(term_ledger_said(result)).is);
    }
    l->term.events.on_looked(l->term.events.ctx, takeover);
}

void term_ledger_look(struct term_ledger *l)
{
    char sql[TERM_SQL_MAX];

    term_sql_look(l->term.epoch, sql);
    term_ledger_ask_pipelined(l, sql, on_looked);
}

/* ---- what is good to have: failures are only logged ---- */

static void log_failure(struct term_ledger *l, const char *event, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        log_warn(event, "epoch=%s error=%s", epoch_text(l->term.epoch).is,
                 log_text(term_ledger_said(result)).is);
    }
}

static void on_marked(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    term_ledger_grant(l, WISH_MARK);
    log_failure(l, "terms_before_not_stamped", result);
}

static void mark(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char instance[LITERAL_MAX];
    char sql[TERM_SQL_MAX];
    const struct term_sql about = term_ledger_sql(l, name, instance);

    term_sql_mark(&about, l->term.epoch, sql);
    term_ledger_ask(l, sql, on_marked);
}

static void on_notified(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    term_ledger_grant(l, WISH_NOTIFY);
    log_failure(l, "term_not_notified", result);
}

static void notify(struct term_ledger *l)
{
    char payload[ELECTION_NAME_MAX + 8];
    const char *const values[] = {payload};

    (void)snprintf(payload, sizeof(payload), "term %s", term_ledger_config(l)->election.name);
    ask_with(l, "SELECT pg_notify('pgbaton', $1)", 1, values, on_notified);
}

static void on_stamped(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    term_ledger_grant(l, WISH_STAMP);
    log_failure(l, "term_not_stamped", result);
    l->term.events.on_stamped(l->term.events.ctx);
}

static void stamp(struct term_ledger *l)
{
    char sql[SCHEMA_MAX + 256];
    char generation[24];
    char number[24];
    char incarnation[24];
    const char *const values[] = {term_ledger_config(l)->election.name,
                                  generation,
                                  number,
                                  l->term.ended_as,
                                  l->term.end_reason,
                                  incarnation};

    (void)snprintf(generation, sizeof(generation), "%" PRIu64, l->term.epoch.generation);
    (void)snprintf(number, sizeof(number), "%" PRIu64, l->term.epoch.number);
    (void)snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, l->term.options.incarnation);
    (void)snprintf(sql, sizeof(sql),
                   "UPDATE %s.term SET ended_at = clock_timestamp(), ended_as = $4, "
                   "end_reason = $5 WHERE election = $1 AND generation = $2 AND number = $3 "
                   "AND incarnation = $6 AND ended_at IS NULL",
                   l->schema);
    ask_with(l, sql, 6, values, on_stamped);
}

static void on_jobs_told(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;
    bool succeeded = PQresultStatus(result) == PGRES_COMMAND_OK;
    bool log;

    term_ledger_grant(l, WISH_JOBS);
    switch (retell_answered(&l->retell, succeeded, l->term.jobs_hash, &log)) {
    case RETELL_DONE:
        break;
    case RETELL_NOW:
        l->wanted[WISH_JOBS] = true;
        break;
    case RETELL_LATER:
        timer_arm(&l->jobs_again, clock_now() + JOBS_AGAIN_AFTER);
        break;
    }
    if (log) {
        log_failure(l, "jobs_not_told", result);
    }
}

/* A reload keeps the term, but not its jobs: followers compare theirs with what is written here. */
static void tell_jobs(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char instance[LITERAL_MAX];
    char sql[TERM_SQL_MAX];
    const struct term_sql about = term_ledger_sql(l, name, instance);

    term_sql_jobs(&about, l->term.epoch, l->term.jobs_hash, sql);
    retell_asked(&l->retell, l->term.jobs_hash);
    term_ledger_ask(l, sql, on_jobs_told);
}

/* ---- one thing after the other ---- */

static void on_turn(void *ctx)
{
    static void (*const fulfil[WISH_COUNT])(struct term_ledger * l) = {
        [WISH_PREPARE] = term_opening_prepare,
        [WISH_BEGIN] = term_opening_begin,
        [WISH_MARK] = mark,
        [WISH_NOTIFY] = notify,
        [WISH_STAMP] = stamp,
        [WISH_JOBS] = tell_jobs,
    };
    struct term_ledger *l = ctx;

    for (enum wish w = 0; w < WISH_COUNT; w++) {
        if (l->wanted[w]) {
            fulfil[w](l);
            return;
        }
    }
}

static void on_ledger_ready(void *ctx)
{
    struct term_ledger *l = ctx;

    l->prepared = false; /* whatever was, was in another session */
    l->wanted[WISH_PREPARE] = true;
}

static void on_ledger_down(void *ctx, const char *text)
{
    struct term_ledger *l = ctx;

    l->wanted[WISH_PREPARE] = false;
    if (l->wanted[WISH_BEGIN]) {
        term_opening_failed(l, "the ledger's connection: %s", text);
    }
    if (l->looks) {
        l->looks = false;
        l->term.events.on_looked(l->term.events.ctx, one_lease(l));
    }
    if (l->wanted[WISH_STAMP]) {
        term_ledger_grant(l, WISH_STAMP);
        log_warn("term_not_stamped", "epoch=%s error=%s", epoch_text(l->term.epoch).is,
                 log_text(text).is);
        l->term.events.on_stamped(l->term.events.ctx);
    }
}

static void want(struct term *t, enum wish wish)
{
    struct term_ledger *l = of(t);

    l->wanted[wish] = true;
    if (ledger_connection_session(l->ledger) == NULL) {
        ledger_connection_hurry(l->ledger);
    } else {
        ledger_connection_proceed(l->ledger);
    }
}

static void row_begin(struct term *t)
{
    want(t, WISH_BEGIN);
}

static void row_announce(struct term *t)
{
    of(t)->wanted[WISH_NOTIFY] = true;
    want(t, WISH_MARK);
}

static void row_stamp(struct term *t)
{
    /* Nobody asks for the jobs of a term that is over, and they are not to keep its end waiting. */
    timer_arm(&of(t)->jobs_again, MONO_NEVER);
    of(t)->wanted[WISH_JOBS] = false;
    want(t, WISH_STAMP);
}

/* Before the opening is written there is nobody to tell: it has the hash. */
static void row_jobs(struct term *t)
{
    if (epoch_equal(t->epoch, (struct epoch){0})) {
        return;
    }
    timer_arm(&of(t)->jobs_again, MONO_NEVER);
    want(t, WISH_JOBS);
}

static void on_jobs_again(void *ctx)
{
    want(ctx, WISH_JOBS);
}

static void row_close(struct term *t)
{
    ledger_connection_detach(of(t)->ledger, LEDGER_ASKER_TERM);
    timer_release(&of(t)->jobs_again);
    free(of(t));
}

static const struct term_kind row_kind = {
    .begin = row_begin,
    .announce = row_announce,
    .stamp = row_stamp,
    .jobs = row_jobs,
    .close = row_close,
};

struct term *term_ledger_new(void)
{
    struct term_ledger *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->term.kind = &row_kind;
    return &l->term;
}

void term_ledger_start(struct term *t)
{
    struct term_ledger *l = of(t);
    const struct ledger_connection_events events = {
        .on_ready = on_ledger_ready,
        .on_turn = on_turn,
        .on_down = on_ledger_down,
        .ctx = l,
    };
    int rc = schema_quote(t->options.config, l->schema, sizeof(l->schema));

    assert(rc == 0); /* the configuration refuses a longer name */
    rc = timer_init(&l->jobs_again, t->loop, on_jobs_again, t);
    assert(rc == 0);
    (void)snprintf(l->key_text, sizeof(l->key_text), "%" PRId64, t->options.config->election.key);
    l->ledger = ledger_connection_of(t->options.ledger);
    assert(l->ledger != NULL);
    ledger_connection_attach(l->ledger, LEDGER_ASKER_TERM, &events);
}
