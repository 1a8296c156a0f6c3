/*
 * ledger_fixture.h - a ledger of runs behind its interface, whatever keeps it.
 *
 * What differs between the kinds is in a ledger_backend. A user is one ledger
 * that is asked, as a leader would; several may be there at the same time. What
 * the ledger tells is kept in the user, and waited for.
 */
#ifndef PGBATON_TESTS_SUPPORT_LEDGER_FIXTURE_H
#define PGBATON_TESTS_SUPPORT_LEDGER_FIXTURE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "tests/support/server.h"
#include "tests/support/workdir.h"
#include "worker/leader/ledger.h"

struct ledger_fixture;

struct ledger_backend {
    /* The database is there: fills in dsn, and address where there is one. */
    void (*set_up)(struct ledger_fixture *f);
    void (*tear_down)(struct ledger_fixture *f);
    /* The term of this epoch was opened by that incarnation, as its leader writes it. */
    void (*open_term)(struct ledger_fixture *f, struct epoch epoch, uint64_t incarnation);
    /* The first value of a statement, in text; NULL: it is null, or there is none. Tables are
     * named without a schema. Static. A statement that fails ends the test. */
    const char *(*scalar)(struct ledger_fixture *f, const char *sql);
    /* The connections of the ledgers are cut, whatever is asked on them; NULL: there are none. */
    void (*cut)(struct ledger_fixture *f);
    /* The database refuses to be written, or not any more. */
    void (*refuse_writes)(struct ledger_fixture *f, bool refuse);
    /* Around the name of a column: a moment, as microseconds since 1970; bytes, as lower-case
     * hexadecimal digits. */
    const char *micros[2];
    const char *hex[2];
    const char *is_true; /* how scalar shows a flag that is set */
};

extern const struct ledger_backend ledger_backend_postgres;
extern const struct ledger_backend ledger_backend_sqlite;

struct ledger_fixture {
    const struct ledger_backend *backend;
    struct workdir dir;
    char dsn[512];
    struct server_address address;
    struct config *cfg;
    struct ev_loop *loop;
    /* Of PostgreSQL. */
    struct server server;
    PGconn *admin; /* a superuser's; search_path is the schema */
    void *data;    /* of SQLite: the test's own connection */
};

/* ledger_fixture_up - a fresh ledger, and the configuration with these lines more ("" for none). */
void ledger_fixture_up(struct ledger_fixture *f, const struct ledger_backend *backend,
                       const char *more);
void ledger_fixture_down(struct ledger_fixture *f);

enum ledger_told {
    TOLD_NOTHING,
    TOLD_READY,
    TOLD_LOADED,
    TOLD_CLAIMED,
    TOLD_WRITTEN,
    TOLD_REQUESTS,
    TOLD_PRUNED,
    TOLD_FAILED,
    TOLD_OVER,
};

enum { USER_ROWS_MAX = 16 };

struct ledger_user {
    struct ledger_fixture *fixture;
    struct ledger *ledger;
    struct epoch epoch;
    uint64_t incarnation;
    enum ledger_told told; /* the last of what it told; READY is kept apart */
    bool ready;
    enum ledger_verdict verdicts[LEDGER_BATCH_MAX];
    size_t verdict_count;
    wall_ns database_clock;
    struct ledger_job_state jobs[USER_ROWS_MAX];
    size_t job_count;
    struct ledger_open_run runs[USER_ROWS_MAX];
    size_t run_count;
    struct ledger_request requests[USER_ROWS_MAX];
    size_t request_count;
    size_t pruned;
    char text[REASON_MAX];
    char strings[8192]; /* what the copies above point to */
    size_t strings_used;
};

/* ledger_user_open - the term is opened in the database, and this ledger has begun and is ready. */
void ledger_user_open(struct ledger_user *u, struct ledger_fixture *f, struct epoch epoch,
                      uint64_t incarnation);
/* ledger_user_join - the same for a term that is open already, or not ours any more. */
void ledger_user_join(struct ledger_user *u, struct ledger_fixture *f, struct epoch epoch,
                      uint64_t incarnation);
void ledger_user_close(struct ledger_user *u);

/* ledger_user_wait - until it has told something; what it was. Ends the test after WAIT_LIMIT. */
enum ledger_told ledger_user_wait(struct ledger_user *u);
/* ledger_user_wait_free - it may be asked: again, or at last. */
void ledger_user_wait_free(struct ledger_user *u);

/* Each asks, and returns what was told. Where the connection is down it waits for it first. */
enum ledger_told ledger_user_claim(struct ledger_user *u, const struct ledger_claim *claims,
                                   size_t count);
enum ledger_told ledger_user_change(struct ledger_user *u, const struct ledger_change *changes,
                                    size_t count);
enum ledger_told ledger_user_write(struct ledger_user *u, const struct ledger_write *write);
enum ledger_told ledger_user_load(struct ledger_user *u);
enum ledger_told ledger_user_requests(struct ledger_user *u);
enum ledger_told ledger_user_prune(struct ledger_user *u, const char *job);

/* ledger_scalar - backend->scalar of a formatted statement. */
const char *ledger_scalar(struct ledger_fixture *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* ledger_run - that column of that run; NULL where there is no such run, or it is null. Static. */
const char *ledger_run(struct ledger_fixture *f, const char *id, const char *column);
/* ledger_run_is - is the column of that run this text? NULL: null. If not, it is printed. */
bool ledger_run_is(struct ledger_fixture *f, const char *id, const char *column, const char *text);
/* ledger_run_at - a moment of that run; 0: none. */
wall_ns ledger_run_at(struct ledger_fixture *f, const char *id, const char *column);
/* ledger_run_has - are these the bytes of that column, in hexadecimal digits? */
bool ledger_run_has(struct ledger_fixture *f, const char *id, const char *column, const char *hex);
/* ledger_count - how many rows of that table fulfil that condition. */
long ledger_count(struct ledger_fixture *f, const char *table, const char *condition);

#endif
