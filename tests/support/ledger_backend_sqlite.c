/* The ledger in a SQLite file, made as the leader makes it. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ledger_fixture.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"
#include "worker/database/sqlite_file.h"

static const char scheme[] = "sqlite:";

/* The test's own connection, beside those of the ledgers. */
static void set_up(struct ledger_fixture *f)
{
    struct sqlite_file *file = calloc(1, sizeof *file);
    char text[SQLITE_FILE_TEXT_MAX] = "";

    cr_assert_not_null(file);
    (void)snprintf(f->dsn, sizeof(f->dsn), "%s%s/ledger.db", scheme, f->dir.path);
    int rc = sqlite_file_open(f->dsn + strlen(scheme), SQLITE_FILE_CREATE, file, text, sizeof text);
    cr_assert_eq(rc, 0, "%s", text);
    (void)sqlite3_busy_timeout(file->db, (int)(WAIT_LIMIT / DUR_MS(1)));
    f->data = file;
}

static void tear_down(struct ledger_fixture *f)
{
    sqlite_file_close(f->data);
    free(f->data);
}

static const char *scalar(struct ledger_fixture *f, const char *sql)
{
    static char value[65536];
    struct sqlite_file *file = f->data;
    sqlite3_stmt *statement = NULL;
    bool some = false;

    cr_assert_eq(sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL), SQLITE_OK, "%s: %s", sql,
                 sqlite3_errmsg(file->db));
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL) {
        (void)snprintf(value, sizeof(value), "%s", (const char *)sqlite3_column_text(statement, 0));
        some = true;
    }
    cr_assert(rc == SQLITE_ROW || rc == SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(file->db));
    (void)sqlite3_finalize(statement);
    return some ? value : NULL;
}

static void open_term(struct ledger_fixture *f, struct epoch epoch, uint64_t incarnation)
{
    char *sql = text_format("INSERT INTO election (name, generation, number, incarnation, instance)"
                            " VALUES ('main', %" PRIu64 ", %" PRIu64 ", '%016" PRIx64 "', '')"
                            " ON CONFLICT (name) DO UPDATE SET generation = excluded.generation,"
                            " number = excluded.number, incarnation = excluded.incarnation",
                            epoch.generation, epoch.number, incarnation);

    (void)scalar(f, sql);
    free(sql);
}

/* As where the disk is full: the statement fails, the file stays open. */
static void refuse_writes(struct ledger_fixture *f, bool refuse)
{
    static const char *const ways[] = {"INSERT", "UPDATE", "DELETE"};

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char *sql = refuse ? text_format("CREATE TRIGGER no_%s BEFORE %s ON run BEGIN"
                                         " SELECT raise(ABORT, 'no space left'); END",
                                         ways[i], ways[i])
                           : text_format("DROP TRIGGER no_%s", ways[i]);

        (void)scalar(f, sql);
        free(sql);
    }
}

const struct ledger_backend ledger_backend_sqlite = {
    .set_up = set_up,
    .tear_down = tear_down,
    .open_term = open_term,
    .scalar = scalar,
    .refuse_writes = refuse_writes,
    .micros = {"(", ")"},
    .hex = {"lower(hex(", "))"},
    .is_true = "1",
};
