#include "common/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int channel_pair(uint64_t generation, enum message_sender near_kind, enum message_sender far_kind,
                 struct channel *ret_ours, struct channel *ret_theirs)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == -1) {
        return -errno;
    }
    *ret_ours = (struct channel){.fd = fds[0], .generation = generation, .far = far_kind};
    *ret_theirs = (struct channel){.fd = fds[1], .generation = generation, .far = near_kind};
    return 0;
}

int channel_send(struct channel *ch, enum message_type type, struct message *m, int pass_fd)
{
    struct message zeroes;
    union control ctl;
    ssize_t sent;

    if (ch->fd == -1) {
        return -EBADF;
    }
    if (m == NULL) {
        memset(&zeroes, 0, sizeof(zeroes));
        m = &zeroes;
    }
    m->header = (struct message_header){
        .version = MESSAGE_VERSION,
        .type = type,
        .generation = ch->generation,
    };
    struct iovec iov = {.iov_base = m, .iov_len = message_size(type)};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

    if (pass_fd != -1) {
        memset(&ctl, 0, sizeof(ctl));
        mh.msg_control = ctl.bytes;
        mh.msg_controllen = sizeof(ctl.bytes);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);

        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &pass_fd, sizeof(pass_fd));
    }
    do {
        sent = sendmsg(ch->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent == -1 && errno == EINTR);
    if (sent == -1) {
        return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
    }
    return 0;
}

/* take_fd - the descriptor that came beside a message, or -1. */
static int take_fd(struct msghdr *mh)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof(int))) {
            int fd;

            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
            return fd;
        }
    }
    return -1;
}

int channel_receive(struct channel *ch, struct message *ret_m, int *ret_fd)
{
    union control ctl;
    struct message m;
    struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};
    struct msghdr mh = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = ctl.bytes,
        /* CMSG_LEN, not CMSG_SPACE: the padding has room for a second descriptor, and one that
         * nobody looks for is a leak. */
        .msg_controllen = CMSG_LEN(sizeof(int)),
    };
    bool was_reset = false;
    ssize_t length;
    int rc;

    if (ch->fd == -1) {
        return -EBADF;
    }
    do {
        length = recvmsg(ch->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        /* Reset: the other end closed with messages of ours unread. That is said once, and before
         * what it has sent: its last words are still to be read. */
        was_reset = length == -1 && errno == ECONNRESET && !was_reset;
    } while (was_reset || (length == -1 && errno == EINTR));
    if (length == -1) {
        return errno == ECONNRESET ? 0 : -errno;
    }

    /* From here on a descriptor may have arrived: every way out must place it. */
    int fd = take_fd(&mh);

    if (length == 0) {
        rc = 0;
        goto drop_fd;
    }
    if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        rc = -EBADMSG;
        goto drop_fd;
    }
    rc = message_check(&m, (size_t)length, ch->far);
    if (rc < 0) {
        goto drop_fd;
    }
    if (m.header.generation != ch->generation) {
        rc = -ESTALE; /* a channel belongs to one incarnation of one child */
        goto drop_fd;
    }

    memcpy(ret_m, &m, (size_t)length);
    *ret_fd = fd;
    return 1;

drop_fd:
    if (fd != -1) {
        (void)close(fd);
    }
    return rc;
}

void channel_close(struct channel *ch)
{
    if (ch->fd != -1) {
        (void)close(ch->fd);
        ch->fd = -1;
    }
}
