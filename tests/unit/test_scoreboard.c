#include "common/scoreboard.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/wait.h"

static struct scoreboard *board;
static int board_fd = -1;

static void set_up(void)
{
    board = scoreboard_create(&board_fd);
    cr_assert_not_null(board);
}

static void tear_down(void)
{
    scoreboard_free(board);
    close(board_fd);
}

TestSuite(scoreboard, .init = set_up, .fini = tear_down, .timeout = 60);

Test(scoreboard, a_reader_sees_what_was_put)
{
    struct scoreboard *reader = scoreboard_open(board_fd);
    struct board_supervisor in = {.role = ROLE_LEADER, .epoch = {1, 7}, .instance = "web1"};
    struct board_supervisor out;
    struct board_probe probe = {.holder_pid = 5};
    struct board_probe probe_out;
    struct board_worker worker = {.running = 3};
    struct board_worker worker_out;

    cr_assert_not_null(reader);
    scoreboard_put_supervisor(board, &in);
    scoreboard_put_probe(board, &probe);
    scoreboard_put_worker(board, &worker);
    cr_assert(scoreboard_get_supervisor(reader, &out));
    cr_expect_arr_eq(&out, &in, sizeof(in));
    cr_assert(scoreboard_get_probe(reader, &probe_out));
    cr_expect_eq(probe_out.holder_pid, 5);
    cr_assert(scoreboard_get_worker(reader, &worker_out));
    cr_expect_eq(worker_out.running, 3);
    scoreboard_free(reader);
}

Test(scoreboard, jobs_have_rows_of_their_own)
{
    struct board_job first = {.name = "first", .runs = 1};
    struct board_job last = {.name = "last", .runs = 2};
    struct board_job out;

    scoreboard_put_job(board, 0, &first);
    scoreboard_put_job(board, BOARD_JOBS_MAX - 1, &last);
    cr_assert(scoreboard_get_job(board, 0, &out));
    cr_expect_str_eq(out.name, "first");
    cr_assert(scoreboard_get_job(board, BOARD_JOBS_MAX - 1, &out));
    cr_expect_str_eq(out.name, "last");
    cr_assert(scoreboard_get_job(board, 1, &out));
    cr_expect_str_eq(out.name, "");
}

Test(scoreboard, an_untouched_section_is_all_zero)
{
    struct board_supervisor out;

    memset(&out, 1, sizeof(out));
    cr_assert(scoreboard_get_supervisor(board, &out));
    cr_expect_eq(out.pid, 0);
}

Test(scoreboard, nobody_else_can_write_or_resize)
{
    cr_expect_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0), MAP_FAILED);
    cr_expect_eq(errno, EPERM);
    cr_expect_eq(pwrite(board_fd, "x", 1, 0), -1);
    cr_expect_eq(ftruncate(board_fd, 0), -1);
    cr_expect_eq(ftruncate(board_fd, 1 << 30), -1);
    cr_expect_eq(fcntl(board_fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    cr_expect(fcntl(board_fd, F_GETFD) & FD_CLOEXEC);
}

Test(scoreboard, writing_through_a_reader_is_a_bug, .signal = SIGABRT)
{
    struct scoreboard *reader = scoreboard_open(board_fd);
    struct board_worker worker = {0};

    scoreboard_put_worker(reader, &worker);
}

Test(scoreboard, a_row_beyond_the_end_is_a_bug, .signal = SIGABRT)
{
    struct board_job job = {0};

    scoreboard_put_job(board, BOARD_JOBS_MAX, &job);
}

Test(scoreboard, refuses_what_is_no_scoreboard)
{
    int other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    errno = 0;
    cr_expect_null(scoreboard_open(other));
    cr_expect_eq(errno, EPROTO, "it could shrink");
    cr_assert_eq(fcntl(other, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    cr_expect_null(scoreboard_open(other));
    cr_expect_eq(errno, EPROTO, "another size");
    cr_expect_null(scoreboard_open(-1));
    cr_expect_eq(errno, EBADF);
    close(other);
}

/* Writes rows of equal numbers for as long as it lives: a reader must never see two of them mixed.
 */
static pid_t fork_writer(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)alarm(300); /* should the test be cut short */
        for (uint64_t n = 0;; n++) {
            struct board_worker w = {
                .running = (uint32_t)n, .deadline = (mono_ns)n, .heartbeat_ns = (int64_t)n};

            w.epoch.generation = n;
            scoreboard_put_worker(board, &w);
        }
    }
    cr_assert_gt(pid, 0);
    return pid;
}

Test(scoreboard, a_reader_never_sees_half_a_write)
{
    pid_t writer = fork_writer();
    struct board_worker w;
    unsigned moved = 0;
    mono_ns last = 0;
    mono_ns limit = clock_now() + WAIT_LIMIT;

    while (moved < 2000 && clock_now() < limit) {
        if (!scoreboard_get_worker(board, &w)) {
            continue;
        }
        cr_assert(w.deadline == w.heartbeat_ns && w.deadline == (mono_ns)w.epoch.generation &&
                  w.running == (uint32_t)w.deadline);
        moved += w.deadline != last;
        last = w.deadline;
    }
    cr_expect_eq(kill(writer, SIGKILL), 0);
    cr_expect_eq(waitpid(writer, NULL, 0), writer);
    cr_expect_geq(moved, 2000, "the writer wrote next to nothing meanwhile");
}

/* Killed at any instant, a writer may leave its section half-written: readers go on, and so does
 * its successor. */
Test(scoreboard, survives_the_death_of_a_writer)
{
    struct board_worker w = {.deadline = 42};
    struct board_worker out;

    for (int i = 0; i < 50; i++) {
        pid_t writer = fork_writer();

        for (int n = 0; n < 1000; n++) {
            (void)scoreboard_get_worker(board, &out);
        }
        cr_assert_eq(kill(writer, SIGKILL), 0);
        cr_assert_eq(waitpid(writer, NULL, 0), writer);
        (void)scoreboard_get_worker(board, &out);
        scoreboard_put_worker(board, &w);
        cr_assert(scoreboard_get_worker(board, &out));
        cr_expect_eq(out.deadline, 42);
    }
}

Test(scoreboard, names)
{
    cr_expect_str_eq(board_role_name(ROLE_FOLLOWER), "follower");
    cr_expect_str_eq(board_role_name(ROLE_STANDING_DOWN), "standing-down");
    cr_expect_str_eq(board_role_name(99), "unknown");
    cr_expect_str_eq(outcome_name(OUTCOME_NONE), "");
    cr_expect_str_eq(outcome_name(OUTCOME_TIMED_OUT), "timed_out");
    cr_expect_str_eq(outcome_name(99), "unknown");
}
