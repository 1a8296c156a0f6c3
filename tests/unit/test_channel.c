#include "common/channel.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The supervisor's end, and that of its worker number 7. */
static struct channel ours;
static struct channel theirs;

static void open_pair(void)
{
    cr_assert_eq(channel_pair(7, FROM_SUPERVISOR, FROM_WORKER, &ours, &theirs), 0);
}

static void close_pair(void)
{
    channel_close(&ours);
    channel_close(&theirs);
}

TestSuite(channel, .init = open_pair, .fini = close_pair, .timeout = 60);

static int open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    cr_assert_not_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

/* A message is refused so; nothing is left open by it, and no output is touched. */
static void expect_refused(int expected)
{
    struct message m;
    struct message before;
    int fd = 12345;

    memset(&m, 0x5a, sizeof(m));
    before = m;
    cr_expect_eq(channel_receive(&ours, &m, &fd), expected);
    cr_expect_eq(fd, 12345);
    cr_expect_arr_eq(&m, &before, sizeof(m));
}

/* Raw bytes with any number of descriptors: what channel_send() would never do. */
static void send_raw(const void *bytes, size_t length, const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } ctl;
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    memset(&ctl, 0, sizeof(ctl));
    if (fd_count > 0) {
        mh.msg_control = ctl.bytes;
        mh.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    cr_assert_eq(sendmsg(theirs.fd, &mh, 0), (ssize_t)length);
}

static struct message raw_hello(void)
{
    struct message m;

    memset(&m, 0, sizeof(m));
    m.header.version = MESSAGE_VERSION;
    m.header.type = MESSAGE_HELLO;
    m.header.generation = 7;
    return m;
}

Test(channel, carries_a_message_and_stamps_it)
{
    struct message out;
    struct message in;
    int fd = 0;

    memset(&out, 0, sizeof(out));
    out.u.renewed.turn = 3;
    out.u.renewed.deadline = DUR_S(99);
    cr_assert_eq(channel_send(&theirs, MESSAGE_RENEWED, &out, -1), 0);
    cr_assert_eq(channel_receive(&ours, &in, &fd), 1);
    cr_expect_eq(fd, -1);
    cr_expect_eq(in.header.type, MESSAGE_RENEWED);
    cr_expect_eq(in.header.generation, 7);
    cr_expect_eq(in.u.renewed.turn, 3);
    cr_expect_eq(in.u.renewed.deadline, DUR_S(99));
}

Test(channel, both_ends_know_whom_they_talk_to)
{
    struct message in;
    int fd;

    cr_assert_eq(channel_send(&ours, MESSAGE_STOP, NULL, -1), 0);
    cr_expect_eq(channel_receive(&theirs, &in, &fd), 1);
    cr_assert_eq(channel_send(&theirs, MESSAGE_ALIVE, NULL, -1), 0);
    cr_expect_eq(channel_receive(&ours, &in, &fd), 1);
    cr_expect_eq(in.u.none.reserved, 0);
}

Test(channel, hands_over_a_copy_of_a_descriptor)
{
    struct message in;
    struct stat sent;
    struct stat got;
    int file = open("/dev/null", O_RDONLY);
    int fd = -1;

    cr_assert_eq(channel_send(&ours, MESSAGE_PEER, NULL, file), 0);
    cr_assert_eq(channel_receive(&theirs, &in, &fd), 1);
    cr_assert_neq(fd, -1);
    cr_expect_neq(fd, file);
    cr_expect_eq(fstat(file, &sent), 0, "the sender still owns its own");
    cr_expect_eq(fstat(fd, &got), 0);
    cr_expect_eq(sent.st_rdev, got.st_rdev);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    close(file);
}

Test(channel, is_closed_on_exec_and_never_blocks)
{
    cr_expect(fcntl(ours.fd, F_GETFD) & FD_CLOEXEC);
    cr_expect(fcntl(ours.fd, F_GETFL) & O_NONBLOCK);
    cr_expect(fcntl(theirs.fd, F_GETFD) & FD_CLOEXEC);
}

Test(channel, nothing_to_read_is_no_end)
{
    expect_refused(-EAGAIN);
}

Test(channel, the_death_of_the_other_end_is_end_of_file)
{
    channel_close(&theirs);
    expect_refused(0);
    cr_expect_eq(channel_send(&ours, MESSAGE_STOP, NULL, -1), -EPIPE);
}

/* The kernel reports a reset then; what the dead one had said before is still read first. */
Test(channel, end_of_file_comes_after_the_last_message_even_with_ours_unread)
{
    struct message in;
    int fd;

    cr_assert_eq(channel_send(&ours, MESSAGE_STOP, NULL, -1), 0);
    cr_assert_eq(channel_send(&theirs, MESSAGE_ALIVE, NULL, -1), 0);
    channel_close(&theirs);
    cr_assert_eq(channel_receive(&ours, &in, &fd), 1, "its last words are lost");
    cr_expect_eq(in.header.type, MESSAGE_ALIVE);
    cr_expect_eq(channel_receive(&ours, &in, &fd), 0);
}

Test(channel, a_closed_one_says_so)
{
    struct message in;
    int fd;

    channel_close(&ours);
    channel_close(&ours);
    cr_expect_eq(channel_send(&ours, MESSAGE_STOP, NULL, -1), -EBADF);
    cr_expect_eq(channel_receive(&ours, &in, &fd), -EBADF);
}

Test(channel, a_reader_that_hangs_is_told_by_a_full_socket)
{
    int rc = 0;

    for (int i = 0; i < 100000 && rc == 0; i++) {
        rc = channel_send(&ours, MESSAGE_STOP, NULL, -1);
    }
    cr_expect_eq(rc, -EAGAIN);
}

Test(channel, refuses_what_the_sender_may_not_say)
{
    int before = open_fds();

    cr_assert_eq(channel_send(&theirs, MESSAGE_STOP, NULL, STDERR_FILENO), 0);
    expect_refused(-EPERM);
    cr_expect_eq(open_fds(), before, "a descriptor leaked");
}

Test(channel, refuses_another_generation)
{
    int before = open_fds();

    theirs.generation = 6;
    cr_assert_eq(channel_send(&theirs, MESSAGE_ALIVE, NULL, STDERR_FILENO), 0);
    expect_refused(-ESTALE);
    cr_expect_eq(open_fds(), before, "a descriptor leaked");
}

Test(channel, refuses_another_version)
{
    struct message m = raw_hello();

    m.header.version++;
    send_raw(&m, message_size(MESSAGE_HELLO), NULL, 0);
    expect_refused(-EPROTO);
}

Test(channel, refuses_what_is_too_short_or_too_long)
{
    char big[sizeof(struct message) + 64] = {0};
    struct message m = raw_hello();
    int file = STDERR_FILENO;
    int before = open_fds();

    send_raw(&m, 3, &file, 1);
    expect_refused(-EBADMSG);
    memcpy(big, &m, sizeof(m));
    send_raw(big, sizeof(big), &file, 1);
    expect_refused(-EBADMSG);
    cr_expect_eq(open_fds(), before, "a descriptor leaked");
}

/* CMSG_SPACE() has room for a second one in its padding, and nobody would look there. */
Test(channel, refuses_two_descriptors_and_leaks_neither)
{
    struct message m = raw_hello();
    int two[] = {STDERR_FILENO, STDERR_FILENO};
    int before = open_fds();

    send_raw(&m, message_size(MESSAGE_HELLO), two, 2);
    expect_refused(-EBADMSG);
    cr_expect_eq(open_fds(), before, "a descriptor leaked");
}

Test(channel, an_empty_record_looks_like_the_end_and_is_treated_so)
{
    send_raw("", 0, NULL, 0);
    expect_refused(0);
}
