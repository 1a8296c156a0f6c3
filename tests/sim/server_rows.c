/* The row of the election, which a term's opening locks, and the terms. */
#include <assert.h>

#include "common/budget.h"
#include "tests/sim/node.h"
#include "tests/sim/server_private.h"
#include "worker/leader/takeover.h"

#define ROW_LOCK_TIMEOUT DUR_S(1)
enum { TERMS_LOOKED_AT = 16 };

static bool is_later(struct epoch a, struct epoch b)
{
    return a.generation > b.generation || (a.generation == b.generation && a.number > b.number);
}

const struct term_row *rows_newest(void)
{
    return server.term_count == 0 ? NULL : &server.terms[server.term_count - 1];
}

mono_ns rows_first_of(uint64_t system_id)
{
    for (int i = 0; i < server.term_count; i++) {
        if (server.terms[i].server.system_id == system_id) {
            return server.terms[i].committed;
        }
    }
    return MONO_NEVER;
}

static void queue_remove(int s)
{
    int kept = 0;

    for (int i = 0; i < server.row_waiters; i++) {
        if (server.row_queue[i] != s) {
            server.row_queue[kept++] = server.row_queue[i];
        }
    }
    server.row_waiters = kept;
}

/* What is stored is what the newest term wrote. */
static void answer_row(int s)
{
    const struct term_row *newest = rows_newest();
    struct answer answer = {.type = ANSWER_ROW};

    server.row_holder = s;
    session_at(s)->waits_for_row = false;
    if (newest != NULL) {
        answer.epoch = newest->epoch;
        answer.server = newest->server;
    }
    session_answer(s, &answer);
    session_idle_in_transaction(s);
}

static void grant_next(void)
{
    if (server.row_holder == NO_SESSION && server.row_waiters > 0) {
        int s = server.row_queue[0];

        queue_remove(s);
        answer_row(s);
    }
}

void rows_drop(int s)
{
    if (s >= 0) {
        queue_remove(s);
        server.sessions[s].waits_for_row = false;
    }
    if (server.row_holder == s) {
        server.row_holder = NO_SESSION;
        grant_next();
    }
}

int row_blocker(int s)
{
    return session_at(s)->waits_for_row ? server.row_holder : NO_SESSION;
}

static void wait_is_over(int s, uint64_t wait)
{
    struct session *session = &server.sessions[s];

    if (session->used && session->waits_for_row && session->wait == wait) {
        queue_remove(s);
        session->waits_for_row = false;
        session_answer_type(s, ANSWER_BLOCKED);
        session_idle(s);
    }
}

void rows_lock(int s, const struct request *r)
{
    struct session *session = session_at(s);

    if (server.read_only || server.key_holder < 0 || session_at(server.key_holder)->pid != r->pid) {
        session_answer_type(s, ANSWER_ERROR); /* it does not see the key under that backend */
        session_idle(s);
        return;
    }
    if (server.row_holder == NO_SESSION) {
        answer_row(s);
        return;
    }
    session->waits_for_row = true;
    session->wait++;
    server.row_queue[server.row_waiters++] = s;
    world_call(world.now + ROW_LOCK_TIMEOUT, wait_is_over, s, session->wait);
}

void rows_rollback(int s)
{
    session_answer_type(s, ANSWER_YES);
    rows_drop(s);
    session_idle(s);
}

static void commit(int s, const struct request *r)
{
    int lock = session_by_pid(r->pid);
    int node = network_node(session_at(s)->conn);

    if (!is_later(r->epoch, server.highest)) {
        violation("epoch %s was opened after %s", epoch_text(r->epoch).is,
                  epoch_text(server.highest).is);
    }
    server.highest = r->epoch;
    if (server.term_count == TERMS_KEPT) {
        violation("more terms than any run should have");
    }
    server.terms[server.term_count++] = (struct term_row){
        .epoch = r->epoch,
        .server = server.identity,
        .incarnation = nodes[node].incarnation,
        .pid = r->pid,
        .start = lock == NO_SESSION ? 0 : session_at(lock)->start,
        .started = server_wall(),
        .committed = world.now,
        .ended = MONO_NEVER,
        .closed = MONO_NEVER,
    };
    trace("server     term %s of node %d is open", epoch_text(r->epoch).is, node);
}

void rows_write(int s, const struct request *r)
{
    if (server.row_holder != s || server.read_only) {
        session_answer_type(s, ANSWER_ERROR);
    } else {
        commit(s, r);
        session_answer_type(s, ANSWER_YES);
    }
    rows_drop(s);
    session_idle(s);
}

void rows_terms(int s, const struct request *r)
{
    const struct takeover_rules rules = {
        .takeover_delay = world.settings.takeover_delay,
        .kill_margin = BUDGET_KILL_MARGIN,
        .lease = world.settings.lease,
        .tail_lost = r->tail_lost,
        .server = server.identity,
    };
    struct takeover_term terms[TERMS_LOOKED_AT];
    struct answer answer = {.type = ANSWER_WAIT};
    size_t count = 0;

    for (int i = server.term_count - 1; i >= 0 && count < TERMS_LOOKED_AT; i--) {
        const struct term_row *row = &server.terms[i];

        if (!is_later(r->epoch, row->epoch)) {
            continue;
        }
        terms[count] = (struct takeover_term){
            .generation = row->epoch.generation,
            .server = row->server,
            .ended_cleanly = row->ended != MONO_NEVER && row->clean,
            /* Jobs always run in these terms, or are about to. */
            .unfinished_runs = row->closed == MONO_NEVER,
            .runs_recorded = true,
            .opened_ago = server_wall() - row->started,
            .lease = world.settings.lease,
            .heartbeat = world.settings.heartbeat,
            .loss_grace = world.settings.loss_grace,
            .superseded_ago = count == 0 ? 0 : server_wall() - server.terms[i + 1].started,
        };
        count++;
    }
    /* The rules are the client's; the rows are those of this moment. */
    answer.wait = takeover_decide(&rules, terms, count).wait;
    session_answer(s, &answer);
    session_idle(s);
}

static void notify_all(void)
{
    for (int s = 0; s < SESSIONS_MAX; s++) {
        if (server.sessions[s].used && server.sessions[s].listens) {
            session_answer_type(s, ANSWER_NOTIFY);
        }
    }
}

void rows_mark(int s, const struct request *r)
{
    for (int i = 0; i < server.term_count; i++) {
        struct term_row *row = &server.terms[i];

        if (row->ended == MONO_NEVER && is_later(r->epoch, row->epoch)) {
            row->ended = world.now;
            row->clean = false;
        }
    }
    notify_all();
    session_answer_type(s, ANSWER_YES);
    session_idle(s);
}

/* The runs that earlier terms left open are interrupted: nobody has to wait for them any more. Only
 * the leader of the present term may write that. */
void rows_close(int s, const struct request *r)
{
    bool current = rows_newest() != NULL && epoch_equal(rows_newest()->epoch, r->epoch);

    for (int i = 0; current && !server.read_only && i < server.term_count - 1; i++) {
        if (server.terms[i].closed == MONO_NEVER) {
            server.terms[i].closed = world.now;
        }
    }
    session_answer_type(s, ANSWER_YES);
    session_idle(s);
}

void rows_stamp(int s, const struct request *r, bool fenced)
{
    uint64_t incarnation = nodes[network_node(session_at(s)->conn)].incarnation;

    for (int i = 0; i < server.term_count; i++) {
        struct term_row *row = &server.terms[i];

        if (row->incarnation == incarnation && epoch_equal(row->epoch, r->epoch) &&
            row->ended == MONO_NEVER && !server.read_only) {
            row->ended = world.now;
            row->clean = fenced || r->clean;
            trace("server     term %s is stamped: %s", epoch_text(r->epoch).is,
                  fenced ? "fenced" : (r->clean ? "released" : "lost"));
        }
    }
    session_answer_type(s, ANSWER_YES);
    session_idle(s);
}

void rows_lose(dur_ns lost)
{
    mono_ns from = world.now - lost;

    if (from < server.replaced) {
        from = server.replaced; /* what was in the dump is in every copy of this cluster */
    }

    while (server.term_count > 0 && server.terms[server.term_count - 1].committed > from) {
        trace("server     term %s is lost with the tail",
              epoch_text(server.terms[server.term_count - 1].epoch).is);
        server.term_count--;
    }
    for (int i = 0; i < server.term_count; i++) {
        if (server.terms[i].ended != MONO_NEVER && server.terms[i].ended > from) {
            server.terms[i].ended = MONO_NEVER;
        }
        if (server.terms[i].closed != MONO_NEVER && server.terms[i].closed > from) {
            server.terms[i].closed = MONO_NEVER;
        }
    }
}

static void row_is_free(int unused, uint64_t token)
{
    (void)unused;
    (void)token;
    rows_drop(FOREIGN);
}

void server_block_row(dur_ns length)
{
    if (server.row_holder == NO_SESSION) {
        trace("fault      a transaction holds the election's row for %.1f s", (double)length / 1e9);
        server.row_holder = FOREIGN;
        world_call(world.now + length, row_is_free, 0, 0);
    }
}
