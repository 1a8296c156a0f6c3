/* A reload: validated first; leadership and running jobs survive it unless the election itself
 * changes. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(reload, .timeout = 120);

static struct fleet fleet;
static struct outcome told;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

static void reconfigure(struct instance *i, const struct instance_settings *settings)
{
    struct instance_settings all = fleet_settings(&fleet, settings);

    instance_configure(i, &all);
    instance_mark(i);
}

static char *with_diary(const char *more)
{
    return text_format("%s%s", fleet.diary.job, more);
}

Test(reload, of_changed_jobs_keeps_leadership_and_the_running_jobs)
{
    fleet_make(&fleet, 2, NULL);
    char *job =
        text_format("%s[job keep]\nschedule = @elected\ncommand = echo $$ >> %s/keep; sleep 1000\n",
                    fleet.diary.job, fleet.dir.path);
    reconfigure(A, &(struct instance_settings){.job = job});
    fleet_begin(&fleet);
    char *keep = text_format("%s/keep", fleet.dir.path);

    char *more =
        text_format("%s[job late]\nschedule = every 100ms\ncommand = echo late >> %s/late\n", job,
                    fleet.dir.path);
    reconfigure(A, &(struct instance_settings){.job = more});
    instance_command(A, &told, "reload", NULL);

    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(A, "config_changed", "[job late] is new");
    instance_wait(A, "job_started", "job=late");
    size_t before = diary_lines(&fleet.diary, "a");
    diary_wait(&fleet.diary, "a", before + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    char *pids = text_read(keep);
    cr_expect_eq(text_count(pids, "\n"), 1, "a job that was not changed was started again");
    cr_expect(process_lives((pid_t)strtol(pids, NULL, 10)));
    free(pids);
    free(keep);
    free(more);
    free(job);
    fleet_check(&fleet);
}

Test(reload, by_hup_starts_a_changed_service_again_and_ends_a_removed_job)
{
    fleet_make(&fleet, 1, NULL);
    char *job = with_diary("[job svc]\nschedule = always\ncommand = echo one; sleep 1000\n"
                           "[job gone]\nschedule = @elected\ncommand = sleep 1000\n");
    reconfigure(A, &(struct instance_settings){.job = job});
    fleet_begin(&fleet);
    instance_wait(A, "output", "one");
    instance_wait(A, "job_started", "job=gone");
    free(job);

    job = with_diary("[job svc]\nschedule = always\ncommand = echo two; sleep 1000\n");
    reconfigure(A, &(struct instance_settings){.job = job});
    program_signal(&A->supervisor, SIGHUP);

    instance_wait(A, "output", "two");
    instance_wait(A, "job_ended", "job=gone");
    cr_expect(instance_leads(A));
    free(job);
    fleet_check(&fleet);
}

Test(reload, of_a_bad_file_is_refused_and_the_old_one_stays_in_force)
{
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);

    reconfigure(A, &(struct instance_settings){.election = "lease = 5 parsecs\n"});
    instance_command(A, &told, "reload", NULL);
    cr_expect_eq(told.code, 78, "%s%s", told.out, told.err);
    cr_expect_not_null(strstr(told.err, "5 parsecs"), "%s", told.err);
    program_signal(&A->supervisor, SIGHUP);

    instance_wait(A, "config_problem", "5 parsecs");
    instance_wait(A, "config_refused", "stays in force");
    cr_expect_eq(instance_logged(A, "config_refused", "parsecs"), 0, "each problem is said once");
    size_t before = diary_lines(&fleet.diary, "a");
    diary_wait(&fleet.diary, "a", before + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);

    /* and the next good one is taken */
    reconfigure(A, NULL);
    instance_command(A, &told, "reload", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    fleet_check(&fleet);
}

/* A numbers-do-not-add-up is as bad as a syntax error. */
Test(reload, of_a_budget_that_does_not_hold_is_refused)
{
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);

    reconfigure(A, &(struct instance_settings){.election = "lease = 2s\nheartbeat = 900ms\n"});
    instance_command(A, &told, "reload", NULL);

    cr_expect_eq(told.code, 78, "%s%s", told.out, told.err);
    cr_expect(instance_leads(A));
    fleet_check(&fleet);
}

Test(reload, of_another_election_releases_and_elects_anew)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    reconfigure(A,
                &(struct instance_settings){.election = ELECTION_CALM "name = second\n",
                                            .job = "[job no]\nschedule = manual\nexec = true\n"});
    instance_command(A, &told, "reload", NULL);

    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(A, "released", "reason=reload");
    instance_wait(A, "elected", "election=second");
    instance_wait(B, "elected", "election=main");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

Test(reload, of_another_database_releases_on_the_old_one_and_elects_on_the_new_one)
{
    static struct server second;
    fleet_make(&fleet, 2, &(struct instance_settings){.jobs = "grace = 300ms\n"});
    server_start(&second, &fleet.dir, "second", NULL);
    fleet_begin(&fleet);

    reconfigure(A,
                &(struct instance_settings){.dsn = server_conninfo(&second, SERVER_TLS),
                                            .job = "[job no]\nschedule = manual\nexec = true\n"});
    instance_command(A, &told, "reload", NULL);

    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(A, "released", "reason=reload");
    instance_wait(A, "elected", "");
    instance_wait(B, "elected", "");
    PGconn *conn = server_connect(&second, "test");
    cr_expect_neq(leader_pid(conn), 0);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(reload, goes_from_postgres_to_sqlite_to_none_and_back)
{
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);
    char *sqlite = text_format("sqlite:%s/ledger.db", fleet.dir.path);
    const char *const path[] = {sqlite, "none", NULL}; /* NULL: back to PostgreSQL */

    for (size_t i = 0; i < sizeof path / sizeof path[0]; i++) {
        reconfigure(A, &(struct instance_settings){
                           .dsn = path[i], .job = "[job no]\nschedule = manual\nexec = true\n"});
        instance_command(A, &told, "reload", NULL);
        cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
        instance_wait(A, "released", "");
        instance_wait(A, "elected", "");
    }
    free(sqlite);
    fleet_check(&fleet);
}

Test(reload, of_another_election_does_not_say_that_a_follower_led)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    reconfigure(B, &(struct instance_settings){.election = "mode = poll\n"});
    instance_command(B, &told, "reload", NULL);

    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    cr_expect_not_null(strstr(told.out, "reloaded: the election starts anew"), "%s", told.out);
    cr_expect_null(strstr(told.out, "given up"), "%s", told.out);
    fleet_check(&fleet);
}

Test(reload, of_a_follower_does_not_touch_the_leader)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    char *job = with_diary("[job more]\nschedule = manual\nexec = true\n");
    reconfigure(B, &(struct instance_settings){.job = job});
    instance_command(B, &told, "reload", NULL);

    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    size_t before = diary_lines(&fleet.diary, "a");
    diary_wait(&fleet.diary, "a", before + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    free(job);
    fleet_check(&fleet);
}
