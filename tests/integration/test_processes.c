/* Each process of an instance killed, stopped, or spinning, alone: who leads, and whose jobs run.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/long_test.h"
#include "tests/support/spin.h"
#include "tests/support/text.h"

TestSuite(processes, .timeout = 120);

static struct fleet fleet;
static PGconn *conn;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

/* The stray of the diary's service ignores TERM: no stop waits long for it. */
#define HASTY "grace = 300ms\n"

static const struct instance_settings steady = {.election = ELECTION_STEADY, .jobs = HASTY};
static const struct instance_settings calm = {.jobs = HASTY};

static void signal_child(struct instance *i, const char *role, int number)
{
    cr_assert_eq(kill(instance_wait_child(i, role, 0), number), 0);
}

/* The term goes on for that many lines of the diary more. */
static void goes_on(size_t lines)
{
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + lines);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
}

/* ---- of the leader ---- */

static bool answers_about_the_fleet(void *instance)
{
    json_t *status = instance_status(instance);
    bool answers = json_array_size(json_object_get(status, "fleet")) == fleet.count;

    json_decref(status);
    return answers;
}

Test(processes, a_stopped_probe_does_not_end_the_term)
{
    fleet_make(&fleet, 2, &steady);
    fleet_begin(&fleet);

    signal_child(A, "probe", SIGSTOP);
    diary_wait_for(&fleet.diary, "a", DUR_S(7)); /* a lease and more */
    goes_on(0);
    signal_child(A, "probe", SIGCONT);

    cr_expect(wait_until(answers_about_the_fleet, A, WAIT_LIMIT), "%s", text_tail(A->log));
    goes_on(10);
    instance_stop(A);
    instance_wait(B, "elected", "reason=clean");
    fleet_check(&fleet);
}

/* Of the leader the monitor, of a follower the worker that waits to be needed. */
Test(processes, whoever_is_silent_for_too_long_is_replaced)
{
    LONG_TEST();
    fleet_make(&fleet, 3, &calm);
    fleet_begin(&fleet);
    pid_t monitor = instance_wait_child(A, "monitor", 0);
    pid_t worker = instance_wait_child(C, "worker", 0);

    cr_assert_eq(kill(monitor, SIGSTOP), 0);
    cr_assert_eq(kill(worker, SIGSTOP), 0);

    instance_wait(A, "child_exited", "child=monitor");
    instance_wait(C, "child_exited", "child=worker");
    cr_expect_eq(instance_logged(A, "child_exited", "silent for too long"), 1);
    cr_expect_eq(instance_logged(C, "child_exited", "silent for too long"), 1);
    cr_expect(wait_until(answers_about_the_fleet, A, WAIT_LIMIT), "%s", text_tail(A->log));
    (void)instance_wait_child(C, "worker", worker);
    goes_on(10);

    /* And that new worker leads when it is needed. */
    instance_stop(B);
    instance_wait(C, "seat_taken", "");
    instance_stop(A);
    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 10);
    fleet_check(&fleet);
}

Test(processes, a_worker_that_spins_is_fenced_by_its_supervisor)
{
    fleet_make(&fleet, 2, &steady);
    fleet_begin(&fleet);
    pid_t worker = instance_wait_child(A, "worker", 0);

    if (!process_spin(worker)) {
        cr_skip_test("a process cannot be traced here");
    }

    instance_wait(A, "fenced", "reason=worker_hung");
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 20);
    cr_expect_not(process_lives(worker));
    /* By its deadline, not because the server had given the key away already */
    cr_expect_eq(instance_logged(A, "role", "reason=witness"), 0, "%s", text_tail(A->log));
    fleet_check(&fleet);
}

Test(processes, a_heirs_worker_that_spins_is_replaced)
{
    fleet_make(&fleet, 2, &steady);
    fleet_begin(&fleet);
    pid_t worker = instance_wait_child(B, "worker", 0);

    if (!process_spin(worker)) {
        cr_skip_test("a process cannot be traced here");
    }

    (void)instance_wait_child(B, "worker", worker);
    cr_expect_not(process_lives(worker));
    goes_on(10);
    instance_stop(A);
    instance_wait(B, "elected", "reason=clean");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

/* ---- the supervisor ---- */

/* A heartbeat that is this fast fills the worker's channel to a supervisor that does not read. */
static const struct instance_settings fast_beat = {
    .election = "retry_interval = 300ms\nlease = 3s\nheartbeat = 15ms\nstop_grace = 500ms\n"
                "loss_grace = 200ms\ntakeover_delay = 1s\n",
    .jobs = HASTY};

/* The channel of a worker holds some four seconds of these. No stall limit is over then, only the
 * lease. */
Test(processes, a_worker_is_not_killed_for_what_its_stopped_supervisor_did_not_read)
{
    fleet_make(&fleet, 1, &fast_beat);
    fleet_begin(&fleet);
    instance_mark(A);

    program_signal(&A->supervisor, SIGSTOP);
    instance_wait(A, "message_not_sent", "RENEWED");
    diary_wait_for(&fleet.diary, "a", DUR_S(4)); /* a lease and more */
    program_signal(&A->supervisor, SIGCONT);

    goes_on(50);
    cr_expect(wait_until(answers_about_the_fleet, A, WAIT_LIMIT), "%s", text_tail(A->log));
    cr_expect_eq(instance_logged(A, "role", ""), 0, "%s", text_tail(A->log));
    fleet_check(&fleet);
}

/* The longest stall limit that there is of a process that says that it is alive. */
#define STALL DUR_S(10)

static bool has_lost(void *instance)
{
    const struct instance *i = instance;

    return instance_logged(i, "lost", "") + instance_logged(i, "fenced", "") +
               instance_logged(i, "released", "") >
           0;
}

/*
 * Nobody of its children may be killed for a silence that was the supervisor's own,
 * and the worker not for renewals that found no room in the channel. Where all of an
 * instance was stopped, none of them could have spoken at all.
 */
Test(processes, a_supervisor_that_was_stopped_wrongs_nobody_and_loses_nothing)
{
    LONG_TEST();
    fleet_make(&fleet, 2, &fast_beat);
    fleet_begin(&fleet);
    instance_mark(A);

    program_signal_tree(&B->supervisor, SIGSTOP);
    program_signal(&A->supervisor, SIGSTOP);
    program_signal(&A->supervisor, SIGHUP); /* to be found when it wakes */
    cr_expect(wait_never(has_lost, A, STALL + DUR_S(2)), "%s", text_tail(A->log));
    instance_wait(A, "message_not_sent", "RENEWED");
    goes_on(10);
    program_signal(&A->supervisor, SIGCONT);
    instance_mark(B);
    program_signal_tree(&B->supervisor, SIGCONT);

    instance_wait(A, "config_reloaded", "");
    instance_wait(B, "seat_taken", "");
    cr_expect_eq(instance_logged(B, "child_exited", "silent for too long"), 0, "%s",
                 text_tail(B->log));
    cr_expect(wait_until(answers_about_the_fleet, A, WAIT_LIMIT), "%s", text_tail(A->log));
    goes_on(100);
    cr_expect_eq(instance_logged(A, "child_exited", ""), 0, "%s", text_tail(A->log));
    cr_expect_eq(instance_logged(A, "role", ""), 0, "%s", text_tail(A->log));
    instance_stop(A);
    instance_wait(B, "elected", "reason=clean");
    fleet_check(&fleet);
}

/*
 * Both stopped first, so that neither sees anything of the other's end. The kernel
 * kills the jobs by their parent-death signal: these have no children of their own.
 */
Test(processes, a_supervisor_and_its_worker_killed_in_one_instant_take_the_jobs_with_them)
{
    fleet_make(&fleet, 2, &steady);
    char *plain =
        text_format("[job plain]\nschedule = always\ncommand = while :; do echo "
                    "\"$PGBATON_INSTANCE $PGBATON_EPOCH plain\"; sleep 0.03; done >> %s\n",
                    fleet.diary.file);
    struct instance_settings childless = {.election = ELECTION_STEADY, .job = plain};
    childless = fleet_settings(&fleet, &childless);
    instance_configure(A, &childless);
    fleet_begin(&fleet);
    pid_t worker = instance_wait_child(A, "worker", 0);

    cr_assert_eq(kill(worker, SIGSTOP), 0);
    program_signal(&A->supervisor, SIGSTOP);
    cr_assert_eq(kill(worker, SIGKILL), 0);
    program_signal(&A->supervisor, SIGKILL);

    instance_wait(B, "takeover_wait", "");
    diary_wait(&fleet.diary, "b", 20);
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT), "something of a is left");
    free(plain);
    fleet_check(&fleet);
}

/* A moment at which the server heard the leader: the last one so far. */
static char *last_heard(void)
{
    char *sql =
        text_format("SELECT state_change FROM pg_stat_activity WHERE pid = %d", leader_pid(conn));
    const char *at = server_scalar(conn, sql);

    cr_assert_not_null(at, "nobody leads");
    free(sql);
    return text_format("%s", at);
}

/*
 * The lock's socket is held by a supervisor that does nothing, so the key is the
 * dead worker's until the server ends its session. Nobody is there to kill what the
 * worker's death left alive, the stray of the diary's service: until the supervisor
 * goes on that one runs beside b's jobs, as DESIGN.md section 4 says of this double
 * fault. So the diary is not checked for an overlap, but for who writes at the end.
 */
Test(processes, a_worker_that_dies_under_a_stopped_supervisor_is_succeeded_after_its_lease)
{
    fleet_make(&fleet, 2, &steady);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    pid_t worker = instance_wait_child(A, "worker", 0);

    char *heard = last_heard();
    program_signal(&A->supervisor, SIGSTOP);
    cr_assert_eq(kill(worker, SIGKILL), 0);
    instance_wait(B, "elected", "epoch=1.2");
    char *lease = text_format("SELECT started_at - '%s' >= lease_ms * interval '1 ms'"
                              " FROM pgbaton.term WHERE number = 2",
                              heard);
    cr_expect_str_eq(server_scalar(conn, lease), "t", "b led before the lease was over");
    instance_wait(B, "takeover_wait", "epoch=1.2");
    diary_wait(&fleet.diary, "b", 20);

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a")); /* by the stray alone */
    instance_mark(A);
    program_signal(&A->supervisor, SIGCONT);
    instance_wait(A, "fenced", "epoch=1.1");
    size_t before = diary_lines(&fleet.diary, "a");
    diary_wait(&fleet.diary, "b", diary_lines(&fleet.diary, "b") + 20);
    cr_expect_eq(diary_lines(&fleet.diary, "a"), before, "a job of the dead worker lives on");

    /* It is a sound follower again. */
    (void)instance_wait_child(A, "worker", worker);
    instance_wait(A, "seat_taken", "");
    cr_expect_eq(instance_logged(B, "lost", ""), 0, "%s", text_tail(B->log));
    instance_stop(B);
    instance_wait(A, "elected", "epoch=1.3 ");
    diary_wait(&fleet.diary, "a", before + 10);
    free(lease);
    free(heard);
    PQfinish(conn);
    poller_check(&fleet.poller);
    instance_check_log(A);
}

/* In a container the kernel kills all of it, the stray of the diary's service too. */
Test(processes, a_pid_1_and_its_worker_killed_in_one_instant_leave_nothing)
{
    fleet_make(&fleet, 2, &steady);
    if (!instance_start_as_pid_1(A, NULL)) {
        cr_skip_test("this kernel or user may not make a pid namespace");
    }
    instance_wait(A, "elected", "");
    instance_start(B, NULL);
    instance_wait(B, "seat_taken", "");
    diary_wait(&fleet.diary, "a", 10);
    pid_t worker = instance_wait_child(A, "worker", 0);
    pid_t supervisor = instance_wait_child(A, "supervisor", 0);

    cr_assert_eq(kill(worker, SIGSTOP), 0);
    cr_assert_eq(kill(supervisor, SIGSTOP), 0);
    cr_assert_eq(kill(worker, SIGKILL), 0);
    cr_assert_eq(kill(supervisor, SIGKILL), 0);

    instance_wait(B, "takeover_wait", "");
    diary_wait(&fleet.diary, "b", 20);
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT), "something of a is left");
    fleet_check(&fleet);
}

/* ---- of the heir ---- */

static struct instance *heir;

/* Of the two that may be: the seat is free for a moment when its holder is hurt, and either of them
 * takes it. */
static bool somebody_took_the_seat(void *ctx)
{
    (void)ctx;
    heir = instance_logged(B, "seat_taken", "") > 0 ? B : C;
    return instance_logged(heir, "seat_taken", "") > 0;
}

static void hurt_heir(const char *role)
{
    struct instance *hurt = heir;

    instance_mark(B);
    instance_mark(C);
    signal_child(hurt, role, SIGKILL);
    instance_wait(hurt, "child_exited", "signal=9");
    cr_assert(wait_until(somebody_took_the_seat, NULL, WAIT_LIMIT), "%s", text_tail(hurt->log));
    (void)instance_wait_child(heir, "heir worker", 0);
}

Test(processes, those_of_a_heir_can_be_killed_one_after_the_other)
{
    fleet_make(&fleet, 3, &steady);
    fleet_begin(&fleet);

    heir = B;
    hurt_heir("worker");
    hurt_heir("probe");

    /* All of it. */
    struct instance *other = heir == B ? C : B;
    program_kill_tree(&heir->supervisor);
    instance_wait(other, "seat_taken", "");
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    instance_stop(A);
    instance_wait(other, "elected", "reason=clean");
    diary_wait(&fleet.diary, other->name, 10);
    fleet_check(&fleet);
}

static bool has_no_session(void *pattern)
{
    return backend_count(conn, pattern) == 0;
}

/* The others see the end of their channels: none of them, and no session of theirs, is left. */
static void supervisor_dies_alone(struct instance *i, const char *sessions)
{
    instance_mark(i);
    program_signal(&i->supervisor, SIGKILL);
    cr_expect(program_wait_all(&i->supervisor, WAIT_LIMIT), "something of %s is left:\n%s", i->name,
              text_tail(i->log));
    instance_wait(i, "supervisor_gone", "");
    cr_expect(wait_until(has_no_session, (void *)(uintptr_t)sessions, WAIT_LIMIT),
              "a session of %s is left", i->name);
}

Test(processes, of_a_follower_and_of_a_heir_the_supervisor_alone_takes_all_of_it_along)
{
    fleet_make(&fleet, 3, &calm);
    fleet_begin(&fleet);
    conn = server_connect(&fleet.pg, "test");
    (void)backend_wait(conn, "pgbaton follower % c", 0);
    (void)backend_wait_waiting(conn);
    instance_mark(A);
    instance_mark(B);

    supervisor_dies_alone(C, "pgbaton % c");
    goes_on(10);
    cr_expect_eq(instance_logged(B, "seat_lost", "") + instance_logged(B, "role", ""), 0, "%s",
                 text_tail(B->log));

    instance_start(C, NULL);
    (void)backend_wait(conn, "pgbaton follower % c", 0);
    instance_mark(C);
    supervisor_dies_alone(B, "pgbaton % b");
    instance_wait(C, "seat_taken", "");
    (void)backend_wait_waiting(conn);
    goes_on(10);
    cr_expect_eq(instance_logged(A, "role", "") + instance_logged(A, "child_exited", ""), 0, "%s",
                 text_tail(A->log));
    instance_stop(A);
    instance_wait(C, "elected", "epoch=1.2 ");
    diary_wait(&fleet.diary, "c", 10);
    PQfinish(conn);
    fleet_check(&fleet);
}

/* Its backend is ended by the server when the seat's lease is over, stopped or not. */
static void heir_is_stopped(bool whole)
{
    fleet_make(&fleet, 3, &steady);
    fleet_begin(&fleet);

    if (whole) {
        program_signal_tree(&B->supervisor, SIGSTOP);
    } else {
        signal_child(B, "probe", SIGSTOP);
    }
    instance_wait(C, "seat_taken", "");
    goes_on(10);
    instance_stop(A);
    struct instance *leader = instances_wait_leader(fleet.member, 3);
    cr_expect_neq(leader, A);
    diary_wait(&fleet.diary, leader->name, 10);
    if (whole) {
        cr_expect_eq(leader, C);
        program_signal_tree(&B->supervisor, SIGCONT);
    } else {
        signal_child(B, "probe", SIGCONT);
    }

    /* It is a sound member again: with the other one gone it leads. */
    instance_stop(leader);
    leader = leader == C ? B : C;
    diary_wait(&fleet.diary, leader->name, 10);
    fleet_check(&fleet);
}

Test(processes, a_stopped_heir_loses_its_seat_to_another)
{
    heir_is_stopped(true);
}

Test(processes, a_heir_whose_probe_is_stopped_loses_its_seat_to_another)
{
    heir_is_stopped(false);
}
