#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/jobs_fixture.h"

TestSuite(jobs_stop, .init = world_up, .fini = world_down, .timeout = 300);

Test(jobs_stop, a_timeout_ends_the_whole_family)
{
    struct config_job *job = world_add(
        "stuck", elected,
        "setsid sh -c '> $DIR/child; eval \"$WAIT\"' & while [ ! -e $DIR/child ]; do sleep 0.01; "
        "done; sleep 1000");

    job->timeout = DUR_MS(700);
    world_begin();
    world_wait_for_log("outcome=timed_out reason=timeout");
    cr_expect_eq(world_descendants(), 0, "a process is left");
    cr_expect_not(world_has_logged("job_killing"), "SIGTERM was enough");
    world_drain(0, DUR_S(5));
}

Test(jobs_stop, a_job_that_ignores_term_is_killed_after_its_grace)
{
    struct config_job *job =
        world_add("deaf", elected, "trap '' TERM; > $DIR/deaf; while :; do sleep 1000; done");

    job->timeout = DUR_S(2);
    job->grace = DUR_MS(200);
    world_begin();
    world_wait_for_log("code=137 outcome=timed_out");
    cr_expect(world_has_logged("job_killing"));
    cr_expect_eq(world_descendants(), 0, "a process is left");
    world_drain(0, DUR_S(5));
}

Test(jobs_stop, a_stopped_run_is_over_when_its_last_child_is_gone)
{
    struct config_job *job =
        world_add("parent", elected,
                  "setsid sh -c 'trap \"\" TERM; > $DIR/child; eval \"$WAIT\"' & "
                  "while [ ! -e $DIR/child ]; do sleep 0.01; done; > $DIR/ready; sleep 1000");

    job->timeout = DUR_S(2);
    job->grace = DUR_MS(300);
    world_begin();
    world_wait_for_log("job_ended job=parent");
    cr_expect(world_has_file("child"));
    cr_expect(strstr(world_log(), "job_killing") != NULL &&
                  strstr(world_log(), "job_killing") < strstr(world_log(), "job_ended"),
              "it ended before its child was killed");
    cr_expect_eq(world_descendants(), 0, "a process is left");
    world_drain(0, DUR_S(5));
}

Test(jobs_stop, what_a_finished_run_leaves_dies_with_the_term)
{
    world_add("daemon", elected,
              "setsid sh -c '> $DIR/daemon; eval \"$WAIT\"' >&- 2>&- & "
              "while [ ! -e $DIR/daemon ]; do sleep 0.01; done");
    world_begin();
    world_wait_for_log("outcome=succeeded");
    cr_expect(world_descendants() > 0, "it is left alone while the term lasts");
    cr_expect_not(jobs_idle(world.jobs));
    world_drain(DUR_S(10), DUR_S(20));
}

/* Else each of its lives would leave one more. */
Test(jobs_stop, what_a_service_leaves_is_stopped_before_it_is_started_again)
{
    world_add("daemon", always,
              "sh -c '> $DIR/daemon-$$; eval \"$WAIT\"' & "
              "while [ ! -e $DIR/daemon-$! ]; do sleep 0.01; done; "
              "[ -e $DIR/one ] && > $DIR/two; > $DIR/one");
    world_begin();
    world_wait_for_file("two");
    world_wait_for_log("job_left_processes job=daemon run=1.7-1");
    const char *first = strstr(world_log(), "job_started");
    const char *again = strstr(first + 1, "job_started");
    const char *end = strstr(world_log(), "job_ended job=daemon");
    cr_expect(end != NULL && again != NULL && end < again, "it ends when they have ended");
    cr_expect(world_has_logged("outcome=succeeded"), "it was not told to stop: %s", world_log());
    world_drain(DUR_S(10), DUR_S(20));
}

Test(jobs_stop, what_a_service_leaves_and_ignores_term_is_killed)
{
    struct config_job *job = world_add("daemon", always,
                                       "sh -c 'trap \"\" TERM; > $DIR/daemon-$$; eval \"$WAIT\"' & "
                                       "while [ ! -e $DIR/daemon-$! ]; do sleep 0.01; done; "
                                       "[ -e $DIR/one ] && > $DIR/two; > $DIR/one");

    job->grace = DUR_MS(100);
    world_begin();
    world_wait_for_file("two");
    cr_expect(world_has_logged("job_killing job=daemon run=1.7-1"), "%s", world_log());
    world_kill_all();
}

Test(jobs_stop, a_stopped_process_outside_the_group_takes_notice_too)
{
    struct config_job *job =
        world_add("parent", elected,
                  "setsid sh -c 'trap \"> $DIR/told; exit\" TERM; > $DIR/child; kill -STOP $$; "
                  "eval \"$WAIT\"' & "
                  "until grep -q '^State:.T' /proc/$!/status; do sleep 0.01; done; > $DIR/ready; "
                  "exec sleep 1000");

    job->schedule = always;
    world_begin();
    world_wait_for_file("ready");
    mono_ns now = clock_now();
    jobs_drain(world.jobs, now, now + WORLD_LIMIT);
    world_wait_for("idle", world_is_idle, NULL);
    cr_expect(world_has_file("told"), "it was killed instead");
    cr_expect_not(world_has_logged("job_killing"));
    world_expect_nothing_left();
}

Test(jobs_stop, a_drain_waits_for_runs_and_then_runs_the_released_jobs)
{
    world_add("work", elected,
              "> $DIR/started; while [ ! -e $DIR/go ]; do sleep 0.01; done; > $DIR/work");
    world_add("service", always, "> $DIR/serving; exec sleep 1000");
    world_add("bye", released, "[ -e $DIR/work ] && > $DIR/bye");
    world_begin();
    world_wait_for_file("started");
    world_wait_for_file("serving");
    mono_ns now = clock_now();
    jobs_drain(world.jobs, now + WORLD_LIMIT, now + 2 * WORLD_LIMIT);
    world_wait_for_log("job_ended job=service");
    cr_expect(world_has_logged("outcome=cancelled reason=drain"), "%s", world_log());
    cr_expect_not(world_has_file("bye"));
    world_make_file("go");
    world_wait_for("idle", world_is_idle, NULL);
    cr_expect(world_has_file("work"), "it was let to its end");
    cr_expect(world_has_file("bye"), "%s", world_log());
    world_expect_nothing_left();
}

/* The next leader would run it in the middle of its own term. */
Test(jobs_stop, what_belongs_to_the_term_is_not_tried_again_after_it)
{
    world_add("hello", elected,
              "> $DIR/started; while [ ! -e $DIR/go ]; do sleep 0.01; done; exit 1")
        ->retries = 1;
    world_add("bye", released, "exit 1")->retries = 1;
    world_begin();
    world_wait_for_file("started");
    mono_ns now = clock_now();
    jobs_drain(world.jobs, now + WORLD_LIMIT, now + 2 * WORLD_LIMIT);
    world_make_file("go");
    world_wait_for("idle", world_is_idle, NULL);
    cr_expect(world_has_logged("job_ended job=hello"), "%s", world_log());
    cr_expect(world_has_logged("job_ended job=bye"), "%s", world_log());
    cr_expect_not(world_has_logged("job_retries"), "%s", world_log());
    world_expect_nothing_left();
}

/* Nor is it lost that it has failed; whether somebody has asked for it or not. */
Test(jobs_stop, a_failure_that_the_end_of_the_term_leaves_without_a_retry_is_told)
{
    static const struct ledger_request trigger = {
        .kind = LEDGER_TRIGGER, .job = "bye", .requested_by = "test"};
    struct config_job *hello = world_add("hello", elected, "exit 1");
    struct config_job *bye = world_add(
        "bye", released, "> $DIR/started; while [ ! -e $DIR/go ]; do sleep 0.01; done; exit 1");
    struct jobs_answer answer;
    char told[RUN_ID_MAX + 8];

    hello->retries = bye->retries = 1;
    hello->retry_delay = DUR_S(3600);
    hello->on_failure = "> $DIR/hello";
    bye->on_failure = "> $DIR/bye.$PGBATON_RUN_ID";
    world_begin();
    world_wait_for_log("job_retries job=hello");
    jobs_command(world.jobs, &trigger, &answer);
    world_wait_for_file("started");
    mono_ns now = clock_now();
    jobs_drain(world.jobs, now + WORLD_LIMIT, now + 2 * WORLD_LIMIT);
    world_make_file("go");
    world_wait_for("idle", world_is_idle, NULL);
    (void)snprintf(told, sizeof(told), "bye.%s", answer.run_id);
    cr_expect(world_has_file("hello"), "%s", world_log());
    cr_expect(world_has_file(told), "%s", world_log());
    world_expect_nothing_left();
}

Test(jobs_stop, a_drain_ends_in_time_whatever_the_jobs_do)
{
    world_add("deaf", elected, "trap '' TERM; > $DIR/deaf; while :; do sleep 1000; done");
    world_add("bye", released, "trap '' TERM; while :; do sleep 1000; done");
    world_begin();
    world_wait_for_file("deaf");
    world_drain(0, DUR_S(2));
    cr_expect(world_has_logged("job_killing job=deaf"));
}

Test(jobs_stop, terminate_tells_all_and_releases_nothing)
{
    world_add("work", elected, "> $DIR/work; sleep 1000");
    world_add("service", always,
              "trap 'exit 0' TERM; > $DIR/serving; while :; do sleep 0.05; done");
    world_add("bye", released, "> $DIR/bye");
    world_begin();
    world_wait_for_file("work");
    world_wait_for_file("serving");
    jobs_terminate(world.jobs);
    cr_expect(world_has_logged("job_stopping job=work"), "at once, not on the next turn");
    jobs_terminate(world.jobs);
    cr_expect_eq(world.idle, 0, "never from inside the call");
    world_wait_for("idle", world_is_idle, NULL);
    world_expect_nothing_left();
    cr_expect(world_has_logged("reason=lost"));
    cr_expect_not(world_has_file("bye"));
}

Test(jobs_stop, kill_reaches_every_kind_of_job)
{
    world_add("deaf", elected, "trap '' TERM INT HUP; > $DIR/deaf; while :; do sleep 1000; done");
    world_add("escaped", elected, "setsid setsid sh -c '> $DIR/escaped; eval \"$WAIT\"' & exit 0");
    world_add("forker", always,
              "fork() { > $DIR/forker; [ -e /proc/$TEST ] && (fork) & exit; }; fork");
    world_add("silent", always, "exec >&- 2>&- <&-; > $DIR/silent; exec sleep 1000");
    world_add("endless", always, "> $DIR/endless; exec yes");
    world_begin();
    world_wait_for_file("deaf");
    world_wait_for_file("escaped");
    world_wait_for_file("forker");
    world_wait_for_file("silent");
    world_wait_for_file("endless");
    world_kill_all();
}

Test(jobs_stop, a_kill_after_a_drain_after_a_terminate)
{
    world_add("deaf", elected, "trap '' TERM; > $DIR/deaf; while :; do sleep 1000; done");
    world_begin();
    world_wait_for_file("deaf");
    jobs_drain(world.jobs, clock_now() + WORLD_LIMIT, clock_now() + 2 * WORLD_LIMIT);
    (void)ev_run(world.loop, EVRUN_ONCE);
    jobs_terminate(world.jobs);
    (void)ev_run(world.loop, EVRUN_ONCE);
    world_kill_all();
}
