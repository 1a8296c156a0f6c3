#include "worker/leader/ledger_connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/backoff.h"
#include "common/log.h"
#include "common/timer.h"

#define RETRY_LEAST DUR_MS(200)

/* More than the statement_timeout of the ledger's session: the server's own answer is better. */
#define ANSWER_LIMIT DUR_S(12)

/* A session that was given up may have a question of ours unread before it: its backend hangs, or
 * the network keeps what it did not deliver. It would carry the question out whenever it gets to
 * it, on top of all that its successor has done: the term is still ours. The request to end comes
 * before its next statement, and before its commit. A number that somebody else has by now does not
 * count, nor does our own. */
#define END_SQL                                                                                    \
    "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_stat_activity me "         \
    "ON me.application_name = a.application_name AND me.pid <> a.pid "                             \
    "WHERE me.pid = pg_backend_pid() AND a.pid = $1"

enum { ASKED_MAX = 2 }; /* a session takes no more */

struct asked {
    enum ledger_asker asker;
    void (*on_answer)(void *ctx, PGresult *result); /* NULL: nobody waits */
};

struct ledger_connection {
    struct ev_loop *loop;
    const struct config *config;
    struct server_address address;
    struct server_identity expect;
    struct ledger_connection_events askers[LEDGER_ASKER_COUNT]; /* without on_turn: not attached */
    struct session *session;                                    /* NULL: waiting for the timer */
    bool ready;
    int backend_pid; /* of the session, since it is ready */
    int abandoned;   /* the backend of the last one that was ready before it; 0: none, or gone */
    bool retrying;   /* the timer stands for the next attempt */
    bool handling;   /* an event or an answer: whoever is next waits for its end */
    struct asked asked[ASKED_MAX]; /* and not answered, in that order */
    unsigned asked_count;
    struct timer timer;
    struct backoff backoff;
    struct prng random;
};

void ledger_connection_proceed(struct ledger_connection *c)
{
    if (c->handling) {
        return;
    }
    for (int who = 0; who < LEDGER_ASKER_COUNT && c->ready && c->asked_count == 0; who++) {
        if (c->askers[who].on_turn != NULL) {
            c->askers[who].on_turn(c->askers[who].ctx);
        }
    }
}

static void on_answer(void *ctx, PGresult *result)
{
    struct ledger_connection *c = ctx;

    assert(c->asked_count > 0);
    struct asked first = c->asked[0];

    c->asked[0] = c->asked[1];
    c->asked_count--;
    c->handling = true;
    if (first.on_answer != NULL) {
        first.on_answer(c->askers[first.asker].ctx, result);
    }
    c->handling = false;
    ledger_connection_proceed(c);
}

void ledger_connection_ask(struct ledger_connection *c, enum ledger_asker who,
                           const struct ledger_question *question)
{
    assert(c->ready);
    assert(c->asked_count == 0 || (question->pipelined && c->asked_count < ASKED_MAX));
    c->asked[c->asked_count++] = (struct asked){.asker = who, .on_answer = question->on_answer};
    if (question->pipelined) {
        assert(question->count == 0 && !question->prepared);
        session_ask_pipelined(c->session, question->sql, ANSWER_LIMIT, on_answer, c);
    } else if (question->prepared) {
        session_ask_prepared(c->session, question->sql, question->count, question->values,
                             question->lengths, ANSWER_LIMIT, on_answer, c);
    } else {
        assert(question->lengths == NULL);
        session_ask(c->session, question->sql, question->count, question->values, ANSWER_LIMIT,
                    on_answer, c);
    }
}

static void become_ready(struct ledger_connection *c)
{
    c->backend_pid = session_backend_pid(c->session);
    if (c->backoff.failures > 0) {
        log_info("ledger_up", "backend_pid=%d", c->backend_pid);
    }
    backoff_reset(&c->backoff);
    c->ready = true;
    c->handling = true;
    for (int who = 0; who < LEDGER_ASKER_COUNT; who++) {
        if (c->askers[who].on_turn != NULL) {
            c->askers[who].on_ready(c->askers[who].ctx);
        }
    }
    c->handling = false;
    ledger_connection_proceed(c);
}

static void on_ended(void *ctx, PGresult *result)
{
    struct ledger_connection *c = ctx;

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        const char *said = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

        log_warn("ledger_session_not_ended", "backend_pid=%d error=%s", c->abandoned,
                 log_text(said != NULL ? said : "").is);
    } else if (PQntuples(result) > 0) {
        log_info("ledger_session_ended", "backend_pid=%d", c->abandoned);
    }
    c->abandoned = 0;
    become_ready(c);
}

/* Before anybody's question. */
static void end_abandoned(struct ledger_connection *c)
{
    char pid[16];
    const char *const values[] = {pid};

    (void)snprintf(pid, sizeof(pid), "%d", c->abandoned);
    session_ask(c->session, END_SQL, 1, values, ANSWER_LIMIT, on_ended, c);
}

static void on_ready(void *ctx)
{
    struct ledger_connection *c = ctx;

    if (c->abandoned != 0) {
        end_abandoned(c);
    } else {
        become_ready(c);
    }
}

static void on_failed(void *ctx, enum session_failure why, const char *text)
{
    struct ledger_connection *c = ctx;

    (void)why;
    if (c->ready) { /* of one that was not, nothing was asked */
        c->abandoned = c->backend_pid;
    }
    c->ready = false;
    c->asked_count = 0;
    session_close(c->session);
    c->session = NULL;
    if (c->backoff.failures == 0) { /* once; the attempts that follow say the same */
        log_warn("ledger_down", "error=%s", log_text(text).is);
    }
    c->retrying = true;
    timer_arm(&c->timer, clock_now() + backoff_next(&c->backoff, &c->random));
    for (int who = 0; who < LEDGER_ASKER_COUNT; who++) {
        if (c->askers[who].on_turn != NULL) {
            c->askers[who].on_down(c->askers[who].ctx, text);
        }
    }
}

static void on_due(void *ctx)
{
    struct ledger_connection *c = ctx;
    const struct session_options options = {
        .config = c->config,
        .purpose = SESSION_LEDGER,
        .role = "ledger",
        .address = &c->address,
        .expect = c->expect,
    };
    const struct session_events events = {.on_ready = on_ready, .on_failed = on_failed, .ctx = c};

    assert(c->session == NULL);
    c->retrying = false;
    c->session = session_open(c->loop, &options, &events);
    assert(c->session != NULL);
}

struct ledger_connection *ledger_connection_open(struct ev_loop *loop, const struct config *config,
                                                 const struct server_address *address,
                                                 const struct server_identity *expect,
                                                 uint64_t seed)
{
    struct ledger_connection *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    c->loop = loop;
    c->config = config;
    c->address = *address;
    c->expect = *expect;
    c->backoff = (struct backoff){.least = RETRY_LEAST, .most = config->election.backoff_max};
    prng_seed(&c->random, seed);
    if (timer_init(&c->timer, loop, on_due, c) < 0) {
        free(c);
        return NULL;
    }
    on_due(c);
    return c;
}

void ledger_connection_attach(struct ledger_connection *c, enum ledger_asker who,
                              const struct ledger_connection_events *events)
{
    assert(c->askers[who].on_turn == NULL);
    assert(events->on_turn != NULL);
    c->askers[who] = *events;
    if (c->ready) {
        events->on_ready(events->ctx);
    }
}

void ledger_connection_detach(struct ledger_connection *c, enum ledger_asker who)
{
    c->askers[who] = (struct ledger_connection_events){0};
    for (unsigned i = 0; i < c->asked_count; i++) {
        if (c->asked[i].asker == who) {
            c->asked[i].on_answer = NULL;
        }
    }
}

struct session *ledger_connection_session(const struct ledger_connection *c)
{
    return c->ready ? c->session : NULL;
}

void ledger_connection_hurry(struct ledger_connection *c)
{
    if (c->retrying) {
        timer_arm(&c->timer, clock_now());
    }
}

void ledger_connection_close(struct ledger_connection *c)
{
    if (c == NULL) {
        return;
    }
    assert(!c->handling);
    session_retire(c->session); /* its term is over, another's begins */
    timer_release(&c->timer);
    free(c);
}
