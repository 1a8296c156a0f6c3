/*
 * sqlite_user.h - one leader's use of a ledger in a SQLite file, which may fail from its
 * beginning on (tests/support/ledger_fixture.h has those that work): asks, waits on
 * the loop for what comes, and keeps it.
 *
 * Several may use one file, as several leaders would who do not know of each
 * other. What stands in the file is looked at by a connection of the test's own.
 */
#ifndef PGBATON_TESTS_UNIT_SQLITE_USER_H
#define PGBATON_TESTS_UNIT_SQLITE_USER_H

#include <ev.h>

#include "worker/leader/ledger.h"

enum heard {
    HEARD_NOTHING,
    HEARD_READY,
    HEARD_LOADED,
    HEARD_CLAIMED,
    HEARD_WRITTEN,
    HEARD_REQUESTS,
    HEARD_PRUNED,
    HEARD_FAILED,
    HEARD_OVER,
};

enum { KEPT_MAX = 64 };

struct kept_run {
    char id[RUN_ID_MAX];
    char job[JOB_NAME_MAX];
    struct ledger_open_run run; /* without its texts */
};
struct kept_job {
    char job[JOB_NAME_MAX];
    struct ledger_job_state state; /* without its text */
};
struct kept_request {
    char job[JOB_NAME_MAX];
    char requested_by[INSTANCE_MAX];
    struct ledger_request request; /* without its texts */
};

struct sqlite_user {
    struct ev_loop *loop; /* its own */
    struct config *cfg;   /* its own */
    struct ledger *ledger;
    enum heard heard; /* last */
    unsigned times;   /* anything was heard */
    char failed[1024];
    enum ledger_verdict verdicts[LEDGER_BATCH_MAX];
    size_t verdict_count;
    wall_ns clock;
    size_t pruned;
    struct kept_run runs[KEPT_MAX];
    size_t run_count;
    struct kept_job jobs[KEPT_MAX];
    size_t job_count;
    struct kept_request requests[KEPT_MAX];
    size_t request_count;
};

/* user_open - of the file "ledger" in the directory of config_fixture.h; settings are more of the
 * configuration, "" for none. */
void user_open(struct sqlite_user *u, uint64_t incarnation, const char *settings);
void user_close(struct sqlite_user *u);

/* user_wait - for the next thing to be heard. */
enum heard user_wait(struct sqlite_user *u);

/* Each asks, sees that nothing is heard before the loop runs, and waits for what is heard. */
enum heard user_begin(struct sqlite_user *u, uint64_t generation, uint64_t number);
enum heard user_load(struct sqlite_user *u);
enum heard user_claim(struct sqlite_user *u, const struct ledger_claim *claims, size_t count);
enum heard user_write(struct sqlite_user *u, const struct ledger_write *write);
enum heard user_take_requests(struct sqlite_user *u);
enum heard user_prune(struct sqlite_user *u, const char *job);

/* The same for one claim, which must be answered; one change. */
enum ledger_verdict user_claim_one(struct sqlite_user *u, const struct ledger_claim *claim);
enum heard user_change(struct sqlite_user *u, const struct ledger_change *change);

/* user_elect - open and begin, and it must be ready. */
void user_elect(struct sqlite_user *u, uint64_t incarnation, uint64_t number);

/* What the file "ledger" says: the first column of the first row, -1 and "" for none; user_sql
 * changes it. */
long long user_number(const char *sql);
const char *user_text(const char *sql);
void user_sql(const char *sql);

#endif
