/* What the monitor asks, over the probe's session: after all that the election needs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "worker/database/connect.h"
#include "worker/probe/fleet.h"
#include "worker/probe/history.h"
#include "worker/probe/postgres.h"

void query_put(struct shell *pg, const struct message_query *query)
{
    if (!pg->ready) {
        answer_unknown(&pg->probe->peer, query, QUERY_DOWN, "");
    } else if (!questions_put(&pg->questions, query)) {
        answer_unknown(&pg->probe->peer, query, QUERY_FAILED, "too much is asked at once");
    } else {
        postgres_want(pg, WANT_QUERY);
    }
}

void query_drop_all(struct shell *pg)
{
    const struct message_query *query;

    while ((query = questions_first(&pg->questions)) != NULL) {
        answer_unknown(&pg->probe->peer, query, QUERY_DOWN, "");
        questions_take(&pg->questions);
    }
    json_decref(pg->rows);
    pg->rows = NULL;
}

/* Sends it. False: it cannot be asked, and that is answered. */
static bool ask(struct shell *pg, const struct message_query *query)
{
    struct history_question q;

    if (query->kind == QUERY_FLEET) {
        postgres_ask_for_people(pg, fleet_sql, 0, NULL);
        return true;
    }
    int rc = history_question(HISTORY_POSTGRES, pg->probe->cfg, query, clock_wall(), &q);
    if (rc < 0) {
        answer_unknown(&pg->probe->peer, query, QUERY_FAILED, strerror(-rc));
        return false;
    }
    pg->record = q.record;
    postgres_ask_for_people(pg, q.sql, q.count, q.values);
    history_release(&q); /* libpq has its own copy of everything */
    return true;
}

void query_ask(struct shell *pg)
{
    const struct message_query *query;

    while ((query = questions_first(&pg->questions)) != NULL && !ask(pg, query)) {
        questions_take(&pg->questions);
    }
}

/* A row of a result. */
struct place {
    const PGresult *result;
    int row;
};

static const char *cell(void *ctx, size_t column, size_t *ret_size)
{
    const struct place *at = ctx;

    if (PQgetisnull(at->result, at->row, (int)column)) {
        return NULL;
    }
    *ret_size = (size_t)PQgetlength(at->result, at->row, (int)column);
    return PQgetvalue(at->result, at->row, (int)column);
}

/* False: out of memory. */
static bool add_rows(json_t *rows, const struct record *record, const PGresult *result)
{
    struct place at = {.result = result};

    for (; at.row < PQntuples(result); at.row++) {
        if (json_array_append_new(rows, record_row(record, cell, &at)) == -1) {
            return false;
        }
    }
    return true;
}

/* SQLSTATE of a table, schema or column that is not there, and of one that we may not use. */
static const char *hint_for(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (state == NULL) {
        return "";
    }
    if (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0 || strcmp(state, "42703") == 0) {
        return ": `pgbaton init-db` makes or upgrades the tables";
    }
    return strcmp(state, "42501") == 0 ? ": `pgbaton init-db --print` lists the rights" : "";
}

static void answer_error(struct shell *pg, const struct message_query *query,
                         const PGresult *result)
{
    char said[CONNECT_TEXT_MAX];
    char text[REASON_MAX];

    connect_said(result, said, sizeof(said));
    (void)snprintf(text, sizeof(text), "%.140s%s", said, hint_for(result));
    log_debug("query_failed", "error=%s", log_text(text).is);
    answer_unknown(&pg->probe->peer, query, QUERY_FAILED, text);
}

/* The rows that came, after those that came before. True: the next page is to be asked for. */
static bool take_rows(struct shell *pg, struct message_query *query, const PGresult *result)
{
    int count = PQntuples(result);

    pg->rows = pg->rows == NULL ? json_array() : pg->rows;
    if (!add_rows(pg->rows, &pg->record, result)) {
        json_decref(pg->rows);
        pg->rows = NULL;
        return false;
    }
    if (query->kind != QUERY_JOBS || count < (int)history_jobs_page(HISTORY_POSTGRES)) {
        return false;
    }
    const char *last = PQgetvalue(result, count - 1, 0);
    if (strlen(last) >= sizeof(query->word)) { /* no configuration has such a name */
        return false;
    }
    (void)snprintf(query->word, sizeof(query->word), "%s", last);
    return true;
}

static void answer(struct shell *pg, const struct message_query *query, PGresult *result)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        answer_error(pg, query, result);
    } else if (query->kind == QUERY_FLEET) {
        answer_known(&pg->probe->peer, query, fleet_instances(pg->probe->cfg, result));
    } else {
        if (query->kind == QUERY_REQUEST) {
            postgres_want(pg, WANT_NOTIFY);
        }
        answer_known(&pg->probe->peer, query, pg->rows);
        pg->rows = NULL; /* taken over */
    }
    json_decref(pg->rows);
    pg->rows = NULL;
}

void query_on_answer(struct shell *pg, PGresult *result)
{
    struct message_query *query = questions_first(&pg->questions);
    bool known = PQresultStatus(result) == PGRES_TUPLES_OK && query->kind != QUERY_FLEET;

    if (!known || !take_rows(pg, query, result)) {
        answer(pg, query, result);
        questions_take(&pg->questions);
    }
    if (questions_first(&pg->questions) != NULL) {
        postgres_want(pg, WANT_QUERY);
    }
}

/* Apart from the request's own transaction: a full queue of notifications must not undo it. */
void query_ask_notify(struct shell *pg)
{
    char payload[sizeof("request ") + ELECTION_NAME_MAX];
    const char *values[] = {payload};

    (void)snprintf(payload, sizeof(payload), "request %s", pg->probe->cfg->election.name);
    postgres_ask_for_people(pg, "SELECT pg_notify('pgbaton', $1)", 1, values);
}

/* It only wakes: the leader looks now and then by itself. */
void query_on_notify(struct shell *pg, PGresult *result)
{
    char said[CONNECT_TEXT_MAX];

    (void)pg;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        connect_said(result, said, sizeof(said));
        log_debug("notify_failed", "error=%s", log_text(said).is);
    }
}
