#include "tests/bench/floor.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/wait.h"

#define FLOOR_KEY "4711"

extern char **environ;

/* In a client: a failure is an exit code. */

static PGconn *connect_or_exit(const struct server *s)
{
    PGconn *conn = PQconnectdb(server_conninfo(s, SERVER_TLS));

    if (PQstatus(conn) != CONNECTION_OK) {
        _exit(1);
    }
    return conn;
}

static void do_or_exit(PGconn *conn, const char *sql)
{
    PGresult *r = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(r);

    PQclear(r);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        _exit(1);
    }
}

static _Noreturn void spawn_and_exit(const struct stamps *stamps)
{
    char *argv[] = {(char *)(uintptr_t)stamps->command, (char *)(uintptr_t)stamps->file, NULL};
    pid_t child;

    if (posix_spawn(&child, stamps->command, NULL, NULL, argv, environ) != 0) {
        _exit(1);
    }
    (void)waitpid(child, NULL, 0);
    _exit(0);
}

static pid_t fork_client(void)
{
    (void)fflush(NULL);
    pid_t pid = fork();

    cr_assert(pid >= 0);
    return pid;
}

static pid_t start_holder(const struct server *s)
{
    pid_t pid = fork_client();

    if (pid == 0) {
        do_or_exit(connect_or_exit(s), "SELECT pg_advisory_lock(" FLOOR_KEY ")");
        (void)pause();
        _exit(0);
    }
    return pid;
}

static pid_t start_waiter(const struct server *s, const struct stamps *stamps)
{
    pid_t pid = fork_client();

    if (pid == 0) {
        do_or_exit(connect_or_exit(s), "SELECT pg_advisory_lock(" FLOOR_KEY ")");
        spawn_and_exit(stamps);
    }
    return pid;
}

struct question {
    PGconn *conn;
    const char *sql;
};

static bool says_true(void *ctx)
{
    const struct question *q = ctx;
    const char *answer = server_scalar(q->conn, q->sql);

    return answer != NULL && strcmp(answer, "t") == 0;
}

static void wait_sql(PGconn *watch, const char *sql)
{
    struct question q = {.conn = watch, .sql = sql};

    cr_assert(wait_until(says_true, &q, WAIT_LIMIT), "never true: %s", sql);
}

dur_ns floor_takeover(const struct server *s, const struct stamps *stamps, PGconn *watch)
{
    pid_t holder = start_holder(s);

    wait_sql(watch, "SELECT count(*) = 1 FROM pg_locks WHERE objid = " FLOOR_KEY " AND granted");
    pid_t waiter = start_waiter(s, stamps);
    wait_sql(watch,
             "SELECT count(*) = 1 FROM pg_locks WHERE objid = " FLOOR_KEY " AND NOT granted");
    size_t before = stamps_count(stamps);
    mono_ns fault = clock_now();

    cr_assert_eq(kill(holder, SIGKILL), 0);
    dur_ns took = stamps_wait(stamps, before) - fault;
    (void)waitpid(holder, NULL, 0);
    (void)waitpid(waiter, NULL, 0);
    wait_sql(watch, "SELECT count(*) = 0 FROM pg_locks WHERE objid = " FLOOR_KEY);
    return took;
}

void floor_table(PGconn *watch)
{
    server_do(watch, "CREATE TABLE public.floor (at timestamptz)");
    server_do(watch, "GRANT INSERT ON public.floor TO baton");
}

dur_ns floor_start(const struct server *s, const struct stamps *stamps)
{
    size_t before = stamps_count(stamps);
    mono_ns begun = clock_now();
    pid_t pid = fork_client();

    if (pid == 0) {
        do_or_exit(connect_or_exit(s), "INSERT INTO public.floor VALUES (clock_timestamp())");
        spawn_and_exit(stamps);
    }
    dur_ns took = stamps_wait(stamps, before) - begun;
    (void)waitpid(pid, NULL, 0);
    return took;
}
