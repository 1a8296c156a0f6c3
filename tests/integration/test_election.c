/* Who leads, and who leads next: DESIGN.md section 3, with the real binary and a real server. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(election, .timeout = 120);

static struct fleet fleet;
static struct outcome told;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

static bool says_it_leads(const struct instance *i)
{
    instance_command(i, &told, "status", "--is-leader", NULL);
    return told.code == 0;
}

/* How the newest term but `back` ended, from the database: "released/stop"; "" while it is open. */
static const char *term_end(PGconn *conn, int back)
{
    char *sql = text_format("SELECT concat_ws('/', ended_as, end_reason) FROM pgbaton.term"
                            " ORDER BY generation DESC, number DESC OFFSET %d LIMIT 1",
                            back);
    const char *end = server_scalar(conn, sql);

    free(sql);
    return end == NULL ? "no such term" : end;
}

Test(election, of_three_that_start_together_one_leads_and_runs_the_jobs)
{
    fleet_make(&fleet, 3, NULL);
    for (size_t i = 0; i < 3; i++) {
        instance_start(&fleet.member[i], NULL);
    }

    struct instance *leader = instances_wait_leader(fleet.member, 3);
    diary_wait(&fleet.diary, leader->name, 20);

    for (size_t i = 0; i < 3; i++) {
        struct instance *one = &fleet.member[i];
        cr_expect_eq(says_it_leads(one), one == leader, "%s", one->name);
        cr_expect(one == leader || diary_lines(&fleet.diary, one->name) == 0, "%s runs jobs too",
                  one->name);
    }
    PGconn *conn = server_connect(&fleet.pg, "test");
    cr_expect_str_eq(server_scalar(conn, "SELECT count(*) FROM pgbaton.term"), "1");
    cr_expect_str_eq(server_scalar(conn, "SELECT instance FROM pgbaton.leader"), leader->name);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(election, the_heir_takes_over_when_the_whole_leader_is_killed)
{
    fleet_make(&fleet, 3, NULL);
    fleet_begin(&fleet);

    program_kill_tree(&A->supervisor);

    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 10);
    instance_wait(C, "seat_taken", "");
    cr_expect_eq(instance_logged(C, "elected", ""), 0);
    cr_expect_eq(diary_terms(&fleet.diary), 2);
    fleet_check(&fleet);
}

/* Its service has a grandchild in a session of its own that ignores TERM: the diary shows if it
 * outlives the term. */
Test(election, the_jobs_of_a_worker_that_was_killed_are_dead_before_the_next_leader_starts_one)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);
    pid_t worker = instance_wait_child(A, "worker", 0);

    instance_mark(A);
    cr_assert_eq(kill(worker, SIGKILL), 0);

    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 20);
    instance_wait(A, "fenced", "");
    (void)instance_wait_child(A, "worker", worker);
    cr_expect_eq(diary_terms(&fleet.diary), 2);

    /* It is a sound follower again: it can be the heir, and lead. */
    instance_wait(A, "seat_taken", "");
    program_kill_tree(&B->supervisor);
    instance_wait(A, "elected", "");
    fleet_check(&fleet);
}

Test(election, a_supervisor_that_is_killed_takes_its_children_and_their_jobs_with_it)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    program_signal(&A->supervisor, SIGKILL);

    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 10);
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT), "something of a is left");
    instance_wait(A, "supervisor_gone", "");
    instance_wait(A, "released", "reason=supervisor_died");
    PGconn *conn = server_connect(&fleet.pg, "test");
    cr_expect_str_eq(term_end(conn, 1), "released/supervisor_died");
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(election, a_leader_that_is_asked_to_stop_releases_and_its_heir_takes_over)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    program_signal(&A->supervisor, SIGTERM);

    cr_expect_eq(instance_wait_exit(A), 0);
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT));
    instance_wait(A, "released", "");
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 10);
    cr_expect_eq(instance_logged(B, "takeover_wait", ""), 0, "it waited after a clean end");
    PGconn *conn = server_connect(&fleet.pg, "test");
    cr_expect_str_eq(term_end(conn, 1), "released/stop");
    cr_expect_str_eq(term_end(conn, 0), "");
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(election, quit_kills_the_jobs_and_releases_at_once)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    program_signal(&A->supervisor, SIGQUIT);

    cr_expect_eq(instance_wait_exit(A), 0);
    cr_expect(program_wait_all(&A->supervisor, WAIT_LIMIT));
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 10);
    fleet_check(&fleet);
}

Test(election, an_unclean_end_makes_the_next_leader_wait_before_its_jobs)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    program_kill_tree(&A->supervisor);

    instance_wait(B, "takeover_wait", "");
    diary_wait(&fleet.diary, "b", 0);
    fleet_check(&fleet);
}

Test(election, epochs_only_grow)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);

    for (int i = 0; i < 3; i++) {
        struct instance *leader = i % 2 == 0 ? A : B;
        struct instance *heir = i % 2 == 0 ? B : A;

        instance_mark(heir);
        instance_stop(leader);
        instance_wait(heir, "elected", "");
        instance_mark(leader);
        instance_start(leader, NULL);
        instance_wait(leader, "seat_taken", "");
    }
    PGconn *conn = server_connect(&fleet.pg, "test");
    cr_expect_str_eq(
        server_scalar(conn,
                      "SELECT string_agg(generation || '.' || number, ' ' ORDER BY started_at)"
                      " FROM pgbaton.term"),
        "1.1 1.2 1.3 1.4");
    PQfinish(conn);
    fleet_check(&fleet);
}

/* Its supervisor hears of the heir a moment later than status does, and refuses until then. */
static bool has_stepped_down(void *ctx)
{
    (void)ctx;
    instance_command(A, &told, "step-down", "--for", "1s", NULL);
    return told.code == 0;
}

Test(election, stepping_down_hands_over_to_the_heir)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);
    fleet_wait_heir_known(&fleet);

    instance_mark(A);
    cr_expect(wait_until(has_stepped_down, NULL, WAIT_LIMIT), "%s%s", told.out, told.err);
    instance_wait(A, "released", "reason=step_down");
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 10);
    instance_wait(A, "seat_taken", ""); /* and is the heir again when that time is over */
    fleet_check(&fleet);
}

Test(election, stepping_down_without_an_heir_is_refused_unless_forced)
{
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);

    instance_command(A, &told, "step-down", NULL);
    cr_expect_eq(told.code, 1, "%s%s", told.out, told.err);
    cr_expect_eq(instance_logged(A, "released", ""), 0);
    cr_expect(says_it_leads(A));

    instance_mark(A);
    instance_command(A, &told, "step-down", "--for", "500ms", "--force", NULL);
    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(A, "released", "");
    instance_wait(A, "elected", "");
    fleet_check(&fleet);
}

Test(election, usr2_steps_down)
{
    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);
    fleet_wait_heir_known(&fleet);

    fleet_step_down(&fleet);

    instance_wait(A, "released", "");
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 0);
    fleet_check(&fleet);
}

static bool runs_jobs(void *instance)
{
    const struct instance *i = instance;

    return diary_lines(&fleet.diary, i->name) > 0;
}

/* Any program may take part that uses pg_try_advisory_lock on the same key. */
Test(election, another_program_that_holds_the_key_is_respected)
{
    fleet_make(&fleet, 1, NULL);
    PGconn *other = server_connect(&fleet.pg, "other program");
    cr_assert_str_eq(
        server_scalar(other, "SELECT pg_try_advisory_lock(x'12345678ABCDEF00'::bigint)"), "t");

    instance_start(A, NULL);
    instance_wait(A, "seat_taken", "");
    cr_expect(wait_never(runs_jobs, A, DUR_S(2)));
    cr_expect_not(says_it_leads(A));

    cr_assert_str_eq(server_scalar(other, "SELECT pg_advisory_unlock(x'12345678ABCDEF00'::bigint)"),
                     "t");
    instance_wait(A, "elected", "");
    diary_wait(&fleet.diary, "a", 0);
    cr_expect_str_eq(
        server_scalar(other, "SELECT pg_try_advisory_lock(x'12345678ABCDEF00'::bigint)"), "f");
    PQfinish(other);
    fleet_check(&fleet);
}

static bool got_the_key(void *conn)
{
    const char *got =
        server_scalar(conn, "SELECT pg_try_advisory_lock(x'12345678ABCDEF00'::bigint)");

    return got != NULL && strcmp(got, "t") == 0;
}

Test(election, another_program_that_polls_the_key_gets_it_after_a_release)
{
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);
    PGconn *other = server_connect(&fleet.pg, "other program");
    cr_expect_not(got_the_key(other));

    instance_stop(A);

    cr_expect(wait_until(got_the_key, other, WAIT_LIMIT));
    PQfinish(other);
    fleet_check(&fleet);
}

Test(election, poll_mode_elects_without_anybody_waiting_in_the_database)
{
    fleet_make(&fleet, 3, &(struct instance_settings){.election = ELECTION_CALM "mode = poll\n"});
    for (size_t i = 0; i < 3; i++) {
        instance_start(&fleet.member[i], NULL);
    }
    struct instance *leader = instances_wait_leader(fleet.member, 3);
    diary_wait(&fleet.diary, leader->name, 10);
    PGconn *conn = server_connect(&fleet.pg, "test");
    for (int i = 0; i < 200; i++) {
        cr_assert_str_eq(server_scalar(conn, "SELECT count(*) FROM pg_locks WHERE NOT granted"),
                         "0");
    }
    cr_expect_str_eq(
        server_scalar(conn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "1");

    program_kill_tree(&leader->supervisor);

    struct instance *next = instances_wait_leader(fleet.member, 3);
    cr_expect_neq(next, leader);
    diary_wait(&fleet.diary, next->name, 10);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(election, two_names_are_two_elections)
{
    struct instance_settings other = {.election = ELECTION_CALM "name = other\n",
                                      .job = "[job nothing]\nschedule = manual\nexec = true\n"};
    fleet_make(&fleet, 2, NULL);
    other = fleet_settings(&fleet, &other);
    instance_configure(B, &other);

    instance_start(A, NULL);
    instance_start(B, NULL);

    instance_wait(A, "elected", "election=main");
    instance_wait(B, "elected", "election=other");
    PGconn *conn = server_connect(&fleet.pg, "test");
    /* The 64-bit FNV-1a of "pgbaton/other" */
    cr_expect_str_eq(server_scalar(conn, "SELECT count(DISTINCT key) FROM pgbaton.election"), "2");
    PQfinish(conn);
    fleet_check(&fleet);
}

static const struct {
    const char *title;
    enum server_way way;
} ways[] = {
    {"a UNIX socket", SERVER_UNIX},
    {"TCP without TLS", SERVER_TCP},
    {"TCP with TLS", SERVER_TLS},
};

Test(election, works_over_every_way_to_the_server)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (i == 0) {
            fleet_make(&fleet, 1, NULL);
        }
        struct instance_settings settings = {.dsn = server_conninfo(&fleet.pg, ways[i].way)};
        settings = fleet_settings(&fleet, &settings);
        if (ways[i].way == SERVER_TCP) {
            settings.election = ELECTION_CALM "name = tcp\n"; /* the tables of another owner */
            settings.database = "schema = by_tcp\n";
        }
        instance_configure(A, &settings);
        instance_mark(A);
        instance_start(A, NULL);
        instance_wait(A, "elected", "");
        instance_command(A, &told, "status", NULL);
        cr_expect_eq(told.code, 0, "%s: %s", ways[i].title, told.err);
        instance_stop(A);
    }
    fleet_check(&fleet);
}
