#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "common/log.h"
#include "worker/database/connect.h"
#include "worker/database/schema.h"
#include "worker/database/settings.h"
#include "worker/probe/postgres.h"
#include "worker/probe/witness.h"

/* Giving up: what is not answered by then is given up by closing the session. */
#define GIVE_LIMIT DUR_S(1)
/* A shorter wait in the lock queue is no wait: then the key is polled. */
#define SLICE_MIN DUR_MS(50)

static const char listen_sql[] =
    "LISTEN pgbaton; SELECT set_config('idle_session_timeout', '0', false)";

/* The two halves of the key, as the two-integer form takes them. */
struct seat_key {
    int32_t high;
    int32_t low;
};

static struct seat_key seat_key_of(const struct config *cfg)
{
    uint64_t key = (uint64_t)cfg->election.key;

    return (struct seat_key){.high = (int32_t)(uint32_t)(key >> 32), .low = (int32_t)(uint32_t)key};
}

void postgres_want(struct shell *pg, enum want want)
{
    pg->wants |= 1u << want;
}

static bool wants(const struct shell *pg, enum want want)
{
    return (pg->wants & (1u << want)) != 0;
}

void postgres_lost(struct shell *pg, enum end_reason reason, bool refused, const char *text)
{
    char kept[REASON_MAX]; /* the text may be the session's own */

    connect_one_line(text, kept, sizeof(kept));
    session_close(pg->session);
    pg->session = NULL;
    pg->ready = false;
    pg->leased = false;
    pg->ending_count = 0;
    query_drop_all(pg);
    pg->wants &= 1u << WANT_FENCE;
    shell_disconnected(pg->probe, reason, refused, kept);
}

/* ---- the seat ---- */

/* UNLISTEN first: a flood of notifications would suspend the server's idle timer, and the lease
 * with it. */
static void ask_take(struct shell *pg)
{
    const struct config *cfg = pg->probe->cfg;
    struct seat_key key = seat_key_of(cfg);
    char sql[240];

    (void)snprintf(sql, sizeof(sql),
                   "UNLISTEN *; SELECT set_config('idle_session_timeout', '%" PRId64 "', false), "
                   "pg_try_advisory_lock(%" PRId32 ", %" PRId32 ")",
                   cfg->election.lease / DUR_MS(1), key.high, key.low);
    postgres_ask(pg, sql, 0, NULL, POSTGRES_LIMIT);
}

static void begin_lease(struct shell *pg)
{
    const struct config_election *election = &pg->probe->cfg->election;
    const struct lease_terms terms = {
        .lease = election->lease,
        .heartbeat = election->heartbeat,
        .margin = budget_margin(election->lease),
        /* nothing to stop and nothing to kill: the seat ends with its session */
    };

    pg->leased = true;
    lease_begin(&pg->lease, &terms, pg->asked_at);
    lease_sent(&pg->lease, pg->asked_at);
    (void)lease_acknowledged(&pg->lease, clock_now());
}

static void on_take(struct shell *pg, PGresult *result)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        /* Whether the seat is ours cannot be told: only the end of the session tells. */
        postgres_lost(pg, END_INTERNAL, false, PQresultErrorMessage(result));
        return;
    }
    if (strcmp(PQgetvalue(result, 0, 1), "t") != 0) {
        postgres_want(pg, WANT_LISTEN);
        shell_taken(pg->probe, false);
        return;
    }
    begin_lease(pg);
    shell_taken(pg->probe, true);
}

static void ask_give(struct shell *pg)
{
    struct seat_key key = seat_key_of(pg->probe->cfg);
    char sql[240];

    (void)snprintf(sql, sizeof(sql), "%s, pg_advisory_unlock(%" PRId32 ", %" PRId32 ")", listen_sql,
                   key.high, key.low);
    postgres_ask(pg, sql, 0, NULL, GIVE_LIMIT);
}

static void on_give(struct shell *pg, PGresult *result)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK || strcmp(PQgetvalue(result, 0, 1), "t") != 0) {
        postgres_lost(pg, END_INTERNAL, false, "the seat could not be given back");
        return;
    }
    pg->leased = false;
    shell_given(pg->probe);
}

static void ask_heartbeat(struct shell *pg);

static void on_heartbeat(struct shell *pg, PGresult *result)
{
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
        postgres_lost(pg, END_INTERNAL, false, PQresultErrorMessage(result));
    }
}

static void ask_listen(struct shell *pg)
{
    postgres_ask(pg, listen_sql, 0, NULL, POSTGRES_LIMIT);
}

static void on_listen(struct shell *pg, PGresult *result)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        postgres_lost(pg, END_INTERNAL, false, PQresultErrorMessage(result));
    }
}

/* ---- the look ---- */

static void ask_look(struct shell *pg)
{
    char sql[2048];

    pg->look_has_term = pg->schema_readable;
    if (look_sql(pg->probe->cfg, pg->look_has_term, sql, sizeof(sql)) < 0) {
        postgres_lost(pg, END_INTERNAL, true, "the name of the schema is too long");
        return;
    }
    /* Without parameters: as one message of the protocol, not five. */
    postgres_ask(pg, sql, 0, NULL, POSTGRES_LIMIT);
}

static struct witness witness_of(const struct shell *pg)
{
    const struct probe *p = pg->probe;

    return (struct witness){
        .lock_pid = p->leads ? p->lead.lock_pid : 0,
        .since = p->lead_at,
        .server = p->lead.server,
    };
}

static int witnessed_pid(const struct shell *pg)
{
    struct witness witness = witness_of(pg);

    return witness_pid(&witness, pg->asked_at);
}

static void compare_clocks(const struct shell *pg, const struct look *look, struct sight *sight)
{
    struct probe *p = pg->probe;
    const struct skew_sight seen = {
        .server = session_identity(pg->session),
        .asked_at = pg->asked_at,
        .answered_at = clock_now(),
        .ours = clock_wall(),
        .servers = look->database_clock,
    };

    sight->skew = skew_look(&p->skew, &seen, p->cfg->database.max_clock_skew, &sight->clock_offset);
}

static bool must_poll(struct shell *pg)
{
    bool too_short = session_slice(pg->session) < SLICE_MIN;

    if (too_short && !pg->slice_warned) {
        pg->slice_warned = true;
        log_warn("slice_too_short",
                 "slice_ms=%" PRId64 " hint=\"deadlock_timeout or log_min_duration_statement is so "
                 "short that the key is polled instead of waited for\"",
                 session_slice(pg->session) / DUR_MS(1));
    }
    return too_short || pg->probe->cfg->election.mode == MODE_POLL;
}

static struct sight sight_of(struct shell *pg, const struct look *look)
{
    struct witness witness = witness_of(pg);
    struct sight sight = {
        .holder = look_kind(look, pg->probe->incarnation, witnessed_pid(pg)),
        .holder_pid = look->key.session.pid,
        .seat_free = look->seat.session.pid == 0,
        .seat_other = look->seat.session.pid != 0 &&
                      look->seat.session.pid != session_backend_pid(pg->session),
        .witness = witness_verdict(&witness, pg->asked_at, session_identity(pg->session),
                                   look->witness_holds),
        .epoch = look->term.epoch,
        .poll = must_poll(pg),
    };

    memcpy(sight.application, look->key.application, sizeof(sight.application));
    /* The term's instance leads only while its session has the key. */
    if (look_is_holder(&look->term, &look->key.session)) {
        memcpy(sight.instance, look->term.instance, sizeof(sight.instance));
    }
    sight.unserved = look_unserved(look, sight.holder, config_jobs_hash(pg->probe->cfg));
    compare_clocks(pg, look, &sight);
    return sight;
}

/* The tables went away, or the right to read them: look without them. */
static void look_again_without_term(struct shell *pg)
{
    pg->schema_readable = false;
    pg->term_failed = true;
    pg->last.term = (struct look_term){0};
    postgres_want(pg, WANT_LOOK);
}

static void on_look(struct shell *pg, PGresult *result)
{
    struct look look;

    if (!look_read(result, pg->look_has_term, witnessed_pid(pg), &look)) {
        if (pg->look_has_term) {
            look_again_without_term(pg);
            return;
        }
        postgres_lost(pg, END_INTERNAL, false, PQresultErrorMessage(result));
        return;
    }
    struct sight sight = sight_of(pg, &look);
    bool seat_ours = look.seat.session.pid == session_backend_pid(pg->session);

    if (pg->probe->seat.state == SEAT_HELD && !seat_ours) {
        postgres_lost(pg, END_INTERNAL, false, "another session has the seat that was ours");
        return;
    }
    pg->last = look;
    if (look.schema_readable && !pg->look_has_term) {
        pg->schema_readable = true;
        bool nobody = look.key.session.pid == 0 && look.seat.session.pid == 0;

        if (!pg->term_failed) { /* who leads is worth a second statement, once a session */
            postgres_want(pg, WANT_LOOK);
        }
        if (!pg->term_failed && !nobody) { /* a free seat is not left free for it */
            return;
        }
    }
    evict_stuck(pg, &look, sight.poll, pg->asked_at);
    shell_looked(pg->probe, &sight);
}

/* ---- the rest ---- */

static void ask_fence(struct shell *pg)
{
    const struct message_fenced *f = &pg->fenced;
    char schema[160];
    char sql[480];
    char generation[24];
    char number[24];
    char incarnation[24];
    const char *values[] = {pg->probe->cfg->election.name, generation, number, incarnation,
                            end_reason_name((enum end_reason)f->reason)};

    (void)snprintf(generation, sizeof(generation), "%" PRIu64, f->epoch.generation);
    (void)snprintf(number, sizeof(number), "%" PRIu64, f->epoch.number);
    (void)snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, pg->probe->incarnation);
    (void)schema_quote(pg->probe->cfg, schema, sizeof(schema));
    (void)snprintf(sql, sizeof(sql),
                   "UPDATE %s.term SET ended_at = clock_timestamp(), ended_as = 'fenced', "
                   "end_reason = $5 WHERE election = $1 AND generation = $2::bigint AND "
                   "number = $3::bigint AND incarnation = $4 AND ended_at IS NULL",
                   schema);
    postgres_ask(pg, sql, 5, values, POSTGRES_LIMIT);
}

static void on_fence(struct shell *pg, PGresult *result)
{
    char said[CONNECT_TEXT_MAX];

    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        connect_said(result, said, sizeof(said));
        log_warn("fence_not_recorded", "epoch=%s error=%s", epoch_text(pg->fenced.epoch).is,
                 log_text(said).is);
        return;
    }
    shell_fenced(pg->probe, &pg->fenced);
}

static void ask_name(struct shell *pg)
{
    const char *values[] = {pg->name.is};

    pg->name = session_application_name(pg->probe->cfg, probe_role(pg->probe));
    postgres_ask(pg, "SELECT set_config('application_name', $1, false)", 1, values, POSTGRES_LIMIT);
}

/* It is for people only: whatever the answer is. */
static void on_name(struct shell *pg, PGresult *result)
{
    (void)pg;
    (void)result;
}

/* ---- one question at a time ---- */

/* clang-format off */
static const struct {
    void (*ask)(struct shell *pg);
    void (*on_answer)(struct shell *pg, PGresult *result);
} questions[WANT_COUNT] = {
    [WANT_FENCE]     = {ask_fence,          on_fence},
    [WANT_GIVE]      = {ask_give,           on_give},
    [WANT_TAKE]      = {ask_take,           on_take},
    [WANT_HEARTBEAT] = {ask_heartbeat,      on_heartbeat},
    [WANT_LISTEN]    = {ask_listen,         on_listen},
    [WANT_END]       = {evict_ask_end,      evict_on_end},
    [WANT_BLOCKERS]  = {evict_ask_blockers, evict_on_blockers},
    [WANT_LOOK]      = {ask_look,           on_look},
    [WANT_NAME]      = {ask_name,           on_name},
    [WANT_NOTIFY]    = {query_ask_notify,   query_on_notify},
    [WANT_QUERY]     = {query_ask,          query_on_answer},
};
/* clang-format on */

static void ask_next(struct shell *pg)
{
    if (!pg->ready || session_is_asking(pg->session)) {
        return;
    }
    for (enum want want = 0; want < WANT_COUNT; want++) {
        if (wants(pg, want)) {
            pg->wants &= ~(1u << want);
            pg->asking = want;
            questions[want].ask(pg);
            return;
        }
    }
}

/* A pause of this process shows here first: an answer that comes after D saves nothing. */
static bool lease_is_over(struct shell *pg, mono_ns now)
{
    if (!pg->leased || lease_look(&pg->lease, now) != LEASE_OVER) {
        return false;
    }
    postgres_lost(pg, END_LEASE_EXPIRED, false, "the seat's lease was not renewed in time");
    return true;
}

static void on_answer(void *ctx, PGresult *result)
{
    struct shell *pg = ctx;

    if (pg->leased && lease_acknowledged(&pg->lease, clock_now()) &&
        lease_is_over(pg, clock_now())) {
        return;
    }
    questions[pg->asking].on_answer(pg, result);
    ask_next(pg);
}

static void note_question(struct shell *pg)
{
    pg->asked_at = clock_now();
    if (pg->leased) {
        lease_sent(&pg->lease, pg->asked_at); /* whatever the server hears is a heartbeat */
    }
}

void postgres_ask(struct shell *pg, const char *sql, int count, const char *const *values,
                  dur_ns limit)
{
    note_question(pg);
    session_ask(pg->session, sql, count, values, limit, on_answer, pg);
}

/* No heartbeat is sent while a question is out, and the lease runs on. A third of it leaves time
 * for the answer, and for a heartbeat that was due when it was asked. */
void postgres_ask_for_people(struct shell *pg, const char *sql, int count,
                             const char *const *values)
{
    dur_ns most = pg->lease.terms.lease / 3;

    if (!pg->leased || most >= SETTINGS_STATEMENT_LIMIT_PROBE) {
        postgres_ask(pg, sql, count, values, POSTGRES_LIMIT);
        return;
    }
    note_question(pg);
    session_ask_within(pg->session, most, sql, count, values, POSTGRES_LIMIT, on_answer, pg);
}

static void ask_heartbeat(struct shell *pg)
{
    note_question(pg);
    session_heartbeat(pg->session, POSTGRES_LIMIT, on_answer, pg);
}

/* ---- the session ---- */

static void on_ready(void *ctx)
{
    struct shell *pg = ctx;
    char version[32];
    int number = session_server_version(pg->session);

    pg->ready = true;
    pg->schema_readable = false;
    pg->term_failed = false;
    pg->name = session_application_name(pg->probe->cfg, probe_role(pg->probe));
    pg->key_watch = (struct stuck_watch){0};
    pg->seat_watch = (struct stuck_watch){0};
    (void)snprintf(version, sizeof(version), "%d.%d", number / 10000, number % 10000);
    postgres_want(pg, WANT_LISTEN);
    shell_connected(pg->probe, version);
    ask_next(pg);
}

static void on_failed(void *ctx, enum session_failure why, const char *text)
{
    struct shell *pg = ctx;

    postgres_lost(pg, why == SESSION_ENDED ? END_SESSION_ENDED : END_CONNECT_FAILED,
                  why == SESSION_REFUSED, text);
}

/* "term ELECTION" and "request ELECTION"; what else is said on the channel is for others. */
static void on_notify(void *ctx, const char *channel, const char *payload)
{
    struct shell *pg = ctx;
    const char *name = strchr(payload, ' ');

    if (strcmp(channel, "pgbaton") != 0 || name == NULL ||
        strcmp(name + 1, pg->probe->cfg->election.name) != 0) {
        return;
    }
    if (strncmp(payload, "term ", 5) == 0) {
        shell_notified(pg->probe);
    } else if (strncmp(payload, "request ", 8) == 0) {
        shell_requested(pg->probe);
    }
}

/* It may take long, and so may the next one. */
static void on_resolve(void *ctx)
{
    struct shell *pg = ctx;

    report_alive(pg->probe);
}

static struct shell *postgres_open(struct probe *p)
{
    struct shell *pg = calloc(1, sizeof(*pg));

    if (pg == NULL) {
        child_die(p->child, CHILD_EXIT_FAILED, "out of memory");
    }
    pg->probe = p;
    return pg;
}

static void postgres_close(struct shell *pg)
{
    if (pg != NULL) {
        query_drop_all(pg);
        session_close(pg->session);
        free(pg);
    }
}

static void postgres_connect(struct shell *pg)
{
    const struct session_options options = {
        .config = pg->probe->cfg,
        .purpose = SESSION_PROBE,
        .role = probe_role(pg->probe),
    };
    const struct session_events events = {
        .on_ready = on_ready,
        .on_failed = on_failed,
        .on_notify = on_notify,
        .on_resolve = on_resolve,
        .ctx = pg,
    };

    assert(pg->session == NULL);
    pg->session = session_open(pg->probe->child->loop, &options, &events);
    if (pg->session == NULL) {
        child_die(pg->probe->child, CHILD_EXIT_FAILED, "out of memory");
    }
}

static void want_now(struct shell *pg, enum want want)
{
    postgres_want(pg, want);
    ask_next(pg);
}

static void postgres_look(struct shell *pg)
{
    want_now(pg, WANT_LOOK);
}

static void postgres_take(struct shell *pg)
{
    want_now(pg, WANT_TAKE);
}

static void postgres_give(struct shell *pg)
{
    want_now(pg, WANT_GIVE);
}

static void postgres_fence(struct shell *pg, const struct message_fenced *term)
{
    pg->fenced = *term;
    want_now(pg, WANT_FENCE);
}

static void postgres_unblock(struct shell *pg, int ledger_pid)
{
    if (pg->ready) {
        evict_blockers(pg, ledger_pid);
        ask_next(pg);
    }
}

static void postgres_query(struct shell *pg, const struct message_query *query)
{
    query_put(pg, query);
    ask_next(pg);
}

static void postgres_adopt(struct shell *pg)
{
    struct session_name name = session_application_name(pg->probe->cfg, probe_role(pg->probe));

    if (pg->ready && strcmp(name.is, pg->name.is) != 0) {
        want_now(pg, WANT_NAME);
    }
}

static void postgres_where(struct shell *pg, struct message_seat *seat)
{
    seat->address = session_address(pg->session);
    seat->server = session_identity(pg->session);
    seat->slice = session_slice(pg->session);
}

static mono_ns postgres_wake_at(struct shell *pg)
{
    if (!pg->leased) {
        return MONO_NEVER;
    }
    /* A heartbeat that is due waits for the answer that is outstanding: that one renews as well. */
    return session_is_asking(pg->session) ? pg->lease.deadline : lease_wake_at(&pg->lease);
}

static void postgres_due(struct shell *pg, mono_ns now)
{
    if (lease_is_over(pg, now)) {
        return;
    }
    if (pg->leased && lease_send_due(&pg->lease, now) && !session_is_asking(pg->session)) {
        want_now(pg, WANT_HEARTBEAT);
    }
}

const struct shell_kind shell_postgres = {
    .open = postgres_open,
    .close = postgres_close,
    .connect = postgres_connect,
    .look = postgres_look,
    .take = postgres_take,
    .give = postgres_give,
    .fence = postgres_fence,
    .unblock = postgres_unblock,
    .query = postgres_query,
    .adopt = postgres_adopt,
    .where = postgres_where,
    .wake_at = postgres_wake_at,
    .due = postgres_due,
};
