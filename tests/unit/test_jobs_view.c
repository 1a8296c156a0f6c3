#include "worker/monitor/jobs_view.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/outcome.h"

#define WALL ((wall_ns)1795497600 * 1000 * 1000 * 1000) /* 2026-11-24T05:20:00Z */

static struct config_job list[3];
static struct config config;
static struct board_job rows[3];

static struct jobs_view view_of(json_t *recorded, bool leads)
{
    list[0] = (struct config_job){.name = "tick",
                                  .schedule_text = "every 1h",
                                  .schedule = {.kind = SCHEDULE_EVERY, .every = DUR_S(3600)},
                                  .enabled = true};
    list[1] = (struct config_job){.name = "hand",
                                  .schedule_text = "manual",
                                  .schedule = {.kind = SCHEDULE_MANUAL},
                                  .enabled = true};
    list[2] = (struct config_job){.name = "off",
                                  .schedule_text = "every 1h",
                                  .schedule = {.kind = SCHEDULE_EVERY, .every = DUR_S(3600)}};
    config = (struct config){.jobs = list, .job_count = 3, .jobs_enabled = true};
    rows[0] = (struct board_job){.name = "tick",
                                 .running = 2,
                                 .last_outcome = OUTCOME_FAILED,
                                 .last_code = 3,
                                 .last_started_at = WALL - DUR_S(60),
                                 .last_ended_at = WALL - DUR_S(59),
                                 .next_at = WALL + DUR_S(7)};
    return (struct jobs_view){.config = &config,
                              .rows = recorded,
                              .jobs = rows,
                              .job_count = 3,
                              .leads = leads,
                              .wall = WALL};
}

static json_t *recorded(bool all_paused)
{
    return json_pack("[{s:s, s:b}, {s:s, s:n, s:i, s:i, s:s, s:s, s:s},"
                     " {s:s, s:b, s:n}, {s:s, s:s}]",
                     "name", "", "paused", (int)all_paused, "name", "tick", "paused", "running", 1,
                     "waiting", 4, "job", "tick", "run", "1.1-1", "outcome", "succeeded", "name",
                     "hand", "paused", 1, "run", "name", "of another instance", "run", "1.1-9");
}

static const char *text_of(const json_t *jobs, size_t i, const char *key)
{
    const char *text = json_string_value(json_object_get(json_array_get(jobs, i), key));

    return text == NULL ? "(none)" : text;
}

Test(jobs_view, has_each_job_of_the_configuration_in_its_order)
{
    json_t *rows_of_ledger = recorded(false);
    struct jobs_view view = view_of(rows_of_ledger, false);
    json_t *jobs = jobs_view_document(&view);

    cr_assert_eq(json_array_size(jobs), 3);
    cr_expect_str_eq(text_of(jobs, 0, "name"), "tick");
    cr_expect_str_eq(text_of(jobs, 0, "zone"), "UTC");
    cr_expect_str_eq(text_of(jobs, 0, "next"), "2026-11-24T06:00:00.000Z");
    cr_expect_str_eq(text_of(jobs, 1, "next"), "(none)");
    cr_expect_str_eq(text_of(jobs, 2, "next"), "(none)", "it is disabled");
    const json_t *tick = json_array_get(jobs, 0);
    cr_expect_eq(json_integer_value(json_object_get(tick, "running")), 1);
    cr_expect_eq(json_integer_value(json_object_get(tick, "waiting")), 4);
    const json_t *last = json_object_get(tick, "last");
    cr_expect_str_eq(json_string_value(json_object_get(last, "run")), "1.1-1");
    cr_expect_null(json_object_get(last, "paused"));
    cr_expect_str_eq(text_of(jobs, 1, "paused_by"), "job");
    cr_expect(json_is_null(json_object_get(json_array_get(jobs, 1), "last")));
    json_decref(jobs);
    json_decref(rows_of_ledger);
}

Test(jobs_view, of_the_leader_goes_by_what_its_worker_knows)
{
    json_t *rows_of_ledger = recorded(true);
    struct jobs_view view = view_of(rows_of_ledger, true);
    json_t *jobs = jobs_view_document(&view);

    cr_expect_str_eq(text_of(jobs, 0, "next"), "2026-11-24T05:20:07.000Z");
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(jobs, 0), "running")), 2);
    cr_expect_str_eq(text_of(jobs, 0, "paused_by"), "all");
    cr_expect(json_is_true(json_object_get(json_array_get(jobs, 2), "paused")));
    json_decref(jobs);
    json_decref(rows_of_ledger);
}

Test(jobs_view, without_a_ledger_has_what_this_instance_ran)
{
    struct jobs_view view = view_of(NULL, true);
    json_t *jobs = jobs_view_document(&view);
    const json_t *last = json_object_get(json_array_get(jobs, 0), "last");

    cr_expect_str_eq(json_string_value(json_object_get(last, "outcome")), "failed");
    cr_expect_eq(json_integer_value(json_object_get(last, "code")), 3);
    cr_expect(json_is_null(json_object_get(last, "run")));
    cr_expect(json_is_null(json_object_get(json_array_get(jobs, 1), "last")));
    json_decref(jobs);
}

Test(jobs_view, without_a_ledger_knows_what_this_instance_has_paused)
{
    struct jobs_view view = view_of(NULL, true);

    rows[0].paused = BOARD_ALL_PAUSED;
    json_t *jobs = jobs_view_document(&view);
    cr_expect_str_eq(text_of(jobs, 0, "paused_by"), "all");
    json_decref(jobs);
}

/* Rows are the word of another process. */
Test(jobs_view, takes_rows_of_any_shape)
{
    static const char *const shapes[] = {
        "[]",          "[1]",
        "[{}]",        "[{\"name\":7}]",
        "[null,[[]]]", "[{\"name\":\"tick\",\"run\":{},\"running\":\"x\"}]"};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        json_t *rows_of_ledger = json_loads(shapes[i], 0, NULL);
        struct jobs_view view = view_of(rows_of_ledger, false);
        json_t *jobs = jobs_view_document(&view);

        cr_expect_eq(json_array_size(jobs), 3, "%s", shapes[i]);
        json_decref(jobs);
        json_decref(rows_of_ledger);
    }
}

Test(jobs_view, a_policy_is_of_a_job_that_is_configured)
{
    struct jobs_view view = view_of(NULL, false);
    json_t *policy = jobs_view_policy(view.config, "hand");
    json_t *none = jobs_view_policy(view.config, "no such");

    cr_expect_str_eq(json_string_value(json_object_get(policy, "overlap")), "skip");
    cr_expect_str_eq(json_string_value(json_object_get(policy, "record")), "all");
    cr_expect(json_is_null(none));
    json_decref(policy);
    json_decref(none);
}
