/* The questions that a session may be asked, once it is ready. */
#include <assert.h>
#include <stdio.h>

#include "worker/database/session_private.h"

/* False: nothing can be sent any more, and on_failed is on its way. */
static bool can_send(const struct session *s, dur_ns limit)
{
    assert(limit > 0);
    if (s->state == STATE_FAILED) {
        return false;
    }
    assert(s->state == STATE_READY);
    return true;
}

static bool may_ask(const struct session *s, dur_ns limit)
{
    assert(!session_is_asking(s));
    return can_send(s, limit);
}

void session_ask(struct session *s, const char *sql, int count, const char *const *values,
                 dur_ns limit, void (*on_answer)(void *ctx, PGresult *result), void *ctx)
{
    if (!may_ask(s, limit)) {
        return;
    }
    s->question = (struct question){.on_answer = on_answer, .ctx = ctx, .limit = limit};
    int sent = count == 0 ? PQsendQuery(s->conn, sql)
                          : PQsendQueryParams(s->conn, sql, count, NULL, values, NULL, NULL, 0);

    session_question_sent(s, sent);
}

void session_ask_prepared(struct session *s, const char *statement, int count,
                          const char *const *values, const int *lengths, dur_ns limit,
                          void (*on_answer)(void *ctx, PGresult *result), void *ctx)
{
    int formats[SESSION_PARAMETERS_MAX];

    assert(count <= SESSION_PARAMETERS_MAX);
    if (!may_ask(s, limit)) {
        return;
    }
    for (int i = 0; i < count; i++) {
        formats[i] = lengths != NULL ? 1 : 0;
    }
    s->question = (struct question){.on_answer = on_answer, .ctx = ctx, .limit = limit};
    session_question_sent(s, PQsendQueryPrepared(s->conn, statement, count, values, lengths,
                                                 lengths != NULL ? formats : NULL, 0));
}

/* As one message, which is one transaction up to its Sync: the limit is that transaction's alone,
 * and the server counts anew for each statement. */
void session_ask_within(struct session *s, dur_ns statement_limit, const char *sql, int count,
                        const char *const *values, dur_ns limit,
                        void (*on_answer)(void *ctx, PGresult *result), void *ctx)
{
    char ms[24];
    const char *const own[] = {ms};

    if (!may_ask(s, limit)) {
        return;
    }
    (void)snprintf(ms, sizeof(ms), "%lld", (long long)(statement_limit / DUR_MS(1)));
    s->question =
        (struct question){.on_answer = on_answer, .ctx = ctx, .limit = limit, .pipelined = true};
    session_question_sent(
        s, PQenterPipelineMode(s->conn) == 1 &&
               PQsendQueryParams(s->conn, "SELECT set_config('statement_timeout', $1, true)", 1,
                                 NULL, own, NULL, NULL, 0) == 1 &&
               PQsendQueryParams(s->conn, sql, count, NULL, values, NULL, NULL, 0) == 1 &&
               PQpipelineSync(s->conn) == 1);
}

void session_heartbeat(struct session *s, dur_ns limit,
                       void (*on_answer)(void *ctx, PGresult *result), void *ctx)
{
    if (!may_ask(s, limit)) {
        return;
    }
    s->question =
        (struct question){.on_answer = on_answer, .ctx = ctx, .limit = limit, .pipelined = true};
    session_question_sent(s, PQenterPipelineMode(s->conn) == 1 && PQpipelineSync(s->conn) == 1);
}

void session_ask_pipelined(struct session *s, const char *sql, dur_ns limit,
                           void (*on_answer)(void *ctx, PGresult *result), void *ctx)
{
    struct question *q = session_is_asking(s) ? &s->behind : &s->question;

    if (!can_send(s, limit)) {
        return;
    }
    assert(q->on_answer == NULL);
    assert(q == &s->question || s->question.pipelined);
    *q = (struct question){.on_answer = on_answer, .ctx = ctx, .limit = limit, .pipelined = true};
    session_question_sent(s,
                          PQenterPipelineMode(s->conn) == 1 &&
                              PQsendQueryParams(s->conn, sql, 0, NULL, NULL, NULL, NULL, 0) == 1 &&
                              PQpipelineSync(s->conn) == 1);
}
