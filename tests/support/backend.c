#include "tests/support/backend.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/server.h"
#include "tests/support/wait.h"

static int number_of(PGconn *conn, const char *sql)
{
    const char *value = server_scalar(conn, sql);

    return value == NULL ? 0 : (int)strtol(value, NULL, 10);
}

int backend_of(PGconn *conn, const char *like)
{
    char sql[256];

    (void)snprintf(sql, sizeof sql,
                   "SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%s' LIMIT 1",
                   like);
    return number_of(conn, sql);
}

int backend_count(PGconn *conn, const char *like)
{
    char sql[256];

    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%s'", like);
    return number_of(conn, sql);
}

int backend_waiting(PGconn *conn)
{
    return number_of(conn, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND "
                           "application_name LIKE 'pgbaton lock %' LIMIT 1");
}

struct wanted_backend {
    PGconn *conn;
    const char *like;
    int before;
    int found;
};

static bool is_there(void *ctx)
{
    struct wanted_backend *w = ctx;

    w->found = w->like == NULL ? backend_waiting(w->conn) : backend_of(w->conn, w->like);
    return w->found != 0 && w->found != w->before;
}

int backend_wait(PGconn *conn, const char *like, int before)
{
    struct wanted_backend wanted = {.conn = conn, .like = like, .before = before};

    cr_assert(wait_until(is_there, &wanted, WAIT_LIMIT), "the server has no session '%s' but %d",
              like, before);
    return wanted.found;
}

int backend_wait_waiting(PGconn *conn)
{
    struct wanted_backend wanted = {.conn = conn};

    cr_assert(wait_until(is_there, &wanted, WAIT_LIMIT), "nobody waits for the leader key");
    return wanted.found;
}

static bool is_gone(void *ctx)
{
    const struct wanted_backend *w = ctx;
    char sql[128];

    (void)snprintf(sql, sizeof sql, "SELECT 1 FROM pg_stat_activity WHERE pid = %d", w->before);
    return number_of(w->conn, sql) == 0;
}

void backend_wait_gone(PGconn *conn, int pid)
{
    struct wanted_backend wanted = {.conn = conn, .before = pid};

    cr_assert(wait_until(is_gone, &wanted, WAIT_LIMIT), "session %d does not end", pid);
}

static void call(PGconn *conn, const char *function, int pid)
{
    char sql[128];

    cr_assert(pid > 0);
    (void)snprintf(sql, sizeof sql, "SELECT %s(%d)", function, pid);
    server_do(conn, sql);
}

void backend_terminate(PGconn *conn, int pid)
{
    call(conn, "pg_terminate_backend", pid);
}

void backend_cancel(PGconn *conn, int pid)
{
    call(conn, "pg_cancel_backend", pid);
}

void election_row_hold(PGconn *conn)
{
    server_do(conn, "BEGIN");
    server_do(conn, "SELECT generation FROM pgbaton.election FOR SHARE");
}
