/* The jobs of a leader. Without an election, since none of it depends on one. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/instance.h"
#include "tests/support/text.h"

TestSuite(jobs, .timeout = 120);

static struct workdir dir;
static struct instance one;
static struct outcome told;

/* DIR/ in the sections is the test's directory. */
static void configure(const char *sections)
{
    char *job = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&job, &size);
    const char *at;

    workdir_make(&dir);
    cr_assert_not_null(to);
    while ((at = strstr(sections, "DIR/")) != NULL) {
        (void)fprintf(to, "%.*s%s/", (int)(at - sections), sections, dir.path);
        sections = at + strlen("DIR/");
    }
    (void)fputs(sections, to);
    cr_assert_eq(fclose(to), 0);
    instance_make(&one, &dir, "one", &(struct instance_settings){.dsn = "none", .job = job});
    free(job);
}

static char *file_text(const char *name)
{
    char *path = text_format("%s/%s", dir.path, name);
    char *text = text_read(path);

    free(path);
    return text;
}

struct wanted_text {
    const char *name;
    const char *part;
    size_t count;
};

static bool holds_text(void *ctx)
{
    const struct wanted_text *w = ctx;
    char *text = file_text(w->name);
    bool holds = text_count(text, w->part) >= w->count;

    free(text);
    return holds;
}

/* Until that file of the test's directory holds the part so many times. */
static void wait_for_text(const char *name, const char *part, size_t count)
{
    struct wanted_text wanted = {.name = name, .part = part, .count = count};

    cr_assert(wait_until(holds_text, &wanted, WAIT_LIMIT), "%s does not hold '%s' %zu times:\n%s",
              name, part, count, text_tail(one.log));
}

Test(jobs, every_repeats_and_always_is_started_again)
{
    configure("[job tick]\nschedule = every 200ms\ncommand = echo tick >> DIR/out\n"
              "[job service]\nschedule = always\ncommand = echo up >> DIR/out\n");
    instance_start(&one, NULL);

    wait_for_text("out", "tick", 4);
    wait_for_text("out", "up", 3);
    instance_stop(&one);
}

Test(jobs, elected_runs_once_and_released_before_the_end)
{
    configure("[job hello]\nschedule = @elected\ncommand = echo hello >> DIR/out\n"
              "[job bye]\nschedule = @released\ncommand = echo bye >> DIR/out\n"
              "[job tick]\nschedule = every 100ms\ncommand = echo tick >> DIR/out\n"
              "[job hand]\nschedule = manual\ncommand = echo by-hand >> DIR/out\n");
    instance_start(&one, NULL);
    wait_for_text("out", "tick", 5);
    instance_stop(&one);

    char *text = file_text("out");
    cr_expect_eq(text_count(text, "hello"), 1);
    cr_expect_eq(text_count(text, "bye"), 1);
    cr_expect_eq(text_count(text, "by-hand"), 0);
    cr_expect_str_eq(text + strlen(text) - 4, "bye\n", "something ran after @released: %s", text);
    free(text);
}

Test(jobs, a_manual_job_runs_by_exec_in_this_terminal)
{
    configure("[job hand]\nschedule = manual\ncommand = echo \"$PGBATON_JOB on "
              "$PGBATON_INSTANCE\"; exit 7\n");

    instance_command(&one, &told, "exec", "hand", NULL);

    cr_expect_eq(told.code, 7);
    cr_expect_str_eq(told.out, "hand on one\n");
    instance_command(&one, &told, "exec", "no-such-job", NULL);
    cr_expect_neq(told.code, 0);
    cr_expect_not_null(strstr(told.err, "no-such-job"), "%s", told.err);
}

Test(jobs, output_is_in_the_log_with_the_name_of_the_job)
{
    configure("[job talk]\nschedule = @elected\ncommand = echo 'first line'; echo second >&2; "
              "printf unfinished\n");
    instance_start(&one, NULL);

    instance_wait(&one, "output", "first line");
    instance_wait(&one, "output", "second");
    instance_wait(&one, "output", "unfinished");
    cr_expect_eq(instance_logged(&one, "output", "job=talk"), 3);
    cr_expect_eq(instance_logged(&one, "output", "stream=stderr"), 1);
    instance_stop(&one);
}

Test(jobs, output_can_go_to_a_file_or_nowhere)
{
    configure("[job file]\nschedule = @elected\ncommand = echo to-file\noutput = DIR/out\n"
              "[job none]\nschedule = @elected\ncommand = echo to-nowhere; echo done >> "
              "DIR/done\noutput = none\n");
    instance_start(&one, NULL);

    wait_for_text("out", "to-file", 1);
    wait_for_text("done", "done", 1);
    instance_stop(&one);
    cr_expect_eq(instance_logged(&one, "output", ""), 0);
}

Test(jobs, a_run_that_takes_too_long_is_ended)
{
    configure("[job slow]\nschedule = @elected\ntimeout = 300ms\ncommand = sleep 1000\n");
    instance_start(&one, NULL);

    instance_wait(&one, "job_ended", "outcome=timed_out");
    instance_stop(&one);
}

Test(jobs, one_that_ignores_term_is_killed_after_its_grace)
{
    configure("[job deaf]\nschedule = @elected\ntimeout = 200ms\ngrace = 200ms\n"
              "command = trap '' TERM; echo $$ >> DIR/pid; while :; do sleep 0.1; done\n");
    instance_start(&one, NULL);

    instance_wait(&one, "job_ended", "outcome=timed_out");
    char *text = file_text("pid");
    cr_expect_not(process_lives((pid_t)strtol(text, NULL, 10)));
    free(text);
    instance_stop(&one);
}

static bool is_gone(void *file)
{
    char *text = file_text(file);
    pid_t pid = (pid_t)strtol(text, NULL, 10);

    free(text);
    return pid > 0 && !process_lives(pid);
}

/* A run that has timed out takes with it what its process group does not hold. */
Test(jobs, descendants_in_a_session_of_their_own_end_with_the_job)
{
    configure("[job parent]\nschedule = @elected\ntimeout = 5s\ngrace = 200ms\n"
              "command = setsid sh -c 'trap \"\" TERM; echo $$ > DIR/stray; while :; do sleep 0.1; "
              "done' & wait\n");
    instance_start(&one, NULL);
    wait_for_text("stray", "\n", 1);

    instance_wait(&one, "job_ended", "outcome=timed_out");
    cr_expect(wait_until(is_gone, (void *)"stray", WAIT_LIMIT));
    instance_stop(&one);
}

/* What has left the tree (a daemon that forked twice) dies with the term at the latest. */
Test(jobs, a_daemon_that_a_job_left_behind_dies_with_the_term)
{
    configure("[job parent]\nschedule = @elected\n"
              "command = (setsid sh -c 'trap \"\" TERM; echo $$ > DIR/stray; while :; do sleep "
              "0.1; done' &) ; true\n");
    instance_start(&one, NULL);
    wait_for_text("stray", "\n", 1);

    instance_stop(&one);
    cr_expect(is_gone((void *)"stray"));
}

Test(jobs, a_tick_is_skipped_while_the_last_run_still_runs)
{
    configure("[job long]\nschedule = every 200ms\ngrace = 200ms\ncommand = echo run >> DIR/out; "
              "sleep 1000\n");
    instance_start(&one, NULL);

    instance_wait(&one, "job_skipped", "job=long");
    wait_for_text("out", "run", 1);
    char *text = file_text("out");
    cr_expect_eq(text_count(text, "run"), 1);
    free(text);
    program_signal(&one.supervisor, SIGTERM);
    cr_expect_eq(instance_wait_exit(&one), 0);
}

Test(jobs, a_run_may_end_by_itself_while_the_instance_stops)
{
    configure("[job long]\nschedule = @elected\n"
              "command = echo begin >> DIR/out; while ! test -e DIR/go; do sleep 0.05; done; echo "
              "end >> DIR/out\n");
    instance_start(&one, NULL);
    wait_for_text("out", "begin", 1);

    program_signal(&one.supervisor, SIGTERM);
    instance_wait(&one, "stopping", "");
    char *go = text_format("%s/go", dir.path);
    text_write(go, "");
    free(go);

    cr_expect_eq(instance_wait_exit(&one), 0);
    wait_for_text("out", "end", 1);
}

static const struct {
    const char *title;
    const char *line;
} in_environment[] = {
    {"the name of the job", "PGBATON_JOB=env\n"},
    {"the instance", "PGBATON_INSTANCE=one\n"},
    {"the election", "PGBATON_ELECTION=main\n"},
    {"the attempt", "PGBATON_ATTEMPT=1\n"},
    {"an epoch", "PGBATON_EPOCH="},
    {"an identifier of the run", "PGBATON_RUN_ID="},
    {"when it was due", "PGBATON_SCHEDULED_AT=20"},
    {"what environment adds", "COLOUR=deep blue\n"},
    {"what environment_file adds", "FROM_FILE=yes\n"},
    {"what the daemon has", "OF_THE_DAEMON=yes\n"},
};

Test(jobs, find_in_their_environment_what_the_contract_says)
{
    static const char *const more[] = {"OF_THE_DAEMON=yes", "PGPASSWORD=hidden-1",
                                       "NOTIFY_SOCKET=/hidden-2",
                                       "PGBATON_DATABASE_PASSWORD_FILE=/hidden-3", NULL};
    configure("[job env]\nschedule = @elected\ncommand = env > DIR/env; echo done > DIR/done\n"
              "environment = COLOUR=\"deep blue\"\nenvironment_file = DIR/more.env\n");
    char *file = text_format("%s/more.env", dir.path);
    text_write(file, "# a comment\nFROM_FILE=yes\n");
    free(file);
    one.environment = more;
    instance_start(&one, NULL);
    wait_for_text("done", "done", 1);
    instance_stop(&one);

    char *env = file_text("env");
    for (size_t i = 0; i < sizeof in_environment / sizeof in_environment[0]; i++) {
        cr_expect_not_null(strstr(env, in_environment[i].line), "%s is missing:\n%s",
                           in_environment[i].title, env);
    }
    cr_expect_null(strstr(env, "hidden-"), "a secret of the daemon's got into a job:\n%s", env);
    free(env);
}

Test(jobs, can_have_a_bare_environment_and_the_database)
{
    static const char *const more[] = {"OF_THE_DAEMON=yes", NULL};
    configure("[job env]\nschedule = @elected\nclean_environment = yes\npass_database = yes\n"
              "command = env > DIR/env; echo done > DIR/done\n");
    one.environment = more;
    instance_start(&one, NULL);
    wait_for_text("done", "done", 1);
    instance_stop(&one);

    char *env = file_text("env");
    cr_expect_null(strstr(env, "OF_THE_DAEMON"));
    cr_expect_not_null(strstr(env, "PATH="));
    cr_expect_not_null(strstr(env, "HOME="));
    cr_expect_not_null(strstr(env, "PGBATON_DATABASE_DSN=none\n"), "%s", env);
    free(env);
}

Test(jobs, start_with_directory_umask_and_nice_as_configured)
{
    configure("[job where]\nschedule = @elected\ndirectory = /usr\numask = 027\nnice = 5\n"
              "command = { pwd; umask; nice; } > DIR/out; echo done > DIR/done\n");
    instance_start(&one, NULL);
    wait_for_text("done", "done", 1);
    instance_stop(&one);

    char *out = file_text("out");
    cr_expect_str_eq(out, "/usr\n0027\n5\n");
    free(out);
}

Test(jobs, run_as_another_user)
{
    if (geteuid() != 0) {
        cr_skip_test("only root can start a job as another user");
    }
    configure("[job who]\nschedule = @elected\nuser = nobody\noutput = none\n"
              "command = id -un > DIR/open/out\n");
    char *open = text_format("mkdir -m 777 %s/open", dir.path);
    cr_assert_eq(system(open), 0);
    free(open);
    instance_start(&one, NULL);

    wait_for_text("open/out", "nobody\n", 1);
    instance_stop(&one);
}

/* Own group, empty mask, default dispositions, nothing open but 0, 1 and 2. Without a shell, which
 * has its own. */
Test(jobs, start_clean)
{
    configure(
        "[job status]\nschedule = @elected\nexec = /bin/cat /proc/self/status\noutput = "
        "DIR/status\n"
        "[job stat]\nschedule = @elected\nexec = /bin/cat /proc/self/stat\noutput = DIR/stat\n"
        "[job fds]\nschedule = @elected\nexec = /bin/ls -l /proc/self/fd\noutput = DIR/fds\n");
    instance_start(&one, NULL);
    instance_wait(&one, "job_ended", "job=status");
    instance_wait(&one, "job_ended", "job=stat ");
    instance_wait(&one, "job_ended", "job=fds");
    instance_stop(&one);

    char *status = file_text("status");
    cr_expect_not_null(strstr(status, "SigBlk:\t0000000000000000"), "%s", status);
    cr_expect_not_null(strstr(status, "SigIgn:\t0000000000000000"), "%s", status);
    char *stat = file_text("stat");
    int pid = 0;
    int group = 0;
    cr_expect_eq(sscanf(stat, "%d (%*[^)]) %*c %*d %d", &pid, &group), 2);
    cr_expect_eq(pid, group, "it has no group of its own");
    char *fds = file_text("fds");
    cr_expect_eq(text_count(fds, " -> "), 4,
                 "more than 0, 1, 2 and the directory that ls reads:\n%s", fds);
    free(status);
    free(stat);
    free(fds);
}

Test(jobs, exec_uses_no_shell)
{
    configure("[job words]\nschedule = @elected\nexec = /bin/echo 'two words' $HOME ; #no\n");
    instance_start(&one, NULL);

    instance_wait(&one, "output", "two words $HOME ; #no");
    instance_stop(&one);
}

Test(jobs, one_that_cannot_be_started_is_named_and_harms_no_other)
{
    configure("[job missing]\nschedule = @elected\nexec = /no/such/program\n"
              "[job tick]\nschedule = every 200ms\ncommand = echo tick >> DIR/out\n");
    instance_start(&one, NULL);

    instance_wait(&one, "job_failed_to_start", "job=missing");
    wait_for_text("out", "tick", 2);
    instance_command(&one, &told, "status", NULL);
    cr_expect_not_null(strstr(told.out, "failed (127)"), "%s%s", told.out, told.err);
    instance_stop(&one);
}

Test(jobs, a_disabled_one_never_runs)
{
    configure("[job off]\nschedule = @elected\nenabled = no\ncommand = echo off >> DIR/out\n"
              "[job tick]\nschedule = every 100ms\ncommand = echo tick >> DIR/out\n");
    instance_start(&one, NULL);

    wait_for_text("out", "tick", 3);
    char *out = file_text("out");
    cr_expect_null(strstr(out, "off"));
    free(out);
    instance_stop(&one);
}

Test(jobs, their_state_is_in_the_status)
{
    configure("[job bad]\nschedule = @elected\ncommand = exit 3\n");
    instance_start(&one, NULL);
    instance_wait(&one, "job_ended", "code=3");

    json_t *status = instance_status(&one);
    cr_assert_not_null(status);
    json_t *job = json_array_get(json_object_get(status, "jobs"), 0);
    json_t *last = json_object_get(job, "last");
    cr_expect_str_eq(json_string_value(json_object_get(job, "name")), "bad");
    cr_expect_str_eq(json_string_value(json_object_get(last, "outcome")), "failed");
    cr_expect_eq(json_integer_value(json_object_get(last, "code")), 3);
    json_decref(status);
    instance_stop(&one);
}
