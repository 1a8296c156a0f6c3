#include "worker/database/sqlite_schema.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>

#define MOMENT_NOW                                                                                 \
    "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000"                                            \
    " + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)"

#define TEXT_OF(moment) "strftime('%Y-%m-%dT%H:%M:%fZ', r." moment " / 1e6, 'unixepoch') AS " moment

/*
 * What takes the tables from the version before it to this one. The first version with a file is 2:
 * the numbers are those of the schema in PostgreSQL.
 *
 * STRICT: a column has what its type says, whoever wrote it. The ids of requests are never given
 * twice (AUTOINCREMENT): who asks looks for his answer by it, also after old ones were deleted.
 */
/* clang-format off */
static const char to_version_2[] =
    "CREATE TABLE election ("
    "    name        TEXT NOT NULL PRIMARY KEY,"
    "    generation  INTEGER NOT NULL,"
    "    number      INTEGER NOT NULL,"
    "    incarnation TEXT NOT NULL,"
    "    instance    TEXT NOT NULL"
    ") STRICT;"
    "CREATE TABLE run ("
    "    election     TEXT NOT NULL,"
    "    id           TEXT NOT NULL,"
    "    job          TEXT NOT NULL,"
    "    scheduled_at INTEGER NOT NULL,"
    "    attempt      INTEGER NOT NULL,"
    "    last_at      INTEGER,"
    "    count        INTEGER NOT NULL DEFAULT 1,"
    "    outcome      TEXT NOT NULL,"
    "    reason       TEXT,"
    "    origin       TEXT NOT NULL,"
    "    parent       TEXT,"
    "    generation   INTEGER,"
    "    number       INTEGER,"
    "    incarnation  TEXT,"
    "    instance     TEXT,"
    "    created_at   INTEGER NOT NULL DEFAULT " MOMENT_NOW ","
    "    due_at       INTEGER,"
    "    started_at   INTEGER,"
    "    ended_at     INTEGER,"
    "    code         INTEGER,"
    "    result       TEXT,"
    "    output_bytes INTEGER,"
    /* Last: what is long is read only by who asks for it. */
    "    output_head  BLOB,"
    "    output_tail  BLOB,"
    "    PRIMARY KEY (election, id),"
    "    UNIQUE (election, job, scheduled_at, attempt)"
    ") STRICT;"
    "CREATE INDEX run_by_time ON run (election, scheduled_at);"
    "CREATE INDEX run_open ON run (election, job)"
    "    WHERE outcome IN ('queued', 'claimed', 'running', 'retrying');"
    "CREATE TABLE job_state ("
    "    election      TEXT NOT NULL,"
    "    job           TEXT NOT NULL,"
    "    paused        INTEGER NOT NULL DEFAULT 0,"
    "    last_tick     INTEGER,"
    "    schedule_hash TEXT,"
    "    failures      INTEGER NOT NULL DEFAULT 0,"
    "    PRIMARY KEY (election, job)"
    ") STRICT;"
    "CREATE TABLE request ("
    "    id           INTEGER PRIMARY KEY AUTOINCREMENT,"
    "    election     TEXT NOT NULL,"
    "    kind         TEXT NOT NULL,"
    "    job          TEXT NOT NULL DEFAULT '',"
    "    requested_by TEXT,"
    "    requested_at INTEGER NOT NULL DEFAULT " MOMENT_NOW ","
    "    answered_at  INTEGER,"
    "    done         INTEGER,"
    "    run_id       TEXT,"
    "    answer       TEXT"
    ") STRICT;"
    "CREATE INDEX request_open ON request (election, id) WHERE answered_at IS NULL;"
    /* For people: moments as text, lengths in seconds. Lateness counts from when it could begin. */
    "CREATE VIEW recent_runs AS"
    "    SELECT election, job, id, " TEXT_OF("scheduled_at") ", attempt, outcome, reason, origin,"
    "           parent, generation || '.' || number AS epoch, instance, " TEXT_OF("due_at") ","
    "           " TEXT_OF("started_at") ", " TEXT_OF("ended_at") ","
    "           (r.started_at - max(r.scheduled_at, coalesce(r.due_at, r.scheduled_at))) / 1e6"
    "               AS lateness,"
    "           (r.ended_at - r.started_at) / 1e6 AS duration, code, result,"
    "           " TEXT_OF("last_at") ", count, output_bytes"
    "    FROM run r ORDER BY r.scheduled_at DESC, attempt DESC LIMIT 1000;";
/* clang-format on */

static const struct {
    unsigned version;
    const char *sql;
} steps[] = {
    {2, to_version_2},
};

static int number_of(sqlite3 *db, const char *sql, sqlite3_int64 *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc != SQLITE_OK) {
        return rc;
    }
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(statement, 0);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_CORRUPT; /* each of them has a row */
    }
    (void)sqlite3_finalize(statement);
    return rc;
}

int sqlite_schema_look(struct sqlite3 *db, enum sqlite_schema_state *ret_state,
                       unsigned *ret_version)
{
    sqlite3_int64 application = 0;
    sqlite3_int64 version = 0;
    sqlite3_int64 objects = 0;
    int rc = number_of(db, "PRAGMA application_id", &application);

    if (rc == SQLITE_OK) {
        rc = number_of(db, "PRAGMA user_version", &version);
    }
    if (rc == SQLITE_OK) {
        rc = number_of(db, "SELECT count(*) FROM sqlite_schema", &objects);
    }
    if (rc != SQLITE_OK) {
        return rc;
    }
    *ret_version = (unsigned)version;
    if (application != SQLITE_SCHEMA_APPLICATION) {
        bool empty = application == 0 && version == 0 && objects == 0;
        *ret_state = empty ? SQLITE_SCHEMA_NONE : SQLITE_SCHEMA_FOREIGN;
    } else if (version == SQLITE_SCHEMA_VERSION) {
        *ret_state = SQLITE_SCHEMA_READY;
    } else {
        bool newer = version < 0 || version > SQLITE_SCHEMA_VERSION;
        *ret_state = newer ? SQLITE_SCHEMA_NEWER : SQLITE_SCHEMA_OLDER;
    }
    return SQLITE_OK;
}

static int run_steps(sqlite3 *db)
{
    enum sqlite_schema_state state;
    unsigned version;
    char mark[96];
    int rc = sqlite_schema_look(db, &state, &version); /* again: now nobody else can make them */

    if (rc != SQLITE_OK || state == SQLITE_SCHEMA_READY) {
        return rc;
    }
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (steps[i].version > version) {
            rc = sqlite3_exec(db, steps[i].sql, NULL, NULL, NULL);
        }
    }
    if (rc == SQLITE_OK) {
        (void)snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                       SQLITE_SCHEMA_APPLICATION, SQLITE_SCHEMA_VERSION);
        rc = sqlite3_exec(db, mark, NULL, NULL, NULL);
    }
    return rc;
}

int sqlite_schema_create(struct sqlite3 *db)
{
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    if (rc == SQLITE_OK) {
        rc = run_steps(db);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    }
    if (sqlite3_get_autocommit(db) == 0) {
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}
