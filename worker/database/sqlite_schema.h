/*
 * sqlite_schema.h - the tables in a SQLite file.
 *
 * The same as in PostgreSQL (schema.h); moments are microseconds since 1970.
 * The file says in its header whose it is (application_id) and which version
 * its tables have (user_version).
 *
 * Runs in: worker, probe, and `pgbaton init-db`. Never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_SQLITE_SCHEMA_H
#define PGBATON_WORKER_DATABASE_SQLITE_SCHEMA_H

enum {
    SQLITE_SCHEMA_VERSION = 2,
    SQLITE_SCHEMA_APPLICATION = 0x70676274, /* "pgbt" */
};

struct sqlite3;

enum sqlite_schema_state {
    SQLITE_SCHEMA_NONE,    /* an empty file */
    SQLITE_SCHEMA_OLDER,   /* to be upgraded */
    SQLITE_SCHEMA_READY,   /* as this version makes them */
    SQLITE_SCHEMA_NEWER,   /* a later version made them */
    SQLITE_SCHEMA_FOREIGN, /* somebody else's tables */
};

/* sqlite_schema_look - SQLITE_OK and both, or another result code of SQLite's. */
int sqlite_schema_look(struct sqlite3 *db, enum sqlite_schema_state *ret_state,
                       unsigned *ret_version);

/* sqlite_schema_create - make what is missing, in one transaction: for NONE and OLDER alone.
 * SQLITE_OK, or another result code; then nothing has changed. */
int sqlite_schema_create(struct sqlite3 *db);

#endif
