/* Reloads of every kind, in every role, and while something else is under way. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(reload_faults, .timeout = 120);

static struct fleet fleet;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

#define HASTY "grace = 300ms\n"
/* What drains may take as long as it likes. */
#define PATIENT "stop_timeout = 35s\n"
#define QUIET_JOB "[job no]\nschedule = manual\nexec = true\n"

static const struct instance_settings hasty = {.jobs = HASTY};

static void configure(struct instance *i, const struct instance_settings *settings)
{
    struct instance_settings all = fleet_settings(&fleet, settings);

    all.jobs = HASTY;
    instance_configure(i, &all);
}

static void hang_up(struct instance *i)
{
    instance_mark(i);
    program_signal(&i->supervisor, SIGHUP);
}

/* A database of its own, where it leads without a word in the diary. */
static void configure_elsewhere(struct instance *i, const char *name, const char *pgbaton)
{
    char *dsn = text_format("sqlite:%s/%s.db", fleet.dir.path, name);

    configure(i, &(struct instance_settings){.dsn = dsn, .pgbaton = pgbaton, .job = QUIET_JOB});
    free(dsn);
}

static void expect_role(const struct instance *i, const char *role)
{
    json_t *status = instance_status(i);
    const char *is = json_string_value(json_object_get(status, "role"));

    cr_expect_str_eq(is == NULL ? "(no answer)" : is, role, "%s", i->name);
    json_decref(status);
}

/* Root reads a file of any mode, but nobody reads a directory. */
static void make_unreadable(struct instance *i)
{
    cr_assert_eq(unlink(i->ini), 0);
    cr_assert_eq(mkdir(i->ini, 0755), 0);
}

/* A bad one, one that cannot be read, a good one: the role stays, and so does the leader. */
static void suffers_reloads(struct instance *i, const char *role)
{
    configure(i, &(struct instance_settings){.election = "lease = 5 parsecs\n"});
    hang_up(i);
    instance_wait(i, "config_problem", "5 parsecs");
    instance_wait(i, "config_refused", "");

    make_unreadable(i);
    hang_up(i);
    instance_wait(i, "config_refused", "");

    cr_assert_eq(rmdir(i->ini), 0);
    hang_up(i); /* none at all */
    instance_wait(i, "config_refused", "");

    char *job = text_format("%s[job more]\nschedule = manual\nexec = true\n", fleet.diary.job);
    configure(i, &(struct instance_settings){.job = job});
    hang_up(i);
    instance_wait(i, "config_reloaded", "change=live");
    free(job);

    expect_role(i, role);
    cr_expect_eq(instance_logged(i, "child_exited", ""), 0, "%s", text_tail(i->log));
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
}

Test(reload_faults, whatever_is_reloaded_a_leader_leads)
{
    fleet_make(&fleet, 2, &hasty);
    fleet_begin(&fleet);
    suffers_reloads(A, "leader");
    fleet_check(&fleet);
}

/* Whoever waits for a pipe hears nothing else: neither a reload nor the end. */
Test(reload_faults, pipes_in_its_way_are_refused_and_hold_up_nothing)
{
    static struct outcome told;
    fleet_make(&fleet, 1, &hasty);
    fleet_begin(&fleet);
    char *directory = text_format("%s/conf.d", A->dir);
    char *pipe = text_format("%s/a.ini", directory);

    cr_assert_eq(mkdir(directory, 0755), 0);
    cr_assert_eq(mkfifo(pipe, 0644), 0);
    configure(A, &(struct instance_settings){.pgbaton = "include = conf.d/*.ini\n"});
    hang_up(A);
    instance_wait(A, "config_problem", "a.ini': is no regular file");
    instance_wait(A, "config_refused", "");
    instance_command(A, &told, "reload", NULL);
    cr_expect_eq(told.code, 78, "%d %s%s", told.code, told.out, told.err);
    cr_expect_not_null(strstr(told.err, "is no regular file"), "%s%s", told.out, told.err);

    cr_assert_eq(unlink(A->ini), 0);
    cr_assert_eq(mkfifo(A->ini, 0644), 0);
    hang_up(A);
    instance_wait(A, "config_problem", "is no regular file: a reload does not wait for one");

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    instance_stop(A);
    free(pipe);
    free(directory);
    fleet_check(&fleet);
}

/* A backend may take a moment to see that its client is gone. */
static bool they_have_left(void *conn)
{
    return strcmp(server_scalar(conn, "SELECT count(*) FROM pg_stat_activity WHERE "
                                      "application_name SIMILAR TO 'pgbaton % main (b|c)'"),
                  "0") == 0;
}

/* And with another database each goes its own way, and is missed by nobody. */
Test(reload_faults, whatever_is_reloaded_a_heir_and_a_follower_stay_what_they_are)
{
    fleet_make(&fleet, 3, &hasty);
    fleet_begin(&fleet);
    suffers_reloads(B, "heir");
    suffers_reloads(C, "follower");

    configure_elsewhere(B, "b", "");
    hang_up(B);
    instance_wait(B, "config_reloaded", "change=election");
    instance_wait(B, "elected", "");
    instance_wait(C, "seat_taken", "");

    configure_elsewhere(C, "c", "");
    hang_up(C);
    instance_wait(C, "config_reloaded", "change=election");
    instance_wait(C, "elected", "");

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    PGconn *conn = server_connect(&fleet.pg, "test");
    cr_expect(wait_until(they_have_left, conn, WAIT_LIMIT));
    PQfinish(conn);
    fleet_check(&fleet);
}

/* ---- during a drain ---- */

/* a leads with a job that ends when it is told to. */
static void begin_with_a_job_that_waits(void)
{
    struct instance_settings settings = {.pgbaton = PATIENT, .jobs = HASTY};

    fleet_make(&fleet, 2, &settings);
    char *job = text_format("[job waits]\nschedule = @elected\n"
                            "command = echo begun; while ! test -e %s/go; do sleep 0.05; done\n",
                            fleet.dir.path);
    fleet_add_jobs(&fleet, &settings, job);
    fleet_begin(&fleet);
    instance_wait(A, "output", "begun");
    free(job);
}

static void let_it_end(void)
{
    char *go = text_format("%s/go", fleet.dir.path);

    text_write(go, "");
    free(go);
}

Test(reload_faults, one_that_stops_takes_no_other_configuration)
{
    begin_with_a_job_that_waits();
    program_signal(&A->supervisor, SIGTERM);
    instance_wait(A, "stopping", "");

    configure_elsewhere(A, "a", PATIENT);
    program_signal(&A->supervisor, SIGHUP);
    instance_wait(A, "config_refused", "this instance is stopping");
    let_it_end();

    cr_expect_eq(instance_wait_exit(A), 0, "%s", text_tail(A->log));
    cr_expect_eq(instance_logged(A, "job_ended", "job=waits"), 1);
    cr_expect_eq(instance_logged(A, "job_stopping", "job=waits"), 0, "it was not let end");
    instance_wait(B, "elected", "reason=clean");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

static bool is_there(void *path)
{
    return access(path, F_OK) == 0;
}

/* The first releases and waits for its jobs; what is asked for meanwhile comes after it. */
Test(reload_faults, those_that_come_during_the_drain_of_another_come_after_it)
{
    begin_with_a_job_that_waits();
    configure_elsewhere(A, "first", PATIENT);
    program_signal(&A->supervisor, SIGHUP);
    instance_wait(A, "config_waits", "");

    configure(A, &(struct instance_settings){.election = "lease = 5 parsecs\n"});
    program_signal(&A->supervisor, SIGHUP);
    make_unreadable(A);
    program_signal(&A->supervisor, SIGHUP);
    cr_assert_eq(rmdir(A->ini), 0);
    configure_elsewhere(A, "second", PATIENT);
    program_signal(&A->supervisor, SIGHUP);
    cr_expect_eq(instance_logged(A, "config_reloaded", ""), 0);
    let_it_end();

    instance_wait(A, "released", "reason=reload");
    instance_wait(B, "elected", "reason=clean");
    instance_wait(A, "config_reloaded", "reload=2"); /* the last one; those between were no more */
    char *path = text_format("%s/second.db.term", fleet.dir.path);
    cr_expect(wait_until(is_there, path, WAIT_LIMIT), "%s", text_tail(A->log));
    free(path);
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

Test(reload_faults, one_of_the_dsn_during_a_step_down_elects_on_the_new_one)
{
    begin_with_a_job_that_waits();
    fleet_wait_heir_known(&fleet);
    fleet_step_down(&fleet);
    instance_wait(A, "role", "role=standing-down");

    configure(A, &(struct instance_settings){.election = "lease = 5 parsecs\n"});
    program_signal(&A->supervisor, SIGHUP);
    instance_wait(A, "config_refused", "");
    configure_elsewhere(A, "a", PATIENT);
    program_signal(&A->supervisor, SIGHUP);
    instance_wait(A, "config_waits", "");
    cr_expect_eq(instance_logged(A, "released", ""), 0);
    let_it_end();

    instance_wait(A, "released", "reason=step_down");
    instance_wait(B, "elected", "reason=clean");
    instance_wait(A, "config_reloaded", "change=election");
    instance_wait(A, "elected", "pid=0"); /* which is no server's */
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

/* ---- run_dir ---- */

Test(reload_faults, of_another_run_dir_is_refused)
{
    fleet_make(&fleet, 1, &hasty);
    fleet_begin(&fleet);
    char *text = text_read(A->ini);
    char *at = strstr(text, "run_dir = ");
    cr_assert_not_null(at);
    *at = '\0';
    char *other =
        text_format("%srun_dir = %s/elsewhere\n%s", text, fleet.dir.path, strchr(at + 1, '\n') + 1);
    text_write(A->ini, other);

    hang_up(A);

    instance_wait(A, "config_refused", "run_dir");
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    free(other);
    free(text);
    fleet_check(&fleet);
}

Test(reload_faults, the_run_dir_of_a_live_instance_is_refused_and_that_of_a_dead_one_taken)
{
    static struct instance second;
    fleet_make(&fleet, 1, &hasty);
    fleet_begin(&fleet);
    second = *A;
    (void)snprintf(second.log, sizeof second.log, "%s/second.log", A->dir);

    instance_start(&second, NULL);
    cr_expect_neq(instance_wait_exit(&second), 0);
    instance_wait_text(&second, "another instance runs in");
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);

    program_kill_tree(&A->supervisor);
    instance_mark(A);
    instance_start(A, NULL);
    instance_wait(A, "role", "role=leader");
    expect_role(A, "leader");
    fleet_check(&fleet);
}
