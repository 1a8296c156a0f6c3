/*
 * questions.h - what the monitor asks of the database: a queue, and the answers.
 *
 * An answer is a JSON array in a memfd, or a reason why there is none. What cannot be sent is
 * dropped: the monitor waits no longer than it wants to.
 *
 * Runs in: probe.
 */
#ifndef PGBATON_WORKER_PROBE_QUESTIONS_H
#define PGBATON_WORKER_PROBE_QUESTIONS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/channel.h"

/* As many as the monitor has outstanding at most: one a connection, and its own. */
enum { QUESTIONS_MAX = 40 };

/* First in, first out. Begin with all zero. */
struct questions {
    struct message_query list[QUESTIONS_MAX];
    unsigned first;
    unsigned count;
};

/* questions_put - copied. False: there is no room. */
bool questions_put(struct questions *q, const struct message_query *query);

/* questions_first - the oldest, where it stays until questions_take(); NULL: there is none. */
struct message_query *questions_first(struct questions *q);
void questions_take(struct questions *q);

/* answer_known - rows is taken over; NULL: out of memory. */
void answer_known(struct channel *monitor, const struct message_query *query, json_t *rows);

/* answer_unknown - text says why; not for QUERY_KNOWN. */
void answer_unknown(struct channel *monitor, const struct message_query *query,
                    enum query_result result, const char *text);

#endif
