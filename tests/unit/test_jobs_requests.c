/* What people ask of the leader, and what they are told. */
#include <criterion/criterion.h>

#include "tests/unit/jobs_fixture.h"
#include "worker/leader/job.h"

TestSuite(jobs_requests, .init = world_up, .fini = world_down, .timeout = 300);

static const struct schedule manual = {.kind = SCHEDULE_MANUAL};

static struct jobs_answer ask(enum ledger_request_kind kind, const char *job)
{
    const struct ledger_request request = {
        .kind = kind, .job = job, .requested_at = clock_wall(), .requested_by = "test"};
    struct jobs_answer answer;

    jobs_command(world.jobs, &request, &answer);
    return answer;
}

static void expect(enum ledger_request_kind kind, const char *job, bool done, const char *text)
{
    struct jobs_answer answer = ask(kind, job);

    cr_expect_str_eq(answer.text, text, "%s", answer.text);
    cr_expect_eq(answer.done, done, "%s", answer.text);
}

Test(jobs_requests, an_answer_says_what_is_still_paused)
{
    world_add("one", manual, "exit 0");
    world_begin();
    expect(LEDGER_RESUME, "one", true, "it was not paused");
    expect(LEDGER_PAUSE, "one", true, "it is paused");
    expect(LEDGER_PAUSE, "one", true, "it was paused already");
    expect(LEDGER_PAUSE, "", true, "all jobs are paused");
    expect(LEDGER_RESUME, "one", false,
           "its own pause has ended, but all jobs are paused: `pgbaton resume` ends that");
    expect(LEDGER_RESUME, "one", false,
           "it was not paused by itself: all jobs are paused, and `pgbaton resume` ends that");
    expect(LEDGER_RESUME, "", true, "all jobs go on, but for those paused by name");
    expect(LEDGER_PAUSE, "one", true, "it is paused");
    expect(LEDGER_RESUME, "one", true, "it goes on");
    world_drain(0, DUR_S(5));
}

static bool is_known(const void *name)
{
    return jobs_find(world.jobs, name)->plan.known;
}

/* A job that is new makes the leader read the state of all. */
Test(jobs_requests, a_pause_of_all_jobs_outlives_a_reload)
{
    world_add("one", manual, "exit 0");
    world_begin();
    world_wait_for("one is known", is_known, "one");
    expect(LEDGER_PAUSE, "", true, "all jobs are paused");
    world_add("two", manual, "exit 0");
    jobs_configure(world.jobs, &world.cfg);
    world_wait_for("two is known", is_known, "two");
    expect(LEDGER_RESUME, "", true, "all jobs go on, but for those paused by name");
    world_drain(0, DUR_S(5));
}

Test(jobs_requests, a_run_that_finds_no_room_is_said_to_wait)
{
    world_add("one", manual, "> $DIR/runs; sleep 1000");
    world_add("two", manual, "sleep 1000");
    world.cfg.runs.max_running = 1;
    world_begin();
    expect(LEDGER_TRIGGER, "one", true, "it is started");
    world_wait_for_file("runs");
    expect(LEDGER_TRIGGER, "two", true, "it waits: max_running");
    world_wait_for_log("job_waits job=two");
    cr_expect(world_has_logged("reason=max_running"), "%s", world_log());
    world_kill_all();
}

/* Nothing starts of a paused job, a second attempt neither: then the first one was the end. */
Test(jobs_requests, a_failure_whose_retry_a_pause_prevents_is_told)
{
    struct config_job *job = world_add("one", manual, "exit 3");

    job->retries = 5;
    job->retry_delay = DUR_MS(500);
    job->on_failure = "echo $PGBATON_OUTCOME $PGBATON_REASON $PGBATON_FAILURES; > $DIR/told";
    world_begin();
    expect(LEDGER_TRIGGER, "one", true, "it is started");
    world_wait_for_log("job_retries job=one");
    expect(LEDGER_PAUSE, "one", true, "it is paused");
    world_wait_for_file("told");
    world_wait_for_log("text=\"skipped paused 1\"");
    world_drain(0, DUR_S(5));
}

/* A service has a run at any time: it would never have it. */
Test(jobs_requests, a_mutex_that_comes_by_a_reload_holds_for_runs_that_start_after_it)
{
    world_add("one", manual,
              "> $DIR/runs.$PGBATON_RUN_ID; until [ -e $DIR/ends.$PGBATON_RUN_ID ]; do "
              "sleep 0.01; done");
    world_add("two", manual, "sleep 1000");
    world_begin();
    expect(LEDGER_TRIGGER, "one", true, "it is started");
    world_wait_for_file("runs.1.7-1");
    for (size_t i = 0; i < 2; i++) {
        world.job_list[i].mutex = "m";
        world.job_list[i].hash += 10;
    }
    jobs_configure(world.jobs, &world.cfg);
    world_make_file("ends.1.7-1");
    world_wait_for_log("job_ended job=one");
    expect(LEDGER_TRIGGER, "one", true, "it is started");
    world_wait_for_file("runs.1.7-2");
    expect(LEDGER_TRIGGER, "two", true, "it waits: mutex");
    world_wait_for_log("job_waits job=two");
    cr_expect(world_has_logged("reason=mutex"), "%s", world_log());
    world_kill_all();
}
