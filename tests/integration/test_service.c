/* `pgbaton run -- CMD`: the entrypoint of a container. And what a PID 1 owes to its namespace. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(service, .timeout = 120);

static struct fleet fleet;
static struct workdir dir;
static struct instance one;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

static void make_alone(const char *pgbaton, const char *job)
{
    workdir_make(&dir);
    instance_make(&one, &dir, "one",
                  &(struct instance_settings){.dsn = "none", .pgbaton = pgbaton, .job = job});
}

static const char quiet_job[] = "[job nothing]\nschedule = manual\nexec = true\n";

static const char *const shell_exit[] = {"--", "/bin/sh", "-c", "exit 37", NULL};
static const char *const shell_kill[] = {"--", "/bin/sh", "-c", "kill -KILL $$", NULL};
static const char *const no_program[] = {"--", "/no/such/program", NULL};

Test(service, its_exit_code_is_the_code_of_the_instance)
{
    make_alone("", quiet_job);
    instance_start(&one, shell_exit);

    cr_expect_eq(instance_wait_exit(&one), 37, "%s", text_tail(one.log));
    cr_expect(program_wait_all(&one.supervisor, WAIT_LIMIT));
}

Test(service, that_is_killed_makes_128_and_the_signal)
{
    make_alone("", quiet_job);
    instance_start(&one, shell_kill);

    cr_expect_eq(instance_wait_exit(&one), 128 + SIGKILL, "%s", text_tail(one.log));
}

Test(service, that_does_not_exist_makes_127)
{
    make_alone("", quiet_job);
    instance_start(&one, no_program);

    cr_expect_eq(instance_wait_exit(&one), 127, "%s", text_tail(one.log));
}

struct seen {
    char *path;
    const char *text;
};

static bool is_in_file(void *ctx)
{
    const struct seen *s = ctx;
    char *text = text_read(s->path);
    bool there = strstr(text, s->text) != NULL;

    free(text);
    return there;
}

static void wait_for_line(const char *file, const char *line)
{
    struct seen seen = {.path = text_format("%s/%s", dir.path, file), .text = line};

    cr_assert(wait_until(is_in_file, &seen, WAIT_LIMIT), "no '%s' in %s:\n%s", line, file,
              text_tail(one.log));
    free(seen.path);
}

/* It is what the entrypoint would be without us: only what is ours alone is not for it. */
Test(service, has_the_environment_of_the_instance_less_the_database_of_pgbaton)
{
    static const char *const more[] = {"OF_THE_SERVICE=yes", "PGPASSWORD=of the service",
                                       "NOTIFY_SOCKET=@pgbaton-test-service",
                                       "PGBATON_DATABASE_PASSWORD_FILE=/hidden", NULL};
    make_alone("", quiet_job);
    char *script = text_format("env > %s/env", dir.path);
    const char *const words[] = {"--", "/bin/sh", "-c", script, NULL};
    one.environment = more;

    instance_start(&one, words);

    cr_expect_eq(instance_wait_exit(&one), 0, "%s", text_tail(one.log));
    char *path = text_format("%s/env", dir.path);
    char *env = text_read(path);
    for (size_t i = 0; i < 3; i++) {
        cr_expect_not_null(strstr(env, more[i]), "no %s:\n%s", more[i], env);
    }
    cr_expect_null(strstr(env, "PGBATON_DATABASE_"), "%s", env);
    free(env);
    free(path);
    free(script);
}

/* Writes what it gets; ends with 5 on TERM. */
static void start_listener(const char *pgbaton, const char *job)
{
    make_alone(pgbaton, job);
    char *script = text_format(
        "trap 'echo term >> %s/got; exit 5' TERM; trap 'echo int >> %s/got; exit 6' INT;"
        " trap 'echo hup >> %s/got' HUP; echo ready >> %s/got;"
        " while :; do sleep 0.05; done",
        dir.path, dir.path, dir.path, dir.path);
    const char *const words[] = {"--", "/bin/sh", "-c", script, NULL};

    instance_start(&one, words);
    wait_for_line("got", "ready");
    free(script);
}

Test(service, gets_term_and_its_code_is_passed_on)
{
    start_listener("", quiet_job);

    program_signal(&one.supervisor, SIGTERM);

    cr_expect_eq(instance_wait_exit(&one), 5, "%s", text_tail(one.log));
    wait_for_line("got", "term");
}

Test(service, gets_int_as_int)
{
    start_listener("", quiet_job);

    program_signal(&one.supervisor, SIGINT);

    cr_expect_eq(instance_wait_exit(&one), 6, "%s", text_tail(one.log));
}

/* HUP is pgbaton's own: it reloads. */
Test(service, does_not_get_hup)
{
    start_listener("", quiet_job);

    program_signal(&one.supervisor, SIGHUP);
    instance_wait(&one, "config_reloaded", "");
    program_signal(&one.supervisor, SIGTERM);

    cr_expect_eq(instance_wait_exit(&one), 5);
    char *path = text_format("%s/got", dir.path);
    char *got = text_read(path);
    cr_expect_null(strstr(got, "hup"));
    free(got);
    free(path);
}

Test(service, gets_its_signal_only_when_the_jobs_have_ended)
{
    workdir_make(&dir);
    char *job = text_format("[job first]\nschedule = @elected\ncommand = true\n"
                            "[job last]\nschedule = @released\ncommand = echo released >> %s/got\n",
                            dir.path);
    instance_make(&one, &dir, "one", &(struct instance_settings){.dsn = "none", .job = job});
    char *script = text_format("trap 'echo term >> %s/got; exit 0' TERM; echo ready >> %s/got;"
                               " while :; do sleep 0.05; done",
                               dir.path, dir.path);
    const char *const words[] = {"--", "/bin/sh", "-c", script, NULL};
    instance_start(&one, words);
    wait_for_line("got", "ready");
    instance_wait(&one, "job_ended",
                  "job=first"); /* a term whose jobs never began has no last one */

    program_signal(&one.supervisor, SIGTERM);

    cr_expect_eq(instance_wait_exit(&one), 0);
    char *path = text_format("%s/got", dir.path);
    char *got = text_read(path);
    cr_expect_str_eq(got, "ready\nreleased\nterm\n");
    free(got);
    free(path);
    free(script);
    free(job);
}

static const char deaf_script[] = "trap '' TERM INT QUIT; echo ready; while :; do sleep 0.1; done";
static const char *const deaf[] = {"--", "/bin/sh", "-c", deaf_script, NULL};

Test(service, that_ignores_term_is_killed_within_stop_timeout)
{
    make_alone("stop_timeout = 2s\n", quiet_job);
    instance_start(&one, deaf);
    (void)instance_wait_child(&one, "keeper", 0);
    struct seen seen = {.path = one.log, .text = "ready"};
    cr_assert(wait_until(is_in_file, &seen, WAIT_LIMIT));

    program_signal(&one.supervisor, SIGTERM);

    cr_expect_eq(instance_wait_exit(&one), 128 + SIGKILL, "%s", text_tail(one.log));
    cr_expect(program_wait_all(&one.supervisor, WAIT_LIMIT));
}

/* CMD runs on every replica, leader or not; its end on the leader hands leadership over. */
Test(service, runs_on_followers_too_and_its_end_releases)
{
    fleet_make(&fleet, 2, NULL);
    char *script =
        text_format("echo $$ >> %s/running; while ! test -e %s/end; do sleep 0.05; done; exit 3",
                    fleet.dir.path, fleet.dir.path);
    const char *const ends[] = {"--", "/bin/sh", "-c", script, NULL};
    static const char *const stays[] = {"--", "/bin/sh", "-c", "sleep 1000", NULL};
    instance_start(A, ends);
    instance_wait(A, "elected", "");
    instance_start(B, stays);
    instance_wait(B, "seat_taken", "");
    (void)instance_wait_child(B, "keeper", 0);
    diary_wait(&fleet.diary, "a", 10);

    char *end = text_format("%s/end", fleet.dir.path);
    text_write(end, "");

    cr_expect_eq(instance_wait_exit(A), 3, "%s", text_tail(A->log));
    instance_wait(A, "released", "");
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 10);
    free(end);
    free(script);
    fleet_check(&fleet);
}

/* A job's death sweep must not touch the service or what it left behind. */
Test(service, survives_the_fencing_of_a_worker)
{
    fleet_make(&fleet, 1, NULL);
    char *script = text_format("(setsid sleep 1000 &) ; echo $$ > %s/service; exec sleep 1000",
                               fleet.dir.path);
    const char *const words[] = {"--", "/bin/sh", "-c", script, NULL};
    instance_start(A, words);
    instance_wait(A, "elected", "");
    diary_wait(&fleet.diary, "a", 10);
    char *path = text_format("%s/service", fleet.dir.path);
    struct seen seen = {.path = path, .text = "\n"};
    cr_assert(wait_until(is_in_file, &seen, WAIT_LIMIT), "%s", text_tail(A->log));
    char *pid = text_read(path);
    pid_t keeper = instance_wait_child(A, "keeper", 0);
    pid_t below[16];
    size_t before = processes_below(keeper, below, 16);

    instance_mark(A);
    cr_assert_eq(kill(instance_wait_child(A, "worker", 0), SIGKILL), 0);
    instance_wait(A, "fenced", "");
    instance_wait(A, "elected", "");

    cr_expect(process_lives((pid_t)strtol(pid, NULL, 10)));
    cr_expect_eq(processes_below(keeper, below, 16), before, "the service lost a process");
    free(pid);
    free(path);
    free(script);
    fleet_check(&fleet);
}

static void start_as_pid_1(const char *job)
{
    make_alone("", job);
    if (!instance_start_as_pid_1(&one, NULL)) {
        cr_skip_test("this kernel or user may not make a pid namespace");
    }
}

static bool has_no_zombie(void *ctx)
{
    const struct instance *i = ctx;

    return zombies_below(i->supervisor.pid) == 0;
}

Test(service, as_pid_1_reaps_orphans)
{
    start_as_pid_1(
        "[job orphans]\nschedule = every 200ms\ncommand = (sleep 0.1 &) ; (sleep 0.2 &) ; true\n");
    instance_wait(&one, "job_ended", "job=orphans");
    instance_mark(&one);
    instance_wait(&one, "job_ended", "job=orphans");

    cr_expect(wait_until(has_no_zombie, &one, WAIT_LIMIT));
}

/* A zombie waits for its parent: what exec'd CMD left is the keeper's to reap, a job's what the
 * worker's. */
Test(service, as_pid_1_stops_on_term)
{
    start_as_pid_1(quiet_job);
    instance_wait(&one, "elected", "");

    /* From outside; PID 1 has no default disposition to die by. */
    cr_assert_eq(kill(instance_child(&one, "supervisor"), SIGTERM), 0);

    cr_expect_eq(instance_wait_exit(&one), 0, "%s", text_tail(one.log));
}
