/*
 * Other programs on the same key: any that use pg_try_advisory_lock take part
 * in the election, and are nobody's to end. DESIGN.md section 3.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(foreign, .timeout = 180);

static struct fleet fleet;
static struct outcome told;

#define A (&fleet.member[0])

#define KEY_SQL "(x'12345678ABCDEF00'::bigint)"
#define QUICK "grace = 300ms\n"

/* A session of the very role that the instances have: they could end it. */
static PGconn *connect_as_baton(const char *application_name)
{
    char *conninfo = text_format("%s application_name='%s'",
                                 server_conninfo(&fleet.pg, SERVER_UNIX), application_name);
    PGconn *conn = PQconnectdb(conninfo);

    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    free(conninfo);
    return conn;
}

static bool status_names_it(void *pid)
{
    json_t *status = instance_status(A);
    json_t *leader = json_object_get(status, "leader");
    const char *kind = json_string_value(json_object_get(leader, "kind"));
    const char *application = json_string_value(json_object_get(leader, "application"));
    bool named = kind != NULL && strcmp(kind, "foreign") == 0 && application != NULL &&
                 strcmp(application, "night batch") == 0 &&
                 json_integer_value(json_object_get(leader, "pid")) == *(const int *)pid;

    json_decref(status);
    return named;
}

struct patience {
    PGconn *dba;
    int pid;
};

static bool has_it_no_more(void *ctx)
{
    const struct patience *p = ctx;

    return leader_pid(p->dba) != p->pid;
}

/* Idle for several leases: of our own leader's session that would be the proof that it is stuck. */
Test(foreign, a_program_that_holds_the_key_is_named_and_never_ended)
{
    char pid_text[16];

    fleet_make(&fleet, 1,
               &(struct instance_settings){.election = "retry_interval = 300ms\nlease = 1500ms\n"
                                                       "heartbeat = 100ms\nstop_grace = 400ms\n"
                                                       "loss_grace = 100ms\n"
                                                       "takeover_delay = 500ms\n",
                                           .jobs = QUICK});
    PGconn *other = connect_as_baton("night batch");
    int pid = PQbackendPID(other);
    PGconn *dba = server_connect(&fleet.pg, "dba");
    cr_assert_str_eq(server_scalar(other, "SELECT pg_try_advisory_lock" KEY_SQL), "t");
    instance_start(A, NULL);

    instance_wait(A, "key_held_elsewhere", "application_name=\"night batch\"");
    cr_expect(wait_until(status_names_it, &pid, WAIT_LIMIT));
    (void)snprintf(pid_text, sizeof pid_text, "%d", pid);
    instance_command(A, &told, "status", NULL);
    cr_expect_not_null(strstr(told.out, "night batch"), "%s", told.out);
    cr_expect_not_null(strstr(told.out, pid_text), "%s", told.out);
    (void)backend_wait_waiting(dba);
    cr_expect_eq(leader_pid(dba), pid);
    struct patience patience = {.dba = dba, .pid = pid};
    cr_expect(wait_never(has_it_no_more, &patience, DUR_MS(4500)), "%s", text_tail(A->log));
    cr_expect_leq(instance_logged(A, "key_held_elsewhere", ""),
                  instance_logged(A, "database_up", ""), "once a connection");

    PQfinish(other);
    instance_wait(A, "elected", "");
    diary_wait(&fleet.diary, "a", 0);
    PQfinish(dba);
    fleet_check(&fleet);
}

/* Inside the server, so that it is as fast as a program can be. Its name says how often it had the
 * key. */
static const char polling_sql[] =
    "DO $$ DECLARE got int := 0; BEGIN LOOP "
    "IF pg_try_advisory_lock" KEY_SQL " THEN "
    "got := got + 1; PERFORM set_config('application_name', 'polling ' || got, false); "
    "PERFORM pg_sleep(0.1); PERFORM pg_advisory_unlock" KEY_SQL "; "
    "PERFORM pg_sleep(0.5); " /* others may have it, too */
    "END IF; PERFORM pg_sleep(0.002); END LOOP; END $$";

static int times_it_had_the_key(PGconn *dba)
{
    const char *got = server_scalar(dba, "SELECT split_part(application_name, ' ', 2) FROM "
                                         "pg_stat_activity WHERE application_name LIKE "
                                         "'polling _%'");

    return got == NULL ? 0 : (int)strtol(got, NULL, 10);
}

enum { RELEASES = 6 };

static void polls_beside_a_fleet(const char *election, size_t count)
{
    fleet_make(&fleet, count, &(struct instance_settings){.election = election, .jobs = QUICK});
    PGconn *dba = server_connect(&fleet.pg, "dba");
    PGconn *other = connect_as_baton("polling");
    cr_assert_eq(PQsendQuery(other, polling_sql), 1);
    (void)backend_wait(dba, "polling 1%", 0); /* nobody else is there */
    for (size_t i = 0; i < count; i++) {
        instance_start(&fleet.member[i], NULL);
    }

    for (int i = 0; i < RELEASES; i++) {
        struct instance *leader = instances_wait_leader(fleet.member, count);

        diary_wait(&fleet.diary, leader->name, diary_lines(&fleet.diary, leader->name));
        instance_mark(leader);
        instance_command(leader, &told, "step-down", "--for", "100ms", "--force", NULL);
        cr_expect_eq(told.code, 0, "%s", told.err);
        instance_wait(leader, "released", "");
    }
    struct instance *last = instances_wait_leader(fleet.member, count);
    diary_wait(&fleet.diary, last->name, diary_lines(&fleet.diary, last->name));
    cr_expect_geq(diary_terms(&fleet.diary), RELEASES + 1);
    cr_expect_gt(times_it_had_the_key(dba), 0);
    backend_terminate(dba, PQbackendPID(other));
    PQfinish(other);
    PQfinish(dba);
    fleet_check(&fleet);
}

Test(foreign, a_program_that_polls_the_key_beside_a_fleet_makes_no_second_leader)
{
    polls_beside_a_fleet(ELECTION_CALM, 2);
}

/* Here it is as quick as they are, and often has the key between two of them. */
Test(foreign, a_program_that_polls_the_key_as_the_fleet_does_makes_no_second_leader)
{
    polls_beside_a_fleet(ELECTION_CALM "mode = poll\n", 3);
}
