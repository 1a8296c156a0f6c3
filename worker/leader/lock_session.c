/*
 * The key is an advisory lock of a session. Nothing but set-up, slices,
 * heartbeats and the unlock travels on it: whatever else could be sent there
 * can suspend the server's idle timer, and with it the lease.
 */
#include "worker/leader/lock.h"

#include <assert.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "common/duration.h"
#include "common/log.h"
#include "common/timer.h"
#include "worker/database/connect.h"
#include "worker/database/session.h"
#include "worker/leader/slice.h"

/* What giving up may take; then the connection is closed, which gives up too. */
#define RELEASE_WITHIN DUR_S(1)
/* Where no slice can be waited for: how long between two tries. */
#define POLL_INTERVAL DUR_S(1)
/* Shorter ones would be noise in the server: then polling is better. */
#define SLICE_LEAST DUR_MS(50)

enum step {
    STEP_CONNECTING,
    STEP_PACING,    /* the slice is shorter than the probe knew: lock_timeout is with the server */
    STEP_TRYING,    /* a slice, or one try, is with the server */
    STEP_PAUSED,    /* polling: until the next try */
    STEP_HELD,      /* pipeline mode, heartbeats */
    STEP_SETTLING,  /* giving up: taking what is outstanding */
    STEP_UNLOCKING, /* giving up: the unlock is with the server */
    STEP_ENDED,
};

struct lock_session {
    struct lock lock;
    enum step step;
    bool polls;    /* where a slice cannot be waited for */
    bool unlocked; /* the server has said that the key is free */
    struct session *session;
    struct lease lease;
    enum lease_phase reported;
    struct timer timer;
    ev_io readable;
    ev_io writable;
};

static struct lock_session *of(struct lock *l)
{
    return (struct lock_session *)l;
}

static int64_t key_of(const struct lock_session *s)
{
    return s->lock.options.config->election.key;
}

static void stop_watching(struct lock_session *s)
{
    ev_io_stop(s->lock.loop, &s->readable);
    ev_io_stop(s->lock.loop, &s->writable);
    timer_arm(&s->timer, MONO_NEVER);
}

static void fail(struct lock_session *s, enum end_reason why, const char *text)
{
    s->step = STEP_ENDED;
    stop_watching(s);
    s->lock.events.on_failed(s->lock.events.ctx, why, text);
}

/* ---- the campaign ---- */

static void ask(struct lock_session *s);

static bool tries_only(const struct lock_session *s)
{
    return s->lock.options.poll || s->polls;
}

static void try_sql(const struct lock_session *s, char *ret_sql, size_t size)
{
    (void)snprintf(ret_sql, size,
                   "SELECT CASE WHEN pg_try_advisory_lock('%" PRId64
                   "'::bigint) THEN 'yes' ELSE 'no' END",
                   key_of(s));
}

/* One line of it: the rest of what libpq makes of an error is for a terminal. */
static const char *said(const PGresult *result)
{
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    return text != NULL ? text : "an answer that was not asked for";
}

/* No language of that name, none for us, or none at all: nothing of the block has run. */
static bool says_no_plpgsql(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return state != NULL && (strcmp(state, "42704") == 0 || strcmp(state, "0A000") == 0 ||
                             strcmp(state, "42501") == 0);
}

static void heartbeat(struct lock_session *s);

static void granted(struct lock_session *s)
{
    const struct config *cfg = s->lock.options.config;
    PGconn *connection = session_connection(s->session);
    const struct lease_terms terms = {
        .lease = cfg->election.lease,
        .heartbeat = cfg->election.heartbeat,
        .stop_grace = cfg->election.stop_grace,
        .margin = budget_margin(cfg->election.lease),
        .kill_margin = BUDGET_KILL_MARGIN,
    };

    session_take_over(s->session);
    if (connection == NULL || PQsetnonblocking(connection, 1) != 0 ||
        PQenterPipelineMode(connection) != 1) {
        fail(s, END_INTERNAL, "the lock session cannot enter pipeline mode");
        return;
    }
    s->step = STEP_HELD;
    s->lock.fd = PQsocket(connection);
    s->lock.backend_pid = session_backend_pid(s->session);
    s->lock.options.server = session_identity(s->session);
    ev_io_set(&s->readable, s->lock.fd, EV_READ);
    ev_io_set(&s->writable, s->lock.fd, EV_WRITE);
    ev_io_start(s->lock.loop, &s->readable);
    lease_begin(&s->lease, &terms, clock_now());
    s->reported = LEASE_UNPROVEN;
    s->lock.events.on_granted(s->lock.events.ctx);
    heartbeat(s);
}

static void not_granted(struct lock_session *s)
{
    if (s->lock.options.poll) {
        fail(s, END_NOT_GRANTED, "another session has the key");
        return;
    }
    s->lock.events.on_slice(s->lock.events.ctx);
    if (s->polls) {
        s->step = STEP_PAUSED;
        timer_arm(&s->timer, clock_now() + POLL_INTERVAL);
    } else {
        ask(s);
    }
}

static void on_answer(void *ctx, PGresult *result)
{
    struct lock_session *s = ctx;
    bool one_value = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
                     PQnfields(result) == 1;
    const char *value = one_value ? PQgetvalue(result, 0, 0) : "";

    assert(s->step == STEP_TRYING);
    if (strcmp(value, "yes") == 0) {
        granted(s);
    } else if (strcmp(value, "no") == 0) {
        not_granted(s);
    } else if (!tries_only(s) && says_no_plpgsql(result)) {
        s->polls = true;
        log_warn("campaign_polls", "error=%s hint=\"plpgsql cannot be used: polling instead\"",
                 log_text(said(result)).is);
        ask(s);
    } else {
        /* Whether the key is ours cannot be told: only the end of the session tells. */
        fail(s, END_INTERNAL, said(result));
    }
}

static void ask(struct lock_session *s)
{
    char sql[640];
    const struct lock_options *options = &s->lock.options;
    dur_ns limit = options->slice + options->config->database.connect_timeout;

    if (tries_only(s)) {
        try_sql(s, sql, sizeof(sql));
    } else {
        (void)snprintf(sql, sizeof(sql), SLICE_SQL, key_of(s), key_of(s));
    }
    s->step = STEP_TRYING;
    session_ask(s->session, sql, 0, NULL, limit, on_answer, s);
}

static void on_paced(void *ctx, PGresult *result)
{
    struct lock_session *s = ctx;

    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail(s, END_REFUSED, said(result));
        return;
    }
    ask(s);
}

/* The probe may have read the server's limits long ago: these are of now. */
static void shorten_slice(struct lock_session *s, dur_ns slice)
{
    char sql[64];

    s->lock.options.slice = slice;
    if (slice < SLICE_LEAST) {
        log_warn("campaign_polls",
                 "slice=%s hint=\"deadlock_timeout or "
                 "log_min_duration_statement leaves no room to wait: polling instead\"",
                 duration_text(slice).is);
        s->polls = true;
        ask(s);
        return;
    }
    s->step = STEP_PACING;
    (void)snprintf(sql, sizeof(sql), "SET lock_timeout = %" PRId64, slice / DUR_MS(1));
    session_ask(s->session, sql, 0, NULL, s->lock.options.config->database.connect_timeout,
                on_paced, s);
}

static void on_ready(void *ctx)
{
    struct lock_session *s = ctx;
    dur_ns slice = session_slice(s->session);

    assert(s->step == STEP_CONNECTING);
    s->lock.events.on_slice(s->lock.events.ctx);
    if (!tries_only(s) && slice < s->lock.options.slice) {
        shorten_slice(s, slice);
    } else {
        ask(s);
    }
}

static void on_session_failed(void *ctx, enum session_failure why, const char *text)
{
    static const enum end_reason reasons[] = {
        [SESSION_CONNECT_FAILED] = END_CONNECT_FAILED,
        [SESSION_REFUSED] = END_REFUSED,
        [SESSION_ENDED] = END_SESSION_ENDED,
    };
    struct lock_session *s = ctx;

    if (s->step != STEP_ENDED) {
        fail(s, reasons[why], text);
    }
}

/* ---- the lease ---- */

static void arm(struct lock_session *s)
{
    timer_arm(&s->timer, lease_wake_at(&s->lease));
}

/* The server's last words explain more than what libpq makes of the end that follows. */
static void lost(struct lock_session *s, const char *what)
{
    PGconn *connection = session_connection(s->session);
    const char *text = session_last_notice(s->session);
    char line[CONNECT_TEXT_MAX];

    if (text[0] == '\0' && connection != NULL) {
        text = PQerrorMessage(connection);
    }
    connect_one_line(text[0] != '\0' ? text : what, line, sizeof(line));
    fail(s, END_SESSION_ENDED, line);
}

static void report_phase(struct lock_session *s)
{
    enum lease_phase phase = lease_look(&s->lease, clock_now());

    if (phase > LEASE_HELD && phase != s->reported) {
        s->reported = phase;
        s->lock.events.on_phase(s->lock.events.ctx, phase);
    }
}

/* False: the connection is lost, and that was said. */
static bool flush(struct lock_session *s)
{
    int rc = PQflush(session_connection(s->session));

    if (rc == -1) {
        lost(s, "the lock session cannot be written to");
        return false;
    }
    if (rc == 1) {
        ev_io_start(s->lock.loop, &s->writable);
    } else {
        ev_io_stop(s->lock.loop, &s->writable);
    }
    return true;
}

static void heartbeat(struct lock_session *s)
{
    mono_ns now = clock_now(); /* before it is sent: the server's timer starts no earlier */

    if (lease_send_due(&s->lease, now)) {
        if (PQpipelineSync(session_connection(s->session)) != 1) {
            lost(s, "a heartbeat cannot be sent");
            return;
        }
        lease_sent(&s->lease, now);
        if (!flush(s)) {
            return;
        }
    }
    arm(s);
}

/* Said by the server just before it ends the session: 57P01 … 57P05, 25P03. */
static bool is_farewell(const char *notice)
{
    return strncmp(notice, "57P", 3) == 0 || strncmp(notice, "25P", 3) == 0;
}

/* Takes every acknowledgement that is there. -1: lost, and that was said; else how many. */
static int take_acknowledgements(struct lock_session *s)
{
    PGconn *connection = session_connection(s->session);
    int taken = 0;
    int ends = 0; /* NULL stands between results; twice in a row there is nothing */

    while (!PQisBusy(connection) && s->lease.outstanding > 0 && ends < 2) {
        PGresult *result = PQgetResult(connection);
        if (result == NULL) {
            ends++;
            continue;
        }
        ends = 0;
        bool expected = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        PQclear(result);
        if (!expected || !lease_acknowledged(&s->lease, clock_now())) {
            lost(s, "an answer to something that was never asked");
            return -1;
        }
        taken++;
    }
    if (PQstatus(connection) != CONNECTION_OK || is_farewell(session_last_notice(s->session))) {
        lost(s, "the server ended the session");
        return -1;
    }
    return taken;
}

/*
 * Reads until nothing more comes: with TLS, what libpq has read and decrypted
 * makes no socket readable. False: lost, and that was said.
 */
static bool take_all(struct lock_session *s, bool *ret_renewed)
{
    int taken;

    *ret_renewed = false;
    do {
        if (PQconsumeInput(session_connection(s->session)) != 1) {
            lost(s, "the connection is closed");
            return false;
        }
        taken = take_acknowledgements(s);
        *ret_renewed = *ret_renewed || taken > 0;
    } while (taken > 0);
    return taken == 0;
}

static void held_readable(struct lock_session *s)
{
    const struct lease_terms *terms = &s->lease.terms;
    const struct lock_events *events = &s->lock.events;
    bool renewed;

    if (!take_all(s, &renewed)) {
        return;
    }
    if (renewed && s->lease.phase == LEASE_HELD) {
        mono_ns deadline = s->lease.deadline;
        events->on_renewed(events->ctx, deadline - terms->lease + terms->margin, deadline);
    }
    report_phase(s);
    arm(s);
}

/* ---- giving up ---- */

static void released(struct lock_session *s)
{
    s->step = STEP_ENDED;
    stop_watching(s);
    s->lock.fd = -1;
    if (s->unlocked) {
        session_retire(s->session);
    } else { /* nobody knows: this frees the key */
        session_close(s->session);
    }
    s->session = NULL;
    s->lock.events.on_released(s->lock.events.ctx);
}

static void unlock_when_settled(struct lock_session *s)
{
    PGconn *connection = session_connection(s->session);
    char sql[96];

    if (s->lease.outstanding > 0) {
        return;
    }
    (void)PQgetResult(connection); /* NULL: the end of the last one, or the mode cannot be left */
    (void)snprintf(sql, sizeof(sql), "SELECT pg_advisory_unlock('%" PRId64 "'::bigint)", key_of(s));
    s->step = STEP_UNLOCKING;
    if (PQexitPipelineMode(connection) != 1 || PQsendQuery(connection, sql) != 1 ||
        PQflush(connection) != 0) {
        released(s);
    }
}

static void settling_readable(struct lock_session *s)
{
    bool renewed;

    if (take_all(s, &renewed)) {
        unlock_when_settled(s);
    }
}

static void unlocking_readable(struct lock_session *s)
{
    PGconn *connection = session_connection(s->session);
    bool good = PQconsumeInput(connection) == 1;

    while (good && !PQisBusy(connection)) {
        PGresult *result = PQgetResult(connection);
        good = result != NULL;
        s->unlocked = s->unlocked || (good && PQresultStatus(result) == PGRES_TUPLES_OK &&
                                      strcmp(PQgetvalue(result, 0, 0), "t") == 0);
        PQclear(result);
    }
    if (!good) { /* answered, or ended: either way the key is free once this is closed */
        released(s);
    }
}

/* ---- events of the loop ---- */

static void on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
    struct lock_session *s = io->data;

    (void)loop;
    (void)revents;
    switch (s->step) {
    case STEP_HELD:
        held_readable(s);
        return;
    case STEP_SETTLING:
        settling_readable(s);
        return;
    case STEP_UNLOCKING:
        unlocking_readable(s);
        return;
    case STEP_CONNECTING:
    case STEP_PACING:
    case STEP_TRYING:
    case STEP_PAUSED:
    case STEP_ENDED:
        return;
    }
}

static void on_writable(struct ev_loop *loop, ev_io *io, int revents)
{
    struct lock_session *s = io->data;

    (void)loop;
    (void)revents;
    if (flush(s) && s->step == STEP_SETTLING) {
        unlock_when_settled(s);
    }
}

static void on_due(void *ctx)
{
    struct lock_session *s = ctx;

    switch (s->step) {
    case STEP_PAUSED:
        ask(s);
        return;
    case STEP_HELD:
        report_phase(s);
        heartbeat(s);
        return;
    case STEP_SETTLING:
    case STEP_UNLOCKING:
        released(s); /* nobody answers */
        return;
    case STEP_CONNECTING:
    case STEP_PACING:
    case STEP_TRYING:
    case STEP_ENDED:
        return;
    }
}

static void session_beat(struct lock *l)
{
    struct lock_session *s = of(l);

    if (s->step == STEP_HELD) {
        s->lease.next_send = clock_now();
        arm(s);
    }
}

static void session_release(struct lock *l)
{
    struct lock_session *s = of(l);

    if (s->step == STEP_HELD) {
        s->step = STEP_SETTLING;
        timer_arm(&s->timer, clock_now() + RELEASE_WITHIN);
        if (s->lease.outstanding == 0) {
            /* From the loop, like every event: the socket is writable at once. */
            ev_io_start(l->loop, &s->writable);
        }
    } else {
        s->step = STEP_SETTLING;
        timer_arm(&s->timer, clock_now());
    }
}

static void session_lock_close(struct lock *l)
{
    struct lock_session *s = of(l);

    stop_watching(s);
    timer_release(&s->timer);
    session_close(s->session);
    free(s);
}

static const struct lock_kind session_kind = {
    .beat = session_beat,
    .release = session_release,
    .close = session_lock_close,
};

struct lock *lock_session_new(void)
{
    struct lock_session *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->lock.kind = &session_kind;
    return &s->lock;
}

void lock_session_start(struct lock *l)
{
    struct lock_session *s = of(l);
    const struct session_options options = {
        .config = l->options.config,
        .purpose = SESSION_LOCK,
        .role = "lock",
        .address = &l->options.address,
        .lock_timeout = l->options.slice,
        .expect = l->options.server,
    };
    const struct session_events events = {
        .on_ready = on_ready,
        .on_failed = on_session_failed,
        .ctx = s,
    };
    int rc = timer_init(&s->timer, l->loop, on_due, s);

    assert(rc == 0); /* no descriptor left in a child that has a handful */
    ev_io_init(&s->readable, on_readable, -1, EV_READ);
    ev_io_init(&s->writable, on_writable, -1, EV_WRITE);
    s->readable.data = s;
    s->writable.data = s;
    s->session = session_open(l->loop, &options, &events);
    assert(s->session != NULL);
}
