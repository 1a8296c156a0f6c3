/*
 * The files: what inih would get wrong must not reach the user.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/config_entries.h"
#include "common/config_ini.h"
#include "tests/unit/config_fixture.h"

TestSuite(config_ini, .init = config_fixture_up, .fini = config_fixture_down);

#define JOB "[job a]\nschedule = manual\n"

/* clang-format off */
static const struct {
    const char *title;
    const char *text;
    const char *command; /* of the first job */
} right[] = {
    {"; and # belong to a value", JOB "command = a ; b # c;d", "a ; b # c;d"},
    {"in quotes too", JOB "command = echo \" ; x\" ' # y'", "echo \" ; x\" ' # y'"},
    {": belongs to a value", JOB "command = a:b = c", "a:b = c"},
    {"quotes are kept", JOB "command = \"a b\"", "\"a b\""},
    {"blanks around a value are not", JOB "command \t=\t  a  \t", "a"},
    {"no blanks are needed", JOB "command=a=b", "a=b"},
    {"indented lines are joined by a blank", JOB "command = a\n    b \n\tc\nuser = u", "a b c"},
    {"an empty value may go on", JOB "command =\n  a", "a"},
    {"a comment line does not end a value", JOB "command = a\n# no\n; no\n  b", "a b"},
    {"an indented # is no comment", JOB "command = a\n  # b", "a # b"},
    {"a # in quotes takes in nothing", JOB "command = echo 'a\n  # b' \"\n # c\"\n  d", "echo 'a # b' \" # c\" d"},
    {"nor one in quotes that are in quotes", JOB "command = x=\"$(git log --grep \"issue # 5\" -1)\";\n  echo a", "x=\"$(git log --grep \"issue # 5\" -1)\"; echo a"},
    {"nor one in a default", JOB "command = x=\"${y:-\"a # b\"}\"\n  echo a", "x=\"${y:-\"a # b\"}\" echo a"},
    {"in the middle of a line it is not known what it is", JOB "command = # a\n  b; # c\n  d", "# a b; # c d"},
    {"a blank is no end of a word where it is kept", JOB "command = a\\\n  # b\n  c", "a\\ # b c"},
    {"to psql it is an operator", JOB "command = SELECT data\n  #>> array[1]\n  FROM t\nshell = psql -Atc", "SELECT data #>> array[1] FROM t"},
    {"to perl a part of a word", "[jobs]\nshell = /usr/bin/perl -e\n" JOB "command = m\n  #x#\n  ;", "m #x# ;"},
    {"nor one inside a word", JOB "command = echo ${#a} b#c\n  $# \\# d\n e", "echo ${#a} b#c $# \\# d e"},
    {"for a word of another program # is a letter", JOB "exec = a\n  # b\n  c\n[job b]\nschedule = manual\ncommand = x", "a # b c"},
    {"what looks like a section is none in a value", JOB "command = a\n  [election]\n  lease = 1s", "a [election] lease = 1s"},
    {"line ends of other systems", "[job a]\r\nschedule = manual\r\ncommand = a\r\n  b\r\n\r\n", "a b"},
    {"the last line needs no line feed", JOB "command = a", "a"},
    {"a mark of UTF-8 is passed over", "\xEF\xBB\xBF" JOB "command = \xC3\xA9", "\xC3\xA9"},
    {"comments and empty lines anywhere", "# x\n;y\n\n \t \n" JOB "\n# z\ncommand = a\n", "a"},
};

static const struct {
    const char *title;
    const char *text;
    const char *problem;
} wrong[] = {
    {"':' for '='", "[election]\nlease: 5s\n",
        "pgbaton.ini:2: ':' is not '='; write key = value"},
    {"':' before '='", "[election]\nlease : x = 5s\n",
        "pgbaton.ini:2: ':' is not '='; write key = value"},
    {"a word alone", "[election]\nlease\n",
        "pgbaton.ini:2: is neither [section] nor key = value"},
    {"no key", "[election]\n= 5s\n",
        "pgbaton.ini:2: a key has small letters, digits and _, and stands before the '='"},
    {"a shell's assignment", "[election]\nexport lease=5s\n",
        "pgbaton.ini:2: a key has small letters, digits and _, and stands before the '='"},
    {"a key before any section", "lease = 5s\n",
        "pgbaton.ini:1: comes before any [section]; begin with one such as [database]"},
    {"a section without its end", "\n[election\nlease = 5s\n",
        "pgbaton.ini:2: a section is [NAME], with nothing behind the ']'"},
    {"something behind it", "[election] ; the lease\n",
        "pgbaton.ini:1: a section is [NAME], with nothing behind the ']'"},
    {"an unknown section", "[elections]\n",
        "pgbaton.ini:1: [elections]: is not a known section; did you mean [election]?"},
    {"a section like nothing", "[postgresql]\n",
        "pgbaton.ini:1: [postgresql]: is not a known section; there are [pgbaton], [database], [election], [jobs] and [job NAME]"},
    {"a job without a name", "[job]\n",
        "pgbaton.ini:1: [job]: a job needs a name: [job nightly]; defaults for all jobs are in [jobs]"},
    {"a job's name with a blank", "[job a b]\n",
        "pgbaton.ini:1: [job a b]: 'a b' cannot be the name of a job: letters, digits and _.:@+- please, beginning with a letter, a digit or _"},
    {"an unknown key, and the closest one", "[election]\nleese = 5s\n",
        "pgbaton.ini:2: [election] leese: is not a known key; did you mean 'lease'?"},
    {"a key of another section", "[database]\nlease = 5s\n",
        "pgbaton.ini:2: [database] lease: is no key of this section; it belongs into [election]"},
    {"a job's key outside", "[pgbaton]\nschedule = manual\n",
        "pgbaton.ini:2: [pgbaton] schedule: is no key of this section; it belongs into [job NAME]"},
    {"a key said twice", "[election]\nlease = 20s\n\nlease = 30s\n",
        "pgbaton.ini:4: [election] lease: is already at pgbaton.ini:2; keep one of the two"},
    {"in a section said twice", "[election]\nlease = 20s\n[jobs]\n[election]\nlease = 20s\n",
        "pgbaton.ini:5: [election] lease: is already at pgbaton.ini:2; keep one of the two"},
    {"a job said twice", JOB "command = a\n" JOB,
        "pgbaton.ini:4: [job a]: is already at pgbaton.ini:1; keep one of the two"},
    {"an indented line that continues nothing", "[election]\n  lease = 5s\n",
        "pgbaton.ini:2: an indented line continues a value, and there is none above it; begin the line at its start"},
    {"nor does it after an empty line", JOB "command = a\n\n  b\n",
        "pgbaton.ini:5: an indented line continues a value, and there is none above it; begin the line at its start"},
    {"the line of a continued value is its first", "[election]\nlease = 5\n  s\n",
        "pgbaton.ini:2: [election] lease: '5 s' is not a duration such as 500ms, 10s or 90m: one number and one unit"},
    {"a comment of the shell that takes in the rest", JOB "command = a\n  # first\n  b\n",
        "pgbaton.ini:4: [job a] command: has a comment that begins with # here; lines are joined, so it would take in all that follows: put the # at the very start of its line"},
    {"in a hook too", JOB "command = a\n\n[job b]\nschedule = manual\ncommand = b\non_failure = x\n  #why\n# no\n  z\n",
        "pgbaton.ini:9: [job b] on_failure: has a comment that begins with # here; lines are joined, so it would take in all that follows: put the # at the very start of its line"},
    {"in the default of all jobs", "[jobs]\nshell = busybox sh -c\ncommand = a\n  # a\n  b\n[job a]\nschedule = manual\n",
        "pgbaton.ini:4: [job a] command: has a comment that begins with # here; lines are joined, so it would take in all that follows: put the # at the very start of its line"},
    {"what comes from the file is made printable", "[\x1b[31m]\n",
        "pgbaton.ini:1: [?[31m]: is not a known section; there are [pgbaton], [database], [election], [jobs] and [job NAME]"},
};
/* clang-format on */

Test(config_ini, values)
{
    for (size_t i = 0; i < ARRAY_LEN(right); i++) {
        struct config_result r = config_fixture_read_text(right[i].text);

        config_problems_print(&r.problems, stderr);
        cr_assert_eq(r.rc, 0, "%s", right[i].title);
        cr_expect_str_eq(r.cfg->jobs[0].command, right[i].command, "%s: %s", right[i].title,
                         r.cfg->jobs[0].command);
        config_fixture_release(&r);
    }
}

Test(config_ini, refusals)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct config_result r = config_fixture_read_text(wrong[i].text);

        cr_expect_eq(r.rc, -EINVAL, "%s", wrong[i].title);
        cr_expect(config_fixture_has(&r, wrong[i].problem), "%s", wrong[i].title);
        config_fixture_release(&r);
    }
}

/* A text of that many bytes, most of them 'x', between head and tail. Not freed. */
static char *long_text(const char *head, size_t filling, const char *tail)
{
    size_t before = strlen(head);
    size_t behind = strlen(tail);
    char *text = malloc(before + filling + behind + 1);

    cr_assert_not_null(text);
    memcpy(text, head, before);
    memset(text + before, 'x', filling);
    memcpy(text + before + filling, tail, behind + 1);
    return text;
}

/* inih would begin a new line at byte 200, and read the tail as a key: wherever that is. */
Test(config_ini, a_long_comment_injects_nothing)
{
    for (size_t filling = 150; filling < 260; filling++) {
        char *text = long_text("[election]\n# ", filling, "enabled = no\n" JOB "command = a\n");
        struct config_result r = config_fixture_read_text(text);

        cr_assert_eq(r.rc, 0);
        cr_expect(r.cfg->election.enabled, "%zu", filling);
        config_fixture_release(&r);
        free(text);
    }
}

Test(config_ini, a_long_value_injects_nothing)
{
    for (size_t filling = 150; filling < 260; filling++) {
        char *text = long_text(JOB "command = ", filling, "user = root\n");
        struct config_result r = config_fixture_read_text(text);

        cr_assert_eq(r.rc, 0);
        cr_expect_null(r.cfg->jobs[0].user, "%zu", filling);
        cr_expect_eq(strlen(r.cfg->jobs[0].command), filling + strlen("user = root"));
        config_fixture_release(&r);
        free(text);
    }
}

Test(config_ini, lines_may_be_64_kib_and_no_longer)
{
    const size_t room = CONFIG_LINE_MAX - strlen("command = ");
    char *fits = long_text(JOB "command = ", room, "\n");
    char *too_long = long_text(JOB "command = ", room + 1, "\nuser = u\n  v\n");
    struct config_result r = config_fixture_read_text(fits);

    cr_assert_eq(r.rc, 0);
    cr_expect_eq(strlen(r.cfg->jobs[0].command), room);
    config_fixture_release(&r);

    r = config_fixture_read_text(too_long);
    cr_expect(config_fixture_has(&r, "pgbaton.ini:3: is too long: a line, and a value with its "
                                     "continued lines, has at most 64 KiB"));
    config_fixture_release(&r);
    free(fits);
    free(too_long);
}

Test(config_ini, a_continued_value_has_the_same_limit)
{
    char *text = long_text(JOB "command = a\n  ", CONFIG_LINE_MAX - 20, "\n  ");
    char *more = long_text(text, 100, "\n  b\nuser = me\n");
    struct config_result r = config_fixture_read_text(more);

    cr_expect(config_fixture_has(&r, "pgbaton.ini:3: is too long: a line, and a value with its "
                                     "continued lines, has at most 64 KiB"));
    /* Its other lines are not taken for something else. */
    cr_expect_eq(r.problems.errors, 2, "%zu", r.problems.errors); /* and: command is missing */
    config_fixture_release(&r);
    free(text);
    free(more);
}

/* inih cuts a section's name at 49 bytes: these two would be one. */
Test(config_ini, long_names_do_not_merge)
{
    char text[512];
    char name[64] = "";

    memset(name, 'n', 62);
    (void)snprintf(text, sizeof(text),
                   "[job %sa]\nschedule = manual\ncommand = first\n"
                   "[job %sb]\nschedule = manual\ncommand = second\n",
                   name, name);
    struct config_result r = config_fixture_read_text(text);

    cr_assert_eq(r.rc, 0);
    cr_assert_eq(r.cfg->job_count, 2);
    cr_expect_str_eq(r.cfg->jobs[0].command, "first");
    cr_expect_str_eq(r.cfg->jobs[1].command, "second");
    cr_expect_eq(strlen(r.cfg->jobs[1].name), 63);
    config_fixture_release(&r);

    (void)snprintf(text, sizeof(text), "[job %sab]\n", name);
    r = config_fixture_read_text(text);
    cr_expect_eq(r.rc, -EINVAL);
    cr_expect_not_null(strstr(r.problems.list[0].text, "1 to 63 bytes, please"));
    config_fixture_release(&r);
}

Test(config_ini, a_nul_byte_is_refused)
{
    static const char text[] = JOB "command = a\0b\n  c\n";
    struct config_result r;

    config_fixture_write_bytes("pgbaton.ini", text, sizeof(text) - 1);
    r = config_fixture_read();
    cr_expect(
        config_fixture_has(&r, "pgbaton.ini:3: has a NUL byte in it; a configuration is text"));
    config_fixture_release(&r);
}

/* inih goes on after an error, and so did its user: with half a configuration. */
Test(config_ini, every_problem_is_reported_and_nothing_is_used)
{
    struct config_result r = config_fixture_read_text("[election]\n"
                                                      "lease 5s\n"
                                                      "mode = none\n"
                                                      "[job a]\n"
                                                      "schedul = manual\n"
                                                      "command = a\n");

    cr_expect_eq(r.rc, -EINVAL);
    cr_expect_null(r.cfg);
    cr_expect_eq(r.problems.errors, 4);
    cr_expect(config_fixture_has(&r, "pgbaton.ini:2: is neither [section] nor key = value"));
    cr_expect(
        config_fixture_has(&r, "pgbaton.ini:3: [election] mode: 'none' is none of heir|poll"));
    cr_expect(config_fixture_has(
        &r, "pgbaton.ini:5: [job a] schedul: is not a known key; did you mean 'schedule'?"));
    cr_expect(config_fixture_has(&r, "pgbaton.ini:4: [job a] schedule: is missing; write one such "
                                     "as schedule = every 30s"));
    config_fixture_release(&r);
}

/* Keys of a section that is refused are not taken for those of the one before. */
Test(config_ini, a_refused_section_keeps_its_keys)
{
    struct config_result r = config_fixture_read_text("[election]\n[elektion]\nenabled = no\n");

    cr_expect_eq(r.problems.errors, 1);
    config_fixture_release(&r);
}

Test(config_ini, a_flood_of_problems_is_cut)
{
    char text[4096] = "[election]\n";

    for (int i = 0; i < 300; i++) {
        strcat(text, "x\n");
    }
    struct config_result r = config_fixture_read_text(text);

    cr_expect_eq(r.problems.errors, 300);
    cr_expect_eq(r.problems.count, 200);
    config_fixture_release(&r);
}

Test(config_ini, a_missing_file_is_the_only_problem)
{
    struct config_result r = config_fixture_read();

    cr_expect_eq(r.problems.count, 1);
    cr_expect(config_fixture_has(
        &r, "pgbaton.ini: cannot read 'pgbaton.ini': No such file or directory"));
    config_fixture_release(&r);
    cr_assert_eq(mkdir("pgbaton.ini", 0700), 0);
    r = config_fixture_read();
    cr_expect(config_fixture_has(&r, "pgbaton.ini: is a directory; give it a file (conf.d/*.ini "
                                     "for those in one)"));
    config_fixture_release(&r);
}

/* Files of a test of include: the second and third are in conf.d. */
static struct config_result with_include(const char *include, const char *b, const char *a)
{
    char text[256];

    cr_assert(mkdir("conf.d", 0700) == 0 || errno == EEXIST);
    (void)snprintf(text, sizeof(text),
                   "[pgbaton]\ninclude = %s\n[job main]\nschedule = manual\n"
                   "command = m\n",
                   include);
    config_fixture_write("pgbaton.ini", text);
    config_fixture_write("conf.d/b.ini", b);
    config_fixture_write("conf.d/a.ini", a);
    config_fixture_write("conf.d/c.txt", "rubbish");
    return config_fixture_read();
}

Test(config_ini, include_is_sorted_and_relative_to_its_file)
{
    struct config_result r =
        with_include("conf.d/*.ini none.d/*.ini", "[job b]\nschedule = manual\ncommand = b\n",
                     "[job a]\nschedule = manual\ncommand = a\n[pgbaton]\ninclude = b*.inc\n");

    config_problems_print(&r.problems, stderr);
    cr_assert_eq(r.rc, 0);
    cr_assert_eq(r.cfg->job_count, 3);
    cr_expect_str_eq(r.cfg->jobs[0].name, "main");
    cr_expect_str_eq(r.cfg->jobs[1].name, "a");
    cr_expect_str_eq(r.cfg->jobs[2].name, "b");
    cr_expect_str_eq(r.cfg->jobs[2].origin.file, "conf.d/b.ini");
    cr_expect_eq(r.cfg->jobs[2].origin.line, 1);
    config_fixture_release(&r);

    config_fixture_write("conf.d/bb.inc", "[job inner]\nschedule = manual\ncommand = i\n");
    r = config_fixture_read();
    cr_assert_eq(r.rc, 0);
    cr_expect_not_null(config_job_find(r.cfg, "inner"), "relative to the file that includes it");
    config_fixture_release(&r);
}

Test(config_ini, include_refusals)
{
    struct config_result r = with_include("conf.d/d.ini", "", "");

    cr_expect(config_fixture_has(&r, "pgbaton.ini:2: [pgbaton] include: 'conf.d/d.ini': there is "
                                     "no such file; a pattern may match none"));
    config_fixture_release(&r);

    r = with_include("'conf.d/*.ini", "", "");
    cr_expect(config_fixture_has(&r, "pgbaton.ini:2: [pgbaton] include: a ' has no second one that "
                                     "ends the quoted text"));
    config_fixture_release(&r);

    r = with_include("conf.d/a.ini", "[pgbaton]\ninclude = a.ini\n",
                     "[pgbaton]\ninclude = b.ini\n");
    cr_expect(config_fixture_has(
        &r, "conf.d/b.ini:2: [pgbaton] include: 'conf.d/a.ini': includes itself"));
    config_fixture_release(&r);

    r = with_include("conf.d/*.ini", "[election]\nlease = 20s\n", "[election]\nlease = 20s\n");
    cr_expect(config_fixture_has(
        &r, "conf.d/b.ini:2: [election] lease: is already at conf.d/a.ini:2; keep one of the two"));
    config_fixture_release(&r);
}

/* A pipe that has this text, and no writer any more. */
static int pipe_with(const char *text, char *ret_path, size_t size)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(close(ends[1]), 0);
    (void)snprintf(ret_path, size, "/dev/fd/%d", ends[0]);
    return ends[0];
}

Test(config_ini, the_first_file_may_be_a_pipe_unless_nobody_can_wait, .timeout = 60)
{
    char path[32];
    int fd = pipe_with("[database]\ndsn = none\n", path, sizeof(path));
    struct config_sources sources = {.file = path};
    struct config_result r = {0};

    r.rc = config_read(&sources, &r.cfg, &r.problems);
    cr_expect_eq(r.rc, 0);
    config_fixture_release(&r);
    cr_assert_eq(close(fd), 0);

    cr_assert_eq(mkfifo("pgbaton.ini", 0600), 0); /* without a writer */
    sources.file = "pgbaton.ini";
    sources.never_wait = true;
    r = (struct config_result){0};
    r.rc = config_read(&sources, &r.cfg, &r.problems);
    cr_expect_eq(r.rc, -EINVAL);
    cr_expect(
        config_fixture_has(&r, "pgbaton.ini: is no regular file: a reload does not wait for one"));
    config_fixture_release(&r);

    sources.file = "/dev/null"; /* all is said by -o, then: it never makes anybody wait */
    sources.overrides = (const char *const[]){"database.dsn=none", NULL};
    r = (struct config_result){0};
    r.rc = config_read(&sources, &r.cfg, &r.problems);
    cr_expect_eq(r.rc, 0);
    config_fixture_release(&r);
}

Test(config_ini, what_is_included_is_no_pipe, .timeout = 60)
{
    struct config_result r = with_include("conf.d/*.ini", "", "");

    config_fixture_release(&r);
    cr_assert_eq(mkfifo("conf.d/d.ini", 0600), 0);
    r = config_fixture_read();
    cr_expect(config_fixture_has(&r, "pgbaton.ini:2: [pgbaton] include: 'conf.d/d.ini': is no "
                                     "regular file: what is included is not waited for"));
    config_fixture_release(&r);
}

Test(config_ini, includes_are_8_deep_at_most)
{
    for (int i = 0; i < 9; i++) {
        char name[16];
        char text[64];

        (void)snprintf(name, sizeof(name), "%d.ini", i);
        (void)snprintf(text, sizeof(text), "[pgbaton]\ninclude = %d.ini\n", i + 1);
        config_fixture_write(i == 0 ? "pgbaton.ini" : name, i == 8 ? "" : text);
    }
    struct config_result r = config_fixture_read();

    cr_expect(config_fixture_has(&r, "7.ini:2: [pgbaton] include: '8.ini': is too deep: at most 8 "
                                     "files include each other"));
    cr_expect_eq(r.problems.errors, 1);
    config_fixture_release(&r);
}

Test(config_ini, problems_come_in_the_order_of_the_lines)
{
    struct config_problem list[] = {{.file = "a.ini", .line = 9, .text = "nine"},
                                    {.file = "a.ini", .line = 2, .text = "two"},
                                    {.file = "b.ini", .line = 1, .text = "one"},
                                    {.file = "a.ini", .line = 2, .text = "two again"}};
    static const char *const sorted[] = {"two", "two again", "nine", "one"};
    struct config_problems problems = {.list = list, .count = 4, .errors = 4};

    config_problems_sort(&problems);
    for (size_t i = 0; i < 4; i++) {
        cr_expect_str_eq(list[i].text, sorted[i]);
    }
}
