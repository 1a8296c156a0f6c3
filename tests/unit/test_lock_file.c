#include "worker/database/lock_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a disk that takes its time: whoever calls fsync() in this program comes by here ---- */

static void (*during_sync)(void); /* once, in the next fsync(); NULL: nothing */

int fsync(int fd)
{
    void (*happens)(void) = during_sync;

    during_sync = NULL;
    if (happens != NULL) {
        happens();
    }
    return (int)syscall(SYS_fsync, fd);
}

static char directory[64];
static char base[96]; /* what the dsn names: sqlite:BASE */

static void make_directory(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/pgbaton-lock-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(base, sizeof(base), "%s/ledger", directory);
}

static void remove_directory(void)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s.lock", base);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s.term", base);
    (void)unlink(path);
    cr_expect_eq(rmdir(directory), 0, "something was left behind in %s", directory);
}

TestSuite(lock_file, .init = make_directory, .fini = remove_directory, .timeout = 60);

static int opened(void)
{
    char reason[256] = "";
    int fd = lock_file_open(base, reason, sizeof(reason));

    cr_assert_geq(fd, 0, "%s", reason);
    return fd;
}

static int exit_status(pid_t pid)
{
    int status = -1;

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

Test(lock_file, two_descriptions_exclude_each_other_byte_by_byte)
{
    int a = opened();
    int b = opened();

    cr_expect_eq(lock_file_is_held(b, LOCK_BYTE_LEADER), 0);
    cr_expect_eq(lock_file_try(a, LOCK_BYTE_LEADER), 0);
    cr_expect_eq(lock_file_try(b, LOCK_BYTE_LEADER), -EAGAIN);
    cr_expect_eq(lock_file_is_held(b, LOCK_BYTE_LEADER), 1);
    cr_expect_eq(lock_file_is_held(a, LOCK_BYTE_LEADER), 0, "our own is not another's");
    cr_expect_eq(lock_file_try(b, LOCK_BYTE_SEAT), 0, "the seat is another byte");
    cr_expect_eq(lock_file_unlock(a, LOCK_BYTE_LEADER), 0);
    cr_expect_eq(lock_file_try(b, LOCK_BYTE_LEADER), 0);
    (void)close(a);
    (void)close(b);
}

Test(lock_file, is_private_and_not_inherited)
{
    int fd = opened();
    struct stat file;

    cr_assert_eq(fstat(fd, &file), 0);
    cr_expect_eq(file.st_mode & 0777, 0600);
    cr_expect_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    (void)close(fd);
}

Test(lock_file, says_why_it_cannot_be_opened)
{
    char reason[256] = "";

    cr_expect_eq(lock_file_open("/nowhere/at/all", reason, sizeof(reason)), -ENOENT);
    cr_expect_neq(strstr(reason, "/nowhere/at/all.lock"), NULL, "%s", reason);
}

Test(lock_file, a_copy_of_the_descriptor_keeps_the_lock)
{
    int a = opened();
    int b = opened();

    cr_assert_eq(lock_file_try(a, LOCK_BYTE_LEADER), 0);
    int copy = dup(a);
    (void)close(a);
    cr_expect_eq(lock_file_try(b, LOCK_BYTE_LEADER), -EAGAIN);
    (void)close(copy);
    cr_expect_eq(lock_file_try(b, LOCK_BYTE_LEADER), 0);
    (void)close(b);
}

Test(lock_file, sees_that_the_path_was_replaced)
{
    char path[128];
    int fd = opened();

    cr_expect(lock_file_is_same(fd, base));
    (void)snprintf(path, sizeof(path), "%s.lock", base);
    cr_assert_eq(unlink(path), 0);
    cr_expect_not(lock_file_is_same(fd, base), "gone");
    int other = opened();
    cr_expect_not(lock_file_is_same(fd, base), "another file of that name");
    cr_expect(lock_file_is_same(other, base));
    (void)close(fd);
    (void)close(other);
}

Test(lock_file, what_the_waiter_took_is_held_by_the_worker)
{
    int mine = opened();
    int holder = opened();
    int observer = opened();

    cr_assert_eq(lock_file_try(holder, LOCK_BYTE_LEADER), 0);
    pid_t waiter = lock_file_wait(mine, LOCK_BYTE_LEADER);
    cr_assert_gt(waiter, 0);
    cr_expect_eq(waitpid(waiter, NULL, WNOHANG), 0, "it waits");
    cr_assert_eq(lock_file_unlock(holder, LOCK_BYTE_LEADER), 0);

    cr_expect_eq(exit_status(waiter), 0);
    cr_expect_eq(lock_file_is_held(observer, LOCK_BYTE_LEADER), 1,
                 "the waiter's end frees nothing");
    (void)close(mine);
    cr_expect_eq(lock_file_is_held(observer, LOCK_BYTE_LEADER), 0);
    (void)close(holder);
    (void)close(observer);
}

/* Whichever came first, the kill or the grant: what the worker does about it is right in both. */
static void kill_near_the_grant(int holder, int observer, unsigned delay)
{
    int mine = opened();

    cr_assert_eq(lock_file_try(holder, LOCK_BYTE_LEADER), 0);
    pid_t waiter = lock_file_wait(mine, LOCK_BYTE_LEADER);
    cr_assert_gt(waiter, 0);
    cr_assert_eq(lock_file_unlock(holder, LOCK_BYTE_LEADER), 0);
    for (volatile unsigned spin = 0; spin < delay; spin++) {
    }
    cr_assert_eq(kill(waiter, SIGKILL), 0);

    if (exit_status(waiter) == 0) {
        cr_expect_eq(lock_file_is_held(observer, LOCK_BYTE_LEADER), 1, "exit 0 means granted");
    }
    (void)close(mine);
    cr_expect_eq(lock_file_is_held(observer, LOCK_BYTE_LEADER), 0,
                 "every copy is closed, so nothing is held");
}

Test(lock_file, a_waiter_killed_near_the_grant_leaks_no_lock)
{
    int holder = opened();
    int observer = opened();

    for (unsigned i = 0; i < 300; i++) {
        kill_near_the_grant(holder, observer, i * 1000);
    }
    (void)close(holder);
    (void)close(observer);
}

static int count_descriptors(pid_t pid)
{
    char path[64];
    int count = 0;

    for (int fd = 0; fd < 256; fd++) {
        char target[128];
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
        count += readlink(path, target, sizeof(target)) >= 0;
    }
    return count;
}

Test(lock_file, the_waiter_keeps_nothing_but_the_lock)
{
    int holder = opened();
    int pipe_ends[2];

    cr_assert_eq(lock_file_try(holder, LOCK_BYTE_LEADER), 0);
    cr_assert_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
    int mine = opened();
    pid_t waiter = lock_file_wait(mine, LOCK_BYTE_LEADER);
    cr_assert_gt(waiter, 0);

    /* Its copy of the pipe is closed before anything else: end of file is the fact to wait for. */
    char byte;
    (void)close(pipe_ends[1]);
    cr_expect_eq(read(pipe_ends[0], &byte, 1), 0);
    int descriptors = count_descriptors(waiter);
    for (int tries = 0; descriptors > 1 && tries < 10000; tries++) {
        descriptors = count_descriptors(waiter);
    }
    cr_expect_eq(descriptors, 1);
    cr_assert_eq(kill(waiter, SIGKILL), 0);
    (void)exit_status(waiter);
    (void)close(mine);
    (void)close(holder);
    (void)close(pipe_ends[0]);
}

static const struct lock_term example = {
    .epoch = {.generation = 1, .number = 7},
    .incarnation = 0x00c0ffee00c0ffee,
    .lease = DUR_S(15),
    .ended = true,
    .ended_as = "released",
    .instance = "web=1: \"blue\"",
};

Test(lock_file, a_term_is_read_as_it_was_written)
{
    struct lock_term got;

    cr_expect_eq(lock_term_read(base, &got), -ENOENT);
    cr_assert_eq(lock_term_write(base, &example), 0);
    cr_assert_eq(lock_term_read(base, &got), 0);
    cr_expect(epoch_equal(got.epoch, example.epoch));
    cr_expect(got.incarnation == example.incarnation);
    cr_expect(got.lease == example.lease);
    cr_expect(got.ended);
    cr_expect_str_eq(got.ended_as, "released");
    cr_expect_str_eq(got.instance, example.instance);
}

Test(lock_file, an_open_term_has_not_ended)
{
    struct lock_term open_term = example;
    struct lock_term got;

    open_term.ended = false;
    cr_assert_eq(lock_term_write(base, &open_term), 0);
    cr_assert_eq(lock_term_read(base, &got), 0);
    cr_expect_not(got.ended);
    cr_expect_str_eq(got.ended_as, "");
}

Test(lock_file, a_label_with_a_line_feed_stays_one_line)
{
    struct lock_term sly = example;
    struct lock_term got;

    (void)snprintf(sly.instance, sizeof(sly.instance), "a\nepoch=9.9");
    cr_assert_eq(lock_term_write(base, &sly), 0);
    cr_assert_eq(lock_term_read(base, &got), 0);
    cr_expect(epoch_equal(got.epoch, example.epoch));
    cr_expect_str_eq(got.instance, "a?epoch=9.9");
}

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
} unreadable[] = {
    {"an empty file", ""},
    {"no line feed at the end", "epoch=1.7\nincarnation=1\nlease_ms=1\nended=\ninstance=a"},
    {"a missing line", "epoch=1.7\nincarnation=1\nended=\ninstance=a\n"},
    {"a line twice", "epoch=1.7\nepoch=1.8\nincarnation=1\nlease_ms=1\nended=\ninstance=a\n"},
    {"a line that nobody knows", "epoch=1.7\nincarnation=1\nlease_ms=1\nended=\ninstance=a\nx=1\n"},
    {"an epoch without a number", "epoch=1\nincarnation=1\nlease_ms=1\nended=\ninstance=a\n"},
    {"a negative epoch", "epoch=-1.7\nincarnation=1\nlease_ms=1\nended=\ninstance=a\n"},
    {"a number out of range", "epoch=99999999999999999999.7\nincarnation=1\nlease_ms=1\nended=\ninstance=a\n"},
    {"a lease that overflows", "epoch=1.7\nincarnation=1\nlease_ms=9999999999999999\nended=\ninstance=a\n"},
};
/* clang-format on */

Test(lock_file, a_term_that_cannot_be_read_is_not_half_believed)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s.term", base);
    for (size_t i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++) {
        struct lock_term got = {.lease = 42};
        FILE *file = fopen(path, "w");

        cr_assert_not_null(file);
        (void)fputs(unreadable[i].text, file);
        (void)fclose(file);
        cr_expect_eq(lock_term_read(base, &got), -EINVAL, "%s", unreadable[i].title);
        cr_expect(got.lease == 42, "%s: an output was touched", unreadable[i].title);
    }
}

/* ---- the end of a term, written by who does not hold the key ---- */

static struct lock_term an_open_term(uint64_t number)
{
    struct lock_term term = example;

    term.epoch.number = number;
    term.incarnation = number;
    term.ended = false;
    return term;
}

static struct lock_term a_fenced_term(uint64_t number)
{
    struct lock_term term = an_open_term(number);

    term.ended = true;
    (void)snprintf(term.ended_as, sizeof(term.ended_as), "fenced");
    return term;
}

/* In another process, as it would be: each has a temporary file of its own. */
static void open_next_term(void)
{
    const struct lock_term next = an_open_term(8);
    pid_t pid = fork();

    cr_assert_neq(pid, -1);
    if (pid == 0) {
        _exit(lock_term_write(base, &next) == 0 ? 0 : 1);
    }
    cr_assert_eq(exit_status(pid), 0);
}

static void expect_there(uint64_t number, const char *ended_as)
{
    struct lock_term there;

    cr_assert_eq(lock_term_read(base, &there), 0);
    cr_expect(there.epoch.number == number, "it says term %d", (int)there.epoch.number);
    cr_expect_str_eq(there.ended_as, ended_as);
}

Test(lock_file, the_end_of_a_term_is_written_where_it_stands_open)
{
    const struct lock_term open_term = an_open_term(7);
    const struct lock_term fenced = a_fenced_term(7);

    cr_expect_eq(lock_term_end(base, &fenced), -ENOENT);
    cr_assert_eq(lock_term_write(base, &open_term), 0);
    cr_expect_eq(lock_term_end(base, &fenced), 0);
    expect_there(7, "fenced");
}

Test(lock_file, the_end_of_a_term_replaces_neither_another_end_nor_another_term)
{
    struct lock_term there = a_fenced_term(7);
    const struct lock_term fenced = a_fenced_term(7);

    (void)snprintf(there.ended_as, sizeof(there.ended_as), "released");
    cr_assert_eq(lock_term_write(base, &there), 0);
    cr_expect_eq(lock_term_end(base, &fenced), -ESTALE);
    expect_there(7, "released");

    there = an_open_term(7);
    there.incarnation = 99; /* of another instance */
    cr_assert_eq(lock_term_write(base, &there), 0);
    cr_expect_eq(lock_term_end(base, &fenced), -ESTALE);
    expect_there(7, "");
}

/* The supervisor does not wait for the record: the next leader may open its term meanwhile. */
Test(lock_file, the_end_of_a_term_that_the_disk_delays_does_not_replace_the_next_one)
{
    const struct lock_term open_term = an_open_term(7);
    const struct lock_term fenced = a_fenced_term(7);

    cr_assert_eq(lock_term_write(base, &open_term), 0);
    during_sync = open_next_term;
    cr_expect_eq(lock_term_end(base, &fenced), -ESTALE);
    expect_there(8, "");
}

/* Between its last look and its rename nobody else renames; one that was stopped there is not
 * waited for. */
Test(lock_file, a_term_is_not_replaced_while_another_process_replaces_it)
{
    const struct lock_term open_term = an_open_term(7);
    const struct lock_term fenced = a_fenced_term(7);
    const struct lock_term next = an_open_term(8);

    cr_assert_eq(lock_term_write(base, &open_term), 0);
    int fd = opened();
    cr_assert_eq(lock_file_try(fd, LOCK_BYTE_TERM), 0);
    cr_expect_eq(lock_term_end(base, &fenced), -EAGAIN);
    cr_expect_eq(lock_term_write(base, &next), -EAGAIN);
    expect_there(7, "");

    (void)close(fd);
    cr_expect_eq(lock_term_write(base, &next), 0);
    expect_there(8, "");
}
