#include "worker/database/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/database/sqlite_schema.h"

/* What stays of the log of a busy hour when it has been carried over into the file. */
#define LOG_SIZE_KEPT "8388608"

/* ---- what went wrong ---- */

static const char *advice_about(int code)
{
    switch (code) {
    case SQLITE_FULL:
        return "the disk is full: make room for";
    case SQLITE_READONLY:
        return "may not be written to: check the owner and the mode of the file and of its "
               "directory, and that its file system is not mounted read-only:";
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "may not be used: check the owner and the mode of";
    case SQLITE_CANTOPEN:
        return "cannot be opened: check that its directory is there and may be written to:";
    case SQLITE_CORRUPT:
    case SQLITE_FORMAT:
        return "is damaged: move it away, or restore a copy (what ran before is then not known):";
    case SQLITE_NOTADB:
        return "is no SQLite database: name another file, or move it away:";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "is locked by another process: it is tried again; look who has it open:";
    case SQLITE_PROTOCOL:
        return "cannot be locked: too many processes use it, or its locks do not work:";
    case SQLITE_NOMEM:
        return "needs more memory than there is:";
    case SQLITE_IOERR:
        return "cannot be read or written: look at the disk, and its file system, of";
    case SQLITE_TOOBIG:
        return "does not take a text or an output as long as this one:";
    default:
        return NULL;
    }
}

void sqlite_file_explain(const struct sqlite_file *f, int code, char *ret_text, size_t size)
{
    int primary = code & 0xff;
    const char *advice = advice_about(primary);
    int error = f->db == NULL ? 0 : sqlite3_system_errno(f->db);
    const char *said = f->db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(f->db);

    if (advice == NULL) {
        (void)snprintf(ret_text, size, "the SQLite file answers: %s (%d): %s", said, code, f->path);
    } else if (error != 0 && primary != SQLITE_BUSY && primary != SQLITE_FULL) {
        (void)snprintf(ret_text, size, "the SQLite file %s %s (%s; SQLite's code %d)", advice,
                       f->path, strerror(error), code);
    } else {
        (void)snprintf(ret_text, size, "%s%s %s (SQLite's code %d)",
                       primary == SQLITE_FULL ? "" : "the SQLite file ", advice, f->path, code);
    }
}

bool sqlite_file_must_reopen(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_INTERRUPT:
        return false;
    default:
        return true;
    }
}

static int errno_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    default:
        return -EIO;
    }
}

/* ---- the path ---- */

static bool place_of(const char *path, struct sqlite_file_place *ret_place)
{
    struct stat named;

    if (lstat(path, &named) == -1) {
        return false;
    }
    *ret_place = (struct sqlite_file_place){.device = named.st_dev, .number = named.st_ino};
    return true;
}

static bool place_equal(struct sqlite_file_place a, struct sqlite_file_place b)
{
    return a.device == b.device && a.number == b.number;
}

/* Beside the file, and only there while somebody has it open. */
static bool log_place_of(const struct sqlite_file *f, struct sqlite_file_place *ret_place)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s-wal", f->path);

    return length > 0 && length < (int)sizeof(path) && place_of(path, ret_place);
}

bool sqlite_file_is_same(struct sqlite_file *f)
{
    struct sqlite_file_place at;
    struct sqlite_file_place log_at;

    if (!place_of(f->path, &at) || !place_equal(at, f->at)) {
        return false;
    }
    /* The first transaction makes it; then it stays until the last process has closed the file. */
    if (!log_place_of(f, &log_at)) {
        return f->log_at.number == 0;
    }
    if (f->log_at.number == 0) {
        f->log_at = log_at;
    }
    return place_equal(log_at, f->log_at);
}

/*
 * A file that is not there is made by us: SQLite would let everybody read it. One that is there is
 * not opened (see the header). A symbolic link is refused: two names of one file have two locks.
 */
static int prepare_path(const char *path, enum sqlite_file_mode mode, char *reterr, size_t size)
{
    struct stat named;

    if (lstat(path, &named) == 0) {
        if (S_ISREG(named.st_mode)) {
            return 0;
        }
        (void)snprintf(reterr, size, "the SQLite file must be a regular file, and not a link: %s",
                       path);
        return -EIO;
    }
    int error = errno;
    if (error == ENOENT && mode != SQLITE_FILE_CREATE) {
        (void)snprintf(reterr, size,
                       "there is no SQLite file yet: it is made by the first leader, or by "
                       "`pgbaton init-db`: %s",
                       path);
        return -ENOENT;
    }
    if (error == ENOENT) {
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        if (fd != -1) {
            (void)close(fd);
            return 0;
        }
        error = errno;
        if (error == EEXIST) { /* somebody else was faster */
            return 0;
        }
    }
    (void)snprintf(reterr, size, "the SQLite file cannot be %s: %s: %s",
                   error == ENOENT || mode == SQLITE_FILE_CREATE ? "made" : "looked at",
                   strerror(error), path);
    return -EIO;
}

/* ---- opening ---- */

static int has_text(void *ctx, int count, char **values, char **names)
{
    bool *ret_wal = ctx;

    (void)names;
    *ret_wal = count == 1 && values[0] != NULL && strcmp(values[0], "wal") == 0;
    return 0;
}

static int set_up(struct sqlite_file *f, enum sqlite_file_mode mode)
{
    static const char always[] = "PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = OFF;"
                                 "PRAGMA temp_store = MEMORY;";

    (void)sqlite3_extended_result_codes(f->db, 1);
    (void)sqlite3_busy_timeout(f->db, (int)(SQLITE_FILE_PATIENCE / DUR_MS(1)));
    int rc = sqlite3_exec(f->db, always, NULL, NULL, NULL);

    if (rc == SQLITE_OK && mode == SQLITE_FILE_READ) {
        rc = sqlite3_exec(f->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
    }
    return rc;
}

/* With a log beside the file readers and the writer do not wait for each other; FULL: a commit that
 * was answered is on the disk. */
static int set_up_writing(struct sqlite_file *f)
{
    bool wal = false;
    int rc = sqlite3_exec(f->db, "PRAGMA journal_mode = WAL", has_text, &wal, NULL);

    if (rc == SQLITE_OK && !wal) {
        rc = SQLITE_CANTOPEN; /* a file system without shared memory */
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(f->db,
                          "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = " LOG_SIZE_KEPT,
                          NULL, NULL, NULL);
    }
    return rc;
}

/* Nothing is written before it is known that the file is ours. */
static int set_up_tables(struct sqlite_file *f, enum sqlite_file_mode mode, char *reterr,
                         size_t size)
{
    enum sqlite_schema_state state;
    unsigned version = 0;
    int code = sqlite_schema_look(f->db, &state, &version);

    if (code != SQLITE_OK) {
        goto failed;
    }
    if (state == SQLITE_SCHEMA_FOREIGN) {
        (void)snprintf(reterr, size,
                       "the SQLite file has the tables of another program: name another file: %s",
                       f->path);
        return -EPROTO;
    }
    if (state == SQLITE_SCHEMA_NEWER) {
        (void)snprintf(reterr, size,
                       "the SQLite file was made by a later version of pgbaton (its tables have "
                       "version %u, this one knows %d): use that version, or another file: %s",
                       version, SQLITE_SCHEMA_VERSION, f->path);
        return -EPROTO;
    }
    if (state != SQLITE_SCHEMA_READY && mode != SQLITE_FILE_CREATE) {
        (void)snprintf(reterr, size,
                       "the SQLite file has no tables of this version yet: the next leader makes "
                       "them where [database] create_schema is yes, or `pgbaton init-db`: %s",
                       f->path);
        return state == SQLITE_SCHEMA_NONE ? -ENOENT : -EPROTO;
    }
    if (mode == SQLITE_FILE_READ) {
        return 0;
    }
    code = sqlite3_db_readonly(f->db, "main") == 1 ? SQLITE_READONLY : set_up_writing(f);
    if (code == SQLITE_OK && state != SQLITE_SCHEMA_READY) {
        code = sqlite_schema_create(f->db);
    }
    if (code == SQLITE_OK) {
        return 0;
    }
failed:
    sqlite_file_explain(f, code, reterr, size);
    return errno_of(code);
}

static bool was_moved(struct sqlite_file *f)
{
    int moved = 0;

    return sqlite3_file_control(f->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
           moved != 0;
}

int sqlite_file_open(const char *path, enum sqlite_file_mode mode, struct sqlite_file *ret_file,
                     char *reterr, size_t size)
{
    struct sqlite_file f = {.path = path};
    int rc = prepare_path(path, mode, reterr, size);

    if (rc < 0) {
        return rc;
    }
    /* Also for reading: a reader may have to bring the log in order that a dead process left. */
    int code = sqlite3_open_v2(path, &f.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (code == SQLITE_OK) {
        code = set_up(&f, mode);
    }
    if (code != SQLITE_OK) {
        sqlite_file_explain(&f, code, reterr, size);
        rc = errno_of(code);
        goto close_file;
    }
    rc = set_up_tables(&f, mode, reterr, size);
    if (rc < 0) {
        goto close_file;
    }
    if (!place_of(path, &f.at) || was_moved(&f)) {
        (void)snprintf(reterr, size, "the SQLite file was replaced while it was opened: %s", path);
        rc = -EBUSY;
        goto close_file;
    }
    *ret_file = f;
    return 0;

close_file:
    sqlite_file_close(&f);
    return rc;
}

void sqlite_file_close(struct sqlite_file *f)
{
    if (f->db != NULL) {
        /* _v2: also where somebody has left a statement unfinished. */
        (void)sqlite3_close_v2(f->db);
        f->db = NULL;
    }
}
