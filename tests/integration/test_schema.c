/* The schema: made, upgraded in place, and left alone where it is of a later version. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

/* As version 1 made it. */
/* clang-format off */
static const char version_1[] =
    "DO $pgbaton_do$ BEGIN\n"
    "    PERFORM pg_catalog.pg_advisory_xact_lock(1885823585, 1953459827);\n"
    "    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace\n"
    "                   WHERE nspname = 'pgbaton') THEN\n"
    "        CREATE SCHEMA pgbaton;\n"
    "    END IF;\n"
    "END $pgbaton_do$;\n"
    "CREATE TABLE IF NOT EXISTS pgbaton.election (\n"
    "    name        text PRIMARY KEY,\n"
    "    key         bigint NOT NULL,\n"
    "    generation  bigint NOT NULL DEFAULT 0,\n"
    "    number      bigint NOT NULL DEFAULT 0,\n"
    "    incarnation text,\n"
    "    instance    text,\n"
    "    system_id   text,\n"
    "    timeline    integer,\n"
    "    jobs_hash   text\n"
    ");\n"
    "CREATE TABLE IF NOT EXISTS pgbaton.term (\n"
    "    election      text NOT NULL,\n"
    "    generation    bigint NOT NULL,\n"
    "    number        bigint NOT NULL,\n"
    "    incarnation   text NOT NULL,\n"
    "    instance      text NOT NULL,\n"
    "    backend_pid   integer NOT NULL,\n"
    "    backend_start timestamptz,\n"
    "    system_id     text,\n"
    "    timeline      integer,\n"
    "    lease_ms      bigint NOT NULL,\n"
    "    heartbeat_ms  bigint NOT NULL,\n"
    "    loss_grace_ms bigint NOT NULL,\n"
    "    started_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),\n"
    "    ended_at      timestamptz,\n"
    "    ended_as      text,\n"
    "    end_reason    text,\n"
    "    PRIMARY KEY (election, generation, number)\n"
    ");\n"
    "CREATE OR REPLACE VIEW pgbaton.leader AS\n"
    "    SELECT t.election, t.generation || '.' || t.number AS epoch, t.instance, t.incarnation,\n"
    "           t.backend_pid, t.backend_start, t.started_at,\n"
    "           EXISTS (SELECT FROM pg_catalog.pg_locks l\n"
    "                   WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted\n"
    "                     AND l.pid = t.backend_pid\n"
    "                     AND l.database = (SELECT oid FROM pg_catalog.pg_database\n"
    "                                       WHERE datname = pg_catalog.current_database())\n"
    "                     AND l.classid::bigint = (e.key >> 32) & 4294967295\n"
    "                     AND l.objid::bigint = e.key & 4294967295) AS holds_key\n"
    "    FROM pgbaton.election e\n"
    "    JOIN pgbaton.term t ON t.election = e.name AND t.generation = e.generation AND t.number = e.number\n"
    "    WHERE t.ended_at IS NULL;\n"
    "CREATE OR REPLACE FUNCTION pgbaton.assert_leader(who text) RETURNS void\n"
    "    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $pgbaton_fn$\n"
    "DECLARE\n"
    "    part text[] := regexp_match(who, '^(.+)/(\\d{1,18})\\.(\\d{1,18})$');\n"
    "BEGIN\n"
    "    IF part IS NULL THEN\n"
    "        RAISE EXCEPTION '\"%\" does not name an epoch, such as main/1.7', who USING ERRCODE = 'PB001';\n"
    "    END IF;\n"
    "    PERFORM FROM pgbaton.election e\n"
    "        WHERE e.name = part[1] AND e.generation = part[2]::bigint AND e.number = part[3]::bigint\n"
    "        FOR SHARE;\n"
    "    IF NOT FOUND THEN\n"
    "        RAISE EXCEPTION 'epoch % is over', who USING ERRCODE = 'PB001';\n"
    "    END IF;\n"
    "    PERFORM FROM pgbaton.term t\n"
    "        WHERE t.election = part[1] AND t.generation = part[2]::bigint\n"
    "          AND t.number = part[3]::bigint AND t.ended_at IS NULL;\n"
    "    IF NOT FOUND THEN\n"
    "        RAISE EXCEPTION 'epoch % is over', who USING ERRCODE = 'PB001';\n"
    "    END IF;\n"
    "END $pgbaton_fn$;\n"
    "REVOKE ALL ON FUNCTION pgbaton.assert_leader(text) FROM PUBLIC;\n"
    "COMMENT ON SCHEMA pgbaton IS 'pgbaton schema 1';\n";
/* clang-format on */

#define A (&fleet.member[0])

static struct fleet fleet;
static struct outcome told;
static PGconn *admin;

/* A term of version 1 was there, and was released. */
static void make_version_1(const char *role)
{
    char *become = text_format("SET ROLE %s", role);

    admin = server_connect(&fleet.pg, "test");
    server_do(admin, "SET client_min_messages = warning");
    server_do(admin, become);
    server_do(admin, version_1);
    server_do(
        admin,
        "INSERT INTO pgbaton.election SELECT 'main', x'12345678ABCDEF00'::bigint, 1, 7, 'feed', "
        "'old', system_identifier, 1 FROM pg_control_system(); "
        "INSERT INTO pgbaton.term SELECT 'main', 1, 7, 'feed', 'old', 1, now(), "
        "system_identifier, 1, 15000, 1000, 500, now(), now(), 'released' "
        "FROM pg_control_system()");
    server_do(admin, "RESET ROLE");
    free(become);
}

static const char *version(void)
{
    return server_scalar(admin, "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace "
                                "WHERE nspname = 'pgbaton'");
}

static bool runs_jobs(void *ctx)
{
    (void)ctx;
    return diary_lines(&fleet.diary, "a") > 0;
}

Test(schema, init_db_upgrades_it_in_place_and_keeps_the_rows)
{
    fleet_make(&fleet, 1, NULL);
    make_version_1("baton");
    for (int i = 0; i < 2; i++) { /* and again */
        instance_command(A, &told, "init-db", NULL);
        cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
        cr_expect_not_null(strstr(told.out, "version 2"), "%s", told.out);
        cr_expect_str_eq(version(), "pgbaton schema 2");
        cr_expect_str_eq(server_scalar(admin, "SELECT number FROM pgbaton.election"), "7");
        cr_expect_str_eq(server_scalar(admin, "SELECT count(*) FROM pgbaton.term "
                                              "WHERE number = 7 AND NOT records_runs"),
                         "1");
        server_do(admin, "SELECT FROM pgbaton.run, pgbaton.job_state, pgbaton.request, "
                         "pgbaton.recent_runs, pgbaton.leader");
    }
    /* What version 1 writes is still taken. */
    server_do(admin,
              "INSERT INTO pgbaton.term (election, generation, number, incarnation, instance, "
              "backend_pid, backend_start, system_id, timeline, lease_ms, heartbeat_ms, "
              "loss_grace_ms) VALUES ('main', 1, 8, 'feed', 'old', 1, now(), '1', 1, 1, 1, 1)");
    cr_expect_str_eq(server_scalar(admin, "SELECT records_runs FROM pgbaton.term WHERE number = 8"),
                     "f");
    PQfinish(admin);
}

Test(schema, an_election_upgrades_it_where_it_may)
{
    fleet_make(&fleet, 1, NULL);
    make_version_1("baton");
    instance_start(A, NULL);
    instance_wait(A, "schema_created", "version=2");
    instance_wait(A, "elected", "epoch=1.8");
    cr_expect_str_eq(version(), "pgbaton schema 2");
    cr_expect_str_eq(server_scalar(admin, "SELECT count(*) FROM pgbaton.term"), "2");
    instance_stop(A);
    fleet_check(&fleet);
    PQfinish(admin);
}

Test(schema, who_may_not_upgrade_it_names_the_command_that_does)
{
    fleet_make(&fleet, 1, NULL);
    make_version_1("postgres");
    server_do(admin, "GRANT USAGE ON SCHEMA pgbaton TO baton; "
                     "GRANT ALL ON ALL TABLES IN SCHEMA pgbaton TO baton");
    instance_start(A, NULL);
    instance_wait_text(A, "pgbaton init-db");
    cr_expect(wait_never(runs_jobs, NULL, DUR_S(1)));
    cr_expect_str_eq(version(), "pgbaton schema 1");
    instance_stop(A);
    fleet_check(&fleet);
    PQfinish(admin);
}

Test(schema, without_the_rights_on_its_tables_nobody_leads)
{
    fleet_make(&fleet, 1, NULL);
    make_version_1("postgres");
    server_do(admin, "GRANT USAGE ON SCHEMA pgbaton TO baton; "
                     "GRANT ALL ON ALL TABLES IN SCHEMA pgbaton TO baton");
    instance_command(A, &told, "init-db", "--print", NULL);
    cr_assert_eq(told.code, 0);
    *strstr(told.out, "GRANT USAGE") = '\0'; /* as if a DBA had left the rest out */
    server_do(admin, told.out);
    server_do(admin, "COMMIT");
    instance_start(A, NULL);
    instance_wait_text(A, "init-db --print");
    cr_expect(wait_never(runs_jobs, NULL, DUR_S(1)));
    instance_command(A, &told, "init-db", "--print", NULL);
    server_do(admin, told.out);
    instance_wait(A, "elected", "epoch=1.8");
    instance_stop(A);
    fleet_check(&fleet);
    PQfinish(admin);
}

Test(schema, one_of_a_later_version_is_left_alone)
{
    fleet_make(&fleet, 1,
               &(struct instance_settings){.election = ELECTION_CALM "backoff_max = 1s\n"});
    make_version_1("baton");
    instance_command(A, &told, "init-db", NULL);
    cr_assert_eq(told.code, 0, "%s", told.err);
    server_do(admin, "COMMENT ON SCHEMA pgbaton IS 'pgbaton schema 3'");

    instance_command(A, &told, "init-db", NULL);
    cr_expect_eq(told.code, 1);
    cr_expect_not_null(strstr(told.err, "later version"), "%s", told.err);
    instance_command(A, &told, "init-db", "--print", NULL);
    PGresult *result = PQexec(admin, told.out);
    cr_expect_eq(PQresultStatus(result), PGRES_FATAL_ERROR);
    cr_expect_not_null(strstr(PQresultErrorMessage(result), "later version"));
    PQclear(result);
    server_do(admin, "ROLLBACK");

    instance_start(A, NULL);
    instance_wait_text(A, "later version");
    cr_expect(wait_never(runs_jobs, NULL, DUR_S(1)));
    cr_expect_str_eq(version(), "pgbaton schema 3");
    server_do(admin, "COMMENT ON SCHEMA pgbaton IS 'pgbaton schema 2'");
    instance_wait(A, "elected", "epoch=1.8");
    instance_stop(A);
    fleet_check(&fleet);
    PQfinish(admin);
}

enum { CREATORS = 4 };

Test(schema, those_who_create_it_at_the_same_time_do_not_meet)
{
    PGconn *creators[CREATORS];

    fleet_make(&fleet, 1, NULL);
    make_version_1("baton");
    instance_command(A, &told, "init-db", "--print", NULL);
    for (int i = 0; i < CREATORS; i++) {
        creators[i] = server_connect(&fleet.pg, "creator");
        cr_assert_eq(PQsendQuery(creators[i], told.out), 1);
    }
    for (int i = 0; i < CREATORS; i++) {
        PGresult *result;
        while ((result = PQgetResult(creators[i])) != NULL) {
            cr_expect_neq(PQresultStatus(result), PGRES_FATAL_ERROR, "%s",
                          PQresultErrorMessage(result));
            PQclear(result);
        }
        PQfinish(creators[i]);
    }
    cr_expect_str_eq(version(), "pgbaton schema 2");
    PQfinish(admin);
}

/* What the last term looks like to the next one, and why its jobs wait, or do not. */
/* clang-format off */
static const struct {
    const char *title;
    const char *records_runs;
    const char *outcome; /* of a run in it; NULL: there is none */
    const char *incarnation;
    const char *reason;
} ends[] = {
    {"a term of version 1 says nothing of its runs", "false", NULL,        NULL,   "reason=unclean_end"},
    {"nothing ran",                                  "true",  NULL,        NULL,   "reason=clean"},
    {"a run may go on",                              "true",  "running",   "feed", "reason=unclean_end"},
    {"or may have begun",                            "true",  "claimed",   "feed", "reason=unclean_end"},
    {"one that waits has no process",                "true",  "queued",    "feed", "reason=clean"},
    {"nor has one that has ended",                   "true",  "succeeded", "feed", "reason=clean"},
};
/* clang-format on */

Test(schema, a_takeover_waits_for_runs_that_are_unfinished)
{
    fleet_make(&fleet, 1,
               &(struct instance_settings){.election = ELECTION_SHORT, .jobs = "enabled = yes\n"});
    admin = server_connect(&fleet.pg, "test");
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    instance_stop(A);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char *sql = text_format("UPDATE pgbaton.term SET ended_at = NULL, ended_as = NULL, "
                                "incarnation = 'feed', records_runs = %s "
                                "WHERE number = (SELECT max(number) FROM pgbaton.term)",
                                ends[i].records_runs);
        server_do(admin, sql);
        free(sql);
        /* Those before it were superseded long ago. */
        server_do(admin, "UPDATE pgbaton.term SET started_at = '2020-01-01'");
        server_do(admin, "DELETE FROM pgbaton.run");
        if (ends[i].outcome != NULL) {
            sql =
                text_format("INSERT INTO pgbaton.run (election, id, job, scheduled_at, attempt, "
                            "outcome, origin, generation, number, incarnation) SELECT 'main', 'x', "
                            "'x', now(), 1, '%s', 'schedule', generation, number, '%s' "
                            "FROM pgbaton.election",
                            ends[i].outcome, ends[i].incarnation);
            server_do(admin, sql);
            free(sql);
        }
        instance_mark(A);
        instance_start(A, NULL);
        instance_wait(A, "elected", "");
        cr_expect_eq(instance_logged(A, "elected", ends[i].reason), 1, "%s", ends[i].title);
        instance_stop(A);
    }
    fleet_check(&fleet);
    PQfinish(admin);
}
