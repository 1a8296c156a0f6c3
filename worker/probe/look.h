/*
 * look.h - one look at an election in PostgreSQL: who holds the leader key and
 * the seat, the database's clock, and the current term where its table may be
 * read.
 *
 * Used by the probe. Makes and reads text; no I/O of its own.
 */
#ifndef PGBATON_WORKER_PROBE_LOOK_H
#define PGBATON_WORKER_PROBE_LOOK_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"
#include "common/message.h"
#include "worker/probe/stuck.h"
#include "worker/probe/unserved.h"

struct look_holder {
    struct stuck_sight session; /* pid 0: nobody */
    char application[64];
    bool own_role; /* logged in as the role that we are, so that we may end it */
};

struct look_term {
    bool known;
    bool ended;
    struct epoch epoch;
    uint64_t incarnation;
    char instance[INSTANCE_MAX];
    int backend_pid;
    char backend_start[STUCK_TEXT_MAX];
    dur_ns lease;
    uint64_t jobs_hash; /* of the leader's jobs; 0: unknown, or none */
};

struct look {
    wall_ns database_clock;
    bool schema_readable;
    struct look_holder key;
    struct look_holder seat;
    bool
        witness_holds; /* the backend that look_read() was asked about is among the key's holders */
    struct look_term term;
};

/*
 * look_sql - the statement, one message without parameters. Without the tables
 * it says whether they could be read. 0 or -ERANGE.
 */
int look_sql(const struct config *cfg, bool with_term, char *ret_sql, size_t size);

/* look_read - what it answered. False: not the rows that were asked for. */
bool look_read(const PGresult *rows, bool with_term, int witness_pid, struct look *ret_look);

/* look_is_of_term - is this the very session that the current term records? It may have the key
 * still, stuck, when the term was stamped as lost or fenced long ago. */
bool look_is_of_term(const struct look_term *term, const struct stuck_sight *holder);

/* look_is_holder - the same, and the term goes on: whoever has the key leads. */
bool look_is_holder(const struct look_term *term, const struct stuck_sight *holder);

/*
 * look_kind - whose session holds the key. By the term where it is known;
 * otherwise by application_name, which is good enough to show and for nothing
 * else. lock_pid: of our own worker's lock session, 0 if it does not lead.
 */
enum holder_kind look_kind(const struct look *look, uint64_t incarnation, int lock_pid);

/* look_unserved - does another instance lead with another set of jobs than ours (its hash), so that
 * some of ours may be run by nobody? */
enum unserved_sight look_unserved(const struct look *look, enum holder_kind kind,
                                  uint64_t jobs_hash);

#endif
