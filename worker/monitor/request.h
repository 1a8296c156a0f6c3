/*
 * request.h - one line from the control socket, believed or refused.
 *
 * Strict: a key that is unknown, missing, twice there or of another type is an
 * error that says so. No I/O, no globals.
 *
 * Runs in: monitor.
 */
#ifndef PGBATON_WORKER_MONITOR_REQUEST_H
#define PGBATON_WORKER_MONITOR_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/message.h"

/* Longer is a mistake, or a stop. */
#define REQUEST_STEP_DOWN_MAX DUR_S(7 * 24 * 3600)

/* How many runs or terms, where it is not said. */
#define REQUEST_LIMIT 20

enum request_kind {
    REQUEST_STATUS, /* anybody may ask; the others: the daemon's own user and root */
    REQUEST_ORDER,
    REQUEST_QUERY, /* of what is recorded */
    REQUEST_JOB,   /* trigger, cancel, pause, resume */
};

struct request {
    enum request_kind kind;
    bool fleet;                 /* STATUS: ask the database who else is there */
    enum command command;       /* ORDER */
    dur_ns length;              /* STEP_DOWN: 0 where the request does not say */
    bool force;                 /* STEP_DOWN */
    bool wait;                  /* trigger: its run will be asked for */
    struct message_query query; /* QUERY; JOB: .order and .job */
};

/* request_parse - 0, or -EINVAL with a sentence in reterr (and *ret_request untouched). */
int request_parse(const char *line, size_t length, struct request *ret_request, char *reterr,
                  size_t size);

#endif
