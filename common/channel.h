/*
 * channel.h - one end of the message pipe between two processes of an instance.
 *
 * A channel is one end of a SOCK_SEQPACKET socket pair: one send is one message
 * is one receive, so there is no framing to get wrong. End of file means that
 * the process at the other end is gone: a child that reads it must stop its
 * jobs, release and exit.
 *
 * Runs in: every process. Never blocks, never logs.
 */
#ifndef PGBATON_COMMON_CHANNEL_H
#define PGBATON_COMMON_CHANNEL_H

#include "common/message.h"

struct channel {
    int fd;                  /* -1: closed. Non-blocking, close-on-exec */
    uint64_t generation;     /* of the child; stamped on every send, demanded on every receive */
    enum message_sender far; /* what the other end is: whose messages to accept */
};

/*
 * channel_pair - ours talks to a child of that kind, theirs is the child's end
 * (its far is near_kind). Returns 0 or a negative errno.
 */
int channel_pair(uint64_t generation, enum message_sender near_kind, enum message_sender far_kind,
                 struct channel *ret_ours, struct channel *ret_theirs);

/*
 * channel_send - send one message, with a descriptor if pass_fd is not -1.
 *
 * m->header is filled in here: set only m->u (m may be NULL for a payload of
 * zeroes). The kernel duplicates pass_fd: the caller still owns its own copy,
 * whatever is returned.
 *
 * Returns 0; -EAGAIN (the other end is not reading: treat it as hung); -EPIPE
 * (it is gone); -EBADF when the channel is closed; other negative errno.
 */
int channel_send(struct channel *ch, enum message_type type, struct message *m, int pass_fd);

/*
 * channel_receive - take one message, if there is one.
 *
 * Returns 1 (*ret_m is valid, and *ret_fd is a descriptor that the caller now
 * owns, or -1); 0 (end of file); -EAGAIN (nothing to read); -EPROTO, -EBADMSG
 * or -EPERM from message_check() (-ESTALE: another generation): the other end
 * cannot be trusted any more, so close the channel and end that process. On
 * anything but 1, no descriptor is left open and the outputs are not touched.
 */
int channel_receive(struct channel *ch, struct message *ret_m, int *ret_fd);

/* channel_close - close this end. Safe to repeat. */
void channel_close(struct channel *ch);

#endif
