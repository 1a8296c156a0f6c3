#include "worker/monitor/request.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/array.h"

static struct request request;
static char reason[160];

static int parse(const char *line)
{
    request = (struct request){.length = 4711};
    reason[0] = '\0';
    return request_parse(line, strlen(line), &request, reason, sizeof(reason));
}

Test(request, history_takes_its_filters)
{
    cr_assert_eq(parse("{\"command\":\"history\",\"job\":\"nightly\",\"since\":1795428000000001,"
                       "\"outcome\":\"failed\",\"limit\":7}"),
                 0, "%s", reason);
    cr_expect_eq(request.kind, REQUEST_QUERY);
    cr_expect_eq(request.query.kind, QUERY_HISTORY);
    cr_expect_str_eq(request.query.job, "nightly");
    cr_expect_str_eq(request.query.word, "failed");
    cr_expect_eq(request.query.at, (wall_ns)1795428000000001 * 1000);
    cr_expect_eq(request.query.limit, 7);
}

Test(request, history_has_defaults)
{
    cr_assert_eq(parse("{\"command\":\"history\"}"), 0);
    cr_expect_eq(request.query.limit, REQUEST_LIMIT);
    cr_expect_eq(request.query.at, 0);
    cr_expect_str_eq(request.query.job, "");
}

/* clang-format off */
static const struct {
    const char *line;
    enum request_kind kind;
    enum query_kind query;
} good[] = {
    {"{\"command\":\"jobs\"}",                               REQUEST_QUERY, QUERY_JOBS},
    {"{\"command\":\"terms\",\"limit\":10000}",              REQUEST_QUERY, QUERY_TERMS},
    {"{\"command\":\"why\",\"job\":\"a\",\"at\":1}",         REQUEST_QUERY, QUERY_WHY},
    {"{\"command\":\"output\",\"run\":\"1.1-1\"}",           REQUEST_QUERY, QUERY_OUTPUT},
    {"{\"command\":\"run\",\"run\":\"1.1-1\"}",              REQUEST_QUERY, QUERY_RUN},
    {"{\"command\":\"answer\",\"request\":9}",               REQUEST_QUERY, QUERY_ANSWER},
    {"{\"command\":\"answer\",\"request\":9,\"withdraw\":true}", REQUEST_QUERY, QUERY_WITHDRAW},
    {"{\"command\":\"trigger\",\"job\":\"a\",\"wait\":true}", REQUEST_JOB,  QUERY_REQUEST},
    {"{\"command\":\"cancel\",\"job\":\"a\"}",               REQUEST_JOB,   QUERY_REQUEST},
    {"{\"command\":\"pause\"}",                              REQUEST_JOB,   QUERY_REQUEST},
    {"{\"command\":\"resume\",\"job\":\"a\"}",               REQUEST_JOB,   QUERY_REQUEST},
};

static const struct {
    const char *title;
    const char *line;
} bad[] = {
    {"a limit of none",        "{\"command\":\"history\",\"limit\":0}"},
    {"a limit beyond all",     "{\"command\":\"history\",\"limit\":10001}"},
    {"a limit that is a text", "{\"command\":\"history\",\"limit\":\"7\"}"},
    {"an outcome that is none", "{\"command\":\"history\",\"outcome\":\"good\"}"},
    {"a moment before 1970",   "{\"command\":\"history\",\"since\":-1}"},
    {"a moment after all",     "{\"command\":\"history\",\"since\":9223372036854775807}"},
    {"a key of another",       "{\"command\":\"history\",\"run\":\"1.1-1\"}"},
    {"why without a job",      "{\"command\":\"why\"}"},
    {"why of an empty name",   "{\"command\":\"why\",\"job\":\"\"}"},
    {"output of nothing",      "{\"command\":\"output\"}"},
    {"trigger without a job",  "{\"command\":\"trigger\"}"},
    {"cancel of all",          "{\"command\":\"cancel\",\"job\":\"\"}"},
    {"no number of a request", "{\"command\":\"answer\",\"request\":0}"},
    {"a name with a NUL",      "{\"command\":\"trigger\",\"job\":\"a\\u0000b\"}"},
    {"a name too long",        "{\"command\":\"trigger\",\"job\":\"0123456789012345678901234567890123456789012345678901234567890123\"}"},
};
/* clang-format on */

Test(request, each_command_is_known)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        cr_assert_eq(parse(good[i].line), 0, "%s: %s", good[i].line, reason);
        cr_expect_eq(request.kind, good[i].kind, "%s", good[i].line);
        cr_expect_eq(request.query.kind, good[i].query, "%s", good[i].line);
    }
    cr_assert_eq(parse("{\"command\":\"pause\"}"), 0);
    cr_expect_eq(request.query.order, JOB_PAUSE);
    cr_expect_str_eq(request.query.job, "");
    cr_assert_eq(parse("{\"command\":\"trigger\",\"job\":\"a\",\"wait\":true}"), 0);
    cr_expect(request.wait);
}

Test(request, what_cannot_be_meant_is_refused_with_a_reason)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_expect_eq(parse(bad[i].line), -EINVAL, "%s", bad[i].title);
        cr_expect_neq(reason[0], '\0', "%s", bad[i].title);
        cr_expect_eq(request.length, 4711, "%s: it was touched", bad[i].title);
    }
}
