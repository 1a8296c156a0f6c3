#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/database/connect.h"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    size_t size;
    const char *line;
} cases[] = {
    {"line feeds become spaces",             "a\nb\n",                 99, "a b"},
    {"white space is one space",             " a \t b\n\tc \n\n",      99, "a b c"},
    {"what is said twice in a row is said once", "no: x\nno: x\n",     99, "no: x"},
    {"the same words later on are not lost", "a\nb\na\n",              99, "a b a"},
    {"nothing is nothing",                   "\n \n",                  99, ""},
    {"what does not fit is cut",             "abc\ndef",               6,  "abc d"},
};
/* clang-format on */

Test(connect, makes_one_line_of_a_text)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[99] = "?";

        connect_one_line(cases[i].text, line, cases[i].size);
        cr_expect_str_eq(line, cases[i].line, "%s: '%s'", cases[i].title, line);
    }
}

static PGconn *connect_with_password_of(size_t length, char *reterr, size_t size)
{
    char path[] = "/tmp/pgbaton-connect.XXXXXX";
    const struct config cfg = {.database = {.dsn = "host=/nowhere", .password_file = path}};
    FILE *to = fdopen(mkstemp(path), "w");

    cr_assert_not_null(to);
    for (size_t i = 0; i < length; i++) {
        (void)fputc('x', to);
    }
    (void)fputc('\n', to);
    cr_assert_eq(fclose(to), 0);
    PGconn *conn = connect_start(&cfg, NULL, "test", reterr, size);
    (void)unlink(path);
    return conn;
}

Test(connect, takes_a_password_as_long_as_a_token)
{
    char line[CONNECT_TEXT_MAX] = "";
    PGconn *conn = connect_with_password_of(20000, line, sizeof(line));

    cr_assert_not_null(conn, "%s", line);
    cr_expect_eq(strlen(PQpass(conn)), 20000);
    PQfinish(conn);
    cr_expect_null(connect_with_password_of(70000, line, sizeof(line)));
    cr_expect_not_null(strstr(line, "File too large"), "%s", line);
}

/* A worker that waited there would be killed for its silence, again and again. */
Test(connect, does_not_wait_for_a_password_in_a_pipe, .timeout = 60)
{
    char directory[] = "/tmp/pgbaton-connect.XXXXXX";
    char path[64];
    char wanted[128];
    char line[CONNECT_TEXT_MAX] = "";
    struct config cfg = {.database = {.dsn = "host=/nowhere", .password_file = path}};

    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/password", directory);
    cr_assert_eq(mkfifo(path, 0600), 0);

    PGconn *conn = connect_start(&cfg, NULL, "test", line, sizeof(line));

    (void)unlink(path);
    (void)rmdir(directory);
    cr_expect_null(conn);
    (void)snprintf(wanted, sizeof(wanted), "cannot read password_file %s: it is no regular file",
                   path);
    cr_expect_str_eq(line, wanted, "%s", line);
}
