/* What processes leave behind: orphans are reaped, a job's die with the term, the service's live
 * on. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(orphans, .timeout = 120);

static struct fleet fleet;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

#define HASTY "grace = 300ms\n"

static char service[512]; /* what CMD does, for sh -c */
static const char *const words[] = {"--", "/bin/sh", "-c", service, NULL};

/* What CMD and a job leave behind write their pids there. */
static char of_service[160];
static char of_job[160];

/* Twice forked, in a session of its own, deaf: nothing but the tree of its birth knows of it. */
#define DAEMON "(setsid sh -c 'trap \"\" TERM; echo $$ > %s; while :; do sleep 0.1; done' &)"

/* a leads, with CMD beside it; b waits. Both have left a daemon at a's. */
static void begin(size_t count, const char *pgbaton)
{
    struct instance_settings settings = {.pgbaton = pgbaton, .jobs = HASTY};

    fleet_make(&fleet, count, &settings);
    (void)snprintf(of_service, sizeof of_service, "%s/of_service", fleet.dir.path);
    (void)snprintf(of_job, sizeof of_job, "%s/of_job", fleet.dir.path);
    (void)snprintf(service, sizeof service, DAEMON "; exec sleep 1000", of_service);
    char *leave = text_format(DAEMON, of_job);
    char *job =
        text_format("[job leaves]\nschedule = @elected\ncommand = test $PGBATON_EPOCH = 1.1 "
                    "&& %s\n",
                    leave);
    fleet_add_jobs(&fleet, &settings, job);
    instance_start(A, words);
    instance_wait(A, "elected", "");
    if (count > 1) {
        instance_start(B, NULL);
        instance_wait(B, "seat_taken", "");
    }
    diary_wait(&fleet.diary, "a", 10);
    free(job);
    free(leave);
}

static bool has_pid(void *file)
{
    char *text = text_read(file);
    bool has = strchr(text, '\n') != NULL;

    free(text);
    return has;
}

static pid_t pid_in(char *file)
{
    cr_assert(wait_until(has_pid, file, WAIT_LIMIT), "nothing in %s:\n%s", file, text_tail(A->log));
    char *text = text_read(file);
    pid_t pid = (pid_t)strtol(text, NULL, 10);

    free(text);
    cr_assert(process_lives(pid));
    return pid;
}

static bool has_no_zombie(void *instance)
{
    const struct instance *i = instance;

    return zombies_below(i->supervisor.pid) == 0;
}

/* ---- a service that daemonizes ---- */

/* The term ends, its jobs' daemon with it; CMD and its daemon are another matter. */
static void end_of_term(void)
{
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 20);
}

Test(orphans, of_a_service_live_through_the_death_of_a_worker_and_those_of_its_jobs_do_not)
{
    begin(2, "");
    pid_t job = pid_in(of_job);
    pid_t daemon = pid_in(of_service);

    cr_assert_eq(kill(instance_wait_child(A, "worker", 0), SIGKILL), 0);

    end_of_term();
    cr_expect_not(process_lives(job));
    cr_expect(process_lives(daemon));
    cr_expect_eq(instance_logged(A, "service_ended", ""), 0);
    program_signal(&A->supervisor, SIGTERM);
    cr_expect_eq(instance_wait_exit(A), 128 + SIGTERM, "%s", text_tail(A->log));
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT), "something of a is left");
    fleet_check(&fleet);
}

Test(orphans, of_a_service_live_through_the_end_of_a_term_and_those_of_its_jobs_do_not)
{
    begin(2, "");
    pid_t job = pid_in(of_job);
    pid_t daemon = pid_in(of_service);
    fleet_wait_heir_known(&fleet);

    fleet_step_down(&fleet);

    end_of_term();
    cr_expect_not(process_lives(job));
    cr_expect(process_lives(daemon));
    cr_expect_eq(instance_logged(A, "service_ended", ""), 0);
    fleet_check(&fleet);
}

/* ---- the keeper ---- */

/* Nobody would know CMD any more, nor pass a signal on. */
Test(orphans, of_a_keeper_that_is_killed_end_with_the_instance)
{
    begin(2, "");
    pid_t daemon = pid_in(of_service);

    cr_assert_eq(kill(instance_wait_child(A, "keeper", 0), SIGKILL), 0);

    cr_expect_neq(instance_wait_exit(A), 0, "%s", text_tail(A->log));
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT), "something of a is left");
    cr_expect_not(process_lives(daemon));
    cr_expect_eq(instance_logged(A, "released", ""), 1);
    instance_wait(B, "elected", "reason=clean");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

Test(orphans, of_a_keeper_that_is_stopped_do_not_outlive_the_stop_of_the_instance)
{
    begin(2, "stop_timeout = 4s\n");
    pid_t daemon = pid_in(of_service);

    cr_assert_eq(kill(instance_wait_child(A, "keeper", 0), SIGSTOP), 0);
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 50);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    program_signal(&A->supervisor, SIGTERM);

    (void)instance_wait_exit(A);
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT), "something of a is left");
    cr_expect_not(process_lives(daemon));
    instance_wait(B, "elected", "reason=clean");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

/* ---- reaping ---- */

/* No PID 1, but a subreaper in three processes: of jobs the worker, of CMD the keeper. */
Test(orphans, are_reaped_wherever_they_come_from)
{
    static const char job[] = "[job often]\nschedule = every 200ms\n"
                              "command = (sleep 0.1 &) ; (setsid sleep 0.1 &) ; true\n";
    struct instance_settings settings = {.jobs = HASTY};
    fleet_make(&fleet, 1, &settings);
    fleet_add_jobs(&fleet, &settings, job);
    (void)snprintf(service, sizeof service,
                   "while :; do (sleep 0.1 &) ; (setsid sleep 0.1 &) ; sleep 0.1; done");
    instance_start(A, words);
    instance_wait(A, "elected", "");

    diary_wait(&fleet.diary, "a", 100);
    cr_expect(wait_until(has_no_zombie, A, WAIT_LIMIT));
    /* And those that a worker leaves when it dies */
    cr_assert_eq(kill(instance_wait_child(A, "worker", 0), SIGKILL), 0);
    instance_wait(A, "fenced", "");
    cr_expect(wait_until(has_no_zombie, A, WAIT_LIMIT));
    fleet_check(&fleet);
}
