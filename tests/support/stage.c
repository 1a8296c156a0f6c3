#include "tests/support/stage.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/text.h"

enum { ROWS_MAX = 16384 };

/* A run may take its time, whatever else the machine does. */
#define CALM "stop_timeout = 60s\n"

void stage_make(struct stage *s, enum stage_kind kind)
{
    struct outcome told;

    *s = (struct stage){.kind = kind};
    workdir_make(&s->dir);
    if (kind == ON_POSTGRES) {
        server_start(&s->pg, &s->dir, "pg", NULL);
        s->dsn = text_format("%s", server_conninfo(&s->pg, SERVER_TLS));
    } else {
        s->path = text_format("%s/ledger.db", s->dir.path);
        s->dsn = text_format("sqlite:%s", s->path);
    }
    const struct instance_settings settings = {
        .dsn = s->dsn, .pgbaton = CALM, .election = ELECTION_CALM};

    instance_make(&s->a, &s->dir, "a", &settings);
    instance_make(&s->b, &s->dir, "b", &settings);
    instance_command(&s->a, &told, "init-db", NULL);
    cr_assert_eq(told.code, 0, "%s%s", told.out, told.err);
    if (kind == ON_POSTGRES) {
        s->conn = server_connect(&s->pg, "test");
        server_do(s->conn, "SET search_path = pgbaton");
    }
}

void stage_end(struct stage *s)
{
    instance_check_log(&s->a);
    instance_check_log(&s->b);
    if (s->conn != NULL) {
        PQfinish(s->conn);
    }
    free(s->path);
    free(s->dsn);
}

static char *with_directory(const struct stage *s, const char *text)
{
    char *all = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&all, &size);
    const char *at;

    cr_assert_not_null(to);
    while ((at = strstr(text, "DIR/")) != NULL) {
        (void)fprintf(to, "%.*s%s/", (int)(at - text), text, s->dir.path);
        text = at + strlen("DIR/");
    }
    (void)fputs(text, to);
    cr_assert_eq(fclose(to), 0);
    return all;
}

void stage_set(struct stage *s, const char *settings, const char *sections)
{
    char *jobs = with_directory(s, settings == NULL ? "" : settings);
    char *job = with_directory(s, sections);
    const struct instance_settings all = {
        .dsn = s->dsn, .pgbaton = CALM, .election = ELECTION_CALM, .jobs = jobs, .job = job};

    instance_configure(&s->a, &all);
    instance_configure(&s->b, &all);
    free(jobs);
    free(job);
}

void stage_start(struct instance *i)
{
    instance_mark(i);
    instance_start(i, NULL);
    instance_wait(i, "elected", "");
}

void stage_start_heir(struct instance *i)
{
    instance_mark(i);
    instance_start(i, NULL);
    instance_wait(i, "seat_taken", "");
}

void stage_touch(const struct stage *s, const char *name)
{
    char *path = text_format("%s/%s", s->dir.path, name);

    text_append(path, "x\n");
    free(path);
}

char *stage_file(const struct stage *s, const char *name)
{
    char *path = text_format("%s/%s", s->dir.path, name);
    char *text = text_read(path);

    free(path);
    return text;
}

struct wanted_file {
    const struct stage *stage;
    const char *name;
    const char *part;
    size_t count;
};

static bool file_holds(void *ctx)
{
    const struct wanted_file *w = ctx;
    char *text = stage_file(w->stage, w->name);
    bool holds = text_count(text, w->part) >= w->count;

    free(text);
    return holds;
}

void stage_wait_file(const struct stage *s, const char *name, const char *part, size_t count)
{
    struct wanted_file wanted = {.stage = s, .name = name, .part = part, .count = count};

    if (!wait_until(file_holds, &wanted, WAIT_LIMIT)) {
        char *text = stage_file(s, name);

        cr_assert_fail("%s does not hold '%s' %zu times:\n%s\n%s", name, part, count, text,
                       text_tail(s->a.log));
    }
}

/* ---- the ledger ---- */

static void add(char *rows, const char *between, const char *value)
{
    size_t length = strlen(rows);

    (void)snprintf(rows + length, ROWS_MAX - length, "%s%s", between, value);
}

static const char *between(int row, int column)
{
    if (column > 0) {
        return " ";
    }
    return row > 0 ? "; " : "";
}

static void rows_of_postgres(const struct stage *s, const char *sql, char *rows)
{
    PGresult *result = PQexec(s->conn, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        add(rows, "error: ", PQerrorMessage(s->conn));
    }
    for (int row = 0; row < PQntuples(result); row++) {
        for (int column = 0; column < PQnfields(result); column++) {
            add(rows, between(row, column),
                PQgetisnull(result, row, column) ? "-" : PQgetvalue(result, row, column));
        }
    }
    PQclear(result);
}

static void rows_of_sqlite(const struct stage *s, const char *sql, char *rows)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_open_v2(s->path, &db, SQLITE_OPEN_READWRITE, NULL);

    (void)sqlite3_busy_timeout(db, 10000);
    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    }
    if (rc == SQLITE_OK) {
        for (int row = 0; (rc = sqlite3_step(statement)) == SQLITE_ROW; row++) {
            for (int column = 0; column < sqlite3_column_count(statement); column++) {
                const char *text = (const char *)sqlite3_column_text(statement, column);

                add(rows, between(row, column), text == NULL ? "-" : text);
            }
        }
    }
    if (rc != SQLITE_DONE) {
        add(rows, "error: ", sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
}

const char *stage_rows(const struct stage *s, const char *sql)
{
    static char rows[ROWS_MAX];

    rows[0] = '\0';
    if (s->kind == ON_POSTGRES) {
        rows_of_postgres(s, sql, rows);
    } else {
        rows_of_sqlite(s, sql, rows);
    }
    return rows;
}

struct wanted_rows {
    const struct stage *stage;
    const char *sql;
    const char *wanted;
};

static bool says_that(void *ctx)
{
    const struct wanted_rows *w = ctx;

    return strcmp(stage_rows(w->stage, w->sql), w->wanted) == 0;
}

void stage_wait(const struct stage *s, const char *sql, const char *wanted)
{
    struct wanted_rows all = {.stage = s, .sql = sql, .wanted = wanted};

    if (!wait_until(says_that, &all, WAIT_LIMIT)) {
        char *said = text_format("%s", stage_rows(s, sql));

        cr_assert_fail("%s\nsays    %s\nand not %s\n%s\n%s", sql, said, wanted,
                       stage_rows(s, "SELECT job, id, attempt, outcome, reason, origin, parent, "
                                     "count, '\n' FROM run ORDER BY job, scheduled_at, attempt"),
                       text_tail(s->a.log));
    }
}

void stage_expect(const struct stage *s, const char *title, const char *sql, const char *wanted)
{
    char *said = text_format("%s", stage_rows(s, sql));

    cr_expect_str_eq(said, wanted, "%s: %s\nsays    %s\nand not %s", title, sql, said, wanted);
    free(said);
}

void stage_do(const struct stage *s, const char *sql)
{
    const char *said = stage_rows(s, sql);

    cr_assert(strncmp(said, "error: ", 7) != 0, "%s: %s", sql, said);
}
