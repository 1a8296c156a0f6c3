/*
 * history.h - what people ask of the ledger, as SQL: one text for both kinds of database, which
 * differ in how they keep a moment and in where a table is.
 *
 * Each statement goes by an index, or is one that a million runs do not make slow: the probe asks
 * nothing else meanwhile.
 *
 * Runs in: probe. No I/O.
 */
#ifndef PGBATON_WORKER_PROBE_HISTORY_H
#define PGBATON_WORKER_PROBE_HISTORY_H

#include "common/config.h"
#include "common/message.h"
#include "worker/probe/records.h"

enum history_dialect {
    HISTORY_POSTGRES, /* moments are timestamptz */
    HISTORY_SQLITE,   /* moments are integers: microseconds since 1970 */
};

enum { HISTORY_VALUES_MAX = 4 };

struct history_question {
    char *sql; /* owned */
    const char
        *values[HISTORY_VALUES_MAX]; /* of $1, $2, ...; the query's and the configuration's */
    int count;
    struct record record; /* what each row has */
};

/*
 * history_question - now: the wall clock, for a request. 0; -EINVAL: the query is none that this
 * can be made of (it came from another process); -ENOTSUP: not kept in this kind of database;
 * -ENOMEM. On failure there is nothing to release.
 */
int history_question(enum history_dialect dialect, const struct config *cfg,
                     const struct message_query *query, wall_ns now, struct history_question *ret);
/* history_jobs_page - so many rows at most answer QUERY_JOBS; where there are as many, .word = the
 * name of the last one asks for those that follow. */
uint32_t history_jobs_page(enum history_dialect dialect);

void history_release(struct history_question *q);

#endif
