/* What is read from the ledger: the state at the beginning of a term, and requests. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/leader/ledger_postgres_private.h"

enum load_column {
    LOAD_ME,
    LOAD_KIND,
    LOAD_ID,
    LOAD_JOB,
    LOAD_AT,
    LOAD_ATTEMPT,
    LOAD_OUTCOME,
    LOAD_ORIGIN,
    LOAD_DUE,
    LOAD_STARTED,
    LOAD_GENERATION,
    LOAD_NUMBER,
    LOAD_FLAG,
    LOAD_TEXT, /* of a job: its schedule's hash; of a run: its reason */
    LOAD_FAILURES,
};

static uint64_t number_at(const PGresult *result, int row, int column)
{
    return strtoull(PQgetvalue(result, row, column), NULL, 10);
}

static bool flag_at(const PGresult *result, int row, int column)
{
    return strcmp(PQgetvalue(result, row, column), "t") == 0;
}

static struct ledger_job_state job_at(const PGresult *result, int row)
{
    return (struct ledger_job_state){
        .job = PQgetvalue(result, row, LOAD_JOB),
        .paused = flag_at(result, row, LOAD_FLAG),
        .last_tick = ledger_moment(result, row, LOAD_AT),
        .schedule_hash = strtoull(PQgetvalue(result, row, LOAD_TEXT), NULL, 16),
        .failures = (unsigned)number_at(result, row, LOAD_FAILURES),
    };
}

static struct ledger_open_run run_at(const PGresult *result, int row)
{
    return (struct ledger_open_run){
        .id = PQgetvalue(result, row, LOAD_ID),
        .job = PQgetvalue(result, row, LOAD_JOB),
        .scheduled_at = ledger_moment(result, row, LOAD_AT),
        .attempt = (unsigned)number_at(result, row, LOAD_ATTEMPT),
        .outcome = outcome_parse(PQgetvalue(result, row, LOAD_OUTCOME)),
        .reason = PQgetvalue(result, row, LOAD_TEXT),
        .origin = run_origin_parse(PQgetvalue(result, row, LOAD_ORIGIN)),
        .due_at = ledger_moment(result, row, LOAD_DUE),
        .started_at = ledger_moment(result, row, LOAD_STARTED),
        .epoch = {.generation = number_at(result, row, LOAD_GENERATION),
                  .number = number_at(result, row, LOAD_NUMBER)},
        .ours = flag_at(result, row, LOAD_FLAG),
    };
}

/* Not the server's order: that would be its locale's. */
static int by_name(const void *a, const void *b)
{
    const struct ledger_job_state *left = a;
    const struct ledger_job_state *right = b;

    return strcmp(left->job, right->job);
}

/* The first row is the clock's, then those of the jobs, then the runs. */
void ledger_load_answered(struct ledger_postgres *p, const PGresult *result)
{
    size_t rows = (size_t)PQntuples(result);
    struct ledger_state state = {.database_clock = ledger_moment(result, 0, LOAD_AT)};

    if (ledger_postgres_is_over(p, result)) {
        return;
    }
    struct ledger_job_state *jobs = calloc(rows, sizeof(*jobs));
    struct ledger_open_run *runs = calloc(rows, sizeof(*runs));

    if (jobs == NULL || runs == NULL) {
        ledger_postgres_failed(p, "out of memory");
    } else {
        for (int row = 1; row < PQntuples(result); row++) {
            if (strcmp(PQgetvalue(result, row, LOAD_KIND), "1") == 0) {
                jobs[state.job_count++] = job_at(result, row);
            } else {
                runs[state.run_count++] = run_at(result, row);
            }
        }
        qsort(jobs, state.job_count, sizeof(*jobs), by_name);
        state.jobs = jobs;
        state.runs = runs;
        ledger_postgres_done(p);
        p->ledger.events.on_loaded(p->ledger.events.ctx, &state);
    }
    free(jobs);
    free(runs);
}

/* The statement asks for no other kinds. */
static enum ledger_request_kind request_kind(const char *name)
{
    switch (name[0]) {
    case 't':
        return LEDGER_TRIGGER;
    case 'c':
        return LEDGER_CANCEL;
    case 'p':
        return LEDGER_PAUSE;
    default:
        return LEDGER_RESUME;
    }
}

void ledger_requests_answered(struct ledger_postgres *p, const PGresult *result)
{
    int count = PQntuples(result);
    struct ledger_request *requests = calloc((size_t)count + 1, sizeof(*requests));

    if (requests == NULL) {
        ledger_postgres_failed(p, "out of memory");
        return;
    }
    for (int row = 0; row < count; row++) {
        requests[row] = (struct ledger_request){
            .id = strtoll(PQgetvalue(result, row, 0), NULL, 10),
            .kind = request_kind(PQgetvalue(result, row, 1)),
            .job = PQgetvalue(result, row, 2),
            .requested_by = PQgetvalue(result, row, 3),
            .requested_at = ledger_moment(result, row, 4),
        };
    }
    ledger_postgres_done(p);
    p->ledger.events.on_requests(p->ledger.events.ctx, requests, (size_t)count);
    free(requests);
}
