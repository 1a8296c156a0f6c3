/*
 * sqlite_file.h - the SQLite file of `dsn = sqlite:PATH`: opened, and looked
 * at, the same way by everybody who does.
 *
 * The leader's worker makes it and writes to it; a probe reads it, or puts one
 * request into it. It is opened after the fork, by the process that uses it.
 * Every wait for another process is short (SQLITE_FILE_PATIENCE).
 *
 * SQLite's own locks belong to the process and are gone as soon as it closes
 * any descriptor of the file: nothing here, or anywhere, opens PATH beside it.
 *
 * Runs in: worker, probe, and `pgbaton init-db`. Never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_SQLITE_FILE_H
#define PGBATON_WORKER_DATABASE_SQLITE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/clock.h"

/* How long anything waits for another process that has the file locked. Each holds it for one short
 * transaction: what takes longer is asked again. */
#define SQLITE_FILE_PATIENCE DUR_MS(250)

enum { SQLITE_FILE_TEXT_MAX = 640 }; /* of an explanation, with its NUL */

struct sqlite3;

/* Which file it was: a path can come to mean another one. */
struct sqlite_file_place {
    dev_t device;
    ino_t number;
};

struct sqlite_file {
    struct sqlite3 *db; /* NULL: not open */
    const char *path;   /* the caller's */
    struct sqlite_file_place at;
    struct sqlite_file_place log_at; /* PATH-wal; 0, 0: not seen yet */
};

enum sqlite_file_mode {
    SQLITE_FILE_READ,   /* its tables must be there, and nothing is written */
    SQLITE_FILE_WRITE,  /* its tables must be there */
    SQLITE_FILE_CREATE, /* file (0600) and tables are made, or upgraded, where they are not there */
};

/*
 * sqlite_file_open - 0 and *ret_file (sqlite_file_close; path must outlive it), or a negative
 * errno with one line in reterr that says what is wrong and what would help:
 * -ENOENT: there is no file, or no table in it, yet; -EBUSY: another process had it locked, try
 * again; -EPROTO: it was made by another version, or is another program's; -EIO: anything else.
 */
int sqlite_file_open(const char *path, enum sqlite_file_mode mode, struct sqlite_file *ret_file,
                     char *reterr, size_t size);

/* sqlite_file_is_same - does PATH still mean the file that is open? To be asked after a
 * transaction: what was written into a file that was deleted, or replaced, nobody will read. */
bool sqlite_file_is_same(struct sqlite_file *f);

/* sqlite_file_explain - one line about a result code of SQLite's, which the last call on f
 * returned: what is wrong, what would help. */
void sqlite_file_explain(const struct sqlite_file *f, int code, char *ret_text, size_t size);

/* sqlite_file_must_reopen - after this code nothing that is open is to be relied on. */
bool sqlite_file_must_reopen(int code);

void sqlite_file_close(struct sqlite_file *f); /* takes one that is not open */

#endif
