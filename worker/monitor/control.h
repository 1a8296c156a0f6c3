/*
 * control.h - the server of the control socket (common/control.h has the protocol).
 *
 * Connections are bounded in number, in what they may say and in how long they
 * may take; nobody who connects can make it wait. Who may command is decided
 * here, by the peer's uid as the kernel gives it.
 *
 * A request is handed on with a ticket; its answer may come at any time, and is
 * dropped where the client has gone in the meantime.
 *
 * Runs in: monitor. Never blocks.
 */
#ifndef PGBATON_WORKER_MONITOR_CONTROL_H
#define PGBATON_WORKER_MONITOR_CONTROL_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/clock.h"
#include "worker/monitor/request.h"

enum {
    CONTROL_CONNECTIONS_MAX = 32,
    CONTROL_STRANGERS_MAX = 24, /* of those who may not command: they cannot keep the others out */
};
#define CONTROL_REQUEST_WITHIN DUR_S(10) /* a whole request, from the moment it was accepted */
#define CONTROL_REPLY_WITHIN DUR_S(10)   /* a whole reply, however slowly it is read */

struct control; /* opaque */

struct control_options {
    int listen_fd;         /* the caller's; non-blocking */
    uid_t owner;           /* may command, beside root */
    dur_ns request_within; /* CONTROL_REQUEST_WITHIN; tests are less patient */
    dur_ns reply_within;   /* CONTROL_REPLY_WITHIN */
    dur_ns answer_within;  /* the answer to a request: after it the client is told that none came */
    /* A request came that its sender may make. May answer it from inside the call. */
    void (*on_request)(void *ctx, uint64_t ticket, const struct request *request, uid_t uid);
    void *ctx;
};

/* control_new - serve. NULL: errno is set. control_free drops all connections. */
struct control *control_new(struct ev_loop *loop, const struct control_options *options);
void control_free(struct control *control);

/* control_set_answer_within - for requests that come from now on. */
void control_set_answer_within(struct control *control, dur_ns limit);

/* control_answer - send one line (malloc'd, without its line feed; taken over; NULL: out of
 * memory). */
void control_answer(struct control *control, uint64_t ticket, char *line);

/* control_say - answer {"code":code,"text":text}; text may be anything that ends with NUL. */
void control_say(struct control *control, uint64_t ticket, int code, const char *text);

#endif
