/* Signals at the wrong moment, too many of them, or to the wrong process: CONTRACT.md, "Signals".
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(signals, .timeout = 120);

static struct fleet fleet;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

#define HASTY "grace = 300ms\n"
/* Nobody is in a hurry but who is told to be. */
#define PATIENT "stop_timeout = 35s\n"

static const struct instance_settings hasty = {.jobs = HASTY};

/* Two signals of one kind within 100 ms are one wish that came by two ways. */
static void mean_it(void)
{
    const struct timespec pause = {.tv_nsec = DUR_MS(200)};

    (void)nanosleep(&pause, NULL);
}

/* The server ends a session whose client is gone when it is done with its statement. */
static bool has_no_session_of_b(void *conn)
{
    const char *count =
        server_scalar(conn, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE "
                            "'pgbaton % main b'");

    return count != NULL && strcmp(count, "0") == 0;
}

/* a leads with a job that goes on for as long as it may; b waits. */
static void begin_with_a_long_job(const char *pgbaton)
{
    struct instance_settings settings = {.pgbaton = pgbaton, .jobs = HASTY};

    fleet_make(&fleet, 2, &settings);
    fleet_add_jobs(&fleet, &settings,
                   "[job long]\nschedule = @elected\ncommand = echo begun; sleep 1000\n");
    fleet_begin(&fleet);
    instance_wait(A, "output", "begun");
    fleet_wait_heir_known(&fleet);
}

/* ---- TERM, at each stage ---- */

Test(signals, a_second_term_ends_the_patience_of_the_first)
{
    begin_with_a_long_job(PATIENT);

    program_signal(&A->supervisor, SIGTERM);
    instance_wait(A, "stopping", "how=graceful");
    mean_it();
    cr_expect(process_lives(A->supervisor.pid));
    program_signal(&A->supervisor, SIGTERM);

    instance_wait(A, "stopping", "how=at_once");
    instance_wait(A, "job_ended", "job=long");
    cr_expect_eq(instance_wait_exit(A), 0, "%s", text_tail(A->log));
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT));
    cr_expect_eq(instance_logged(A, "released", "reason=stop"), 1);
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

/* A term that is on its way out for another reason is stopped all the same. */
Test(signals, term_while_it_steps_down_is_obeyed)
{
    begin_with_a_long_job("stop_timeout = 2s\n");

    fleet_step_down(&fleet);
    instance_wait(A, "role", "role=standing-down");
    program_signal(&A->supervisor, SIGTERM);

    cr_expect_eq(instance_wait_exit(A), 0, "%s", text_tail(A->log));
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT));
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

Test(signals, term_during_a_campaign_leaves_no_session_behind)
{
    fleet_make(&fleet, 3, &hasty);
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "test");

    (void)backend_wait_waiting(conn);
    instance_stop(B);

    cr_expect(wait_until(has_no_session_of_b, conn, WAIT_LIMIT));
    instance_wait(C, "seat_taken", "");
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    instance_stop(A);
    instance_wait(C, "elected", "reason=clean");
    diary_wait(&fleet.diary, "c", 10);
    PQfinish(conn);
    fleet_check(&fleet);
}

static bool opens_its_term(void *conn)
{
    const char *waits = server_scalar(
        conn, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
              "application_name LIKE 'pgbaton ledger %'");

    return waits != NULL && strcmp(waits, "0") != 0;
}

/* The key is granted, the election's row is not to be had. */
Test(signals, term_during_the_opening_of_a_term_gives_the_key_back)
{
    fleet_make(&fleet, 3, &hasty);
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "test");
    PGconn *other = server_connect(&fleet.pg, "other");
    server_do(other, "BEGIN");
    (void)server_scalar(other, "SELECT generation FROM pgbaton.election FOR SHARE");
    instance_stop(A);
    cr_assert(wait_until(opens_its_term, conn, WAIT_LIMIT), "%s", text_tail(B->log));

    instance_stop(B);

    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    cr_expect(wait_until(has_no_session_of_b, conn, WAIT_LIMIT));
    instance_wait(C, "seat_taken", "");
    server_do(other, "ROLLBACK");
    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 10);
    PQfinish(other);
    PQfinish(conn);
    fleet_check(&fleet);
}

/* Who waits for nobody's sake must not end the wait for him who comes next. */
Test(signals, term_during_the_takeover_wait_hands_the_wait_on)
{
    fleet_make(&fleet, 3,
               &(struct instance_settings){
                   .election = "retry_interval = 300ms\nlease = 30s\nheartbeat = 500ms\n"
                               "takeover_delay = 10s\n",
                   .jobs = HASTY});
    fleet_begin(&fleet);

    program_kill_tree(&A->supervisor);
    instance_wait(B, "takeover_wait", "");
    instance_stop(B);

    instance_wait(B, "released", "reason=stop");
    instance_wait(C, "takeover_wait", "reason=unclean_end");
    cr_expect_eq(diary_lines(&fleet.diary, "b"), 0);
    cr_expect_eq(diary_lines(&fleet.diary, "c"), 0);
    diary_wait(&fleet.diary, "c", 10);
    fleet_check(&fleet);
}

/* ---- a storm ---- */

enum { STORM = 500 };

Test(signals, a_storm_of_hups_moves_nobody_and_term_gets_its_turn)
{
    fleet_make(&fleet, 2, &hasty);
    fleet_begin(&fleet);
    pid_t worker = instance_wait_child(A, "worker", 0);
    instance_mark(A);

    for (int i = 0; i < STORM; i++) {
        const struct timespec pause = {.tv_nsec = DUR_MS(4)};

        program_signal(&A->supervisor, SIGHUP);
        program_signal(&B->supervisor, SIGHUP);
        (void)nanosleep(&pause, NULL); /* or they merge into one */
    }
    instance_wait(A, "config_reloaded", "");
    instance_wait(B, "config_reloaded", "");
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 20);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    cr_expect_eq(instance_child(A, "worker"), worker);
    cr_expect_eq(instance_logged(A, "role", ""), 0, "%s", text_tail(A->log));
    cr_expect_eq(instance_logged(A, "child_exited", ""), 0, "%s", text_tail(A->log));
    cr_expect_eq(instance_logged(B, "child_exited", ""), 0, "%s", text_tail(B->log));

    program_signal(&A->supervisor, SIGTERM);
    for (mono_ns limit = clock_now() + WAIT_LIMIT; clock_now() < limit;) {
        if (program_wait(&A->supervisor, DUR_MS(1)) >= 0) {
            break;
        }
        (void)kill(A->supervisor.pid, SIGHUP);
    }
    cr_expect_eq(instance_wait_exit(A), 0, "%s", text_tail(A->log));
    instance_wait(B, "elected", "reason=clean");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

/* Processes and sessions that end would keep the machine, and the server, from the next leader. */
Test(signals, term_lets_the_next_leader_begin_before_the_rest_ends)
{
    struct instance_settings settings = hasty;

    settings.pgbaton = "log_level = debug\n";
    fleet_make(&fleet, 2, &settings);
    fleet_begin(&fleet);
    fleet_wait_heir_known(&fleet);

    program_signal(&A->supervisor, SIGTERM);

    cr_expect_eq(instance_wait_exit(A), 0, "%s", text_tail(A->log));
    wall_ns released = instance_time_of(A, "released", "reason=stop");
    wall_ns stopped = instance_time_of(A, "stopping_rung", "rung=children");
    cr_assert(released > 0 && stopped > 0, "%s", text_tail(A->log));
    cr_expect_geq(stopped - released, DUR_MS(90), "%s", text_tail(A->log));
    instance_wait(B, "elected", "reason=clean");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

/* ---- to the wrong process ---- */

/* A signal that is the supervisor's to understand is nothing to its children. */
Test(signals, to_its_children_change_nothing)
{
    static const char *const roles[] = {"probe", "worker", "monitor"};
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
    fleet_make(&fleet, 2, &hasty);
    fleet_begin(&fleet);
    instance_mark(A);

    for (size_t r = 0; r < sizeof roles / sizeof roles[0]; r++) {
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
            cr_assert_eq(kill(instance_wait_child(A, roles[r], 0), numbers[n]), 0);
        }
    }

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 50);
    fleet_wait_heir_known(&fleet); /* monitor and probe answer */
    cr_expect_eq(instance_logged(A, "child_exited", ""), 0, "%s", text_tail(A->log));
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    fleet_check(&fleet);
}

/* By hand, or by a tool that goes by names: it is no crash. */
Test(signals, term_to_the_worker_alone_releases)
{
    fleet_make(&fleet, 2, &hasty);
    fleet_begin(&fleet);
    pid_t worker = instance_wait_child(A, "worker", 0);

    cr_assert_eq(kill(worker, SIGTERM), 0);

    instance_wait(A, "released", "");
    instance_wait(B, "elected", "reason=clean");
    diary_wait(&fleet.diary, "b", 10);
    (void)instance_wait_child(A, "worker", worker);
    instance_wait(A, "seat_taken", "it was free"); /* sound again */
    fleet_check(&fleet);
}

/* ---- PID 1, for which no signal has a default ---- */

static struct workdir dir;
static struct instance one;

static void start_pid_1(void)
{
    workdir_make(&dir);
    instance_make(&one, &dir, "one",
                  &(struct instance_settings){
                      .dsn = "none", .job = "[job nothing]\nschedule = manual\nexec = true\n"});
    if (!instance_start_as_pid_1(&one, NULL)) {
        cr_skip_test("this kernel or user may not make a pid namespace");
    }
    instance_wait(&one, "elected", "");
}

static void signal_pid_1(int number)
{
    cr_assert_eq(kill(instance_child(&one, "supervisor"), number), 0);
}

Test(signals, as_pid_1_it_understands_what_it_should_and_ignores_the_rest)
{
    static const int others[] = {SIGALRM, SIGPIPE, SIGWINCH, SIGCONT, SIGTTOU};
    start_pid_1();

    signal_pid_1(SIGHUP);
    instance_wait(&one, "config_reloaded", "");
    signal_pid_1(SIGUSR1);
    instance_wait(&one, "log_reopened", "");
    signal_pid_1(SIGUSR2);
    instance_wait(&one, "step_down_refused", "");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        signal_pid_1(others[i]);
    }
    instance_mark(&one);
    signal_pid_1(SIGHUP);
    instance_wait(&one, "config_reloaded", "");
    signal_pid_1(SIGINT);

    cr_expect_eq(instance_wait_exit(&one), 0, "%s", text_tail(one.log));
}

Test(signals, as_pid_1_it_quits_on_quit)
{
    start_pid_1();

    signal_pid_1(SIGQUIT);

    cr_expect_eq(instance_wait_exit(&one), 0, "%s", text_tail(one.log));
    cr_expect(program_wait_all(&one.supervisor, WAIT_LIMIT));
}
