/*
 * stage.h - one or two instances and the ledger that they share, whichever
 * kind it is: what is true of the policies is true on both.
 *
 * Questions to the ledger are in the SQL that both understand, and name the
 * tables without a schema.
 */
#ifndef PGBATON_TESTS_SUPPORT_STAGE_H
#define PGBATON_TESTS_SUPPORT_STAGE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "tests/support/instance.h"
#include "tests/support/server.h"
#include "tests/support/workdir.h"

enum stage_kind { ON_POSTGRES, ON_SQLITE };

struct stage {
    enum stage_kind kind;
    struct workdir dir;
    struct server pg; /* ON_POSTGRES */
    PGconn *conn;     /* ON_POSTGRES: a superuser's */
    char *path;       /* ON_SQLITE: the file */
    char *dsn;
    struct instance a;
    struct instance b; /* configured as a is */
};

/* STAGE_RULE - a test for each kind, of the same rule; the body has `s`. */
#define STAGE_RULE(suite, rule)                                                                    \
    static void rule(struct stage *s);                                                             \
    Test(suite, rule##_on_postgres)                                                                \
    {                                                                                              \
        static struct stage stage;                                                                 \
                                                                                                   \
        stage_make(&stage, ON_POSTGRES);                                                           \
        rule(&stage);                                                                              \
        stage_end(&stage);                                                                         \
    }                                                                                              \
    Test(suite, rule##_on_sqlite)                                                                  \
    {                                                                                              \
        static struct stage stage;                                                                 \
                                                                                                   \
        stage_make(&stage, ON_SQLITE);                                                             \
        rule(&stage);                                                                              \
        stage_end(&stage);                                                                         \
    }                                                                                              \
    static void rule(struct stage *s)

/* stage_make - the tables are there, the instances have no job, nothing is started. */
void stage_make(struct stage *s, enum stage_kind kind);

/* stage_end - nobody has asserted. Instances that still run end with the test. */
void stage_end(struct stage *s);

/* stage_set - both instances' INI files, anew. DIR/ in jobs and sections is the test's directory.
 * settings: lines of [jobs], may be NULL. */
void stage_set(struct stage *s, const char *settings, const char *sections);

/* stage_start, stage_start_heir - until it leads, or waits. */
void stage_start(struct instance *i);
void stage_start_heir(struct instance *i);

/* stage_touch - make that file in the test's directory: what a job waits for. stage_file - what is
 * in one, the caller frees it; "" where there is none. */
void stage_touch(const struct stage *s, const char *name);
char *stage_file(const struct stage *s, const char *name);

/* stage_wait_file - until that file holds the part so many times. */
void stage_wait_file(const struct stage *s, const char *name, const char *part, size_t count);

/* stage_rows - what the ledger says: columns with a blank between, rows with "; ", null as "-".
 * Static. "" for no row; what went wrong, where it did. */
const char *stage_rows(const struct stage *s, const char *sql);

/* stage_wait - until the ledger says that. Ends the test, with what it says, at the limit. */
void stage_wait(const struct stage *s, const char *sql, const char *wanted);

/* stage_expect - it says that now. title: for the message. */
void stage_expect(const struct stage *s, const char *title, const char *sql, const char *wanted);

/* stage_do - a change that must succeed. */
void stage_do(const struct stage *s, const char *sql);

/* A question about facts: "yes" or "no". */
#define STAGE_IS(condition) "SELECT CASE WHEN " condition " THEN 'yes' ELSE 'no' END"

/* The number of rows with that, within a condition. */
#define STAGE_COUNT(condition) "(SELECT count(*) FROM run WHERE " condition ")"

/* How many pairs of runs of those jobs were alive at one time. */
#define STAGE_OVERLAPS(jobs)                                                                       \
    "SELECT count(*) FROM run x, run y WHERE x.job IN (" jobs ") AND y.job IN (" jobs ")"          \
    " AND x.id <> y.id AND x.started_at <= y.started_at"                                           \
    " AND (x.ended_at IS NULL OR x.ended_at > y.started_at)"

#endif
