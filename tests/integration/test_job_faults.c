/* Jobs that do whatever they like: the term goes on in spite of them, and when it ends all of them
 * are dead before the first job of the next one. */
#include <criterion/criterion.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/census.h"
#include "tests/support/fleet.h"
#include "tests/support/long_test.h"
#include "tests/support/text.h"

TestSuite(job_faults, .timeout = 120);

static struct fleet fleet;
static struct census census;

/* A lease that jobs which take all of the machine's time do not cost. */
#define LEASE                                                                                      \
    "retry_interval = 300ms\nlease = 6s\nheartbeat = 200ms\nstop_grace = 500ms\nloss_grace = "     \
    "200ms\ntakeover_delay = 1s\n"

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* Beside this very program. */
static const char *restless(void)
{
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof "restless");

    cr_assert(length > 0);
    path[length] = '\0';
    (void)snprintf(strrchr(path, '/') + 1, sizeof "restless", "restless");
    cr_assert_eq(access(path, X_OK), 0, "%s was not built", path);
    return path;
}

/* $1: the diary, $2: diary.sh. Each says when it is as it is meant to be. */
static char *all_kinds(void)
{
    const char *file = fleet.diary.file;
    const char *script = fleet.diary.script;

    return text_format(
        "%s"
        "[job deaf]\nschedule = always\nexec = /bin/sh %s %s stray\n"
        "[job daemon]\nschedule = always\n"
        "command = (setsid /bin/sh %s %s stray &) ; echo daemon is there; exec sleep 1000\n"
        "[job restless]\nschedule = always\nexec = %s %s 2\n"
        "[job mute]\nschedule = always\n"
        "command = echo mute is there; exec <&- >&- 2>&-; trap '' TERM; while :; do sleep 1; done\n"
        "[job stopped]\nschedule = always\n"
        "command = echo stopped is there; kill -STOP $$; sleep 1000\n"
        "[job loud]\nschedule = always\ntimeout = 2s\nexec = yes we are loud\n",
        census.job, script, file, script, file, restless(), file);
}

static bool is_restless(void *ctx)
{
    char *text = text_read(fleet.diary.file);
    bool is = strstr(text, " restless\n") != NULL;

    (void)ctx;
    free(text);
    return is;
}

/* a leads, all kinds of jobs run there, b waits. */
static void begin(const char *election)
{
    struct instance_settings settings = {.election = election};

    fleet_make(&fleet, 2, &settings);
    census_make(&census, &fleet.dir);
    char *jobs = text_format("grace = 300ms\n%s", census.jobs);
    settings.jobs = jobs;
    char *kinds = all_kinds();
    fleet_add_jobs(&fleet, &settings, kinds);
    fleet_begin(&fleet);
    census_check(&census, 1);
    instance_wait(A, "output", "daemon is there");
    instance_wait(A, "output", "mute is there");
    instance_wait(A, "output", "stopped is there");
    instance_wait(A, "output", "we are loud");
    cr_assert(wait_until(is_restless, NULL, WAIT_LIMIT), "%s", text_tail(fleet.diary.file));
    free(kinds);
    free(jobs);
}

/* b leads, and found nobody. */
static void end(void)
{
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 20);
    census_check(&census, 2);
    cr_expect_eq(diary_terms(&fleet.diary), 2);
    fleet_check(&fleet);
}

/* Its log is short, that of the other one is not. */
static bool is_elected(void *instance)
{
    return instance_logged(instance, "elected", "") > 0;
}

Test(job_faults, the_lease_is_renewed_whatever_the_jobs_do)
{
    begin(LEASE);
    size_t before = diary_lines(&fleet.diary, "a");
    cr_expect(wait_never(is_elected, B, DUR_S(8))); /* a lease, and more */
    diary_wait(&fleet.diary, "a", before + 50);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    program_kill_tree(&B->supervisor);
    fleet_check(&fleet);
}

/* ---- all dead before the next leader's first one, however the term ends ---- */

Test(job_faults, all_are_dead_when_a_leader_that_was_asked_to_stop_has_released)
{
    begin(ELECTION_CALM);
    program_signal(&A->supervisor, SIGTERM);
    cr_expect_eq(instance_wait_exit(A), 0, "%s", text_tail(A->log));
    end();
    cr_expect_eq(instance_logged(A, "released", "reason=stop"), 1);
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT), "something of a is left");
}

Test(job_faults, a_supervisor_kills_all_that_a_dead_worker_left)
{
    begin(ELECTION_CALM);
    cr_assert_eq(kill(instance_wait_child(A, "worker", 0), SIGKILL), 0);
    end();
    cr_expect_eq(instance_logged(A, "fenced", "reason=worker_died"), 1);
}

Test(job_faults, a_supervisor_kills_all_of_a_worker_that_hangs)
{
    LONG_TEST();
    begin(LEASE);
    cr_assert_eq(kill(instance_wait_child(A, "worker", 0), SIGSTOP), 0);
    end();
    cr_expect_eq(instance_logged(A, "fenced", "reason=worker_hung"), 1);
}

Test(job_faults, a_worker_kills_all_when_its_supervisor_is_gone)
{
    begin(ELECTION_CALM);
    program_signal(&A->supervisor, SIGKILL);
    end();
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT), "something of a is left");
}

Test(job_faults, a_worker_kills_all_when_the_server_has_ended_its_session)
{
    begin(ELECTION_CALM "takeover_delay = 10s\n"); /* it has many to kill */
    PGconn *conn = server_connect(&fleet.pg, "test");
    char *sql = text_format("SELECT pg_terminate_backend(%d)", leader_pid(conn));
    server_do(conn, sql);
    end();
    cr_assert(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    /* On a busy machine the next term's opening may be what it hears of first, or the supervisor
     * the one that has all killed first. */
    cr_expect_eq(instance_logged(A, "lost", "reason=session_ended") +
                     instance_logged(A, "lost", "reason=witness") +
                     instance_logged(A, "fenced", "reason=worker_hung"),
                 1);
    free(sql);
    PQfinish(conn);
}

/* ---- one of them killed or stopped ---- */

static const struct instance_settings hasty = {.jobs = "grace = 300ms\n"};

/* The process of the diary that does this: "service", or "stray", its child in another session. */
static pid_t of_diary(const char *does)
{
    pid_t below[64];
    size_t count = processes_below(A->supervisor.guard, below, 64);

    for (size_t i = 0; i < count; i++) {
        const char *title = process_title(below[i]);
        if (strstr(title, fleet.diary.script) != NULL && strstr(title, does) != NULL) {
            return below[i];
        }
    }
    cr_assert_fail("the diary has no %s", does);
    return 0;
}

static bool has_two_pids(void *file)
{
    char *text = text_read(file);
    bool has = text_count(text, "\n") >= 2;

    free(text);
    return has;
}

static bool has_three_pids(void *file)
{
    char *text = text_read(file);
    bool has = text_count(text, "\n") >= 3;

    free(text);
    return has;
}

/* Its child is deaf, and in its group. (What left that unseen dies with the term: test_jobs.c.) */
Test(job_faults, a_service_that_is_killed_is_started_again_when_what_it_left_is_dead)
{
    fleet_make(&fleet, 1, &hasty);
    char *file = text_format("%s/pids", fleet.dir.path);
    char *job =
        text_format("[job twice]\nschedule = always\n"
                    "command = sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' "
                    ">> %s & echo $$ >> %s; wait\n",
                    file, file);
    fleet_add_jobs(&fleet, &hasty, job);
    text_write(file, "");
    fleet_begin(&fleet);
    instance_wait(A, "job_started", "job=twice");
    cr_assert(wait_until(has_two_pids, file, WAIT_LIMIT));
    pid_t pids[2] = {0};
    char *text = text_read(file);
    cr_assert_eq(sscanf(text, "%d %d", &pids[0], &pids[1]), 2);
    free(text);
    bool first_leads = getpgid(pids[0]) == pids[0];
    instance_mark(A);

    cr_assert_eq(kill(pids[first_leads ? 0 : 1], SIGKILL), 0);

    instance_wait(A, "job_left_processes", "job=twice");
    instance_wait(A, "job_ended", "job=twice");
    cr_expect_not(process_lives(pids[first_leads ? 1 : 0]));
    cr_expect(wait_until(has_three_pids, file, WAIT_LIMIT), "%s", text_tail(A->log));
    free(job);
    free(file);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    fleet_check(&fleet);
}

Test(job_faults, a_grandchild_that_is_killed_is_the_affair_of_its_job)
{
    fleet_make(&fleet, 1, &hasty);
    fleet_begin(&fleet);
    instance_mark(A);

    cr_assert_eq(kill(of_diary("stray"), SIGKILL), 0);

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 50);
    cr_expect_eq(instance_logged(A, "job_ended", "job=service"), 0);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    fleet_check(&fleet);
}

/* TERM alone would not be noticed by one that is stopped. */
Test(job_faults, those_that_are_stopped_hold_up_nobody)
{
    fleet_make(&fleet, 2, &hasty);
    fleet_begin(&fleet);
    pid_t service = of_diary("service");
    pid_t stray = of_diary("stray");

    cr_assert_eq(kill(service, SIGSTOP), 0);
    cr_assert_eq(kill(stray, SIGSTOP), 0);

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10); /* ticks go on */
    instance_stop(A);
    cr_expect_not(process_lives(service));
    cr_expect_not(process_lives(stray));
    instance_wait(B, "elected", "reason=clean");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

/* One that was stopped and is continued goes on as if nothing had been. */
Test(job_faults, one_that_is_continued_goes_on)
{
    fleet_make(&fleet, 1, &hasty);
    fleet_begin(&fleet);
    pid_t service = of_diary("service");
    instance_mark(A);

    cr_assert_eq(kill(service, SIGSTOP), 0);
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 20);
    cr_assert_eq(kill(service, SIGCONT), 0);

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 50);
    cr_expect_eq(of_diary("service"), service);
    cr_expect_eq(instance_logged(A, "job_ended", "job=service"), 0);
    fleet_check(&fleet);
}
