/* What is there: the states of the jobs, the open runs, the requests that wait. */
#include <stdlib.h>
#include <string.h>

#include "worker/leader/ledger_sqlite_private.h"

enum { REQUESTS_MAX = 1000 /* more are taken the next time */ };

/* Room for one more element behind count of them; NULL: no memory, and nothing is lost. */
static void *room_for(void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0) { /* it has grown to the next power of two */
        return array;
    }
    return realloc(array, (count == 0 ? 1 : 2 * count) * size);
}

static const char *copy(struct ledger_answer *a, const struct statement *row, int column)
{
    return config_memory_text(&a->texts, statement_read_text(row, column));
}

static uint64_t hex_of(const struct statement *row, int column)
{
    return strtoull(statement_read_text(row, column), NULL, 16);
}

static bool add_job(struct ledger_answer *a, const struct statement *row)
{
    struct ledger_job_state *jobs = room_for(a->jobs, a->job_count, sizeof(*jobs));

    if (jobs == NULL) {
        return false;
    }
    a->jobs = jobs;
    sqlite3_int64 failures = sqlite3_column_int64(row->handle, 4);
    jobs[a->job_count++] = (struct ledger_job_state){
        .job = copy(a, row, 0),
        .paused = sqlite3_column_int(row->handle, 1) != 0,
        .last_tick = statement_read_moment(row, 2),
        .schedule_hash = hex_of(row, 3),
        .failures = failures < 0 ? 0 : (unsigned)failures,
    };
    return true;
}

static enum run_origin origin_of(const struct statement *row, int column)
{
    enum run_origin origin = run_origin_parse(statement_read_text(row, column));

    return origin == ORIGIN_COUNT ? ORIGIN_SCHEDULE : origin; /* somebody's own hand */
}

static bool add_run(struct ledger_sqlite *s, struct ledger_answer *a, const struct statement *row)
{
    struct ledger_open_run *runs = room_for(a->runs, a->run_count, sizeof(*runs));

    if (runs == NULL) {
        return false;
    }
    a->runs = runs;
    runs[a->run_count++] = (struct ledger_open_run){
        .id = copy(a, row, 0),
        .job = copy(a, row, 1),
        .scheduled_at = statement_read_moment(row, 2),
        .attempt = (unsigned)sqlite3_column_int64(row->handle, 3),
        .outcome = outcome_parse(statement_read_text(row, 4)),
        .origin = origin_of(row, 5),
        .due_at = statement_read_moment(row, 6),
        .started_at = statement_read_moment(row, 7),
        .epoch = {.generation = (uint64_t)sqlite3_column_int64(row->handle, 8),
                  .number = (uint64_t)sqlite3_column_int64(row->handle, 9)},
        .ours = strcmp(statement_read_text(row, 10), s->incarnation) == 0,
        .reason = copy(a, row, 11),
    };
    return true;
}

static bool add_request(struct ledger_answer *a, const struct statement *row)
{
    static const struct {
        const char *name;
        enum ledger_request_kind kind;
    } kinds[] = {
        {"trigger", LEDGER_TRIGGER},
        {"cancel", LEDGER_CANCEL},
        {"pause", LEDGER_PAUSE},
        {"resume", LEDGER_RESUME},
    };
    struct ledger_request *requests = room_for(a->requests, a->request_count, sizeof(*requests));

    if (requests == NULL) {
        return false;
    }
    a->requests = requests;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, statement_read_text(row, 1)) == 0) {
            requests[a->request_count++] = (struct ledger_request){
                .id = sqlite3_column_int64(row->handle, 0),
                .kind = kinds[i].kind,
                .job = copy(a, row, 2),
                .requested_at = statement_read_moment(row, 3),
                .requested_by = copy(a, row, 4),
            };
        }
    }
    return true;
}

/* A text that could not be copied is "": nothing of it may be used. */
static int end(struct ledger_answer *a, struct statement *rows)
{
    int rc = statement_end(rows);

    return rc == SQLITE_OK && config_memory_failed(&a->texts) ? SQLITE_NOMEM : rc;
}

int ledger_sqlite_load(struct ledger_sqlite *s, struct ledger_answer *a)
{
    struct statement rows = ledger_sqlite_say(s, SQL_JOB_STATES);

    while (statement_next(&rows)) {
        if (!add_job(a, &rows)) {
            rows.rc = SQLITE_NOMEM;
        }
    }
    int rc = end(a, &rows);
    if (rc != SQLITE_OK) {
        return rc;
    }
    rows = ledger_sqlite_say(s, SQL_OPEN_RUNS);
    while (statement_next(&rows)) {
        if (!add_run(s, a, &rows)) {
            rows.rc = SQLITE_NOMEM;
        }
    }
    return end(a, &rows);
}

int ledger_sqlite_take_requests(struct ledger_sqlite *s, struct ledger_answer *a)
{
    struct statement rows = ledger_sqlite_say(s, SQL_REQUESTS);

    statement_number(&rows, 2, REQUESTS_MAX);
    while (statement_next(&rows)) {
        if (!add_request(a, &rows)) {
            rows.rc = SQLITE_NOMEM;
        }
    }
    return end(a, &rows);
}
