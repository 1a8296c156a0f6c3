/*
 * queries.h - the monitor's questions to the database, which the probe answers over the channel
 * that the two share.
 *
 * Each is answered once, after its limit at the latest. An answer is a document that was parsed and
 * is no longer than QUERY_SIZE_MAX; what is in it is still the word of another process.
 *
 * Runs in: monitor. Never blocks.
 */
#ifndef PGBATON_WORKER_MONITOR_QUERIES_H
#define PGBATON_WORKER_MONITOR_QUERIES_H

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/timer.h"

enum {
    QUERIES_MAX = 40,                  /* one a connection, and the fleet's */
    QUERY_SIZE_MAX = 48 * 1024 * 1024, /* bytes of an answer */
};
/* The server ends a statement of the probe after 5 s, and the probe its session after 7. */
#define QUERY_WITHIN DUR_S(9)

struct query_answer {
    enum query_result result;
    json_t *rows;     /* KNOWN: an array; borrowed */
    const char *text; /* else why not; "" where that is not known */
};

/* Calls back once, never from inside queries_ask(). ticket is what was handed in. */
typedef void query_known(void *ctx, uint64_t ticket, const struct message_query *query,
                         const struct query_answer *answer);

struct query_slot {
    struct message_query query; /* request 0: free */
    uint64_t ticket;
    mono_ns limit;
    bool sent; /* false: it waits for a probe */
    query_known *on_known;
    void *ctx;
};

struct queries {
    struct ev_loop *loop;
    struct channel probe; /* fd -1: no probe to ask */
    ev_io io;
    struct timer timer; /* the earliest limit */
    uint64_t asked;     /* the number of the last question */
    struct query_slot slots[QUERIES_MAX];
};

/* queries_init - 0 or a negative errno. The struct must not move afterwards. */
int queries_init(struct queries *q, struct ev_loop *loop);
void queries_release(struct queries *q); /* calls nothing back */

/* queries_set_probe - the descriptor that came with PEER; taken over. What was asked of the probe
 * before is answered with QUERY_DOWN, for it may have been carried out; what waits is sent. */
void queries_set_probe(struct queries *q, int fd);

/* queries_has_probe - false: what is asked now waits for one, for its whole time perhaps. */
bool queries_has_probe(const struct queries *q);

/* queries_ask - query.request is filled in. At a start, and while a probe is replaced, it waits for
 * the next one, as long as its limit allows. False: there is no room, or the probe does not read;
 * then nothing is called back. */
bool queries_ask(struct queries *q, const struct message_query *query, dur_ns within,
                 query_known *on_known, void *ctx, uint64_t ticket);

#endif
