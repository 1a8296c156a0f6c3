/* The child table with real processes: what a child may do, and what becomes of one that may not.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/deeds.h"
#include "supervisor/inbox.h"
#include "supervisor/reload.h"
#include "supervisor/signals.h"
#include "supervisor/supervisor.h"
#include "tests/unit/config_fixture.h"

#define LIMIT DUR_S(20)

static struct supervisor s;
static child_main *mains[CHILD_SLOT_COUNT];

static void nothing_due(void *ctx)
{
    (void)ctx;
}

/* A supervisor without its start and its loop: the tests turn it. */
static void set_up(void)
{
    config_fixture_up();
    log_threshold(LEVEL_ERROR);
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    s = (struct supervisor){.signal_fd = -1,
                            .lock_fd = -1,
                            .run_dir_fd = -1,
                            .started = true,
                            .wake_at = MONO_NEVER,
                            .election_wake_at = MONO_NEVER};
    s.config = config_fixture_config("[pgbaton]\nlog_level = error\n[database]\ndsn = none\n");
    s.config_fd = config_seal(s.config, true);
    s.config_stripped_fd = config_seal(s.config, false);
    s.board = scoreboard_create(&s.launch.board_fd);
    cr_assert(s.config_fd >= 0 && s.config_stripped_fd >= 0 && s.board != NULL);
    s.launch.board = s.board;
    s.launch.listen_fd = -1;
    s.launch.program_fd = -1;
    s.loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    cr_assert_not_null(s.loop);
    ev_set_userdata(s.loop, &s);
    cr_assert_eq(timer_init(&s.timer, s.loop, nothing_due, NULL), 0);
    prng_seed(&s.random, 1);
    children_init(s.children);
    children_wire(mains);
    fence_init(&s.fence);
    shutdown_init(&s.shutdown, DUR_S(8), false);

    const struct election_terms terms = {.candidate = true,
                                         .has_probe = true,
                                         .connect_timeout = DUR_S(5),
                                         .retry_interval = DUR_S(5),
                                         .backoff_max = DUR_S(60),
                                         .margin = DUR_MS(500),
                                         .over = DUR_S(7)};
    election_init(&s.election, &terms, clock_now(), 1);
}

static void tear_down(void)
{
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        pid_t pid = s.children[slot].pid;

        if (pid > 0 && kill(pid, SIGKILL) == 0) {
            (void)waitpid(pid, NULL, 0);
        }
    }
    config_fixture_down();
}

TestSuite(children, .init = set_up, .fini = tear_down, .timeout = 120);

/* One turn of the supervisor's loop, as its callbacks make it. */
static void turn(void)
{
    (void)ev_run(s.loop, EVRUN_NOWAIT);
    signals_reap(&s);
    supervisor_settle(&s);
}

#define WAIT_UNTIL(fact)                                                                           \
    do {                                                                                           \
        const struct timespec pause_ = {.tv_nsec = DUR_MS(1)};                                     \
        mono_ns until_ = clock_now() + LIMIT;                                                      \
        while (!(fact)) {                                                                          \
            cr_assert(clock_now() < until_, "never: " #fact);                                      \
            turn();                                                                                \
            (void)nanosleep(&pause_, NULL);                                                        \
        }                                                                                          \
    } while (0)

static struct child_row *start(enum child_slot slot, child_main *body)
{
    struct child_row *row = &s.children[slot];

    mains[slot] = body;
    cr_assert_eq(child_start(row, &s.launch, clock_now()), 0);
    inbox_watch(&s, row);
    return row;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    cr_assert_not_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    return count;
}

/* --- what the children of these tests do --- */

/* Not for longer than the test, whatever becomes of it. */
static _Noreturn void idle(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        (void)pause();
    }
}

static int say_nothing(struct child *c)
{
    (void)c;
    idle();
}

static int say_hello(struct child *c)
{
    (void)channel_send(&c->up, MESSAGE_HELLO, NULL, -1);
    idle();
}

/* The next message; its descriptor, if any, in *ret_fd. False: the supervisor is gone. */
static bool hear(struct child *c, struct message *m, int *ret_fd)
{
    struct pollfd in = {.fd = c->up.fd, .events = POLLIN};
    int rc;

    while ((rc = channel_receive(&c->up, m, ret_fd)) == -EAGAIN) {
        (void)poll(&in, 1, -1);
    }
    return rc == 1;
}

static int say_what_came_first(struct child *c)
{
    struct message m;
    int fd = -1;

    (void)channel_send(&c->up, MESSAGE_HELLO, NULL, -1);
    if (hear(c, &m, &fd)) {
        child_die(c, CHILD_EXIT_CONFIG, "%s %s", message_name(m.header.type),
                  fd == -1 ? "alone" : "with a descriptor");
    }
    return CHILD_EXIT_FAILED;
}

static int say_hello_twice(struct child *c)
{
    (void)channel_send(&c->up, MESSAGE_HELLO, NULL, -1);
    (void)channel_send(&c->up, MESSAGE_HELLO, NULL, -1);
    idle();
}

static int say_garbage(struct child *c)
{
    (void)channel_send(&c->up, MESSAGE_HELLO, NULL, -1);
    (void)send(c->up.fd, "garbage", 7, MSG_NOSIGNAL);
    idle();
}

static int say_it_as_another_generation(struct child *c)
{
    c->up.generation++;
    (void)channel_send(&c->up, MESSAGE_HELLO, NULL, -1);
    idle();
}

static void say_elected(struct child *c, uint64_t of_turn)
{
    int fds[2];
    struct message m = {.u.elected = {.turn = of_turn,
                                      .epoch = {1, 7},
                                      .deadline = clock_now() + DUR_S(3600),
                                      .lock_pid = 42}};

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0) {
        (void)channel_send(&c->up, MESSAGE_ELECTED, &m, fds[0]);
    }
}

static int elect_oneself(struct child *c)
{
    (void)channel_send(&c->up, MESSAGE_HELLO, NULL, -1);
    say_elected(c, 1);
    idle();
}

static int lead(struct child *c)
{
    struct message m;
    int fd = -1;

    (void)channel_send(&c->up, MESSAGE_HELLO, NULL, -1);
    while (hear(c, &m, &fd)) {
        if (m.header.type == MESSAGE_CAMPAIGN) {
            say_elected(c, m.u.campaign.turn);
        }
    }
    return CHILD_EXIT_ASKED;
}

/* Leads, and has a job that left its group, its session and its parent. */
static int lead_with_a_runaway(struct child *c)
{
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            channel_close(&c->up);
            (void)signal(SIGTERM, SIG_IGN);
            idle();
        }
        _exit(0);
    }
    return lead(c);
}

static int end_with_bad_configuration(struct child *c)
{
    child_die(c, CHILD_EXIT_CONFIG, "it does not do");
}

/* --- the rules --- */

static void is_killed(struct child_row *row, const char *verdict)
{
    WAIT_UNTIL(row->state == CHILD_DOWN);
    cr_expect_str_eq(row->verdict, verdict);
    cr_expect_eq(row->channel.fd, -1);
    cr_expect_eq(row->pid, 0);
}

Test(children, one_that_says_no_hello_in_time_is_killed)
{
    struct child_row *row = start(SLOT_PROBE, say_nothing);

    cr_expect(row->deadline <= clock_now() + HELLO_LIMIT);
    turn();
    cr_expect_eq(row->state, CHILD_STARTING, "not before");
    row->deadline = clock_now();
    is_killed(row, "said no HELLO in time");
}

Test(children, the_answer_to_hello_is_the_configuration)
{
    struct child_row *row = start(SLOT_PROBE, say_what_came_first);

    WAIT_UNTIL(row->state == CHILD_DOWN);
    cr_expect_str_eq(row->last_words, "CONFIG with a descriptor");
}

Test(children, one_that_is_silent_for_too_long_is_killed)
{
    struct child_row *row = start(SLOT_PROBE, say_hello);

    WAIT_UNTIL(row->state == CHILD_READY);
    cr_expect(row->deadline > clock_now() + DUR_S(50) && row->deadline <= clock_now() + DUR_S(60));
    row->deadline = clock_now();
    is_killed(row, "was silent for too long");
}

Test(children, what_waits_to_be_read_is_heard_before_silence_is_judged)
{
    struct child_row *row = start(SLOT_PROBE, say_hello);
    struct pollfd in = {.fd = row->channel.fd, .events = POLLIN};

    cr_assert_eq(poll(&in, 1, 20000), 1);
    row->deadline = clock_now();
    s.wake_at = row->deadline;
    supervisor_settle(&s);
    cr_expect_eq(row->state, CHILD_READY);
    cr_expect_str_eq(row->verdict, "");
}

Test(children, garbage_is_the_end_of_a_child)
{
    is_killed(start(SLOT_PROBE, say_garbage), "misbehaved on its channel");
}

Test(children, what_another_generation_says_is_not_believed)
{
    is_killed(start(SLOT_WORKER, say_it_as_another_generation), "misbehaved on its channel");
    cr_expect_not(s.election.worker_ready);
}

Test(children, a_probe_cannot_be_elected)
{
    is_killed(start(SLOT_PROBE, elect_oneself), "misbehaved on its channel");
    cr_expect_eq(s.lock_fd, -1);
}

Test(children, a_second_hello_is_one_too_many)
{
    is_killed(start(SLOT_PROBE, say_hello_twice), "said HELLO twice");
}

Test(children, a_worker_that_elects_itself_is_killed_and_its_lock_closed)
{
    int before = count_fds();

    is_killed(start(SLOT_WORKER, elect_oneself), "elected without a campaign");
    cr_expect_eq(s.lock_fd, -1);
    cr_expect_eq(count_fds(), before);
}

Test(children, one_that_does_not_read_its_messages_is_killed)
{
    struct child_row *row = start(SLOT_PROBE, say_hello);

    WAIT_UNTIL(row->state == CHILD_READY);
    for (int i = 0; i < 100000 && row->state == CHILD_READY; i++) {
        deeds_send(&s, SLOT_PROBE, MESSAGE_LEAVE, &(struct message){.header = {0}}, -1);
    }
    is_killed(row, "does not read its messages");
}

static struct child_row *make_leader(child_main *body)
{
    struct child_row *row = start(SLOT_WORKER, body);

    WAIT_UNTIL(row->state == CHILD_READY);
    deeds_happened(&s, ELECTION_PROBE_READY);
    deeds_election(&s, &(struct election_event){.type = ELECTION_SEAT_TAKEN, .slice = DUR_MS(800)});
    WAIT_UNTIL(s.election.state == ELECTION_LEADER);
    cr_assert_neq(s.lock_fd, -1);
    return row;
}

Test(children, a_leading_worker_is_held_to_its_lease_and_not_to_the_stall_limit)
{
    struct child_row *row = make_leader(lead);

    row->deadline = clock_now();
    turn();
    cr_expect_eq(row->state, CHILD_READY);
    cr_expect_gt(row->deadline, clock_now());
}

Test(children, the_lock_of_a_dead_worker_is_kept_while_anything_of_it_lives)
{
    struct child_row *row = make_leader(lead_with_a_runaway);
    bool closed_too_early = false;
    mono_ns until = clock_now() + LIMIT;

    cr_assert_eq(kill(row->pid, SIGKILL), 0);
    while (s.lock_fd != -1 && clock_now() < until) {
        turn();
        if (s.lock_fd == -1) { /* then there must be no child at all */
            closed_too_early = waitpid(-1, NULL, WNOHANG) != -1;
        }
    }
    cr_expect_eq(s.lock_fd, -1);
    cr_expect_not(closed_too_early);
    cr_expect_eq(s.election.state, ELECTION_FOLLOWER);
}

Test(children, bad_configuration_waits_for_a_reload)
{
    struct child_row *row = start(SLOT_WORKER, end_with_bad_configuration);

    row->wanted = true;
    WAIT_UNTIL(row->state == CHILD_DOWN);
    cr_expect(row->waits_for_reload);
    cr_expect_eq(row->deadline, MONO_NEVER);
    cr_expect_str_eq(row->last_words, "it does not do");

    mains[SLOT_WORKER] = say_hello;
    s.children[SLOT_MONITOR].deadline = 0; /* not the subject here */
    reload_children_wanted(&s);
    s.children[SLOT_MONITOR].wanted = false;
    WAIT_UNTIL(row->state == CHILD_READY);
    cr_expect_eq(row->restarts, 1);
    row->wanted = false;
}

/* No descriptor, or no process: later perhaps. */
Test(children, one_that_cannot_be_started_is_tried_again)
{
    struct child_row *row = &s.children[SLOT_PROBE];
    struct rlimit usual;

    mains[SLOT_PROBE] = say_hello;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = usual.rlim_max};
    row->wanted = true;
    row->deadline = clock_now();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    supervisor_settle(&s);
    cr_expect_eq(row->state, CHILD_DOWN);
    cr_expect_gt(row->deadline, clock_now());
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
    WAIT_UNTIL(row->state == CHILD_READY);
    row->wanted = false;
}

Test(children, fifty_restarts_leave_no_descriptor)
{
    struct child_row *row = start(SLOT_PROBE, say_hello);
    int before = 0;

    for (int i = 0; i < 50; i++) {
        WAIT_UNTIL(row->state == CHILD_READY);
        if (i == 0) {
            before = count_fds();
        }
        child_kill(row, clock_now(), "once more");
        WAIT_UNTIL(row->state == CHILD_DOWN);
        (void)start(SLOT_PROBE, say_hello);
    }
    WAIT_UNTIL(row->state == CHILD_READY);
    cr_expect_eq(count_fds(), before);
    cr_expect_eq(row->generation, 51);
}
