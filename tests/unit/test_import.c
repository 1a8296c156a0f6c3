/*
 * `pgbaton import`: crontabs, and that what comes out is a configuration.
 */
#include <criterion/criterion.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/config_ini.h"
#include "common/config_private.h"
#include "common/control.h"
#include "supervisor/cli/crontab.h"
#include "tests/support/text.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/config_fixture.h"

TestSuite(import, .init = config_fixture_up, .fini = config_fixture_down);

/* What becomes of a crontab, with one more option (or NULL); the caller frees it. */
static char *imported_with(const char *crontab, const char *option, int expected_code,
                           char **ret_err)
{
    const char *const words[] = {"crontab", option, NULL};
    char *out = NULL;
    char *err = NULL;

    config_fixture_write("crontab", crontab);
    int code = command_fixture_run(command_import, words, &out, &err);

    cr_expect_eq(code, expected_code, "%d: %s", code, err);
    if (ret_err != NULL) {
        *ret_err = err;
    } else {
        cr_expect_str_empty(err);
        free(err);
    }
    return out;
}

static char *imported(const char *crontab, bool system, int expected_code, char **ret_err)
{
    return imported_with(crontab, system ? "--system" : NULL, expected_code, ret_err);
}

/* Read back, with a database: right, but for keys that this version does not have yet. */
static struct config_result read_back(const char *sections)
{
    char *text = text_format("[database]\ndsn = none\n%s", sections);
    struct config_result result;

    config_fixture_write("pgbaton.ini", text);
    free(text);
    result = config_fixture_read_with(NULL, NULL);
    for (size_t i = 0; i < result.problems.count; i++) {
        cr_expect_not_null(strstr(result.problems.list[i].text, "not available in this version"),
                           "%s\n%s", result.problems.list[i].text, sections);
    }
    return result;
}

static const char everything[] =
    "# nightly things\n"
    "SHELL=/bin/bash\n"
    "PATH=/usr/local/bin:/usr/bin:/bin\n"
    "MAILTO=\"ops@example.com\"\n"
    "GREETING = \"it's a 'quote' \\\\ and  blanks\"\n"
    "\n"
    "*/15 * * * * /usr/local/bin/collect --all\n"
    "30 2 1,15 * mon cd /srv && ./report.sh \"$X\" ; echo # no comment\n"
    "0 0 * * 0 mail -s week boss%Dear boss,%it's done, 100\\% of it%\n"
    "@reboot /usr/local/bin/warm-cache\n"
    "@daily FOO=bar /usr/local/bin/collect\n"
    "CRON_TZ=America/New_York\n"
    "5 4 * * sun /usr/local/bin/collect\n"
    "RANDOM_DELAY=45\n"
    "0~30 4 * * * ''\n";

Test(import, what_comes_out_is_right)
{
    char *out = imported(everything, false, EXIT_CODE_DONE, NULL);
    struct config_result r = read_back(out);

    cr_expect_eq(text_count(out, "\n[job "), 7);
    free(out);
    config_fixture_release(&r);
}

/* clang-format off */
static const struct {
    const char *title;
    const char *crontab;
    bool system;
    const char *has[6];
} cases[] = {
    {"what cron does without being asked", "0 3 * * * x", false,
        {"[job x]\nschedule = 0 3 * * *\n", "\ncommand = x\n", "clean_environment = yes\n", "overlap = allow\n", "missed = skip\n"}},
    {"blanks in all places", " \t 0  3\t* * *   x  y \n", false, {"schedule = 0  3\t* * *\n", "command = x  y\n"}},
    {"no line feed at the end, a carriage return before it", "0 3 * * * x\r\n0 4 * * * y", false, {"command = x\n", "command = y\n"}},
    {"variables hold for what is below them", "A=1\n0 3 * * * x\nA=2\n0 4 * * * y\n", false,
        {"[job x]", "environment = A=1\n", "[job y]", "environment = A=2\n"}},
    {"a value in quotes", "A = ' b '\n0 3 * * * x\n", false, {"environment = A=' b '\n"}},
    {"a value with an equals sign and a hash", "A=b=c #d\n0 3 * * * x\n", false, {"environment = A='b=c #d'\n"}},
    {"a command with an equals sign is no variable", "0 3 * * * A=b x\n", false, {"[job x]", "command = A=b x\n"}},
    {"a shell", "SHELL=/bin/bash\n0 3 * * * x\n", false, {"shell = /bin/bash -c\n", "environment = SHELL=/bin/bash\n"}},
    {"a home", "HOME=/srv/app\n0 3 * * * x\n", false, {"directory = /srv/app\n"}},
    {"a mail", "MAILTO=me\n0 3 * * * x\n", false, {"# MAILTO: cron mailed the output to me; here it is in the log"}},
    {"no mail", "MAILTO=\"\"\n0 3 * * * x\n", false, {"# MAILTO is empty: cron threw the output away"}},
    {"input", "0 3 * * * cat%a%b\n", false, {"# what follows the first % was the command's input\ncommand = printf '%s\\n' 'a' 'b' | /bin/sh -c 'cat'\n"}},
    {"a percent sign", "0 3 * * * date +\\%F\n", false, {"\ncommand = date +%F\n"}},
    {"the start of a machine", "@reboot x\n", false, {"# @reboot: cron runs it when a machine starts; this runs each time an instance becomes the leader\nschedule = @elected\n"}},
    {"a zone", "CRON_TZ=Europe/Berlin\n0 3 * * * x\n", false, {"zone = Europe/Berlin\n"}},
    {"a delay", "RANDOM_DELAY=5\n0 3 * * * x\n", false, {"jitter = 5m\n"}},
    {"a draw", "0~30 3 * * * x\n", false, {"# ~: cron draws anew", "schedule = 0~30 3 * * *\n"}},
    {"a user", "17 * * * * root cd / && run-parts /etc/cron.hourly\n", true,
        {"[job run-parts]", "command = cd / && run-parts /etc/cron.hourly\n", "user = root\n", "directory = /root\n"}},
    {"one name each", "0 3 * * * /a/x\n0 4 * * * /b/x\n0 5 * * * x-2\n", false, {"[job x]", "[job x-2]", "[job x-2-2]"}},
    {"a command without a name", "0 3 * * * ''\n", false, {"[job line-1]"}},
    {"comments stay", "# why\n0 3 * * * x\n", false, {"\n# why\n"}},
};
/* clang-format on */

Test(import, lines)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *out = imported(cases[i].crontab, cases[i].system, EXIT_CODE_DONE, NULL);
        const char *at = out;
        struct config_result r = read_back(out);

        for (size_t k = 0; k < ARRAY_LEN(cases[i].has) && cases[i].has[k] != NULL; k++) {
            at = strstr(k < 2 ? out : at, cases[i].has[k]);
            cr_expect_not_null(at, "%s: no %s in %s", cases[i].title, cases[i].has[k], out);
            at = at == NULL ? out : at;
        }
        free(out);
        config_fixture_release(&r);
    }
}

/* clang-format off */
static const struct {
    const char *crontab;
    const char *why;
} left_out[] = {
    {"bad line\n", "line 1 is left out: it is neither NAME=VALUE nor five fields and a command"},
    {"\n0 3 * * *\n", "line 2 is left out: "},
    {"@daily\n", "line 1 is left out: "},
    {"*/90 * * * * x\n", "line 1 is left out: minute '*/90': a step may be 1 to 60 here"},
    {"0 0 31 2 * x\n", "line 1 is left out: '0 0 31 2 *' never comes"},
    {"@fortnightly x\n", "line 1 is left out: '@fortnightly' is not a schedule"},
    {"CRON_TZ=Mars/Base\n0 3 * * * x\n", "line 2 is left out: 'Mars/Base' is no time zone"},
};
/* clang-format on */

Test(import, what_cannot_be_said_is_left_out_with_a_reason)
{
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++) {
        char *err = NULL;
        char *out = imported(left_out[i].crontab, false, EXIT_CODE_FAILED, &err);
        struct config_result r = read_back(out);

        cr_expect_not_null(strstr(err, left_out[i].why), "%s: %s", left_out[i].crontab, err);
        cr_expect_not_null(strstr(out, left_out[i].why), "%s: %s", left_out[i].crontab, out);
        cr_expect_null(strstr(out, "\n[job"), "%s", out);
        config_fixture_release(&r);
        free(out);
        free(err);
    }
}

Test(import, of_a_user_who_is_named_takes_the_user_and_the_home)
{
    char *out = imported_with("0 3 * * * x\n", "--user=daemon", EXIT_CODE_DONE, NULL);
    const struct passwd *account = getpwnam("daemon");
    char *section = text_format("\nuser = daemon\ndirectory = %s\n", account->pw_dir);
    struct config_result r = read_back(out);

    cr_expect_not_null(strstr(out, section), "no %s in %s", section, out);
    cr_expect_null(strstr(out, "--user NAME"), "%s", out);
    config_fixture_release(&r);
    free(section);
    free(out);
}

Test(import, of_a_user_who_is_not_named_says_whose_home_was_taken)
{
    const struct passwd *account = getpwuid(geteuid());
    char *out = imported("0 3 * * * x\n", false, EXIT_CODE_DONE, NULL);
    char *says = text_format("# - each begins in the home of %s, unless", account->pw_name);

    cr_expect_not_null(strstr(out, says), "no %s in %s", says, out);
    cr_expect_not_null(strstr(out, "import it with --user NAME"), "%s", out);
    cr_expect_null(strstr(out, "\nuser ="), "%s", out);
    free(says);
    free(out);
    out = imported("0 3 * * * root x\n", true, EXIT_CODE_DONE, NULL);
    cr_expect_null(strstr(out, "--user"), "%s", out);
    free(out);
}

/* As in a container: a uid that no line of /etc/passwd has. */
Test(import, of_one_who_runs_it_without_an_account_no_home_is_known)
{
    static const uid_t unknown = 3999999;
    char *out = NULL;
    char *err = NULL;

    if (geteuid() != 0 || getpwuid(unknown) != NULL) {
        cr_skip_test("needs root, and a uid without an account");
    }
    config_fixture_write("crontab", "0 3 * * * x\n");
    cr_assert_not_null(freopen("crontab", "r", stdin));
    cr_assert_eq(seteuid(unknown), 0);
    int code = command_fixture_run(command_import, (const char *const[]){"-", NULL}, &out, &err);
    cr_assert_eq(seteuid(0), 0);

    cr_expect_eq(code, EXIT_CODE_DONE, "%d: %s", code, err);
    cr_expect_not_null(strstr(out, "# - who runs this has no account here, and so no home"), "%s",
                       out);
    cr_expect_not_null(strstr(out, "import it with --user NAME;\n# - what it prints"), "%s", out);
    cr_expect_null(strstr(out, "in the home of"), "%s", out);
    cr_expect_null(strstr(out, "nobody"), "%s", out);
    free(out);
    free(err);
}

Test(import, a_user_who_is_none_is_refused)
{
    static const char *const wrong[][4] = {{"crontab", "--user", "no such user", NULL},
                                           {"crontab", "--user=", NULL},
                                           {"crontab", "--user", NULL},
                                           {"crontab", "--system", "--user=root", NULL}};

    config_fixture_write("crontab", "0 3 * * * x\n");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char *out = NULL;
        char *err = NULL;

        cr_expect_eq(command_fixture_run(command_import, wrong[i], &out, &err), EXIT_CODE_USAGE,
                     "%zu: %s", i, err);
        cr_expect_str_empty(out);
        free(out);
        free(err);
    }
}

Test(import, what_looks_like_a_crontab_of_the_system_is_asked_about)
{
    static const char all[] = "0 3 * * * root echo hi\n0 4 * * * daemon cd / && x\n";
    static const char some[] = "0 3 * * * root echo hi\n0 4 * * * x y\n";
    char *err = NULL;
    char *out = imported(all, false, EXIT_CODE_DONE, &err);

    cr_expect_not_null(strstr(err, "use --system"), "%s", err);
    cr_expect_not_null(strstr(out, "\n# Is this right? it looks like a crontab of the system"),
                       "%s", out);
    free(err);
    free(out);
    free(imported(all, true, EXIT_CODE_DONE, NULL));
    free(imported(some, false, EXIT_CODE_DONE, NULL));
    free(imported("0 3 * * * root\n", false, EXIT_CODE_DONE, NULL));
    free(imported("# nothing\n", false, EXIT_CODE_DONE, NULL));
    cr_expect(crontab_is_of_system("/etc/crontab"));
    cr_expect(crontab_is_of_system("/etc/cron.d/e2scrub_all"));
    cr_expect_not(crontab_is_of_system("/etc/cron.daily/x"));
    cr_expect_not(crontab_is_of_system("/var/spool/cron/crontabs/root"));
}

Test(import, says_that_the_end_of_leadership_ends_what_runs)
{
    char *out = imported("0 3 * * * x\n", false, EXIT_CODE_DONE, NULL);

    cr_expect_not_null(strstr(out, "# - one that runs when leadership ends or the daemon stops is "
                                   "ended"),
                       "%s", out);
    free(out);
}

/* The crontab with a command of so many bytes. */
static char *crontab_of_length(size_t length)
{
    char *command = malloc(length + 1);

    cr_assert_not_null(command);
    (void)memset(command, 'x', length);
    command[length] = '\0';
    char *crontab = text_format("0 3 * * * %s\n0 4 * * * %.40s\n", command, command);
    free(command);
    return crontab;
}

Test(import, a_command_that_no_configuration_takes_is_left_out)
{
    static const size_t most = CONFIG_LINE_MAX - (sizeof("command = ") - 1);

    for (size_t over = 0; over < 2; over++) {
        char *crontab = crontab_of_length(most + over);
        char *err = NULL;
        char *out = imported(crontab, false, over > 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE, &err);
        struct config_result r = read_back(out);

        cr_expect_eq(text_count(out, "\n[job "), 2 - over);
        cr_expect_eq(strstr(err, "line 1 is left out: its command or environment is longer") !=
                         NULL,
                     over > 0, "%s", err);
        cr_expect_eq(strstr(out, "# line 1 is left out: ") != NULL, over > 0);
        config_fixture_release(&r);
        free(crontab);
        free(out);
        free(err);
    }
}

Test(import, a_long_line_is_cut_with_dots_in_its_comment)
{
    char *crontab = crontab_of_length(1200);
    char *out = imported(crontab, false, EXIT_CODE_DONE, NULL);

    cr_expect_not_null(strstr(out, "xxx...\n[job "), "%s", out);
    cr_expect_eq(text_count(out, "..."), 1, "%s", out);
    free(crontab);
    free(out);
}

Test(import, comments_are_harmless_to_a_terminal)
{
    static const char crontab[] = "#\ta \x1b[2J\nMAILTO=\x1b[3J\n0 3 * * *\techo '\x1b[4J'\n"
                                  "0 3 * *\x1b[5J\n0 3 * * \x1b[6J x\n";
    char *err = NULL;
    char *out = imported(crontab, false, EXIT_CODE_FAILED, &err);
    const char *escape = strchr(out, '\x1b');

    cr_expect_not_null(strstr(out, "\n#\ta \\x1b[2J\n"), "%s", out);
    cr_expect_not_null(strstr(out, "mailed the output to \\x1b[3J;"), "%s", out);
    cr_expect_not_null(strstr(out, "# line 3: 0 3 * * * echo '\\x1b[4J'\n"), "%s", out);
    cr_expect_not_null(strstr(out, "\n# 0 3 * *\\x1b[5J\n"), "%s", out);
    cr_expect_null(strchr(err, '\x1b'), "%s", err);
    cr_assert_not_null(escape);
    cr_expect_eq(strncmp(escape - strlen("command = echo '"), "command = echo '", 16), 0,
                 "the command itself stays as it is");
    cr_expect_null(strchr(escape + 1, '\x1b'), "%s", out);
    free(out);
    free(err);
}

Test(import, wrong_use)
{
    static const char *const wrong[][3] = {{NULL}, {"a", "b", NULL}, {"--user", "a", NULL}};
    static const char *const missing[] = {"not-there", NULL};
    char *out = NULL;
    char *err = NULL;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        cr_expect_eq(command_fixture_run(command_import, wrong[i], &out, &err), EXIT_CODE_USAGE);
        free(out);
        free(err);
    }
    cr_expect_eq(command_fixture_run(command_import, missing, &out, &err), EXIT_CODE_FAILED);
    cr_expect_not_null(strstr(err, "not-there: No such file or directory"), "%s", err);
    free(out);
    free(err);
}
