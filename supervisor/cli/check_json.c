#include "supervisor/cli/check_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/budget.h"
#include "supervisor/cli/check_budget.h"

static json_int_t ms(dur_ns length)
{
    return (json_int_t)(length / DUR_MS(1));
}

static json_t *problem_of(const struct config_problem *problem)
{
    return json_pack("{s:s, s:s, s:o, s:s}", "level", problem->warning ? "warning" : "error",
                     "file", problem->file, "line",
                     problem->line == 0 ? json_null() : json_integer(problem->line), "text",
                     problem->text);
}

/* NULL: out of memory. */
static json_t *problems_of(const struct config_problems *problems)
{
    json_t *list = json_array();

    for (size_t i = 0; i < problems->count; i++) {
        if (json_array_append_new(list, problem_of(&problems->list[i])) == -1) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The same numbers as in check_budget_print(); only PostgreSQL gives a lock a lease. */
static json_t *budget_of(const struct config *cfg, unsigned fleet)
{
    const struct config_election *e = &cfg->election;
    dur_ns margin = budget_margin(e->lease);
    dur_ns deadline = e->lease - margin;

    if (cfg->database.kind != DATABASE_POSTGRES || !e->enabled) {
        return json_null();
    }
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i}", "lease_ms",
        ms(e->lease), "heartbeat_ms", ms(e->heartbeat), "margin_ms", ms(margin), "stop_grace_ms",
        ms(e->stop_grace), "loss_grace_ms", ms(e->loss_grace), "kill_margin_ms",
        ms(BUDGET_KILL_MARGIN), "takeover_delay_ms", ms(e->takeover_delay), "term_after_ms",
        ms(deadline - e->stop_grace), "kill_after_ms", ms(deadline - BUDGET_KILL_MARGIN),
        "deadline_after_ms", ms(deadline), "takeover_most_ms", ms(check_budget_silent(e)), "fleet",
        (int)fleet, "connections", (int)check_budget_connections(cfg, fleet));
}

static json_t *hash_of(const struct config *cfg)
{
    char text[17];

    (void)snprintf(text, sizeof(text), "%016" PRIx64, cfg->hash);
    return json_string(text);
}

/* A path may be any bytes, JSON may not. */
static json_t *file_of(const char *file)
{
    json_t *text = json_string(file);

    return text == NULL ? json_null() : text;
}

json_t *check_json(const char *file, const struct config *cfg,
                   const struct config_problems *problems, unsigned fleet)
{
    return json_pack("{s:o, s:b, s:o, s:I, s:o, s:o, s:o}", "file", file_of(file), "ok",
                     cfg != NULL, "problems", problems_of(problems), "errors",
                     (json_int_t)problems->errors, "jobs",
                     cfg == NULL ? json_null() : json_integer((json_int_t)cfg->job_count), "hash",
                     cfg == NULL ? json_null() : hash_of(cfg), "budget",
                     cfg == NULL ? json_null() : budget_of(cfg, fleet));
}
