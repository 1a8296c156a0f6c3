/* What the ledger keeps: rows go by age and by number, whether their jobs still run or not. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/support/stage.h"
#include "tests/support/text.h"

TestSuite(retention, .timeout = 300);

static void insert_old(const struct stage *s, unsigned number, const char *job, const char *outcome)
{
    char *sql =
        text_format("INSERT INTO run (election, id, job, scheduled_at, attempt, outcome,"
                    " origin) VALUES ('main', '0.1-%u', '%s', %s, %u, '%s', 'schedule')",
                    number, job,
                    s->kind == ON_POSTGRES ? "now() - interval '40 days'"
                                           : "(strftime('%s', 'now') - 40 * 86400) * 1000000",
                    number, outcome);

    stage_do(s, sql);
    free(sql);
}

STAGE_RULE(retention, rows_of_jobs_that_do_not_run_go_by_age_too)
{
    stage_set(s, NULL,
              "[job off]\nschedule = every 1d\nenabled = no\nexec = true\n"
              "[job idle]\nschedule = manual\nexec = true\n");
    insert_old(s, 1, "removed", "succeeded");
    insert_old(s, 2, "off", "failed");
    insert_old(s, 3, "idle", "skipped");
    stage_start(&s->a);
    insert_old(s, 4, "idle", "queued");
    stage_wait(s, "SELECT id FROM run ORDER BY id", "0.1-4");
    instance_stop(&s->a);
}

STAGE_RULE(retention, a_reload_changes_how_many_are_kept)
{
    static const char tick[] = "[job tick]\nschedule = every 500ms\nexec = true\n";

    stage_set(s, "history_runs = 100\n", tick);
    stage_start(&s->a);
    stage_wait(s, STAGE_IS(STAGE_COUNT("outcome = 'succeeded'") " >= 10"), "yes");
    stage_set(s, "history_runs = 2\n", tick);
    program_signal(&s->a.supervisor, SIGHUP);
    instance_wait(&s->a, "config_reloaded", "");
    stage_wait(s, STAGE_IS(STAGE_COUNT("outcome = 'succeeded'") " <= 4"), "yes");
    instance_stop(&s->a);
}

static void insert_many(const struct stage *s, const char *job, unsigned count)
{
    bool postgres = s->kind == ON_POSTGRES;
    char *sql =
        text_format("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                    " INSERT INTO run (election, id, job, scheduled_at, attempt, outcome, origin)"
                    " SELECT 'main', '0.1-' || i, '%s', %s, 1, 'succeeded', 'trigger' FROM n",
                    count, job,
                    postgres ? "now() - i * interval '1 minute'"
                             : "(strftime('%s', 'now') - i * 60) * 1000000");

    stage_do(s, sql);
    free(sql);
}

STAGE_RULE(retention, another_limit_holds_for_a_job_that_nobody_runs_too)
{
    static const char idle[] = "[job idle]\nschedule = manual\nexec = true\n";

    stage_set(s, "history_runs = 100\n", idle);
    stage_start(&s->a);
    insert_many(s, "idle", 50);
    stage_set(s, "history_runs = 10\n", idle);
    program_signal(&s->a.supervisor, SIGHUP);
    instance_wait(&s->a, "config_reloaded", "");
    stage_wait(s, "SELECT count(*) FROM run", "10");
    instance_stop(&s->a);

    stage_set(s, "history_runs = 4\n", idle);
    stage_start(&s->a);
    stage_wait(s, "SELECT count(*) FROM run", "4");
    instance_stop(&s->a);
}

STAGE_RULE(retention, rows_of_a_job_that_is_paused_go_by_number_too)
{
    struct outcome told;

    stage_set(s, "history_runs = 3\n", "[job tick]\nschedule = every 1s\nexec = true\n");
    stage_start(&s->a);
    instance_command(&s->a, &told, "pause", "tick", NULL);
    cr_assert_eq(told.code, 0, "%s%s", told.out, told.err);
    stage_wait(s, STAGE_IS(STAGE_COUNT("outcome = 'skipped'") " > 0"), "yes");
    char *first = text_format("SELECT count(*) FROM run WHERE id = '%s'",
                              stage_rows(s, "SELECT id FROM run WHERE outcome = 'skipped'"
                                            " ORDER BY scheduled_at LIMIT 1"));
    stage_wait(s, first, "0");
    free(first);
    stage_expect(s, "as many as are kept",
                 STAGE_IS(STAGE_COUNT("outcome = 'skipped'") " BETWEEN 3 AND 5"), "yes");
    instance_stop(&s->a);
}
