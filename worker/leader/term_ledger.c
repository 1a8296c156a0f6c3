/*
 * The term is a row of pgbaton.term, and its epoch the one row of
 * pgbaton.election, written on the ledger's connection. One question at a time;
 * what is wanted waits its turn.
 *
 * While the heir waits, everything is got ready: the statements are planned, and
 * the row that the present leader's term has left is known. Then the grant costs
 * one statement, which writes nothing if that row is another one by then; it is
 * read anew in that case, and the statement tried again.
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
#include "worker/leader/term_sql.h"

/* More than the statement_timeout of the ledger's session: the server's own answer is better. */
#define ANSWER_LIMIT DUR_S(12)

enum {
    SCHEMA_MAX = 160,  /* a quoted identifier of 63 bytes */
    LITERAL_MAX = 300, /* a quoted label */
    READS_MAX = 10,    /* while we hold the key nobody else should change the row at all */
};

/* In this order. */
enum wish {
    WISH_PREPARE,
    WISH_BEGIN,
    WISH_LOOK,
    WISH_MARK,
    WISH_NOTIFY,
    WISH_STAMP,
    WISH_JOBS,
    WISH_COUNT
};

struct term_ledger {
    struct term term;
    struct ledger *ledger;
    bool wanted[WISH_COUNT];
    bool asking;
    bool created;  /* the schema was created, or that was tried */
    bool prepared; /* the statements are, in this session */
    bool known;    /* the row as it is stored: the next two */
    struct epoch stored;
    struct server_identity stored_server;
    unsigned reads; /* of the row, in vain */
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

/* Fills in all but what the caller must keep: the literals. */
static struct term_sql sql_of(const struct term_ledger *l, char ret_name[LITERAL_MAX],
                              char ret_instance[LITERAL_MAX])
{
    quote(l, config_of(l)->election.name, ret_name);
    quote(l, config_of(l)->pgbaton.instance, ret_instance);
    return (struct term_sql){
        .config = config_of(l),
        .schema = l->schema,
        .name = ret_name,
        .instance = ret_instance,
        .incarnation = l->term.options.incarnation,
    };
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

/* Somebody's transaction holds the row: say so, and try the next slice. */
static void blocked(struct term_ledger *l)
{
    int pid = session_backend_pid(ledger_session(l->ledger));

    l->term.events.on_blocked(l->term.events.ctx, pid);
    l->asking = false;
    proceed(l);
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

static bool has_no_schema(const PGresult *result)
{
    return has_state(result, "42P01") || has_state(result, "3F000");
}

static void opening_refused(struct term_ledger *l, const PGresult *result)
{
    if (has_state(result, "55P03")) {
        blocked(l);
    } else if (has_no_schema(result) && config_of(l)->database.create_schema && !l->created) {
        create_schema(l);
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

static uint64_t number_at(const PGresult *result, int row, int column)
{
    return strtoull(PQgetvalue(result, row, column), NULL, 10);
}

/* False: no epoch can come after what is stored. */
static bool remember_stored(struct term_ledger *l, const PGresult *row)
{
    struct epoch stored;

    if (!takeover_read_number(PQgetvalue(row, 0, TERM_SQL_GENERATION), &stored.generation) ||
        !takeover_read_number(PQgetvalue(row, 0, TERM_SQL_NUMBER), &stored.number) ||
        !takeover_can_follow(stored)) {
        return false;
    }
    l->known = true;
    l->stored = stored;
    l->stored_server = (struct server_identity){
        .system_id = number_at(row, 0, TERM_SQL_SYSTEM_ID),
        .timeline = (uint32_t)number_at(row, 0, TERM_SQL_TIMELINE),
    };
    return true;
}

static bool has_row(const PGresult *result, int columns)
{
    return PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
           PQnfields(result) == columns;
}

/* Before the grant a failure is no matter: then it is tried again, and told. */
static void on_prepared(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    grant_wish(l, WISH_PREPARE);
    l->prepared = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (has_row(result, TERM_SQL_STORED_COUNT)) {
        (void)remember_stored(l, result);
    }
    if (!l->prepared && l->wanted[WISH_BEGIN]) {
        opening_refused(l, result);
    } else {
        proceed(l);
    }
}

static void prepare(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char instance[LITERAL_MAX];
    char sql[TERM_SQL_MAX];
    const struct term_sql about = sql_of(l, name, instance);

    l->known = false;
    term_sql_prepare(&about, sql);
    ask(l, sql, on_prepared);
}

static void on_read(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    if (!has_row(result, TERM_SQL_READ_COUNT)) {
        opening_refused(l, result);
        return;
    }
    if (strcmp(PQgetvalue(result, 0, TERM_SQL_KEY), l->key_text) != 0) {
        failed(l,
               "election '%s' has the key %s in this database, and %s here: two services share "
               "the name; give this one another [election] name, or that key",
               config_of(l)->election.name, PQgetvalue(result, 0, TERM_SQL_KEY), l->key_text);
        return;
    }
    if (number_at(result, 0, TERM_SQL_LOCK_SEEN) != 1) {
        failed(l,
               "the ledger's connection does not see the key held by backend %d: that session has "
               "ended, or this connection leads to another server",
               l->term.lock_pid);
        return;
    }
    if (!remember_stored(l, result)) {
        failed(l, "election '%s' has the epoch %s.%s, after which none can come: somebody wrote it",
               config_of(l)->election.name, PQgetvalue(result, 0, TERM_SQL_GENERATION),
               PQgetvalue(result, 0, TERM_SQL_NUMBER));
        return;
    }
    l->asking = false;
    proceed(l);
}

static void read_row(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char instance[LITERAL_MAX];
    char sql[TERM_SQL_MAX];
    const struct term_sql about = sql_of(l, name, instance);

    if (l->reads++ == READS_MAX) {
        failed(l, "the row of election '%s' was changed by others each time that it was read",
               config_of(l)->election.name);
        return;
    }
    term_sql_read(&about, l->term.lock_pid, sql);
    ask(l, sql, on_read);
}

static void on_committed(void *ctx, PGresult *result)
{
    struct term_ledger *l = ctx;

    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        opening_refused(l, result);
        return;
    }
    if (strcmp(PQcmdTuples(result), "1") != 0) { /* it is not as we knew it: nothing was written */
        l->known = false;
        l->asking = false;
        proceed(l);
        return;
    }
    grant_wish(l, WISH_BEGIN);
    l->term.events.on_opened(l->term.events.ctx, l->term.epoch);
    proceed(l);
}

static void write_term(struct term_ledger *l)
{
    char sql[TERM_SQL_MAX];

    l->term.epoch = term_next(&l->term, l->stored, l->stored_server);
    term_sql_open(l->stored, l->term.epoch, l->term.lock_pid, l->term.options.server,
                  l->term.jobs_hash, sql);
    ask(l, sql, on_committed);
}

static void begin(struct term_ledger *l)
{
    if (!l->prepared) {
        prepare(l);
    } else if (!l->known) {
        read_row(l);
    } else {
        write_term(l);
    }
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
    struct takeover_term terms[TERM_SQL_LOOKED_MAX];
    const struct takeover_rules rules = term_rules(&l->term);
    struct takeover takeover = one_lease(l);

    grant_wish(l, WISH_LOOK);
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) <= TERM_SQL_LOOKED_MAX &&
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

static void look(struct term_ledger *l)
{
    char sql[TERM_SQL_MAX];

    term_sql_look(l->term.epoch, sql);
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
    char instance[LITERAL_MAX];
    char sql[TERM_SQL_MAX];
    const struct term_sql about = sql_of(l, name, instance);

    term_sql_mark(&about, l->term.epoch, sql);
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
    char sql[SCHEMA_MAX + 256];
    char generation[24];
    char number[24];
    char incarnation[24];
    const char *const values[] = {config_of(l)->election.name, generation, number, l->term.ended_as,
                                  l->term.end_reason,          incarnation};

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

    grant_wish(l, WISH_JOBS);
    log_failure(l, "jobs_not_told", result);
    proceed(l);
}

/* A reload keeps the term, but not its jobs: followers compare theirs with what is written here. */
static void tell_jobs(struct term_ledger *l)
{
    char name[LITERAL_MAX];
    char instance[LITERAL_MAX];
    char sql[TERM_SQL_MAX];
    const struct term_sql about = sql_of(l, name, instance);

    term_sql_jobs(&about, l->term.epoch, l->term.jobs_hash, sql);
    ask(l, sql, on_jobs_told);
}

/* ---- one thing after the other ---- */

static void proceed(struct term_ledger *l)
{
    static void (*const fulfil[WISH_COUNT])(struct term_ledger * l) = {
        [WISH_PREPARE] = prepare, [WISH_BEGIN] = begin, [WISH_LOOK] = look,      [WISH_MARK] = mark,
        [WISH_NOTIFY] = notify,   [WISH_STAMP] = stamp, [WISH_JOBS] = tell_jobs,
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
    struct term_ledger *l = ctx;

    l->prepared = false; /* whatever was, was in another session */
    l->wanted[WISH_PREPARE] = true;
    proceed(l);
}

static void on_ledger_down(void *ctx, const char *text)
{
    struct term_ledger *l = ctx;

    l->asking = false;
    l->wanted[WISH_PREPARE] = false;
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
