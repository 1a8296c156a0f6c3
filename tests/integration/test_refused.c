/* Servers that an instance must not use, or cannot use yet: DESIGN.md section 3, "The session". */
#include <criterion/criterion.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(refused, .timeout = 120);

static struct fleet fleet;
static struct outcome told;

#define A (&fleet.member[0])

static void reconfigure(const struct instance_settings *settings)
{
    struct instance_settings all = fleet_settings(&fleet, settings);

    instance_configure(A, &all);
}

static bool runs_jobs(void *ctx)
{
    (void)ctx;
    return diary_lines(&fleet.diary, "") > 0;
}

struct pooler {
    struct program program;
    char log[128];
    unsigned port;
};

static void pooler_start(struct pooler *p, const char *mode)
{
    char *dir = text_format("%s/pooler.%s", fleet.dir.path, mode);
    char *ini = text_format("%s/pgbouncer.ini", dir);

    p->port = free_port();
    (void)snprintf(p->log, sizeof p->log, "%s/log", dir);
    cr_assert_eq(mkdir(dir, 0755), 0);
    cr_assert_eq(chmod(dir, 0777), 0);
    char *text = text_format(
        "[databases]\napp = host=%s port=%u dbname=app user=postgres\n"
        "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %u\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = %s\nignore_startup_parameters = extra_float_digits\n",
        fleet.pg.dir, fleet.pg.port, p->port, mode);
    text_write(ini, text);
    const char *argv[] = {"pgbouncer", ini, NULL};
    program_start(&p->program,
                  &(struct program_spec){
                      .argv = argv, .output = p->log, .errors = p->log, .user = server_user()});
    free(text);
    free(ini);
    free(dir);
}

static bool has_pgbouncer(void)
{
    static const char *const argv[] = {"pgbouncer", "--version", NULL};

    return program_run(&(struct program_spec){.argv = argv}) == 0;
}

static bool pooler_answers(void *ctx)
{
    const struct pooler *p = ctx;
    char conninfo[128];

    (void)snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%u user=postgres dbname=app",
                   p->port);
    return PQping(conninfo) == PQPING_OK || !process_lives(p->program.pid);
}

/* Behind a pooler a SET of ours would stay in a session that others get. */
static void nothing_was_set(size_t from)
{
    char *log = text_read(fleet.pg.log);

    cr_expect_gt(text_count(log + from, "pg_backend_pid()"), 0, "nothing of ours arrived: %s", log);
    cr_expect_eq(text_count(log + from, "set_config"), 0, "%s", log + from);
    cr_expect_eq(text_count(log + from, "_timeout"), 0, "%s", log + from);
    free(log);
}

static void is_refused_behind(const char *mode)
{
    static struct pooler pooler;

    if (!has_pgbouncer()) {
        cr_skip_test("pgbouncer is not installed");
    }
    fleet_make(&fleet, 1, NULL);
    server_reload(&fleet.pg, "log_statement = all\n");
    pooler_start(&pooler, mode);
    cr_assert(wait_until(pooler_answers, &pooler, WAIT_LIMIT));
    char *early = text_read(fleet.pg.log);
    cr_assert(process_lives(pooler.program.pid), "%s", text_tail(pooler.log));
    char *dsn =
        text_format("host=127.0.0.1 port=%u user=postgres dbname=app sslmode=disable", pooler.port);
    reconfigure(&(struct instance_settings){.dsn = dsn});
    instance_start(A, NULL);

    instance_wait_text(A, "pooler");

    cr_expect(wait_never(runs_jobs, NULL, DUR_S(2)));
    instance_command(A, &told, "status", NULL);
    cr_expect_not_null(strstr(told.out, "pooler"), "%s", told.out);
    instance_stop(A);
    PGconn *conn = server_connect(&fleet.pg, "test");
    cr_expect_eq(leader_pid(conn), 0, "the key was left locked on a pooled connection");
    PQfinish(conn);
    nothing_was_set(strlen(early));
    free(early);
    free(dsn);
    fleet_check(&fleet);
}

Test(refused, behind_a_pooler_of_transactions)
{
    is_refused_behind("transaction");
}

Test(refused, behind_a_pooler_of_sessions)
{
    is_refused_behind("session");
}

Test(refused, behind_a_pooler_of_statements)
{
    is_refused_behind("statement");
}

Test(refused, a_standby_never_elects)
{
    static struct server standby;
    fleet_make(&fleet, 1, NULL);
    server_start_standby(&standby, &fleet.dir, "standby");
    reconfigure(&(struct instance_settings){.dsn = server_conninfo(&standby, SERVER_TLS)});
    instance_start(A, NULL);

    instance_wait_text(A, "recovery");

    cr_expect(wait_never(runs_jobs, NULL, DUR_S(2)));
    PGconn *conn = server_connect(&standby, "test");
    cr_expect_str_eq(
        server_scalar(conn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    PQfinish(conn);
    instance_stop(A);
    fleet_check(&fleet);
}

Test(refused, a_dead_host_and_a_standby_are_passed_over_for_the_primary)
{
    static struct server standby;
    fleet_make(&fleet, 1, NULL);
    server_start_standby(&standby, &fleet.dir, "standby");
    char *dsn = text_format("postgresql://baton:" SERVER_PASSWORD
                            "@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/app?sslmode=require",
                            free_port(), standby.port, fleet.pg.port);
    reconfigure(&(struct instance_settings){.dsn = dsn});
    instance_start(A, NULL);

    instance_wait(A, "elected", "");

    diary_wait(&fleet.diary, "a", 5);
    free(dsn);
    instance_stop(A);
    fleet_check(&fleet);
}

Test(refused, a_wrong_password_is_reported_without_it)
{
    fleet_make(&fleet, 1, NULL);
    char *dsn = text_format("host=127.0.0.1 port=%u user=baton password=open-sesame-9 dbname=app",
                            fleet.pg.port);
    reconfigure(&(struct instance_settings){.dsn = dsn, .pgbaton = "log_level = debug\n"});
    instance_start(A, NULL);

    instance_wait_text(A, "password authentication failed");

    instance_command(A, &told, "status", NULL);
    cr_expect_null(strstr(told.out, "open-sesame-9"));
    instance_stop(A);
    char *log = text_read(A->log);
    cr_expect_null(strstr(log, "open-sesame-9"), "%s", log);
    free(log);
    free(dsn);
    fleet_check(&fleet);
}

Test(refused, a_server_that_is_down_is_waited_for)
{
    fleet_make(&fleet, 1, NULL);
    server_stop(&fleet.pg);
    instance_start(A, NULL);
    instance_wait(A, "database_down", "");

    server_resume(&fleet.pg);

    instance_wait(A, "elected", "");
    diary_wait(&fleet.diary, "a", 5);
    instance_stop(A);
    fleet_check(&fleet);
}

Test(refused, without_its_tables_it_names_the_command_that_makes_them)
{
    fleet_make(&fleet, 1, &(struct instance_settings){.database = "create_schema = no\n"});
    instance_start(A, NULL);
    instance_wait_text(A, "pgbaton init-db");
    cr_expect(wait_never(runs_jobs, NULL, DUR_S(1)));

    instance_command(A, &told, "init-db", NULL);

    cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(A, "elected", "");
    instance_stop(A);
    fleet_check(&fleet);
}

/* It may be granted the key, but cannot open a term: another instance may do better. */
Test(refused, a_read_only_database_has_no_leader)
{
    fleet_make(&fleet, 1,
               &(struct instance_settings){.election = ELECTION_CALM "backoff_max = 1s\n"});
    server_reload(&fleet.pg, "default_transaction_read_only = on\n");
    instance_start(A, NULL);
    instance_wait_text(A, "read-only");
    cr_expect(wait_never(runs_jobs, NULL, DUR_S(1)));

    server_reload(&fleet.pg, "default_transaction_read_only = off\n");

    instance_wait(A, "elected", "");
    instance_stop(A);
    fleet_check(&fleet);
}

Test(refused, the_password_may_come_from_a_file)
{
    fleet_make(&fleet, 1, NULL);
    char *file = text_format("%s/password", fleet.dir.path);
    text_write(file, SERVER_PASSWORD "\n");
    cr_assert_eq(chmod(file, 0600), 0);
    char *dsn = text_format("host=127.0.0.1 port=%u user=baton dbname=app", fleet.pg.port);
    char *database = text_format("password_file = %s\n", file);
    reconfigure(&(struct instance_settings){.dsn = dsn, .database = database});
    instance_start(A, NULL);

    instance_wait(A, "elected", "");
    instance_stop(A);
    free(database);
    free(dsn);
    free(file);
    fleet_check(&fleet);
}

Test(refused, the_password_may_come_from_pgpass_and_the_host_from_a_service)
{
    fleet_make(&fleet, 1, NULL);
    char *pass = text_format("%s/pgpass", fleet.dir.path);
    char *service = text_format("%s/service.conf", fleet.dir.path);
    char *text = text_format("127.0.0.1:%u:app:baton:" SERVER_PASSWORD "\n", fleet.pg.port);
    text_write(pass, text);
    cr_assert_eq(chmod(pass, 0600), 0);
    free(text);
    text = text_format("[mine]\nhost=127.0.0.1\nport=%u\nuser=baton\ndbname=app\n", fleet.pg.port);
    text_write(service, text);
    char *pass_file = text_format("PGPASSFILE=%s", pass);
    char *service_file = text_format("PGSERVICEFILE=%s", service);
    const char *const more[] = {pass_file, service_file, NULL};
    A->environment = more;
    reconfigure(&(struct instance_settings){.dsn = "service=mine"});
    instance_start(A, NULL);

    instance_wait(A, "elected", "");
    instance_stop(A);
    free(service_file);
    free(pass_file);
    free(text);
    free(service);
    free(pass);
    fleet_check(&fleet);
}
