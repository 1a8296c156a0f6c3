#include <criterion/criterion.h>
#include <string.h>

#include "worker/probe/look.h"

#define OURS UINT64_C(0x1111)
#define THEIRS UINT64_C(0x2222)
#define START "2026-11-24 04:00:00.1+00"

/* clang-format off */
static const struct {
    const char *title;
    struct look look;
    int lock_pid;
    enum holder_kind kind;
} cases[] = {
    {"a key that nobody holds",
        {.term = {.known = true, .backend_pid = 7, .backend_start = START}}, 0, HOLDER_NOBODY},
    {"the lock session of our worker is ours, whatever the tables say",
        {.key = {.session = {.pid = 7}}, .witness_holds = true}, 7, HOLDER_OURS},
    {"the session that the current term records, of another incarnation",
        {.key = {.session = {.pid = 7, .backend_start = START}},
         .term = {.known = true, .backend_pid = 7, .backend_start = START, .incarnation = THEIRS}},
        0, HOLDER_PGBATON},
    {"the same, of ours",
        {.key = {.session = {.pid = 7, .backend_start = START}},
         .term = {.known = true, .backend_pid = 7, .backend_start = START, .incarnation = OURS}},
        0, HOLDER_OURS},
    {"a pid that came back is not the term's session",
        {.key = {.session = {.pid = 7, .backend_start = "later"}, .application = "psql"},
         .term = {.known = true, .backend_pid = 7, .backend_start = START, .incarnation = THEIRS}},
        0, HOLDER_FOREIGN},
    {"a term that has ended holds nothing",
        {.key = {.session = {.pid = 7, .backend_start = START}, .application = "psql"},
         .term = {.known = true, .ended = true, .backend_pid = 7, .backend_start = START, .incarnation = THEIRS}},
        0, HOLDER_FOREIGN},
    {"a start that is not known proves nothing",
        {.key = {.session = {.pid = 7}, .application = "psql"},
         .term = {.known = true, .backend_pid = 7, .incarnation = THEIRS}},
        0, HOLDER_FOREIGN},
    {"without the tables the name has to do",
        {.key = {.session = {.pid = 7}, .application = "pgbaton lock 12345678 main a"}}, 0, HOLDER_PGBATON},
    {"another program",
        {.key = {.session = {.pid = 7}, .application = "rails"}}, 0, HOLDER_FOREIGN},
};
/* clang-format on */

Test(look, whose_session_holds_the_key)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect(look_kind(&cases[i].look, OURS, cases[i].lock_pid) == cases[i].kind, "%s: %d",
                  cases[i].title, (int)look_kind(&cases[i].look, OURS, cases[i].lock_pid));
    }
}

Test(look, names_the_key_by_its_halves_and_all_names_quoted)
{
    struct config cfg = {
        .database = {.schema = "od\"d"},
        .election = {.name = "o'dd", .key = (int64_t)UINT64_C(0xFFFFFFFE00000001)},
    };
    char sql[2048];

    cr_assert_eq(look_sql(&cfg, true, sql, sizeof(sql)), 0);
    cr_expect_not_null(strstr(sql, "l.classid = 4294967294::oid AND l.objid = 1::oid"), "%s", sql);
    cr_expect_not_null(strstr(sql, "\"od\"\"d\".term"));
    cr_expect_not_null(strstr(sql, "e.name = 'o''dd'"));
    cr_assert_eq(look_sql(&cfg, false, sql, sizeof(sql)), 0);
    cr_expect_null(strstr(sql, "od\"\"d"), "tables that may not be there are not named");
    cr_expect_not_null(strstr(sql, "n.nspname = 'od\"d'"), "%s", sql);
}

#define LEADS .key = {.session = {.pid = 7, .backend_start = START}}
#define TERM .known = true, .backend_pid = 7, .backend_start = START, .incarnation = THEIRS

/* clang-format off */
static const struct {
    const char *title;
    struct look look;
    enum holder_kind kind;
    uint64_t jobs_hash;
    enum unserved_sight unserved;
} leaders[] = {
    {"the same jobs",             {LEADS, .term = {TERM, .jobs_hash = 5}}, HOLDER_PGBATON, 5, UNSERVED_NONE},
    {"other jobs",                {LEADS, .term = {TERM, .jobs_hash = 6}}, HOLDER_PGBATON, 5, UNSERVED_SOME},
    {"a leader without any",      {LEADS, .term = {TERM}},                 HOLDER_PGBATON, 5, UNSERVED_SOME},
    {"a follower without any",    {LEADS, .term = {TERM, .jobs_hash = 6}}, HOLDER_PGBATON, 0, UNSERVED_NONE},
    {"what we lead ourselves",    {LEADS, .term = {TERM, .jobs_hash = 6}}, HOLDER_OURS,    5, UNSERVED_NONE},
    {"a term that is over",       {LEADS, .term = {TERM, .jobs_hash = 6, .ended = true}}, HOLDER_PGBATON, 5, UNSERVED_UNKNOWN},
    {"a key that is held by nobody", {.term = {TERM, .jobs_hash = 6}},     HOLDER_NOBODY,  5, UNSERVED_UNKNOWN},
    {"a key that another program has", {LEADS, .term = {TERM, .jobs_hash = 6}}, HOLDER_FOREIGN, 5, UNSERVED_UNKNOWN},
    {"a term that cannot be read", {LEADS},                                HOLDER_PGBATON, 5, UNSERVED_UNKNOWN},
};
/* clang-format on */

Test(look, tells_a_leader_that_has_other_jobs)
{
    for (size_t i = 0; i < sizeof(leaders) / sizeof(leaders[0]); i++) {
        cr_expect(look_unserved(&leaders[i].look, leaders[i].kind, leaders[i].jobs_hash) ==
                      leaders[i].unserved,
                  "%s", leaders[i].title);
    }
}

/* clang-format off */
static const struct {
    const char *title;
    struct look_term term;
    struct stuck_sight holder;
    bool of_term;
    bool holds;
} sessions[] = {
    {"the session of a term that goes on",
        {.known = true, .backend_pid = 7, .backend_start = START}, {7, START, ""}, true, true},
    {"a session that is left of a term that was stamped as lost is still its own",
        {.known = true, .ended = true, .backend_pid = 7, .backend_start = START}, {7, START, ""}, true, false},
    {"another backend with that pid is not",
        {.known = true, .backend_pid = 7, .backend_start = START}, {7, "later", ""}, false, false},
    {"nor is one whose start may not be seen",
        {.known = true, .backend_pid = 7, .backend_start = START}, {7, "", ""}, false, false},
    {"nor one of a term whose start is not known",
        {.known = true, .backend_pid = 7}, {7, "", ""}, false, false},
    {"without the table nothing is known",
        {.backend_pid = 7, .backend_start = START}, {7, START, ""}, false, false},
};
/* clang-format on */

Test(look, tells_the_session_that_a_term_records)
{
    for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
        cr_expect(look_is_of_term(&sessions[i].term, &sessions[i].holder) == sessions[i].of_term,
                  "%s", sessions[i].title);
        cr_expect(look_is_holder(&sessions[i].term, &sessions[i].holder) == sessions[i].holds, "%s",
                  sessions[i].title);
    }
}
