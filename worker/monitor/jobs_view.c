#include "worker/monitor/jobs_view.h"

#include <string.h>

#include "common/array.h"
#include "common/outcome.h"
#include "common/schedule.h"
#include "worker/monitor/json_text.h"

static json_t *seconds(dur_ns length)
{
    int64_t ms = length / DUR_MS(1);

    return json_real((double)ms / 1000.0);
}

/* Rows by the name of the job, borrowed; NULL: out of memory. */
static json_t *index_of(const json_t *rows)
{
    json_t *index = json_object();
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));

        if (name != NULL && json_object_set(index, name, row) == -1) {
            json_decref(index);
            return NULL;
        }
    }
    return index;
}

/* The rows are in the order of the configuration; around a reload they may for a moment not be. */
static const struct board_job *board_of(const struct jobs_view *view, size_t i)
{
    static const struct board_job empty = {.next_at = WALL_NEVER};
    const char *name = view->config->jobs[i].name;

    if (i < view->job_count && strncmp(view->jobs[i].name, name, JOB_NAME_MAX) == 0) {
        return &view->jobs[i];
    }
    return &empty;
}

/* The run of a row of QUERY_JOBS: what is not about the job. */
static json_t *last_of_row(const json_t *row)
{
    static const char *const about_job[] = {"name", "paused", "running", "waiting", "job"};

    if (!json_is_string(json_object_get(row, "run"))) {
        return json_null();
    }
    json_t *last = json_copy((json_t *)row);
    for (size_t i = 0; last != NULL && i < ARRAY_LEN(about_job); i++) {
        (void)json_object_del(last, about_job[i]);
    }
    return last;
}

/* The same, of what this instance has run since it was started. */
static json_t *last_of_board(const struct board_job *board)
{
    struct json_making made = {.object = json_object()};
    bool over = board->last_ended_at >= board->last_started_at;
    bool judged = over && board->last_outcome < OUTCOME_COUNT;

    if (board->last_started_at == 0) {
        json_decref(made.object);
        return json_null();
    }
    json_put(&made, "run", json_null());
    json_put(&made, "scheduled_at", json_null());
    json_put(&made, "outcome",
             json_string(judged ? outcome_name((enum outcome)board->last_outcome) : "running"));
    json_put(&made, "started_at", json_moment(board->last_started_at));
    json_put(&made, "ended_at", over ? json_moment(board->last_ended_at) : json_null());
    json_put(&made, "code", judged ? json_integer(board->last_code) : json_null());
    return json_made(&made);
}

json_t *jobs_view_pause(uint32_t paused)
{
    switch (paused) {
    case BOARD_ALL_PAUSED:
        return json_string("all");
    case BOARD_PAUSED:
        return json_string("job");
    default: /* it came out of shared memory */
        return json_null();
    }
}

static json_t *next_of(const struct jobs_view *view, const struct config_job *job,
                       const struct board_job *board)
{
    if (!job->enabled || !view->config->jobs_enabled) {
        return json_null();
    }
    return json_moment(view->leads ? board->next_at : schedule_next(&job->schedule, view->wall));
}

static json_t *job_of(const struct jobs_view *view, size_t i, const json_t *row, bool all_paused)
{
    const struct config_job *job = &view->config->jobs[i];
    const struct board_job *board = board_of(view, i);
    bool recorded = view->rows != NULL;
    /* Without a ledger only this instance knows of its pauses. */
    uint32_t pause = recorded      ? (all_paused                                     ? BOARD_ALL_PAUSED
                                      : json_is_true(json_object_get(row, "paused")) ? BOARD_PAUSED
                                                                                     : BOARD_GOES_ON)
                     : view->leads ? board->paused
                                   : BOARD_GOES_ON;
    json_int_t running = json_integer_value(json_object_get(row, "running"));
    struct json_making made = {.object = json_object()};

    json_put(&made, "name", json_text(job->name));
    json_put(&made, "schedule", json_text(job->schedule_text));
    json_put(&made, "zone", json_text(jobs_view_zone(job)));
    json_put(&made, "enabled", json_boolean(job->enabled));
    json_put(&made, "paused", json_boolean(pause != BOARD_GOES_ON));
    json_put(&made, "paused_by", jobs_view_pause(pause));
    json_put(&made, "running",
             json_integer(view->leads || !recorded ? (json_int_t)board->running : running));
    json_put(&made, "waiting", json_integer(json_integer_value(json_object_get(row, "waiting"))));
    json_put(&made, "last", recorded ? last_of_row(row) : last_of_board(board));
    json_put(&made, "next", next_of(view, job, board));
    return json_made(&made);
}

json_t *jobs_view_document(const struct jobs_view *view)
{
    json_t *index = index_of(view->rows);
    json_t *list = json_array();
    bool all = json_is_true(json_object_get(json_object_get(index, ""), "paused"));

    for (size_t i = 0; index != NULL && i < view->config->job_count; i++) {
        const json_t *row = json_object_get(index, view->config->jobs[i].name);

        if (json_array_append_new(list, job_of(view, i, row, all)) == -1) {
            json_decref(index);
            json_decref(list);
            return NULL;
        }
    }
    if (index == NULL) {
        json_decref(list);
        return NULL;
    }
    json_decref(index);
    return list;
}

const char *jobs_view_zone(const struct config_job *job)
{
    return job->zone == NULL ? "UTC" : job->zone;
}

static const char *overlap_name(enum job_overlap overlap)
{
    switch (overlap) {
    case OVERLAP_SKIP:
        return "skip";
    case OVERLAP_QUEUE:
        return "queue";
    case OVERLAP_REPLACE:
        return "replace";
    case OVERLAP_ALLOW:
        return "allow";
    }
    return "unknown";
}

static const char *missed_name(enum job_missed missed)
{
    switch (missed) {
    case MISSED_ONCE:
        return "once";
    case MISSED_SKIP:
        return "skip";
    case MISSED_ALL:
        return "all";
    }
    return "unknown";
}

json_t *jobs_view_policy(const struct config *config, const char *name)
{
    const struct config_job *job = config_job_find(config, name);
    struct json_making made = {.object = job == NULL ? NULL : json_object()};

    if (job == NULL) {
        return json_null();
    }
    json_put(&made, "schedule", json_text(job->schedule_text));
    json_put(&made, "zone", json_text(jobs_view_zone(job)));
    json_put(&made, "enabled", json_boolean(job->enabled));
    json_put(&made, "overlap", json_string(overlap_name(job->overlap)));
    json_put(&made, "missed", json_string(missed_name(job->missed)));
    json_put(&made, "missed_window_seconds", seconds(job->missed_window));
    json_put(&made, "missed_max", json_integer(job->missed_max));
    json_put(&made, "on_interrupt",
             json_string(job->on_interrupt == INTERRUPT_RERUN ? "rerun" : "skip"));
    json_put(&made, "retries", json_integer(job->retries));
    json_put(&made, "retry_delay_seconds", seconds(job->retry_delay));
    json_put(&made, "record", json_string(job->record == RECORD_FAILURES ? "failures" : "all"));
    json_put(&made, "timeout_seconds", job->timeout > 0 ? seconds(job->timeout) : json_null());
    json_put(&made, "grace_seconds", seconds(job->grace));
    json_put(&made, "mutex", json_text(job->mutex));
    json_put(&made, "max_running", json_integer(config->runs.max_running));
    return json_made(&made);
}
