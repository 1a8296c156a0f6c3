/*
 * ledger_sqlite_private.h - for the files of the ledger in SQLite alone.
 *
 * ledger_sqlite.c asks and answers, and has the transaction; what one kind of
 * question does inside it is in a file of its own.
 */
#ifndef PGBATON_WORKER_LEADER_LEDGER_SQLITE_PRIVATE_H
#define PGBATON_WORKER_LEADER_LEDGER_SQLITE_PRIVATE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/backoff.h"
#include "common/config_memory.h"
#include "common/random.h"
#include "common/timer.h"
#include "worker/database/sqlite_file.h"
#include "worker/database/sqlite_statement.h"
#include "worker/leader/ledger.h"

/* Those that are kept; their texts are in ledger_sqlite_sql.c. */
enum ledger_sql {
    SQL_BEGIN_READING,
    SQL_BEGIN_WRITING,
    SQL_COMMIT,
    SQL_ELECTION,
    SQL_TERM_IS,
    SQL_CLAIM_NEW,
    SQL_CLAIM_PROMOTED,
    SQL_CLAIM_IS_OURS,
    SQL_TICK_WAS,
    SQL_JOB_STATES,
    SQL_OPEN_RUNS,
    SQL_INSERT,
    SQL_UPDATE,
    SQL_DELETE,
    SQL_JOB_IS,
    SQL_ANSWER,
    SQL_REQUESTS,
    SQL_PRUNE_AGED,
    SQL_PRUNE_FIRST_BEYOND,
    SQL_PRUNE_BEYOND,
    SQL_PRUNE_REQUESTS,
    SQL_COUNT,
};

/*
 * Not begun: no term yet. Down: not open; the timer stands for the next attempt. Ready: open, and
 * the row was ours when it was last looked at. Over: another term has it; nothing leads back,
 * and every question is answered so.
 */
enum ledger_step { LEDGER_NOT_BEGUN, LEDGER_DOWN, LEDGER_READY, LEDGER_OVER };

enum ledger_question {
    LEDGER_ASKS_NOTHING,
    LEDGER_ASKS_LOAD,
    LEDGER_ASKS_CLAIM,
    LEDGER_ASKS_WRITE,
    LEDGER_ASKS_REQUESTS,
    LEDGER_ASKS_PRUNE,
};

struct ledger_sqlite {
    struct ledger ledger;
    struct timer timer; /* answers, and attempts to open, come from the loop */
    struct backoff backoff;
    struct prng random;
    enum ledger_step step;
    bool row_written; /* the election's row has said once that the term is ours */
    struct sqlite_file file;
    sqlite3_stmt *kept[SQL_COUNT];
    char incarnation[17];            /* 16 hex digits */
    char told[SQLITE_FILE_TEXT_MAX]; /* why it is down, as it was said; "": not down */

    /* The question; its arrays are the caller's. */
    enum ledger_question asked;
    const struct ledger_claim *claims;
    size_t claim_count;
    struct ledger_write write;
    char prune_job[JOB_NAME_MAX]; /* "": what is old, of all jobs */
};

/* What a question brought, for as long as it is told. */
struct ledger_answer {
    enum ledger_verdict verdicts[LEDGER_BATCH_MAX];
    wall_ns now; /* when the transaction began */
    struct config_memory texts;
    struct ledger_job_state *jobs;
    size_t job_count;
    struct ledger_open_run *runs;
    size_t run_count;
    struct ledger_request *requests;
    size_t request_count;
    size_t pruned;
};

/* ledger_sqlite_say - the statement, with ?1 the election. */
struct statement ledger_sqlite_say(struct ledger_sqlite *s, enum ledger_sql which);

/* What a question does inside its transaction: SQLITE_OK, or what went wrong; then all of it is
 * taken back. */
int ledger_sqlite_load(struct ledger_sqlite *s, struct ledger_answer *a);
int ledger_sqlite_take_requests(struct ledger_sqlite *s, struct ledger_answer *a);
int ledger_sqlite_claim(struct ledger_sqlite *s, struct ledger_answer *a);
int ledger_sqlite_write(struct ledger_sqlite *s, struct ledger_answer *a);
int ledger_sqlite_prune(struct ledger_sqlite *s, struct ledger_answer *a);

#endif
