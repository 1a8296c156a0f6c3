#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/database/settings.h"

static const struct settings lock_over_tcp = {
    .session = SETTINGS_LOCK,
    .lease = DUR_MS(15500),
    .lock_timeout = DUR_MS(800),
    .tcp = true,
};

/* What a server that accepts everything reads back. */
static const char *const accepted[][2] = {
    {"search_path", "pg_catalog"},
    {"statement_timeout", "15500"},
    {"lock_timeout", "800"},
    {"idle_in_transaction_session_timeout", "0"},
    {"idle_session_timeout", "15500"},
    {"tcp_user_timeout", "15500"},
    {"tcp_keepalives_idle", "16"},
    {"tcp_keepalives_interval", "75"},
    {"tcp_keepalives_count", "9"},
    {"synchronous_commit", "on"},
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_deferrable", "off"},
    {"TimeZone", "UTC"},
    {"DateStyle", "ISO, MDY"},
    {"client_encoding", "UTF8"},
    {"client_min_messages", "notice"},
    {"standard_conforming_strings", "on"},
    {"jit", "off"},
    {"deadlock_timeout", "1000"},
    {"log_min_duration_statement", "-1"},
};
enum { ACCEPTED = sizeof(accepted) / sizeof(accepted[0]) };

/* Those rows, with one name replaced: value NULL leaves it out. */
static PGresult *rows_with(const char *name, const char *value)
{
    PGresAttDesc columns[2] = {{.name = (char *)"name"}, {.name = (char *)"setting"}};
    PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    int row = 0;

    cr_assert(PQsetResultAttrs(rows, 2, columns) == 1);
    for (size_t i = 0; i < ACCEPTED; i++) {
        const char *setting = accepted[i][1];

        if (name != NULL && strcmp(accepted[i][0], name) == 0) {
            setting = value;
        }
        if (setting != NULL) {
            (void)PQsetvalue(rows, row, 0, (char *)accepted[i][0], (int)strlen(accepted[i][0]));
            (void)PQsetvalue(rows, row, 1, (char *)setting, (int)strlen(setting));
            row++;
        }
    }
    return rows;
}

/* clang-format off */
static const struct {
    const char *title;
    const char *name;
    const char *value;
    int rc;
} cases[] = {
    {"all as it was set",                          NULL,                      NULL,     0},
    {"keepalives that are longer are no harm",     "tcp_keepalives_idle",     "7200",   0},
    {"shorter ones end the session before its lease", "tcp_keepalives_idle",  "5",      -EACCES},
    {"0 is the kernel's own, which may be shorter", "tcp_keepalives_interval", "0",     -EACCES},
    {"the user timeout may not be less",           "tcp_user_timeout",        "2000",   -EACCES},
    {"the lease is the lease",                     "idle_session_timeout",    "0",      -EACCES},
    {"a server without idle_session_timeout",      "idle_session_timeout",    NULL,     -EACCES},
    {"a server without jit",                       "jit",                     NULL,     0},
    {"another search path",                        "search_path",             "public", -EACCES},
};
/* clang-format on */

Test(settings, what_was_not_accepted_is_refused)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        PGresult *rows = rows_with(cases[i].name, cases[i].value);
        char text[256] = "";

        cr_expect(settings_verify(&lock_over_tcp, rows, text, sizeof(text)) == cases[i].rc,
                  "%s: %s", cases[i].title, text);
        if (cases[i].rc != 0) {
            cr_expect(strstr(text, cases[i].name) != NULL, "%s: '%s'", cases[i].title, text);
        }
        PQclear(rows);
    }
}

Test(settings, of_tcp_are_not_looked_at_over_a_socket)
{
    struct settings wanted = lock_over_tcp;
    PGresult *rows = rows_with("tcp_keepalives_idle", "0");
    char text[256] = "";

    wanted.tcp = false;
    cr_expect_eq(settings_verify(&wanted, rows, text, sizeof(text)), 0, "%s", text);
    PQclear(rows);

    char *sql = settings_sql(&wanted);
    cr_expect_null(strstr(sql, "tcp_"));
    free(sql);
}

Test(settings, of_a_session_depend_on_what_it_is_for)
{
    struct settings wanted = {.session = SETTINGS_PROBE, .lease = DUR_S(15)};
    char *sql = settings_sql(&wanted);

    cr_expect_not_null(strstr(sql, "('statement_timeout','5000')"));
    cr_expect_not_null(strstr(sql, "('lock_timeout','1000')"));
    cr_expect_not_null(strstr(sql, "('idle_session_timeout','0')"));
    free(sql);

    wanted.session = SETTINGS_LEDGER;
    sql = settings_sql(&wanted);
    cr_expect_not_null(strstr(sql, "('statement_timeout','10000')"));
    cr_expect_not_null(strstr(sql, "('idle_in_transaction_session_timeout','15000')"));
    cr_expect_not_null(strstr(sql, "('idle_session_timeout','0')"));
    free(sql);

    sql = settings_sql(&lock_over_tcp);
    cr_expect_not_null(strstr(sql, "('lock_timeout','800')"));
    cr_expect_not_null(strstr(sql, "('idle_session_timeout','15500')"));
    cr_expect_not_null(strstr(sql, "('tcp_keepalives_idle','16')"), "rounded up to seconds");
    free(sql);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *name;
    const char *value;
    dur_ns slice;
} slices[] = {
    {"80 % of the usual deadlock_timeout",       NULL, NULL, DUR_MS(800)},
    {"never more than 800 ms",                   "deadlock_timeout", "10000", DUR_MS(800)},
    {"a short deadlock_timeout makes it short",  "deadlock_timeout", "100", DUR_MS(80)},
    {"the slow-query log stays silent",          "log_min_duration_statement", "250", DUR_MS(200)},
    {"a log of every statement asks for nothing", "log_min_duration_statement", "0", DUR_MS(800)},
};
/* clang-format on */

Test(settings, say_how_long_a_slice_may_be)
{
    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++) {
        PGresult *rows = rows_with(slices[i].name, slices[i].value);

        cr_expect(settings_slice(rows) == slices[i].slice, "%s: %lld ms", slices[i].title,
                  (long long)(settings_slice(rows) / DUR_MS(1)));
        PQclear(rows);
    }
}
