#include "worker/monitor/answers.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/control.h"
#include "common/log.h"
#include "worker/monitor/jobs_view.h"
#include "worker/monitor/json_text.h"

enum { BIG_ANSWER = 64 * 1024 }; /* bytes; the memory of one this long is given back at once */

static bool has_ledger(const struct answers *a)
{
    return a->config->election.enabled && a->config->database.kind != DATABASE_NONE;
}

static const char *why_no_ledger(const struct answers *a)
{
    return a->config->election.enabled
               ? "there is no ledger: dsn = none, so nothing is recorded; the log has it"
               : "there is no ledger: [election] enabled = no, so nothing is recorded; the log has "
                 "it";
}

/* document is taken over; NULL: out of memory. */
static void send_document(struct answers *a, uint64_t ticket, json_t *document)
{
    char *line =
        document == NULL ? NULL : json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(15));
    bool big = line != NULL && strlen(line) > BIG_ANSWER;

    json_decref(document);
    if (line == NULL) {
        log_error("answer_failed", "error=%s", log_text(strerror(ENOMEM)).is);
    }
    control_answer(a->control, ticket, line);
    if (big) {
        (void)malloc_trim(0); /* or the monitor stays as large as its largest answer */
    }
}

/* Rows of the scoreboard, as many as the configuration has jobs. NULL: none, or out of memory. */
static struct board_job *copy_jobs(const struct answers *a, size_t *ret_count)
{
    size_t count = a->config->job_count < BOARD_JOBS_MAX ? a->config->job_count : BOARD_JOBS_MAX;
    struct board_job *jobs = count == 0 ? NULL : calloc(count, sizeof(*jobs));

    *ret_count = jobs == NULL ? 0 : count;
    for (size_t i = 0; i < *ret_count; i++) {
        (void)scoreboard_get_job(a->board, (unsigned)i, &jobs[i]);
    }
    return jobs;
}

/* rows NULL: from the scoreboard alone; note: why, or NULL. */
static void answer_jobs(struct answers *a, uint64_t ticket, json_t *rows, const char *note)
{
    struct board_supervisor supervisor;
    struct jobs_view view = {.config = a->config, .rows = rows, .wall = clock_wall()};
    struct json_making made = {.object = json_object()};

    (void)scoreboard_get_supervisor(a->board, &supervisor);
    view.leads = supervisor.role == ROLE_LEADER;
    struct board_job *jobs = copy_jobs(a, &view.job_count);
    view.jobs = jobs;
    json_put(&made, "jobs", jobs_view_document(&view));
    json_put(&made, "note", json_text(note));
    free(jobs);
    send_document(a, ticket, json_made(&made));
}

static void say_unknown(struct answers *a, uint64_t ticket, const struct query_answer *known)
{
    struct board_probe probe;
    char text[2 * REASON_MAX + 64];
    const char *why = known->text;

    switch (known->result) {
    case QUERY_NO_LEDGER:
        control_say(a->control, ticket, EXIT_CODE_FAILED, why[0] == '\0' ? why_no_ledger(a) : why);
        return;
    case QUERY_DOWN:
        (void)scoreboard_get_probe(a->board, &probe);
        why = why[0] == '\0' ? probe.reason : why;
        (void)snprintf(text, sizeof(text), "the database does not answer%s%s",
                       why[0] == '\0' ? "" : ": ", why);
        control_say(a->control, ticket, EXIT_CODE_UNAVAILABLE, text);
        return;
    case QUERY_KNOWN:
    case QUERY_FAILED:
    case QUERY_RESULT_COUNT:
        (void)snprintf(text, sizeof(text), "the ledger cannot be read: %s", why);
        control_say(a->control, ticket, EXIT_CODE_FAILED, text);
        return;
    }
}

/* Who answers requests, as far as is known here; JSON null: nobody. */
static json_t *leader(const struct answers *a)
{
    struct board_supervisor supervisor;
    struct board_probe probe;

    (void)scoreboard_get_supervisor(a->board, &supervisor);
    (void)scoreboard_get_probe(a->board, &probe);
    if (supervisor.role == ROLE_LEADER) {
        return json_text(a->config->pgbaton.instance);
    }
    return probe.leader_instance[0] == '\0' ? json_null() : json_text(probe.leader_instance);
}

static void answer_why(struct answers *a, uint64_t ticket, const struct message_query *query,
                       json_t *rows)
{
    struct json_making made = {.object = json_object()};

    json_put(&made, "job", json_text(query->job));
    json_put(&made, "asked_at", json_moment(query->at));
    json_put(&made, "policy", jobs_view_policy(a->config, query->job));
    json_put(&made, "runs", json_incref(rows));
    send_document(a, ticket, json_made(&made));
}

/* A name may be a slip: whether there is such a job is said beside its runs. */
static void answer_history(struct answers *a, uint64_t ticket, const struct message_query *query,
                           json_t *rows)
{
    struct json_making made = {.object = json_object()};

    json_put(&made, "runs", json_incref(rows));
    json_put(&made, "configured",
             query->job[0] == '\0' ? json_null()
                                   : json_boolean(config_job_find(a->config, query->job) != NULL));
    send_document(a, ticket, json_made(&made));
}

/* Who waits for a run has to know its row is gone from all that may go wrong on the way there:
 * {"run": null}. */
static void answer_run(struct answers *a, uint64_t ticket, const struct message_query *query,
                       json_t *rows)
{
    char text[QUERY_WORD_MAX + 160];

    if (json_array_size(rows) > 0) {
        send_document(a, ticket, json_pack("{s:O}", "run", json_array_get(rows, 0)));
        return;
    }
    if (query->kind == QUERY_RUN) {
        send_document(a, ticket, json_pack("{s:n}", "run"));
        return;
    }
    (void)snprintf(text, sizeof(text),
                   "no run %s is on record: it was deleted after [jobs] history, or the id is of "
                   "another election",
                   query->word);
    control_say(a->control, ticket, EXIT_CODE_FAILED, text);
}

static void answer_request(struct answers *a, uint64_t ticket, const json_t *rows)
{
    json_int_t id = json_integer_value(json_object_get(json_array_get(rows, 0), "request"));

    if (id <= 0) {
        control_say(a->control, ticket, EXIT_CODE_FAILED, "the request was not taken down");
        return;
    }
    send_document(
        a, ticket,
        json_pack("{s:i, s:I, s:o}", "code", EXIT_CODE_DONE, "request", id, "leader", leader(a)));
}

/* The row of a request; one that is withdrawn now comes without the leader's answer. */
static void answer_answer(struct answers *a, uint64_t ticket, const struct message_query *query,
                          const json_t *rows)
{
    const json_t *row = json_array_get(rows, 0);
    bool withdraws = query->kind == QUERY_WITHDRAW;
    struct json_making made = {.object = json_object()};

    if (row == NULL && !withdraws) {
        json_decref(made.object);
        control_say(a->control, ticket, EXIT_CODE_FAILED, "there is no such request any more");
        return;
    }
    json_put(&made, "code", json_integer(EXIT_CODE_DONE));
    json_put(&made, "withdrawn", json_boolean(withdraws && row != NULL));
    json_put(&made, "answered", json_boolean(json_is_string(json_object_get(row, "answered_at"))));
    json_put(&made, "done", json_boolean(json_is_true(json_object_get(row, "done"))));
    json_put(&made, "run", json_text(json_string_value(json_object_get(row, "run"))));
    json_put(&made, "text", json_text(json_string_value(json_object_get(row, "text"))));
    json_put(&made, "leader", leader(a));
    send_document(a, ticket, json_made(&made));
}

static void on_known(void *ctx, uint64_t ticket, const struct message_query *query,
                     const struct query_answer *known)
{
    struct answers *a = ctx;

    if (known->result != QUERY_KNOWN) {
        if (query->kind == QUERY_JOBS && known->result == QUERY_FAILED) {
            answer_jobs(a, ticket, NULL, known->text); /* nobody has led yet, and made the tables */
        } else {
            say_unknown(a, ticket, known);
        }
        return;
    }
    switch ((enum query_kind)query->kind) {
    case QUERY_JOBS:
        answer_jobs(a, ticket, known->rows, NULL);
        return;
    case QUERY_HISTORY:
        answer_history(a, ticket, query, known->rows);
        return;
    case QUERY_TERMS:
        send_document(a, ticket, json_pack("{s:O}", "terms", known->rows));
        return;
    case QUERY_WHY:
        answer_why(a, ticket, query, known->rows);
        return;
    case QUERY_RUN:
    case QUERY_OUTPUT:
        answer_run(a, ticket, query, known->rows);
        return;
    case QUERY_REQUEST:
        answer_request(a, ticket, known->rows);
        return;
    case QUERY_ANSWER:
    case QUERY_WITHDRAW:
        answer_answer(a, ticket, query, known->rows);
        return;
    case QUERY_FLEET:
    case QUERY_KIND_COUNT:
        return; /* nobody asks for it here */
    }
}

/* By way of the supervisor: the leader is this very instance, and nobody else could do it. */
static void command_worker(struct answers *a, uint64_t ticket, const struct request *request,
                           uid_t uid)
{
    struct message m = {
        .u.job_command = {.request = ticket, .order = request->query.order, .by_uid = uid}};

    if (request->wait) {
        char text[256];

        (void)snprintf(text, sizeof(text), "--wait finds the outcome in the ledger, and %s",
                       why_no_ledger(a));
        control_say(a->control, ticket, EXIT_CODE_FAILED, text);
        return;
    }
    (void)memcpy(m.u.job_command.job, request->query.job, sizeof(m.u.job_command.job));
    int rc = channel_send(a->supervisor, MESSAGE_JOB_COMMAND, &m, -1);
    if (rc < 0) {
        log_warn("command_not_passed", "error=%s", log_text(strerror(-rc)).is);
        control_say(a->control, ticket, EXIT_CODE_UNAVAILABLE,
                    "the supervisor cannot be told: it does not read its messages");
    }
}

static void ask(struct answers *a, uint64_t ticket, const struct message_query *query)
{
    if (!queries_ask(a->queries, query, QUERY_WITHIN, on_known, a, ticket)) {
        control_say(a->control, ticket, EXIT_CODE_UNAVAILABLE,
                    "the probe, which asks the database, cannot be asked: try again in a moment");
    }
}

void answers_take(struct answers *a, uint64_t ticket, const struct request *request, uid_t uid)
{
    struct message_query query = request->query;

    if (request->kind == REQUEST_JOB && !has_ledger(a)) {
        command_worker(a, ticket, request, uid);
        return;
    }
    if (request->kind == REQUEST_JOB) {
        (void)snprintf(query.word, sizeof(query.word), "uid %u at %s", (unsigned)uid,
                       a->config->pgbaton.instance);
        log_info("request", "order=%s job=%s by_uid=%u",
                 job_order_name((enum job_order)query.order), log_text(query.job).is,
                 (unsigned)uid);
    }
    if (has_ledger(a)) {
        ask(a, ticket, &query);
    } else if (query.kind == QUERY_JOBS) {
        answer_jobs(a, ticket, NULL, NULL);
    } else {
        control_say(a->control, ticket, EXIT_CODE_FAILED, why_no_ledger(a));
    }
}

void answers_command(struct answers *a, const struct message_job_answer *answer)
{
    struct json_making made = {.object = json_object()};

    json_put(&made, "code", json_integer(answer->code));
    json_put(&made, "answered", json_true());
    json_put(&made, "done", json_boolean(answer->code == EXIT_CODE_DONE));
    json_put(&made, "run", answer->run[0] == '\0' ? json_null() : json_text(answer->run));
    json_put(&made, "text", json_text(answer->text));
    json_put(&made, "leader", json_text(a->config->pgbaton.instance));
    send_document(a, answer->request, json_made(&made));
}
