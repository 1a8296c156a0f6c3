#include "worker/probe/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/outcome.h"
#include "worker/database/schema.h"

/* Nobody retries that often. */
#define ATTEMPTS_SHOWN 1000

#define OPEN_OUTCOMES "('queued', 'claimed', 'running', 'retrying')"

/* clang-format off */
#define RUN_COLUMNS                                                                                \
    {"run",              RECORD_TEXT,    "r.id"},                                                  \
    {"job",              RECORD_TEXT,    "r.job"},                                                 \
    {"scheduled_at",     RECORD_MOMENT,  "r.scheduled_at"},                                        \
    {"last_at",          RECORD_MOMENT,  "r.last_at"},                                             \
    {"count",            RECORD_INTEGER, "r.count"},                                               \
    {"attempt",          RECORD_INTEGER, "r.attempt"},                                             \
    {"outcome",          RECORD_TEXT,    "r.outcome"},                                             \
    {"reason",           RECORD_TEXT,    "r.reason"},                                              \
    {"origin",           RECORD_TEXT,    "r.origin"},                                              \
    {"parent",           RECORD_TEXT,    "r.parent"},                                              \
    {"epoch",            RECORD_TEXT,    "r.generation || '.' || r.number"},                       \
    {"instance",         RECORD_TEXT,    "r.instance"},                                            \
    {"due_at",           RECORD_MOMENT,  "r.due_at"},                                              \
    {"started_at",       RECORD_MOMENT,  "r.started_at"},                                          \
    {"ended_at",         RECORD_MOMENT,  "r.ended_at"},                                            \
    {"late_seconds",     RECORD_LENGTH,  "r.started_at - coalesce(r.due_at, r.scheduled_at)"},     \
    {"duration_seconds", RECORD_LENGTH,  "r.ended_at - r.started_at"},                             \
    {"code",             RECORD_INTEGER, "r.code"},                                                \
    {"result",           RECORD_TEXT,    "r.result"},                                              \
    {"output_bytes",     RECORD_INTEGER, "r.output_bytes"}

static const struct record_column run_columns[] = {RUN_COLUMNS};

static const struct record_column output_columns[] = {
    RUN_COLUMNS,
    {"head",             RECORD_BYTES,   "r.output_head"},
    {"tail",             RECORD_BYTES,   "r.output_tail"},
};

static const struct record_column job_columns[] = {
    {"name",             RECORD_TEXT,    "n.job"}, /* "": all jobs; and job is null without a run */
    {"paused",           RECORD_BOOLEAN, "s.paused"},
    {"running",          RECORD_INTEGER, "coalesce(o.running, 0)"},
    {"waiting",          RECORD_INTEGER, "coalesce(o.waiting, 0)"},
    RUN_COLUMNS,
};

static const struct record_column term_columns[] = {
    {"epoch",            RECORD_TEXT,    "t.generation || '.' || t.number"},
    {"instance",         RECORD_TEXT,    "t.instance"},
    {"started_at",       RECORD_MOMENT,  "t.started_at"},
    {"ended_at",         RECORD_MOMENT,  "t.ended_at"},
    {"duration_seconds", RECORD_LENGTH,  "t.ended_at - t.started_at"},
    {"ended_as",         RECORD_TEXT,    "t.ended_as"},
    {"end_reason",       RECORD_TEXT,    "t.end_reason"},
    {"pid",              RECORD_INTEGER, "t.backend_pid"},
    {"incarnation",      RECORD_TEXT,    "t.incarnation"},
};

static const struct record_column request_columns[] = {
    {"request",          RECORD_INTEGER, "id"},
};

static const struct record_column answer_columns[] = {
    {"answered_at",      RECORD_MOMENT,  "answered_at"},
    {"done",             RECORD_BOOLEAN, "done"},
    {"run",              RECORD_TEXT,    "run_id"},
    {"text",             RECORD_TEXT,    "answer"},
};
/* clang-format on */

/* The server's session has other things to do in between; nobody waits for the file. */
enum { JOBS_PAGE_POSTGRES = 500, JOBS_PAGE_SQLITE = 1000000 };

uint32_t history_jobs_page(enum history_dialect dialect)
{
    return dialect == HISTORY_POSTGRES ? JOBS_PAGE_POSTGRES : JOBS_PAGE_SQLITE;
}

/* A statement being written. */
struct writing {
    enum history_dialect dialect;
    const char *schema; /* with its dot; "" */
    const struct message_query *query;
    wall_ns now;
    struct history_question *q;
    FILE *to;
};

/* The next parameter: its number. */
static int value(struct writing *w, const char *text)
{
    w->q->values[w->q->count++] = text;
    return w->q->count;
}

static void columns(struct writing *w, const struct record_column *list, size_t count)
{
    w->q->record =
        (struct record){.columns = list, .count = count, .encoded = w->dialect == HISTORY_POSTGRES};
    for (size_t i = 0; i < count; i++) {
        const char *format = "%s";

        if (w->dialect == HISTORY_POSTGRES &&
            (list[i].type == RECORD_MOMENT || list[i].type == RECORD_LENGTH)) {
            format = "(extract(epoch FROM %s) * 1000000)::bigint";
        } else if (w->dialect == HISTORY_POSTGRES && list[i].type == RECORD_BYTES) {
            format = "translate(encode(%s, 'base64'), chr(10), '')";
        }
        (void)fputs(i == 0 ? "" : ", ", w->to);
        for (const char *c = format; *c != '\0'; c++) {
            if (c[0] == '%' && c[1] == 's') {
                (void)fputs(list[i].sql, w->to);
                c++;
            } else {
                (void)fputc(*c, w->to);
            }
        }
    }
}

/* A number needs no quotes, and so no parameter. */
static void moment(const struct writing *w, wall_ns at)
{
    int64_t us = at / DUR_US(1);

    if (w->dialect == HISTORY_POSTGRES) {
        (void)fprintf(w->to, "(timestamptz 'epoch' + %" PRId64 " * interval '1 microsecond')", us);
    } else {
        (void)fprintf(w->to, "%" PRId64, us);
    }
}

/* Runs of the job of the query. */
static void of_job(struct writing *w, int election, int job)
{
    (void)fprintf(w->to, "FROM %srun WHERE election = $%d AND job = $%d", w->schema, election, job);
}

/* The names of jobs by a step from one to the next, not by reading all runs; from .word on, which
 * is the last name of the page before. */
static void write_jobs(struct writing *w)
{
    const char *s = w->schema;
    const char *above = w->query->word[0] == '\0' ? ">=" : ">"; /* '' stands for all jobs */
    int from = value(w, w->query->word);
    uint32_t page = history_jobs_page(w->dialect);

    (void)fprintf(
        w->to,
        "WITH RECURSIVE j(job, i) AS (SELECT min(job), 1 FROM %srun WHERE election = $1 "
        "AND job %s $%d UNION ALL SELECT (SELECT min(x.job) FROM %srun x WHERE x.election = $1 "
        "AND x.job > j.job), j.i + 1 FROM j WHERE j.job IS NOT NULL AND j.i < %" PRIu32 "), ",
        s, above, from, s, page);
    (void)fprintf(w->to,
                  "o AS (SELECT job, sum(CASE WHEN outcome = 'running' THEN 1 ELSE 0 END) "
                  "AS running, sum(CASE WHEN outcome IN ('queued', 'retrying') THEN 1 ELSE 0 END) "
                  "AS waiting FROM %srun WHERE election = $1 AND job %s $%d "
                  "AND outcome IN " OPEN_OUTCOMES " GROUP BY job), ",
                  s, above, from);
    (void)fprintf(w->to,
                  "n AS (SELECT job FROM (SELECT job FROM j WHERE job IS NOT NULL UNION "
                  "SELECT job FROM %sjob_state WHERE election = $1 AND job %s $%d) names "
                  "ORDER BY job LIMIT %" PRIu32 ") SELECT ",
                  s, above, from, page);
    columns(w, job_columns, ARRAY_LEN(job_columns));
    (void)fprintf(w->to,
                  " FROM n LEFT JOIN o ON o.job = n.job "
                  "LEFT JOIN %sjob_state s ON s.election = $1 AND s.job = n.job "
                  "LEFT JOIN %srun r ON r.election = $1 AND r.id = (SELECT x.id FROM %srun x "
                  "WHERE x.election = $1 AND x.job = n.job "
                  "AND x.outcome NOT IN ('queued', 'claimed', 'retrying') "
                  "ORDER BY x.scheduled_at DESC, x.attempt DESC LIMIT 1) ORDER BY n.job",
                  s, s, s);
}

static void write_history(struct writing *w)
{
    const struct message_query *query = w->query;

    (void)fputs("SELECT ", w->to);
    columns(w, run_columns, ARRAY_LEN(run_columns));
    (void)fprintf(w->to, " FROM %srun r WHERE r.election = $1", w->schema);
    if (query->job[0] != '\0') {
        (void)fprintf(w->to, " AND r.job = $%d", value(w, query->job));
    }
    if (query->word[0] != '\0') {
        (void)fprintf(w->to, " AND r.outcome = $%d", value(w, query->word));
    }
    if (query->at != 0) { /* missed ones are many, and the last of them counts */
        (void)fputs(" AND (r.scheduled_at >= ", w->to);
        moment(w, query->at);
        (void)fputs(" OR r.last_at >= ", w->to);
        moment(w, query->at);
        (void)fputs(")", w->to);
    }
    (void)fprintf(w->to, " ORDER BY r.scheduled_at DESC, r.attempt DESC, r.job LIMIT %" PRIu32,
                  query->limit);
}

static void write_terms(struct writing *w)
{
    (void)fputs("SELECT ", w->to);
    columns(w, term_columns, ARRAY_LEN(term_columns));
    (void)fprintf(w->to, " FROM %sterm t WHERE t.election = $1", w->schema);
    if (w->query->at != 0) { /* one that goes on, or went on after it, is among them */
        (void)fputs(" AND (t.ended_at IS NULL OR t.ended_at >= ", w->to);
        moment(w, w->query->at);
        (void)fputs(")", w->to);
    }
    (void)fprintf(w->to, " ORDER BY t.generation DESC, t.number DESC LIMIT %" PRIu32,
                  w->query->limit);
}

/* The candidates: missed ones that lie around the moment, the tick before it, the one after it. */
static void write_nearest(struct writing *w, int job)
{
    wall_ns at = w->query->at;

    (void)fputs("SELECT c.at FROM (SELECT ", w->to);
    moment(w, at);
    (void)fputs(" - ", w->to);
    moment(w, at);
    (void)fputs(" AS off, max(scheduled_at) AS at ", w->to);
    of_job(w, 1, job);
    (void)fputs(" AND last_at >= ", w->to);
    moment(w, at);
    (void)fputs(" AND scheduled_at <= ", w->to);
    moment(w, at);
    (void)fputs(" UNION ALL SELECT ", w->to);
    moment(w, at);
    (void)fputs(" - max(scheduled_at), max(scheduled_at) ", w->to);
    of_job(w, 1, job);
    (void)fputs(" AND scheduled_at <= ", w->to);
    moment(w, at);
    (void)fputs(" UNION ALL SELECT min(scheduled_at) - ", w->to);
    moment(w, at);
    (void)fputs(", min(scheduled_at) ", w->to);
    of_job(w, 1, job);
    (void)fputs(" AND scheduled_at > ", w->to);
    moment(w, at);
    (void)fputs(") c WHERE c.at IS NOT NULL ORDER BY c.off, c.at DESC LIMIT 1", w->to);
}

static void write_why(struct writing *w)
{
    int job = value(w, w->query->job);

    (void)fputs("SELECT ", w->to);
    columns(w, run_columns, ARRAY_LEN(run_columns));
    (void)fprintf(w->to,
                  " FROM %srun r WHERE r.election = $1 AND r.job = $%d AND r.scheduled_at = (",
                  w->schema, job);
    if (w->query->at == 0) {
        (void)fputs("SELECT max(scheduled_at) ", w->to);
        of_job(w, 1, job);
        (void)fputs(" AND outcome <> 'claimed'", w->to); /* it is not due yet, or was just now */
    } else {
        write_nearest(w, job);
    }
    (void)fprintf(w->to, ") ORDER BY r.attempt LIMIT %d", ATTEMPTS_SHOWN);
}

static void write_run(struct writing *w)
{
    (void)fputs("SELECT ", w->to);
    if (w->query->kind == QUERY_OUTPUT) {
        columns(w, output_columns, ARRAY_LEN(output_columns));
    } else {
        columns(w, run_columns, ARRAY_LEN(run_columns));
    }
    (void)fprintf(w->to, " FROM %srun r WHERE r.election = $1 AND r.id = $%d", w->schema,
                  value(w, w->query->word));
}

/* It is not worth a wait for the disk or for a standby: who asks asks again. */
static void write_request(struct writing *w)
{
    const char *order = job_order_name((enum job_order)w->query->order);
    int kind = value(w, order);
    int job = value(w, w->query->job);
    int by = value(w, w->query->word);

    if (w->dialect == HISTORY_POSTGRES) {
        (void)fprintf(w->to,
                      "WITH quickly AS (SELECT set_config('synchronous_commit', 'off', true)) "
                      "INSERT INTO %srequest (election, kind, job, requested_by) "
                      "SELECT $1, $%d, $%d, $%d FROM quickly RETURNING ",
                      w->schema, kind, job, by);
    } else {
        (void)fprintf(w->to,
                      "INSERT INTO %srequest (election, kind, job, requested_by, requested_at) "
                      "VALUES ($1, $%d, $%d, $%d, ",
                      w->schema, kind, job, by);
        moment(w, w->now);
        (void)fputs(") RETURNING ", w->to);
    }
    columns(w, request_columns, ARRAY_LEN(request_columns));
}

static void write_answer(struct writing *w)
{
    (void)fputs("SELECT ", w->to);
    columns(w, answer_columns, ARRAY_LEN(answer_columns));
    (void)fprintf(w->to, " FROM %srequest WHERE election = $1 AND id = %" PRId64, w->schema,
                  w->query->id);
}

/* As if the leader had refused it: then no leader that comes later does what nobody waits for. */
static void write_withdraw(struct writing *w)
{
    (void)fprintf(w->to, "UPDATE %srequest SET answered_at = ", w->schema);
    moment(w, w->now);
    (void)fprintf(w->to,
                  ", done = %s, answer = 'withdrawn: nobody answered in time' "
                  "WHERE election = $1 AND id = %" PRId64 " AND answered_at IS NULL RETURNING ",
                  w->dialect == HISTORY_POSTGRES ? "false" : "0", w->query->id);
    columns(w, answer_columns, ARRAY_LEN(answer_columns));
}

/* clang-format off */
static void (*const writers[QUERY_KIND_COUNT])(struct writing *w) = {
    [QUERY_JOBS]     = write_jobs,
    [QUERY_HISTORY]  = write_history,
    [QUERY_TERMS]    = write_terms,
    [QUERY_WHY]      = write_why,
    [QUERY_RUN]      = write_run,
    [QUERY_OUTPUT]   = write_run,
    [QUERY_REQUEST]  = write_request,
    [QUERY_ANSWER]   = write_answer,
    [QUERY_WITHDRAW] = write_withdraw,
};
/* clang-format on */

/* It came from another process, which parses what people write. */
static int check(enum history_dialect dialect, const struct message_query *query)
{
    bool lists = query->kind == QUERY_HISTORY || query->kind == QUERY_TERMS;

    if (query->kind >= QUERY_KIND_COUNT || writers[query->kind] == NULL) {
        return -EINVAL;
    }
    if (dialect == HISTORY_SQLITE && query->kind == QUERY_TERMS) {
        return -ENOTSUP;
    }
    if (lists && (query->limit < 1 || query->limit > QUERY_LIMIT_MAX)) {
        return -EINVAL;
    }
    if (query->kind == QUERY_HISTORY && query->word[0] != '\0' &&
        outcome_parse(query->word) == OUTCOME_NONE) {
        return -EINVAL;
    }
    if (query->kind == QUERY_REQUEST && query->order >= JOB_ORDER_COUNT) {
        return -EINVAL;
    }
    return query->at < 0 || query->id < 0 ? -EINVAL : 0;
}

int history_question(enum history_dialect dialect, const struct config *cfg,
                     const struct message_query *query, wall_ns now, struct history_question *ret)
{
    struct history_question q = {.values = {cfg->election.name}, .count = 1};
    char schema[168] = ""; /* with its dot */
    size_t size = 0;

    int rc = check(dialect, query);
    if (rc < 0) {
        return rc;
    }
    if (dialect == HISTORY_POSTGRES) {
        char quoted[160];

        if (schema_quote(cfg, quoted, sizeof(quoted)) < 0) {
            return -EINVAL;
        }
        (void)snprintf(schema, sizeof(schema), "%s.", quoted);
    }
    FILE *to = open_memstream(&q.sql, &size);
    if (to == NULL) {
        return -ENOMEM;
    }
    struct writing w = {
        .dialect = dialect, .schema = schema, .query = query, .now = now, .q = &q, .to = to};
    writers[query->kind](&w);
    bool failed = ferror(to) != 0;
    if (fclose(to) != 0 || failed) {
        free(q.sql);
        return -ENOMEM;
    }
    *ret = q;
    return 0;
}

void history_release(struct history_question *q)
{
    free(q->sql);
    *q = (struct history_question){.sql = NULL};
}
