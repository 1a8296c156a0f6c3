/*
 * What a reload must do, and what check --print shows.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "tests/unit/config_fixture.h"

TestSuite(config_diff, .init = config_fixture_up, .fini = config_fixture_down);
TestSuite(config_print, .init = config_fixture_up, .fini = config_fixture_down);

#define BASE                                                                                       \
    "[pgbaton]\ninstance = i\nrun_dir = /r\n"                                                      \
    "[database]\ndsn = host=h\n"                                                                   \
    "[election]\nname = n\nlease = 15s\n"                                                          \
    "[job a]\nschedule = manual\ncommand = a\n"

/* clang-format off */
static const struct {
    const char *title;
    const char *option; /* NULL: none; the new configuration is the old one with it */
    enum config_change change;
    const char *reason;
} cases[] = {
    {"the same is nothing", NULL, CHANGE_NOTHING, ""},
    {"said otherwise is nothing", "election.lease=15000ms", CHANGE_NOTHING, ""},
    {"a default said aloud is nothing", "election.stop_grace=3s", CHANGE_NOTHING, ""},
    {"run_dir stays", "pgbaton.run_dir=/other", CHANGE_RESTART,
        "[pgbaton] run_dir cannot change while running: is /r; would be /other; a restart would do it"},
    {"instance stays", "pgbaton.instance=j", CHANGE_RESTART, "[pgbaton] instance cannot change"},
    {"user stays", "pgbaton.user=nobody", CHANGE_RESTART, "is not set; would be nobody"},
    {"group stays", "pgbaton.group=nobody", CHANGE_RESTART, "[pgbaton] group"},
    {"dsn elects anew, and says no password", "database.dsn=host=h password=geheim", CHANGE_ELECTION,
        "[database] dsn is now ***; was ***"},
    {"another kind of database too", "database.dsn=none", CHANGE_ELECTION, "[database] dsn"},
    {"schema elects anew", "database.schema=s", CHANGE_ELECTION, "[database] schema is now s; was pgbaton"},
    {"password_file elects anew", "database.password_file=/p", CHANGE_ELECTION, "password_file"},
    {"connect_timeout does not", "database.connect_timeout=9s", CHANGE_LIVE, "connect_timeout is now 9s; was 5s"},
    {"create_schema does not", "database.create_schema=no", CHANGE_LIVE, "create_schema"},
    {"lease elects anew", "election.lease=20s", CHANGE_ELECTION, "[election] lease is now 20s; was 15s"},
    {"key elects anew", "election.key=1", CHANGE_ELECTION, "key is now 0x0000000000000001"},
    {"backoff_max elects anew", "election.backoff_max=61s", CHANGE_ELECTION, "backoff_max"},
    {"not to lead any more elects anew", "jobs.enabled=no", CHANGE_ELECTION, "[jobs] enabled"},
    {"log_level is live", "pgbaton.log_level=debug", CHANGE_LIVE, "log_level is now debug; was info"},
    {"a job's command is live", "job a.command=b", CHANGE_LIVE, "jobs have changed"},
    {"a default of the jobs is live", "jobs.grace=6s", CHANGE_LIVE, "jobs have changed"},
    {"a job's schedule is live", "job a.schedule=always", CHANGE_LIVE, "jobs have changed"},
    {"a job's environment is live", "job a.environment=A=1", CHANGE_LIVE, "jobs have changed"},
    {"the first job of another user needs privileges", "job a.user=nobody", CHANGE_RESTART,
        "[job a] user is the first one that a job names, and the privileges for it have been given up; a restart would do it"},
};
/* clang-format on */

static struct config *read_with(const char *option)
{
    const char *overrides[] = {option, NULL};
    struct config_result r;

    r = config_fixture_read_with(overrides, NULL);
    config_problems_print(&r.problems, stderr);
    cr_assert_eq(r.rc, 0);
    config_problems_release(&r.problems);
    return r.cfg;
}

Test(config_diff, changes)
{
    config_fixture_write("pgbaton.ini", BASE);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *now = read_with(NULL);
        struct config *next = read_with(cases[i].option);
        char reason[256] = "old";

        cr_expect(config_diff(now, next, false, reason, sizeof(reason)) == cases[i].change,
                  "%s: %s", cases[i].title, reason);
        cr_expect((reason[0] == '\0') == (cases[i].reason[0] == '\0'), "%s", cases[i].title);
        cr_expect_not_null(strstr(reason, cases[i].reason), "%s: %s", cases[i].title, reason);
        config_free(now);
        config_free(next);
    }
}

/* An election that moved with its database to another host: what was seen of it still counts. */
Test(config_diff, the_same_election_is_one_of_that_name_wherever_its_database_is)
{
    static const struct {
        const char *option;
        bool same;
    } elections[] = {
        {NULL, true},
        {"database.dsn=host=other", true},
        {"election.lease=20s", true},
        {"election.name=m", false},
        {"database.dsn=sqlite:/x", false},
    };

    config_fixture_write("pgbaton.ini", BASE);
    for (size_t i = 0; i < ARRAY_LEN(elections); i++) {
        struct config *now = read_with(NULL);
        struct config *next = read_with(elections[i].option);

        cr_expect_eq(config_is_same_election(now, next), elections[i].same, "%s",
                     elections[i].option == NULL ? "itself" : elections[i].option);
        config_free(now);
        config_free(next);
    }
}

static void note(void *ctx, const char *text)
{
    char *all = ctx;
    size_t used = strlen(all);

    (void)snprintf(all + used, 1024 - used, "%s\n", text);
}

Test(config_diff, every_change_has_its_line_and_no_secret_is_in_it)
{
    char all[1024] = "";

    config_fixture_write("pgbaton.ini", BASE "[job b]\nschedule = manual\ncommand = b\n");
    struct config *now = read_with(NULL);
    config_fixture_write("pgbaton.ini", "[pgbaton]\ninstance = i\nrun_dir = /r\nlog_level = debug\n"
                                        "[database]\ndsn = host=h password=geheim\n"
                                        "[election]\nname = n\nlease = 15s\n"
                                        "[job a]\nschedule = always\ncommand = a geheim\n"
                                        "[job c]\nschedule = manual\ncommand = c\n");
    struct config *next = read_with(NULL);

    config_changes(now, next, note, all);
    cr_expect_str_eq(all, "[pgbaton] log_level is now debug; was info\n"
                          "[database] dsn is now ***; was ***\n"
                          "[job a] schedule has changed\n"
                          "[job a] command has changed\n"
                          "[job c] is new\n"
                          "[job b] is gone\n");
    config_free(now);
    config_free(next);
}

Test(config_diff, with_privileges_a_user_is_live)
{
    char reason[256];

    config_fixture_write("pgbaton.ini", BASE);
    struct config *now = read_with(NULL);
    struct config *next = read_with("job a.user=nobody");
    struct config *after = read_with("job a.user=daemon");

    cr_expect(config_diff(now, next, true, reason, sizeof(reason)) == CHANGE_LIVE);
    cr_expect(config_diff(next, after, false, reason, sizeof(reason)) == CHANGE_LIVE,
              "it is not the first one");
    cr_expect(config_diff(next, now, false, reason, sizeof(reason)) == CHANGE_LIVE);
    config_free(now);
    config_free(next);
    config_free(after);
}

Test(config_diff, jobs_come_and_go)
{
    char reason[256];

    config_fixture_write("pgbaton.ini", BASE);
    struct config *now = read_with(NULL);

    config_fixture_write("pgbaton.ini", BASE "[job b]\nschedule = manual\ncommand = b\n");
    struct config *next = read_with(NULL);

    cr_expect(config_diff(now, next, false, reason, sizeof(reason)) == CHANGE_LIVE);
    cr_expect(config_diff(next, now, false, reason, sizeof(reason)) == CHANGE_LIVE);
    cr_expect_eq(now->jobs[0].hash, next->jobs[0].hash, "the other one is the same job");
    cr_expect_neq(now->hash, next->hash);
    config_free(now);
    config_free(next);
}

/* Instances of one fleet have labels and directories of their own, and one configuration. */
Test(config_diff, the_hash_is_the_fleets)
{
    config_fixture_write("pgbaton.ini", BASE);
    struct config *one = read_with(NULL);
    struct config *other = read_with("pgbaton.instance=j");
    struct config *changed = read_with("election.lease=16s");

    cr_expect_eq(one->hash, other->hash);
    cr_expect_neq(one->hash, changed->hash);
    config_free(one);
    config_free(other);
    config_free(changed);
}

static char *printed(const struct config *cfg)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    config_print(cfg, to);
    cr_assert_eq(fclose(to), 0);
    return text;
}

/* clang-format off */
static const struct {
    const char *title;
    const char *option;
    const char *shown;
} masks[] = {
    {"conninfo", "database.dsn=host=h password=geheim user=u", "dsn = host=h password=*** user=u\n"},
    {"at its end", "database.dsn=password=geheim", "dsn = password=***\n"},
    {"blanks around the =", "database.dsn=password = geheim x=y", "dsn = password = *** x=y\n"},
    {"quoted, with a quote inside", "database.dsn=password='ge\\' heim' x=y", "dsn = password='***' x=y\n"},
    {"with a kept blank", "database.dsn=password=ge\\ heim x=y", "dsn = password=*** x=y\n"},
    {"of the key of a certificate", "database.dsn=sslpassword=geheim x=y", "dsn = sslpassword=*** x=y\n"},
    {"a URI", "database.dsn=postgresql://u:geheim@h:5/d", "dsn = postgresql://u:***@h:5/d\n"},
    {"with an @ in it", "database.dsn=postgresql://u:ge@heim@h/d", "dsn = postgresql://u:***@h/d\n"},
    {"with a / in it", "database.dsn=postgresql://u:ge/heim@h/d", "dsn = postgresql://u:***@h/d\n"},
    {"with a ? in it", "database.dsn=postgresql://u:ge?heim@h/d", "dsn = postgresql://u:***@h/d\n"},
    {"with what looks like a parameter in it", "database.dsn=postgresql://u:ge?heim=1@h/d?a=b", "dsn = postgresql://u:***@h/d?a=b\n"},
    {"with a blank in it", "database.dsn=postgresql://u:ge heim@h/d", "dsn = postgresql://u:***@h/d\n"},
    {"both, with an @ in the parameter", "database.dsn=postgresql://u:geheim@h/d?password=ge@heim&a=b", "dsn = postgresql://u:***&a=b\n"},
    {"of a conninfo, with a & in it", "database.dsn=host=h password=ge&heim x=y", "dsn = host=h password=*** x=y\n"},
    {"as a parameter", "database.dsn=postgresql://u@h/d?password=geheim&a=b", "dsn = postgresql://u@h/d?password=***&a=b\n"},
    {"none in it", "database.dsn=postgresql://u@h:5432/d", "dsn = postgresql://u@h:5432/d\n"},
    {"a variable's name", "job a.environment=API_KEY=geheim A=1", "environment = API_KEY=*** A=1\n"},
    {"a variable's value", "job a.environment=URL=https://u:geheim@h A='x y'", "environment = URL=*** 'A=x y'\n"},
    {"with a ? in it too", "job a.environment=URL=https://u:ge?heim@h A=1", "environment = URL=*** A=1\n"},
    {"a command's variable", "job a.command=PGPASSWORD=geheim psql -c x", "command = PGPASSWORD=*** psql -c x\n"},
    {"quoted", "job a.command=PGPASSWORD='ge heim' psql", "command = PGPASSWORD=*** psql\n"},
    {"partly quoted", "job a.command=PGPASSWORD=ge' heim'\\ heim psql", "command = PGPASSWORD=*** psql\n"},
    {"an option", "job a.command=mysql --PassWord=geheim -e \"SELECT 1\"", "command = mysql --PassWord=*** -e \"SELECT 1\"\n"},
    {"an option that is quoted as a whole", "job a.command=x '--password=ge heim' y", "command = x '--password=***' y\n"},
    {"in quotes", "job a.command=psql \"host=h password=geheim user=u\" x", "command = psql \"host=h password=*** user=u\" x\n"},
    {"in quotes, quoted", "job a.command=sh -c \"a; MY_PASSWD='ge heim' b\" x", "command = sh -c \"a; MY_PASSWD=*** b\" x\n"},
    {"quoted the other way", "job a.command=sh -c \"a; x_token=\\\"ge heim\\\" b\" x", "command = sh -c \"a; x_token=*** b\" x\n"},
    {"in quotes that are in quotes", "job a.command=sh -c 'psql \"host=h password=geheim\" y' x", "command = sh -c 'psql \"host=h password=***\" y' x\n"},
    {"of which it is the first word", "job a.command=sh -c 'x \"--password=ge heim\" y' x", "command = sh -c 'x \"--password=***\" y' x\n"},
    {"other names", "job a.on_failure=curl -d client_secret=geheim -d TOKEN=geheim u", "on_failure = curl -d client_secret=*** -d TOKEN=*** u\n"},
    {"of a hook's address", "job a.on_success=curl https://u:geheim@h/p; b", "on_success = curl https://u:***@h/p; b\n"},
    {"partly quoted there", "job a.on_success=curl https://u:'ge heim'@h/p x@y", "on_success = curl https://u:***@h/p x@y\n"},
    {"its end in quotes", "job a.on_success=curl https://u:ge'heim@h/p' x@y", "on_success = curl https://u:*** x@y\n"},
    {"an address in quotes", "job a.on_recovery=psql \"postgresql://u:geheim@h/d\" -c 'x@y'", "on_recovery = psql \"postgresql://u:***@h/d\" -c 'x@y'\n"},
    {"of a parameter behind the first /", "job a.on_recovery=psql postgresql://u:geheim@h/d?password=ge@heim -c x", "on_recovery = psql postgresql://u:***@h/d?password=*** -c x\n"},
    {"one before it", "job a.on_recovery=psql postgresql://u:geheim@h?password=ge@heim -c x", "on_recovery = psql postgresql://u:*** -c x\n"},
    {"a port is none", "job a.command=scp ssh://git@host:22/x@y http://h:80/x@y z", "command = scp ssh://git@host:22/x@y http://h:80/x@y z\n"},
    {"nor behind a user in a dsn", "database.dsn=postgresql://u@h:5432/x@y", "dsn = postgresql://u@h:5432/x@y\n"},
    {"behind a user with an @", "database.dsn=postgresql://u@x:ge/heim@h/d", "dsn = postgresql://u@x:***@h/d\n"},
    {"what the shell puts in is none", "job a.command=PGPASSWORD=$(cat /run/secret) psql; secret=`a b`; password=${X} TOKEN=\"$(cat x)\" y", "command = PGPASSWORD=$(cat /run/secret) psql; secret=`a b`; password=${X} TOKEN=\"$(cat x)\" y\n"},
    {"in quotes neither", "job a.command=sh -c 'PGPASSWORD=$(cat /x y) psql' \"--password=$X\" https://u:$X@h https://$U:geheim@h", "command = sh -c 'PGPASSWORD=$(cat /x y) psql' \"--password=$X\" https://u:$X@h https://$U:***@h\n"},
    {"where it puts nothing in it is one", "job a.command=x '--password=$heim' PGPASSWORD='$heim' y", "command = x '--password=***' PGPASSWORD=*** y\n"},
    {"an option's next word", "job a.command=x --password geheim --token 'ge heim' --secret \"ge heim\" --passwd geheim y", "command = x --password *** --token *** --secret *** --passwd *** y\n"},
    {"in quotes too", "job a.command=sh -c 'x --token geheim y' z", "command = sh -c 'x --token *** y' z\n"},
    {"if it has one", "job a.command=psql --password -h h; x --token | y --secret $X --password $(cat z)", "command = psql --password -h h; x --token | y --secret $X --password $(cat z)\n"},
    {"a literal in a literal", "job a.command=psql -c \"SELECT dblink('password=''geheim'', a', 'b')\"", "command = psql -c \"SELECT dblink('password=***, a', 'b')\"\n"},
    {"of the shell", "job a.command=psql -c 'ALTER ROLE x PASSWORD ''geheim'', y' z", "command = psql -c 'ALTER ROLE x PASSWORD ***, y' z\n"},
    {"with dollars of the shell", "job a.command=psql -c 'ALTER ROLE x PASSWORD $$ge heim$$; y' -c \"ROLE x PASSWORD \\$\\$geheim\\$\\$ z\"", "command = psql -c 'ALTER ROLE x PASSWORD ***; y' -c \"ROLE x PASSWORD *** z\"\n"},
    {"a command without one", "job a.command=read token; test \"$password\" && PGPASSWORD= psql -h http://h:80/ u@h '#' # secret", "command = read token; test \"$password\" && PGPASSWORD= psql -h http://h:80/ u@h '#' # secret\n"},
    {"an address is none", "job a.environment=URL=https://h:80/?a=b A=1", "environment = URL=https://h:80/?a=b A=1\n"},
};
/* clang-format on */

Test(config_print, secrets_are_masked)
{
    config_fixture_write("pgbaton.ini", BASE);
    for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
        struct config *cfg = read_with(masks[i].option);
        char *text = printed(cfg);

        cr_expect_null(strstr(text, "heim"), "%s: %s", masks[i].title, text);
        cr_expect_not_null(strstr(text, masks[i].shown), "%s: %s", masks[i].title, text);
        free(text);
        config_free(cfg);
    }
}

Test(config_print, says_where_a_value_is_from)
{
    config_fixture_write("pgbaton.ini", BASE);
    struct config *cfg = read_with("election.mode=poll");
    char *text = printed(cfg);

    cr_expect_not_null(strstr(text, "# pgbaton.ini:8\nlease = 15s\n"), "%s", text);
    cr_expect_not_null(strstr(text, "# -o\nmode = poll\n"), "%s", text);
    cr_expect_not_null(strstr(text, "\nheartbeat = 1s\n"), "%s", text);
    cr_expect_not_null(strstr(text, "\n# pgbaton.ini:9\n[job a]\n"), "%s", text);
    free(text);
    config_free(cfg);
}

/* Of words and statements, whose quotes have to be in pairs for it to be a configuration still. */
Test(config_print, words_and_statements_are_masked_and_stay_ones)
{
    static const char text[] =
        "[database]\ndsn = host=h\n[election]\nname = x\n"
        "[job a]\nschedule = manual\nexec = x \"--password=ge heim\" 'a token=ge heim' y '# ' \n"
        "[job b]\nschedule = manual\n"
        "sql = ALTER ROLE x PASSWORD 'geheim -- '; UPDATE t SET password = 'geheim' WHERE a\n";
    config_fixture_write("pgbaton.ini", text);
    struct config *cfg = config_fixture_config(text);
    char *shown = printed(cfg);

    cr_expect_null(strstr(shown, "geheim"), "%s", shown);
    cr_expect_not_null(strstr(shown, "exec = x \"--password=***\" 'a token=*** heim' y '# '\n"),
                       "%s", shown);
    cr_expect_not_null(strstr(shown, "sql = ALTER ROLE x PASSWORD ***; UPDATE t SET password = *** "
                                     "WHERE a\n"),
                       "%s", shown);
    config_free(cfg);
    config_free(config_fixture_config(shown));
    free(shown);
}

/* clang-format off */
static const struct {
    const char *sql;
    const char *shown;
} statements[] = {
    {"ALTER ROLE x PASSWORD E'geheim' VALID UNTIL 'y'", "ALTER ROLE x PASSWORD *** VALID UNTIL 'y'"},
    {"ALTER ROLE x PASSWORD $$ge heim$$ LOGIN", "ALTER ROLE x PASSWORD *** LOGIN"},
    {"ALTER ROLE x PASSWORD $a$ge $$ heim$a$; SELECT 1", "ALTER ROLE x PASSWORD ***; SELECT 1"},
    {"UPDATE t SET password = 'geheim', b = (c)", "UPDATE t SET password = ***, b = (c)"},
    {"SELECT dblink('host=h password=''ge heim'', x', 'b')", "SELECT dblink('host=h password=***, x', 'b')"},
    {"SELECT dblink('host=h password=''ge''''heim''')", "SELECT dblink('host=h password=***')"},
    {"DO $$ BEGIN CREATE ROLE x PASSWORD 'geheim'; END $$", "DO $$ BEGIN CREATE ROLE x PASSWORD ***; END $$"},
    {"SELECT password FROM t", "SELECT password FROM t"},
};
/* clang-format on */

Test(config_print, of_statements_the_literal_is_masked)
{
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        char text[1024];

        (void)snprintf(text, sizeof(text),
                       "[database]\ndsn = host=h\n[election]\nname = x\n"
                       "[job a]\nschedule = manual\nsql = %s\n",
                       statements[i].sql);
        struct config *cfg = config_fixture_config(text);
        char *shown = printed(cfg);

        cr_expect_null(strstr(shown, "heim"), "%s", shown);
        cr_expect_not_null(strstr(shown, statements[i].shown), "'%s' is not in\n%s",
                           statements[i].shown, shown);
        free(shown);
        config_free(cfg);
    }
}

/* What is printed, where nothing is masked, means the same again. */
Test(config_print, is_a_configuration)
{
    char reason[256];

    config_fixture_write("pgbaton.ini", BASE "environment = A='it''s' B=\"a b\"\nnice = 3\n");
    struct config *cfg = read_with(NULL);
    char *text = printed(cfg);

    config_fixture_write("pgbaton.ini", text);
    struct config *again = read_with(NULL);

    cr_expect_str_eq(again->jobs[0].environment[1], "B=a b");
    cr_expect_eq(again->election.key, cfg->election.key);
    cr_expect(config_diff(cfg, again, false, reason, sizeof(reason)) <= CHANGE_LIVE, "%s", reason);
    free(text);
    config_free(cfg);
    config_free(again);
}

Test(config_print, keys)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    config_keys_print(to);
    cr_assert_eq(fclose(to), 0);
    cr_expect_not_null(strstr(text, "[job NAME]\n"));
    cr_expect_not_null(strstr(text, "(default 15s); 1s to 1h\n"), "%s", text);
    free(text);
}
