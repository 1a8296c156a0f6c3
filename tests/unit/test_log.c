#include "common/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log_repeat.h"

/* What is logged goes through this pipe. */
static int pipe_fds[2];

static void set_up(void)
{
    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    log_fd(pipe_fds[1]);
    log_role("tester");
    log_threshold(LEVEL_INFO);
}

TestSuite(log, .init = set_up, .timeout = 60);

/* All that was logged until now. */
static const char *logged(void)
{
    static char text[65536 + 1];
    size_t used = 0;
    ssize_t n;

    while (used < sizeof(text) - 1 &&
           (n = read(pipe_fds[0], text + used, sizeof(text) - 1 - used)) > 0) {
        used += (size_t)n;
    }
    text[used] = '\0';
    return text;
}

/* The same without the time stamp of its one line. */
static const char *logged_line(void)
{
    const char *text = logged();
    const char *space = strchr(text, ' ');

    return space == NULL ? text : space + 1;
}

Test(log, writes_one_line_an_event)
{
    log_info("elected", "election=%s epoch=%s pid=%d", "main", "1.7", 4242);
    cr_expect_str_eq(logged_line(), "info tester: elected election=main epoch=1.7 pid=4242\n");
}

Test(log, an_event_needs_no_pairs)
{
    log_warn("stuck", "%s", "");
    cr_expect_str_eq(logged_line(), "warn tester: stuck\n");
}

Test(log, the_time_is_rfc_3339_in_utc_with_milliseconds)
{
    cr_assert_eq(setenv("TZ", "Pacific/Auckland", 1), 0);
    wall_ns before = clock_wall() / DUR_MS(1);

    log_info("now", "%s", "");
    const char *text = logged();
    struct tm utc = {0};
    int milli = -1;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S.", &utc);

    cr_assert_not_null(rest, "%s", text);
    cr_assert_eq(sscanf(rest, "%3dZ", &milli), 1, "%s", text);
    cr_expect_eq(rest[3], 'Z');
    wall_ns said = timegm(&utc) * 1000 + milli;

    cr_expect_geq(said, before);
    cr_expect_leq(said, clock_wall() / DUR_MS(1));
}

Test(log, leaves_out_what_is_below_the_threshold)
{
    log_debug("detail", "%s", "");
    cr_expect_str_eq(logged(), "");
    log_threshold(LEVEL_DEBUG);
    log_debug("detail", "%s", "");
    cr_expect_str_eq(logged_line(), "debug tester: detail\n");
    log_threshold(LEVEL_ERROR);
    log_warn("warning", "%s", "");
    log_job_output("nightly", "stdout", "hello", 5);
    cr_expect_str_eq(logged(), "");
}

Test(log, leaves_errno_alone)
{
    errno = ENOTTY;
    log_info("event", "%s", "");
    cr_expect_eq(errno, ENOTTY);
    log_fd(-1);
    errno = ENOTTY;
    log_info("another", "%s", "");
    cr_expect_eq(errno, ENOTTY);
}

Test(log, a_long_line_is_cut_to_what_a_pipe_takes_at_once)
{
    static char words[3 * PIPE_BUF];

    memset(words, 'x', sizeof(words) - 1);
    log_info("long", "text=%s", words);
    const char *text = logged();

    cr_expect_eq(strlen(text), PIPE_BUF);
    cr_expect_str_eq(text + PIPE_BUF - 5, "x...\n");
    cr_expect_eq(strchr(text, '\n'), text + PIPE_BUF - 1, "one line");
}

Test(log, text_that_was_not_quoted_cannot_start_a_line)
{
    log_info("event", "text=%s", "a\nb\r\x1b[31m");
    cr_expect_str_eq(logged_line(), "info tester: event text=a?b??[31m\n");
}

Test(log, a_flood_of_one_line_is_held_back)
{
    int lines = 0;

    for (int i = 0; i < 1000; i++) {
        log_warn("database_down", "reason=%s", "refused");
    }
    for (const char *c = logged(); *c != '\0'; c++) {
        lines += *c == '\n';
    }
    cr_expect_eq(lines, REPEAT_BURST);
}

Test(log, another_line_is_no_repetition)
{
    log_warn("database_down", "reason=%s", "refused");
    log_warn("database_down", "reason=%s", "timeout");
    log_info("database_down", "reason=%s", "refused");
    log_warn("database_gone", "reason=%s", "refused");
    log_role("other");
    log_warn("database_down", "reason=%s", "refused");
    const char *text = logged();
    int lines = 0;

    for (const char *c = text; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    cr_expect_eq(lines, 5, "%s", text);
}

/* More lines than are remembered: the oldest is forgotten, never a new one lost. */
Test(log, many_different_lines_are_all_printed)
{
    int lines = 0;

    for (int i = 0; i < 100; i++) {
        log_info("number", "n=%d", i);
    }
    for (const char *c = logged(); *c != '\0'; c++) {
        lines += *c == '\n';
    }
    cr_expect_eq(lines, 100);
}

Test(log, job_output_is_quoted_and_never_held_back)
{
    for (int i = 0; i < 2; i++) {
        log_job_output("nightly", "stdout", "say \"hi\"\tnow", 12);
    }
    const char *text = logged();
    const char *line =
        "info tester: output job=nightly stream=stdout text=\"say \\\"hi\\\"\\tnow\"\n";
    const char *first = strstr(text, line);

    cr_assert_not_null(first, "%s", text);
    cr_expect_not_null(strstr(first + 1, line), "%s", text);
}

Test(log, a_long_line_of_a_job_ends_with_its_quote)
{
    static char words[2 * PIPE_BUF];

    memset(words, '\n', sizeof(words));
    log_job_output("nightly", "stderr", words, sizeof(words));
    const char *text = logged();
    size_t length = strlen(text);

    cr_expect_leq(length, PIPE_BUF);
    cr_expect_str_eq(text + length - 7, "\\n...\"\n");
}

Test(log, a_reader_that_hangs_holds_nobody_up_and_is_told_what_it_missed)
{
    mono_ns before = clock_now();
    int flags = fcntl(pipe_fds[1], F_GETFL);
    static char words[1000];

    cr_assert_eq(fcntl(pipe_fds[1], F_SETFL, flags & ~O_NONBLOCK), 0);
    memset(words, 'x', sizeof(words) - 1);
    for (int i = 0; i < 1000; i++) {
        log_info("flood", "n=%d %s", i, words);
    }
    cr_expect_lt(clock_now() - before, DUR_S(10));
    (void)logged();
    log_info("after", "%s", "");
    const char *text = logged();

    cr_expect_not_null(strstr(text, " warn tester: log_lines_dropped lines="), "%s", text);
    cr_expect_not_null(strstr(text, " info tester: after\n"), "%s", text);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    const char *quoted;
} texts[] = {
    {"a plain word stays bare",         "web-1:42",            "web-1:42"},
    {"so does a path",                  "/tmp/a_b.c@d+e%f",    "/tmp/a_b.c@d+e%f"},
    {"nothing is two quotes",           "",                    "\"\""},
    {"so is NULL",                      NULL,                  "\"\""},
    {"white space needs quotes",        "a b",                 "\"a b\""},
    {"an equals sign too",              "a=b",                 "\"a=b\""},
    {"quotes are escaped",              "say \"hi\"",          "\"say \\\"hi\\\"\""},
    {"a backslash is escaped",          "a\\b",                "\"a\\\\b\""},
    {"a line feed cannot break a line", "a\nb\r\tc",           "\"a\\nb\\r\\tc\""},
    {"nor a control character speak to the terminal", "\x1b[2J\x7f", "\"\\x1b[2J\\x7f\""},
    {"UTF-8 stays",                     "Grüße €😀",            "\"Grüße €😀\""},
    {"but not its control characters",  "\xc2\x9b[2J",         "\"\\xc2\\x9b[2J\""},
    {"a byte that is no UTF-8",         "\xff\xc3",            "\"\\xff\\xc3\""},
    {"an overlong form",                "\xc0\xaf\xe0\x80\xaf", "\"\\xc0\\xaf\\xe0\\x80\\xaf\""},
    {"half a surrogate",                "\xed\xa0\x80",        "\"\\xed\\xa0\\x80\""},

    {"a password of a conninfo",  "host=h password=s3cret user=u", "\"host=h password=*** user=u\""},
    {"quoted",                    "password='it\\'s me' user=u",   "\"password='***' user=u\""},
    {"with spaces around",        "password = s3cret user=u",      "\"password = *** user=u\""},
    {"in capitals",               "PGPASSWORD=s3cret",             "\"PGPASSWORD=***\""},
    {"of a key",                  "sslpassword=s3cret x",          "\"sslpassword=*** x\""},
    {"with an escaped blank",     "password=s3\\ cret x",          "\"password=*** x\""},
    {"whose quote never ends",    "password='s3cret x",            "\"password='***\""},
    {"that is empty",             "password=",                     "\"password=\""},
    {"the word alone is harmless", "no password supplied",         "\"no password supplied\""},
    {"a password of a URI",       "postgres://u:s3cret@h/db",      "\"postgres://u:***@h/db\""},
    {"with a slash and an at",    "postgres://u:s3/c@ret@h/db",    "\"postgres://u:***@h/db\""},
    {"in a sentence",             "at postgres://u:s3cret@h/db: no", "\"at postgres://u:***@h/db: no\""},
    {"with a question mark",      "postgres://u:s3?c=ret@h/db",    "\"postgres://u:***@h/db\""},
    {"as its parameter",          "postgres://h/db?password=s3cret", "\"postgres://h/db?password=***\""},
    {"both of them",              "a://u:p1@h password=p2",        "\"a://u:***@h password=***\""},
    {"both of them in a URI",     "a://u:p1@h?password=p@2 b",     "\"a://u:*** b\""},
    {"a parameter behind it",     "a://h?password=p2&x=y",         "\"a://h?password=***&x=y\""},
    {"a & in one of a conninfo",  "password=s3&cret x",            "\"password=*** x\""},
    {"a URI without one stays",   "postgres://h:5432/db",          "postgres://h:5432/db"},
    {"a user alone stays",        "postgres://u@h:5432/db",        "postgres://u@h:5432/db"},
    {"whatever is behind it",     "ssh://git@host:22/x@y",         "ssh://git@host:22/x@y"},
    {"a password behind an @",    "a://u@x:s3/c@h/d",              "\"a://u@x:***@h/d\""},
};
/* clang-format on */

/* As a full disk does: a limit on the size of files takes the beginning of a line, then nothing. */
Test(log, a_line_that_was_cut_off_by_a_full_disk_has_nothing_of_the_next_in_it)
{
    char path[] = "/tmp/pgbaton-log.XXXXXX";
    struct rlimit before;
    char text[512] = "";
    int fd = mkostemp(path, O_APPEND | O_CLOEXEC);

    cr_assert(fd >= 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    log_fd(fd);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){10, before.rlim_max}), 0);
    log_info("first", "%s", "");
    log_info("second", "%s", "");
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    log_info("third", "%s", "");

    cr_assert(pread(fd, text, sizeof(text) - 1, 0) > 0);
    const char *next = strchr(text, '\n');
    cr_assert_not_null(next);
    cr_expect_eq(next - text, 10, "%s", text);
    cr_expect_not_null(strstr(next, "Z warn tester: log_lines_dropped lines=2\n"), "%s", text);
    cr_expect_eq(strstr(next, "Z warn"), next + sizeof("2026-11-23T16:20:00.123"), "%s", text);
    cr_expect_not_null(strstr(next, "Z info tester: third\n"), "%s", text);
    (void)close(fd);
}

Test(log, text_from_outside)
{
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct log_text got = log_text(texts[i].text);

        cr_expect_str_eq(got.is, texts[i].quoted, "%s: %s", texts[i].title, got.is);
    }
}

Test(log, a_long_text_is_cut_between_characters)
{
    char text[2000];
    size_t size = sizeof(((struct log_text *)0)->is);

    for (size_t shift = 0; shift < 8; shift++) {
        memset(text, ' ', sizeof(text));
        for (size_t i = shift; i + 2 < sizeof(text); i += 3) {
            memcpy(text + i, "€", 3);
        }
        text[1900] = '\0';
        struct log_text got = log_text(text);

        cr_expect_lt(strlen(got.is), size);
        cr_expect_str_eq(got.is + strlen(got.is) - 4, "...\"");
        cr_expect_null(strstr(got.is, "\\x"), "a character was torn");
    }
}

Test(log, a_password_cannot_be_cut_into_the_open)
{
    char text[1000];

    memset(text, 'a', sizeof(text));
    for (size_t at = 400; at < 600; at++) {
        memset(text, 'a', sizeof(text));
        memcpy(text + at, " password=zzzzzz ", 17);
        text[700] = '\0';
        cr_expect_null(strchr(log_text(text).is, 'z'));
    }
}

Test(log, levels_have_names)
{
    enum log_level level = LEVEL_DEBUG;

    for (int i = LEVEL_DEBUG; i <= LEVEL_ERROR; i++) {
        cr_expect(log_level_parse(log_level_name(i), &level));
        cr_expect_eq((int)level, i);
    }
    cr_expect_not(log_level_parse("loud", &level));
    cr_expect_eq(level, LEVEL_ERROR, "an output was touched");
}
