#include "worker/probe/history.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/database/sqlite_schema.h"

static struct config cfg = {.election = {.name = "main"}, .database = {.schema = "it's \"mine\""}};

/* clang-format off */
static const struct message_query good[] = {
    {.kind = QUERY_JOBS},
    {.kind = QUERY_JOBS, .word = "the last of a page"},
    {.kind = QUERY_HISTORY, .limit = 1},
    {.kind = QUERY_HISTORY, .limit = QUERY_LIMIT_MAX, .job = "a", .word = "failed", .at = 1},
    {.kind = QUERY_WHY, .job = "a"},
    {.kind = QUERY_WHY, .job = "a", .at = DUR_S(1795428000)},
    {.kind = QUERY_RUN, .word = "1.1-1"},
    {.kind = QUERY_OUTPUT, .word = "1.1-1"},
    {.kind = QUERY_REQUEST, .order = JOB_TRIGGER, .job = "a", .word = "me"},
    {.kind = QUERY_ANSWER, .id = 1},
    {.kind = QUERY_WITHDRAW, .id = 1},
};

static const struct {
    const char *title;
    struct message_query query;
} bad[] = {
    {"a kind that is none",     {.kind = QUERY_KIND_COUNT}},
    {"a kind far off",          {.kind = UINT32_MAX}},
    {"what is asked elsewhere", {.kind = QUERY_FLEET}},
    {"no rows",                 {.kind = QUERY_HISTORY, .limit = 0}},
    {"too many rows",           {.kind = QUERY_HISTORY, .limit = QUERY_LIMIT_MAX + 1}},
    {"no terms",                {.kind = QUERY_TERMS, .limit = 0}},
    {"an outcome that is none", {.kind = QUERY_HISTORY, .limit = 1, .word = "good"}},
    {"an order that is none",   {.kind = QUERY_REQUEST, .order = JOB_ORDER_COUNT, .job = "a"}},
    {"a moment before 1970",    {.kind = QUERY_WHY, .job = "a", .at = -1}},
    {"a request before all",    {.kind = QUERY_ANSWER, .id = -1}},
};
/* clang-format on */

Test(history, what_another_process_asks_is_checked)
{
    struct history_question q;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_expect_eq(history_question(HISTORY_POSTGRES, &cfg, &bad[i].query, 1, &q), -EINVAL, "%s",
                     bad[i].title);
        cr_expect_eq(history_question(HISTORY_SQLITE, &cfg, &bad[i].query, 1, &q),
                     -EINVAL - (bad[i].query.kind == QUERY_TERMS ? ENOTSUP - EINVAL : 0), "%s",
                     bad[i].title);
    }
}

/* Every statement, as SQLite reads it: columns, tables and parameters are there. */
Test(history, each_question_fits_the_tables)
{
    sqlite3 *db = NULL;

    cr_assert_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    cr_assert_eq(sqlite_schema_create(db), SQLITE_OK);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct history_question q;
        sqlite3_stmt *statement = NULL;

        cr_assert_eq(history_question(HISTORY_SQLITE, &cfg, &good[i], 1, &q), 0, "%zu", i);
        cr_assert_eq(sqlite3_prepare_v2(db, q.sql, -1, &statement, NULL), SQLITE_OK, "%s in %s",
                     sqlite3_errmsg(db), q.sql);
        cr_expect_eq(sqlite3_column_count(statement), (int)q.record.count, "%s", q.sql);
        cr_expect_eq(sqlite3_bind_parameter_count(statement), q.count, "%s", q.sql);
        (void)sqlite3_finalize(statement);
        history_release(&q);
    }
    (void)sqlite3_close(db);
}

Test(history, what_people_write_is_never_part_of_a_statement)
{
    static const char evil[] = "'; DROP TABLE run; --";
    struct message_query query = {.limit = 20};

    (void)snprintf(query.job, sizeof(query.job), "%s", evil);
    (void)snprintf(query.word, sizeof(query.word), "%s", evil);
    for (uint32_t kind = QUERY_JOBS; kind < QUERY_KIND_COUNT; kind++) {
        for (int dialect = HISTORY_POSTGRES; dialect <= HISTORY_SQLITE; dialect++) {
            struct history_question q;

            query.kind = kind;
            if (history_question(dialect, &cfg, &query, 1, &q) == 0) {
                cr_expect_null(strstr(q.sql, "DROP"), "%s", q.sql);
                history_release(&q);
            }
        }
    }
}

Test(history, the_schemas_name_is_quoted)
{
    struct history_question q;
    struct message_query query = {.kind = QUERY_RUN, .word = "1.1-1"};

    cr_assert_eq(history_question(HISTORY_POSTGRES, &cfg, &query, 1, &q), 0);
    cr_expect_not_null(strstr(q.sql, "\"it's \"\"mine\"\"\".run"), "%s", q.sql);
    history_release(&q);
}
