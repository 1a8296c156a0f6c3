/*
 * ledger.h - the record of runs: every tick is claimed in it before it is
 * started, and what became of it is written there. Kept in the database
 * (ledger_postgres.c), in a SQLite file (ledger_sqlite.c), or nowhere
 * (ledger_none.c: everything is granted and forgotten).
 *
 * Opened for one campaign, closed after it. What is claimed or written is
 * fenced by the election's row: it is taken FOR SHARE where epoch and
 * incarnation are still ours, so nothing gets in after the next term was opened
 * (DESIGN.md section 6).
 *
 * One question at a time: ledger_is_free() says whether the next may be asked.
 * Its answer, or on_failed(), comes from the loop, never from inside a
 * ledger_…() call; then it is free again. A question that failed has either
 * been carried out or not: asking it again, with the same ids, is safe.
 *
 * Runs in: worker. Never logs what it also reports.
 */
#ifndef PGBATON_WORKER_LEADER_LEDGER_H
#define PGBATON_WORKER_LEADER_LEDGER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/identity.h"
#include "common/outcome.h"

enum {
    RUN_ID_MAX = 80, /* "1.7-42": the epoch that made it, and a number that is unique in it */
    RUN_REASON_MAX = 700,
    LEDGER_BATCH_MAX = 2000, /* of one claim, or one write */
    /* Of runs that one question deletes. Ticks wait for its answer, and with the rows go their
     * outputs: it must be done long before the ledger counts as away, on a slow disk too. */
    LEDGER_PRUNE_MAX = 100,
};

/* Moments in the ledger have microseconds: what goes in is rounded down, and so are ticks. */
#define LEDGER_RESOLUTION ((dur_ns)1000)

/* ---- claims ---- */

struct ledger_claim {
    const char *id;
    const char *job;
    wall_ns scheduled_at;
    unsigned attempt;
    enum run_origin origin;
    /* false: a new row, unique by job, instant and attempt. true: a row that is queued or retrying
     * becomes claimed, and ours. */
    bool promotes;
    bool advances;          /* job_state.last_tick is now this instant, if it was earlier */
    uint64_t schedule_hash; /* goes with it */
};

enum ledger_verdict {
    LEDGER_GRANTED, /* also where it was granted by an earlier attempt to ask the same */
    LEDGER_TAKEN,   /* a row of this job, instant and attempt is there already; or it is not open */
    LEDGER_AHEAD,   /* more than max_clock_skew ahead of the database's clock */
};

/* ---- changes ---- */

enum ledger_change_kind {
    LEDGER_INSERT, /* a new row: queued, retrying, skipped or missed. One that is there stays. */
    LEDGER_UPDATE, /* an open row of ours (or, taking over, anybody's) has this outcome now; one
                    * that was started does not become queued */
    LEDGER_DELETE, /* the same, not to be kept (record = failures) */
};

/* Strings and bytes are the caller's, until the answer. 0, NULL and 0 bytes: not known, none. */
struct ledger_change {
    enum ledger_change_kind kind;
    const char *id;
    enum outcome outcome;
    const char *reason; /* why, for people and scripts: "overlap", "exit code 3" */
    /* INSERT only. */
    const char *job;
    wall_ns scheduled_at; /* missed: the first of them */
    wall_ns last_at;      /* missed: the last; 0: there is one only */
    uint64_t count;       /* missed: how many; else 1 */
    unsigned attempt;
    enum run_origin origin;
    const char *parent; /* id of the run that this one follows from */
    /* UPDATE; INSERT: due_at. */
    wall_ns due_at; /* retrying: not before */
    wall_ns started_at;
    wall_ns ended_at;
    int code;           /* exit code, or 128 + signal; -1: none */
    const char *result; /* SQL: "UPDATE 42" */
    const char *output_head;
    size_t output_head_bytes;
    const char *output_tail; /* what was printed last, where more was printed than is kept */
    size_t output_tail_bytes;
    uint64_t output_bytes; /* printed in all */
};

/* What a job's row of job_state says from now on; fields that are not set stay as they are. */
struct ledger_job_change {
    const char *job; /* "": all jobs (paused only) */
    bool sets_tick;  /* last_tick and schedule_hash, whatever they were */
    bool advances;   /* the same, but last_tick never goes back */
    wall_ns last_tick;
    uint64_t schedule_hash;
    bool sets_paused;
    bool paused;
    bool sets_failures;
    unsigned failures; /* in a row, of the last attempts */
};

/* The answer to somebody's request; its row is kept for a while so that it can be read. */
struct ledger_request_answer {
    int64_t request;
    bool done;          /* false: refused */
    const char *run_id; /* NULL: none */
    const char *text;   /* for people */
};

/* All of it in one transaction. */
struct ledger_write {
    const struct ledger_change *changes;
    size_t change_count;
    const struct ledger_job_change *jobs;
    size_t job_count;
    const struct ledger_request_answer *answers;
    size_t answer_count;
};

/* ---- what is there ---- */

struct ledger_job_state {
    const char *job; /* "": all jobs */
    bool paused;
    wall_ns last_tick; /* 0: none yet */
    uint64_t schedule_hash;
    unsigned failures;
};

struct ledger_open_run {
    const char *id;
    const char *job;
    wall_ns scheduled_at;
    unsigned attempt;
    enum outcome outcome; /* open */
    const char *reason;   /* "": none */
    enum run_origin origin;
    wall_ns due_at;
    wall_ns started_at; /* 0: not known to have been started */
    struct epoch epoch; /* of the term that claimed it last */
    bool ours;          /* this incarnation did */
};

struct ledger_state {
    const struct ledger_job_state *jobs; /* in the order of strcmp() of their names */
    size_t job_count;
    const struct ledger_open_run *runs; /* in the order of their instants */
    size_t run_count;
    wall_ns database_clock;
};

enum ledger_request_kind { LEDGER_TRIGGER, LEDGER_CANCEL, LEDGER_PAUSE, LEDGER_RESUME };

struct ledger_request {
    int64_t id;
    enum ledger_request_kind kind;
    const char *job; /* "": all jobs (pause, resume) */
    wall_ns requested_at;
    const char *requested_by;
};

struct ledger_events {
    /* The arrays are the ledger's, for the time of the call. */
    void (*on_loaded)(void *ctx, const struct ledger_state *state);
    void (*on_claimed)(void *ctx, const enum ledger_verdict *verdicts, size_t count,
                       wall_ns database_clock);
    void (*on_written)(void *ctx);
    void (*on_requests)(void *ctx, const struct ledger_request *requests, size_t count);
    void (*on_pruned)(void *ctx, size_t rows);
    /* The question was not answered as it should be; text says why. The ledger is free again, or
     * will be when on_ready comes. */
    void (*on_failed)(void *ctx, const char *text);
    /* It was down, and may be asked. Also once at first. */
    void (*on_ready)(void *ctx);
    /* Another term was opened: ours is over, whatever the lock says. */
    void (*on_term_over)(void *ctx);
    void *ctx;
};

struct ledger_options {
    const struct config *config; /* must outlive the ledger */
    struct server_address address;
    struct server_identity server; /* what it must be */
    uint64_t incarnation;
    uint64_t seed;
};

struct ledger;
struct ledger_kind {
    int (*open)(
        struct ledger *l); /* begin to connect; NULL: nothing to do. 0 or a negative errno */
    void (*begin)(struct ledger *l);
    bool (*is_free)(const struct ledger *l);
    void (*load)(struct ledger *l);
    void (*claim)(struct ledger *l, const struct ledger_claim *claims, size_t count);
    void (*write)(struct ledger *l, const struct ledger_write *write);
    void (*take_requests)(struct ledger *l);
    void (*prune)(struct ledger *l, const char *job);
    void (*limit)(struct ledger *l); /* the limits are other ones now; NULL: nothing to do */
    void (*close)(struct ledger *l); /* frees l */
};

/* What a reload may change under way. */
struct ledger_limits {
    dur_ns history;   /* 0: none */
    int history_runs; /* 0: none */
    dur_ns max_clock_skew;
};

/* The part that all kinds have in common, first in their own struct. */
struct ledger {
    const struct ledger_kind *kind;
    struct ledger_events events;
    struct ev_loop *loop;
    struct ledger_options options;
    struct ledger_limits limits;
    struct epoch epoch; /* since ledger_begin() */
};

/* ledger_open - get ready: connect. NULL: out of memory. Which kind, the configuration says. */
struct ledger *ledger_open(struct ev_loop *loop, const struct ledger_options *options,
                           const struct ledger_events *events);

/* ledger_limit - from now on with the limits of that configuration, which need not outlive the
 * call. */
void ledger_limit(struct ledger *l, const struct config *cfg);

/* ledger_begin - the term of this epoch is open: on_ready comes when it may be asked. */
void ledger_begin(struct ledger *l, struct epoch epoch);

/* ledger_is_free - may the next question be asked now? */
bool ledger_is_free(const struct ledger *l);

/* ledger_load - every job's state, and every open run of the election. */
void ledger_load(struct ledger *l);

/* ledger_claim - 1 to LEDGER_BATCH_MAX of them, in one statement. The caller keeps them until the
 * answer, which has a verdict for each, in the same order. */
void ledger_claim(struct ledger *l, const struct ledger_claim *claims, size_t count);

/* ledger_write - at least one of anything, and LEDGER_BATCH_MAX changes at most. */
void ledger_write(struct ledger *l, const struct ledger_write *write);

/* ledger_take_requests - those that nobody has answered yet, oldest first. */
void ledger_take_requests(struct ledger *l);

/* ledger_prune - delete a batch of runs, LEDGER_PRUNE_MAX at most: of this job, those that are more
 * than the configuration keeps; for NULL, of all jobs, configured or not, those that are older, and
 * old requests. on_pruned says how many rows of runs went. */
void ledger_prune(struct ledger *l, const char *job);

void ledger_close(struct ledger *l); /* takes NULL */

/* ledger_connection_of - where the term is kept on the same connection; NULL for the other kinds.
 */
struct ledger_connection;
struct ledger_connection *ledger_connection_of(struct ledger *l);

/* The kinds, for ledger_open() alone. */
struct ledger *ledger_postgres_new(void);
struct ledger *ledger_sqlite_new(void);
struct ledger *ledger_none_new(void);

#endif
