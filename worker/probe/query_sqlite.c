#include "worker/probe/query_sqlite.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "worker/database/sqlite_file.h"
#include "worker/probe/history.h"
#include "worker/probe/questions.h"
#include "worker/probe/records.h"

static const char *cell(void *ctx, size_t column, size_t *ret_size)
{
    sqlite3_stmt *statement = ctx;
    int type = sqlite3_column_type(statement, (int)column);
    const void *value = NULL;

    if (type == SQLITE_BLOB) {
        value = sqlite3_column_blob(statement, (int)column);
        value = value == NULL ? "" : value; /* one of no bytes */
    } else if (type != SQLITE_NULL) {
        value = sqlite3_column_text(statement, (int)column);
    }
    *ret_size = (size_t)sqlite3_column_bytes(statement, (int)column);
    return value;
}

static int bind(sqlite3_stmt *statement, const struct history_question *q)
{
    int rc = SQLITE_OK;

    for (int i = 0; i < q->count && rc == SQLITE_OK; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "$%d", i + 1);
        int place = sqlite3_bind_parameter_index(statement, name);
        if (place > 0) {
            rc = sqlite3_bind_text(statement, place, q->values[i], -1, SQLITE_STATIC);
        }
    }
    return rc;
}

/* A result code of SQLite's; on SQLITE_OK *ret_rows is a new reference. */
static int run(const struct sqlite_file *file, const struct history_question *q, json_t **ret_rows)
{
    sqlite3_stmt *statement = NULL;
    json_t *rows = json_array();

    int rc = sqlite3_prepare_v2(file->db, q->sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = bind(statement, q);
    }
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        json_t *row = record_row(&q->record, cell, statement);

        rc = json_array_append_new(rows, row) == 0 ? SQLITE_OK : SQLITE_NOMEM;
    }
    (void)sqlite3_finalize(statement);
    if (rc != SQLITE_DONE) {
        json_decref(rows);
        return rc == SQLITE_OK ? SQLITE_ERROR : rc;
    }
    *ret_rows = rows;
    return SQLITE_OK;
}

static bool writes(const struct message_query *query)
{
    return query->kind == QUERY_REQUEST || query->kind == QUERY_WITHDRAW;
}

static enum query_result ask(const struct probe *p, const struct message_query *query,
                             const struct history_question *q, json_t **ret_rows, char *reterr,
                             size_t size)
{
    enum sqlite_file_mode mode = writes(query) ? SQLITE_FILE_WRITE : SQLITE_FILE_READ;
    struct sqlite_file file = {.db = NULL};

    int rc = sqlite_file_open(p->cfg->database.dsn, mode, &file, reterr, size);
    if (rc < 0) {
        return rc == -EBUSY || rc == -EIO ? QUERY_DOWN : QUERY_FAILED;
    }
    int code = run(&file, q, ret_rows);
    if (code == SQLITE_OK && writes(query) && !sqlite_file_is_same(&file)) {
        json_decref(*ret_rows);
        code = SQLITE_CANTOPEN;
    }
    if (code != SQLITE_OK) {
        sqlite_file_explain(&file, code, reterr, size);
    }
    sqlite_file_close(&file);
    return code == SQLITE_OK ? QUERY_KNOWN : QUERY_DOWN;
}

bool query_sqlite(struct probe *p, const struct message_query *query)
{
    struct history_question q;
    char text[SQLITE_FILE_TEXT_MAX];
    json_t *rows = NULL;

    if (query->kind == QUERY_FLEET) { /* a file does not say who looks at it */
        answer_unknown(&p->peer, query, QUERY_NO_LEDGER, "");
        return false;
    }
    int rc = history_question(HISTORY_SQLITE, p->cfg, query, clock_wall(), &q);
    if (rc < 0) {
        answer_unknown(&p->peer, query, rc == -ENOTSUP ? QUERY_NO_LEDGER : QUERY_FAILED,
                       rc == -ENOTSUP ? "a SQLite file keeps no history of terms" : strerror(-rc));
        return false;
    }
    enum query_result result = ask(p, query, &q, &rows, text, sizeof(text));
    if (result == QUERY_KNOWN) {
        answer_known(&p->peer, query, rows);
    } else {
        answer_unknown(&p->peer, query, result, text);
    }
    history_release(&q);
    return result == QUERY_KNOWN && query->kind == QUERY_REQUEST;
}
