/*
 * The term is a row of pgbaton.term, and its epoch the one row of
 * pgbaton.election, written on the ledger's connection. One question at a time;
 * what is wanted waits its turn.
 */
#include "worker/leader/term.h"

#include <assert.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/database/schema.h"
#include "worker/leader/ledger.h"

/* More than the statement_timeout of the ledger's session: the server's own answer is better. */
#define ANSWER_LIMIT DUR_S(12)

enum {
    SQL_MAX = 4096,
    SCHEMA_MAX = 160,  /* a quoted identifier of 63 bytes */
    LITERAL_MAX = 300, /* a quoted label */
    TERMS_MAX = 16,    /* earlier terms that are looked at */
};

/* In this order. */
enum wish { WISH_BEGIN, WISH_LOOK, WISH_MARK, WISH_NOTIFY, WISH_STAMP, WISH_JOBS, WISH_COUNT };

struct term_ledger {
    struct term term;
    struct ledger *ledger;
    bool wanted[WISH_COUNT];
    bool asking;
    bool created; /* the schema was created, or that was tried */
    char schema[SCHEMA_MAX];
    char key_text[24];
};

static struct term_ledger *of(struct term *t)
{
    return (struct term_ledger *)t;
}

static const struct config *config_of(const struct term_ledger *l)
{
    return l->term.options.config;
}

static void proceed(struct term_ledger *l);

static bool has_state(const PGresult *result, const char *state)
{
    const char *got = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return got != NULL && strcmp(got, state) == 0;
}

/* One line of it: the rest of what libpq makes of an error is for a terminal. */
static const char *said(const PGresult *result)
{
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    return text != NULL ? text : "an answer that was not asked for";
}

static void ask(struct term_ledger *l, const char *sql,
                void (*on_answer)(void *ctx, PGresult *result))
{
    struct session *s = ledger_session(l->ledger);

    assert(s != NULL);
    l->asking = true;
    session_ask(s, sql, 0, NULL, ANSWER_LIMIT, on_answer, l);
}

static void ask_with(struct term_ledger *l, const char *sql, int count, const char *const *values,
                     void (*on_answer)(void *ctx, PGresult *result))
{
    struct session *s = ledger_session(l->ledger);

    assert(s != NULL);
    l->asking = true;
    session_ask(s, sql, count, values, ANSWER_LIMIT, on_answer, l);
}

static void grant_wish(struct term_ledger *l, enum wish wish)
{
    l->asking = false;
    l->wanted[wish] = false;
}

/* A quoted literal, for messages of several statements, which take no parameters. */
static void quote(const struct term_ledger *l, const char *text, char ret_literal[LITERAL_MAX])
{
    PGconn *connection = session_connection(ledger_session(l->ledger));
    char *literal = PQescapeLiteral(connection, text, strlen(text));

    /* Longer than any label can become; an empty one is refused by the server. */
    (void)snprintf(ret_literal, LITERAL_MAX, "%s", literal == NULL ? "NULL" : literal);
    PQfreemem(literal);
}

static void print_sql(char ret_sql[SQL_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void print_sql(char ret_sql[SQL_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(ret_sql, SQL_MAX, format, args);
    va_end(args);
    assert(length > 0 && length < SQL_MAX);
}

/* ---- opening the term ---- */

static void failed(struct term_ledger *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void failed(struct term_ledger *l, const char *format, ...)
{
    char text[REASON_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    grant_wish(l, WISH_BEGIN);
    l->term.events.on_failed(l->term.events.ctx, text);
}

static void on_rolled_back(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    (void)result; /* if it failed, so will what comes next, and that says why */
    l->asking = false;
    proceed(l);
}

/* Somebody's transaction holds the row: say so, and try the next slice. */
static void blocked(struct term_ledger *l)
{
    int pid = session_backend_pid(ledger_session(l->ledger));

    l->term.events.on_blocked(l->term.events.ctx, pid);
    ask(l, "ROLLBACK", on_rolled_back);
}

static void on_created(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        failed(l, "the schema %s cannot be created (run `pgbaton init-db` as a role that may): %s",
               l->schema, said(result));
        return;
    }
    log_info("schema_created", "schema=%s", log_text(config_of(l)->database.schema).is);
    l->asking = false;
    proceed(l);
}

static void create_schema(struct term_ledger *l)
{
    char *sql = schema_create_sql(config_of(l));

    l->created = true;
    if (sql == NULL) {
        failed(l, "out of memory");
        return;
    }
    ask(l, sql, on_created);
    free(sql);
}

static void on_rolled_back_without_schema(void *ctx, PGresult *result)
{
    (void)result;
    create_schema(ctx);
}

static bool has_no_schema(const PGresult *result)
{
    return has_state(result, "42P01") || has_state(result, "3F000");
}

static void opening_refused(struct term_ledger *l, const PGresult *result)
{
    if (has_state(result, "55P03")) {
        blocked(l);
    } else if (has_no_schema(result) && config_of(l)->database.create_schema && !l->created) {
        ask(l, "ROLLBACK", on_rolled_back_without_schema);
    } else if (has_no_schema(result) || has_state(result, "42703")) {
        failed(
            l,
            "the tables of schema %s are missing or of another version: run `pgbaton init-db`: %s",
            l->schema, said(result));
    } else if (has_state(result, "42501")) {
        failed(l, "not permitted (`pgbaton init-db --print` lists the rights): %s", said(result));
    } else {
        failed(l, "%s", said(result));
    }
}

static void on_committed(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        opening_refused(l, result);
        return;
    }
    if (strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        failed(l, "the term was not committed but: %s", PQcmdStatus(result));
        return;
    }
    grant_wish(l, WISH_BEGIN);
    l->term.events.on_opened(l->term.events.ctx, l->term.epoch);
    proceed(l);
}

static void write_term(struct term_ledger *l)
{
    const struct config *cfg = config_of(l);
    const struct config_election *election = &cfg->election;
    const struct term_options *options = &l->term.options;
    char name[LITERAL_MAX];
    char instance[LITERAL_MAX];
    char sql[SQL_MAX];

    quote(l, election->name, name);
    quote(l, cfg->pgbaton.instance, instance);
    print_sql(sql,
              "UPDATE %s.election SET generation = %" PRIu64 ", number = %" PRIu64
              ", incarnation = '%016" PRIx64 "', instance = %s, system_id = '%" PRIu64
              "', timeline = %" PRIu32 ", jobs_hash = '%016" PRIx64 "' WHERE name = %s; "
              "INSERT INTO %s.term (election, generation, number, incarnation, instance, "
              "backend_pid, backend_start, system_id, timeline, lease_ms, heartbeat_ms, "
              "loss_grace_ms) VALUES (%s, %" PRIu64 ", %" PRIu64 ", '%016" PRIx64 "', %s, %d, "
              "(SELECT backend_start FROM pg_stat_activity WHERE pid = %d), '%" PRIu64 "', %" PRIu32
              ", %" PRId64 ", %" PRId64 ", %" PRId64 "); COMMIT",
              l->schema, l->term.epoch.generation, l->term.epoch.number, options->incarnation,
              instance, options->server.system_id, options->server.timeline, l->term.jobs_hash,
              name, l->schema, name, l->term.epoch.generation, l->term.epoch.number,
              options->incarnation, instance, l->term.lock_pid, l->term.lock_pid,
              options->server.system_id, options->server.timeline, election->lease / DUR_MS(1),
              election->heartbeat / DUR_MS(1), election->loss_grace / DUR_MS(1));
    ask(l, sql, on_committed);
}

static uint64_t number_at(const PGresult *result, int row, int column)
{
    return strtoull(PQgetvalue(result, row, column), NULL, 10);
}

static void on_row_locked(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
        PQnfields(result) != 6) {
        opening_refused(l, result);
        return;
    }
    if (strcmp(PQgetvalue(result, 0, 2), l->key_text) != 0) {
        failed(l,
               "election '%s' has the key %s in this database, and %s here: two services share "
               "the name; give this one another [election] name, or that key",
               config_of(l)->election.name, PQgetvalue(result, 0, 2), l->key_text);
        return;
    }
    if (number_at(result, 0, 5) != 1) {
        failed(l,
               "the ledger's connection does not see the key held by backend %d: that session has "
               "ended, or this connection leads to another server",
               l->term.lock_pid);
        return;
    }
    struct epoch stored;
    if (!takeover_read_number(PQgetvalue(result, 0, 0), &stored.generation) ||
        !takeover_read_number(PQgetvalue(result, 0, 1), &stored.number) ||
        !takeover_can_follow(stored)) {
        failed(l, "election '%s' has the epoch %s.%s, after which none can come: somebody wrote it",
               config_of(l)->election.name, PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
        return;
    }
    const struct server_identity server = {
        .system_id = number_at(result, 0, 3),
        .timeline = (uint32_t)number_at(result, 0, 4),
    };
    l->term.epoch = takeover_epoch(stored, server, l->term.options.server);
    write_term(l);
}

static void begin(struct term_ledger *l)
{
    uint64_t key = (uint64_t)config_of(l)->election.key;
    char name[LITERAL_MAX];
    char sql[SQL_MAX];

    quote(l, config_of(l)->election.name, name);
    print_sql(sql,
              "BEGIN; INSERT INTO %s.election (name, key) VALUES (%s, '%s') "
              "ON CONFLICT (name) DO NOTHING; "
              "SELECT generation, number, key, coalesce(system_id, '0'), coalesce(timeline, 0), "
              "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
              "AND pid = %d AND classid = '%" PRIu64 "'::oid AND objid = '%" PRIu64
              "'::oid AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = "
              "current_database())) FROM %s.election WHERE name = %s FOR UPDATE",
              l->schema, name, l->key_text, l->term.lock_pid, key >> 32, key & UINT32_MAX,
              l->schema, name);
    ask(l, sql, on_row_locked);
}

/* ---- looking at the terms before ---- */

static struct takeover one_lease(const struct term_ledger *l)
{
    return (struct takeover){
        .wait = config_of(l)->election.lease,
        .reason = TAKEOVER_UNCLEAN,
    };
}

static struct takeover_term term_at(const PGresult *result, int row)
{
    const char *ended_as = PQgetvalue(result, row, 2);

    return (struct takeover_term){
        .server = {.system_id = number_at(result, row, 0),
                   .timeline = (uint32_t)number_at(result, row, 1)},
        .ended_cleanly = strcmp(ended_as, "released") == 0 || strcmp(ended_as, "fenced") == 0,
        .lease = takeover_read_length(PQgetvalue(result, row, 3)),
        .heartbeat = takeover_read_length(PQgetvalue(result, row, 4)),
        .loss_grace = takeover_read_length(PQgetvalue(result, row, 5)),
        /* Of the newest it is the present, whatever the server's clock has done meanwhile. */
        .superseded_ago = row == 0 ? 0 : takeover_read_length(PQgetvalue(result, row, 6)),
    };
}

static void on_looked(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;
    struct takeover_term terms[TERMS_MAX];
    const struct takeover_rules rules = term_rules(&l->term);
    struct takeover takeover = one_lease(l);

    grant_wish(l, WISH_LOOK);
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) <= TERMS_MAX &&
        PQnfields(result) == 7) {
        int count = PQntuples(result);
        for (int i = 0; i < count; i++) {
            terms[i] = term_at(result, i);
        }
        takeover = takeover_decide(&rules, terms, (size_t)count);
    } else {
        log_warn("term_before_unknown", "error=%s", log_text(said(result)).is);
    }
    l->term.events.on_looked(l->term.events.ctx, takeover);
    proceed(l);
}

/* The window is taken over our own row too: it is what superseded the newest of the others. */
static void look(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char sql[SQL_MAX];
    const struct epoch *e = &l->term.epoch;

    quote(l, config_of(l)->election.name, name);
    print_sql(
        sql,
        "SELECT coalesce(system_id, '0'), coalesce(timeline, 0), coalesce(ended_as, ''), "
        "lease_ms, heartbeat_ms, loss_grace_ms, greatest(0, floor(extract(epoch FROM "
        "clock_timestamp() - superseded_at) * 1000))::bigint FROM ("
        "SELECT t.*, lead(started_at) OVER (ORDER BY generation, number) AS superseded_at "
        "FROM (SELECT * FROM %s.term WHERE election = %s AND (generation, number) <= (%" PRIu64
        ", %" PRIu64 ") ORDER BY generation DESC, number DESC LIMIT %d) t) w "
        "WHERE (generation, number) < (%" PRIu64 ", %" PRIu64
        ") ORDER BY generation DESC, number DESC",
        l->schema, name, e->generation, e->number, TERMS_MAX + 1, e->generation, e->number);
    ask(l, sql, on_looked);
}

/* ---- what is good to have: failures are only logged ---- */

static void log_failure(struct term_ledger *l, const char *event, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        log_warn(event, "epoch=%s error=%s", epoch_text(l->term.epoch).is,
                 log_text(said(result)).is);
    }
}

static void on_marked(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    grant_wish(l, WISH_MARK);
    log_failure(l, "terms_before_not_stamped", result);
    proceed(l);
}

static void mark(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char sql[SQL_MAX];

    quote(l, config_of(l)->election.name, name);
    print_sql(sql,
              "UPDATE %s.term SET ended_at = clock_timestamp(), ended_as = 'lost', "
              "end_reason = 'superseded' WHERE election = %s AND ended_at IS NULL "
              "AND (generation, number) < (%" PRIu64 ", %" PRIu64 ")",
              l->schema, name, l->term.epoch.generation, l->term.epoch.number);
    ask(l, sql, on_marked);
}

static void on_notified(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    grant_wish(l, WISH_NOTIFY);
    log_failure(l, "term_not_notified", result);
    proceed(l);
}

static void notify(struct term_ledger *l)
{
    char payload[ELECTION_NAME_MAX + 8];
    const char *const values[] = {payload};

    (void)snprintf(payload, sizeof(payload), "term %s", config_of(l)->election.name);
    ask_with(l, "SELECT pg_notify('pgbaton', $1)", 1, values, on_notified);
}

static void on_stamped(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    grant_wish(l, WISH_STAMP);
    log_failure(l, "term_not_stamped", result);
    l->term.events.on_stamped(l->term.events.ctx);
}

static void stamp(struct term_ledger *l)
{
    char sql[SQL_MAX];
    char generation[24];
    char number[24];
    char incarnation[24];
    const char *const values[] = {config_of(l)->election.name, generation, number, l->term.ended_as,
                                  l->term.end_reason,          incarnation};

    (void)snprintf(generation, sizeof(generation), "%" PRIu64, l->term.epoch.generation);
    (void)snprintf(number, sizeof(number), "%" PRIu64, l->term.epoch.number);
    (void)snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, l->term.options.incarnation);
    print_sql(sql,
              "UPDATE %s.term SET ended_at = clock_timestamp(), ended_as = $4, end_reason = $5 "
              "WHERE election = $1 AND generation = $2 AND number = $3 AND incarnation = $6 "
              "AND ended_at IS NULL",
              l->schema);
    ask_with(l, sql, 6, values, on_stamped);
}

static void on_jobs_told(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    grant_wish(l, WISH_JOBS);
    log_failure(l, "jobs_not_told", result);
    proceed(l);
}

/* A reload keeps the term, but not its jobs: followers compare theirs with what is written here. */
static void tell_jobs(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char sql[SQL_MAX];

    quote(l, config_of(l)->election.name, name);
    print_sql(sql,
              "UPDATE %s.election SET jobs_hash = '%016" PRIx64 "' WHERE name = %s "
              "AND generation = %" PRIu64 " AND number = %" PRIu64 " AND incarnation = '%016" PRIx64
              "'",
              l->schema, l->term.jobs_hash, name, l->term.epoch.generation, l->term.epoch.number,
              l->term.options.incarnation);
    ask(l, sql, on_jobs_told);
}

/* ---- one thing after the other ---- */

static void proceed(struct term_ledger *l)
{
    static void (*const fulfil[WISH_COUNT])(struct term_ledger * l) = {
        [WISH_BEGIN] = begin,   [WISH_LOOK] = look,   [WISH_MARK] = mark,
        [WISH_NOTIFY] = notify, [WISH_STAMP] = stamp, [WISH_JOBS] = tell_jobs,
    };
    struct session *s = ledger_session(l->ledger);

    if (l->asking) {
        return;
    }
    for (enum wish w = 0; w < WISH_COUNT; w++) {
        if (l->wanted[w] && s != NULL) {
            fulfil[w](l);
            return;
        }
        if (l->wanted[w]) {
            ledger_hurry(l->ledger);
        }
    }
}

static void on_ledger_ready(void *ctx)
{
    proceed(ctx);
}

static void on_ledger_down(void *ctx, const char *text)
{
    struct term_ledger *l = ctx;

    l->asking = false;
    if (l->wanted[WISH_BEGIN]) {
        failed(l, "the ledger's connection: %s", text);
    }
    if (l->wanted[WISH_LOOK]) {
        grant_wish(l, WISH_LOOK);
        l->term.events.on_looked(l->term.events.ctx, one_lease(l));
    }
    if (l->wanted[WISH_STAMP]) {
        grant_wish(l, WISH_STAMP);
        log_warn("term_not_stamped", "epoch=%s error=%s", epoch_text(l->term.epoch).is,
                 log_text(text).is);
        l->term.events.on_stamped(l->term.events.ctx);
    }
}

static void want(struct term *t, enum wish wish)
{
    of(t)->wanted[wish] = true;
    proceed(of(t));
}

static void ledger_begin(struct term *t)
{
    want(t, WISH_BEGIN);
}

static void ledger_look(struct term *t)
{
    want(t, WISH_LOOK);
}

static void ledger_announce(struct term *t)
{
    of(t)->wanted[WISH_NOTIFY] = true;
    want(t, WISH_MARK);
}

static void ledger_stamp(struct term *t)
{
    want(t, WISH_STAMP);
}

static void ledger_jobs(struct term *t)
{
    want(t, WISH_JOBS);
}

static void ledger_term_close(struct term *t)
{
    ledger_close(of(t)->ledger);
    free(of(t));
}

static const struct term_kind ledger_kind = {
    .begin = ledger_begin,
    .look = ledger_look,
    .announce = ledger_announce,
    .stamp = ledger_stamp,
    .jobs = ledger_jobs,
    .close = ledger_term_close,
};

struct term *term_ledger_new(void)
{
    struct term_ledger *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->term.kind = &ledger_kind;
    return &l->term;
}

void term_ledger_start(struct term *t)
{
    struct term_ledger *l = of(t);
    const struct ledger_events events = {
        .on_ready = on_ledger_ready,
        .on_down = on_ledger_down,
        .ctx = l,
    };
    int rc = schema_quote(t->options.config, l->schema, sizeof(l->schema));

    assert(rc == 0); /* the configuration refuses a longer name */
    (void)snprintf(l->key_text, sizeof(l->key_text), "%" PRId64, t->options.config->election.key);
    l->ledger = ledger_open(t->loop, t->options.config, &t->options.address, &t->options.server,
                            t->options.seed, &events);
    assert(l->ledger != NULL);
}
