/*
 * server.h - a real PostgreSQL of a test's own.
 *
 * It lives in the test's directory, with a UNIX socket in there and a TCP port
 * that was free, TLS on. initdb runs once a run of the tests; each server is a
 * copy. Durability is off, for speed: never copy these settings. Its guard
 * takes it away when the test ends, however that happens.
 *
 * Roles: postgres (superuser, by the socket or TCP without a password) and
 * baton (owner of the database "app", and nothing else; over TCP by TLS and
 * password only).
 */
#ifndef PGBATON_TESTS_SUPPORT_SERVER_H
#define PGBATON_TESTS_SUPPORT_SERVER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/support/program.h"
#include "tests/support/workdir.h"

#define SERVER_PASSWORD "correct-horse-battery"
#define SERVER_DATABASE "app"

struct server {
    char dir[128]; /* data, socket and log are in there */
    char data[160];
    char log[160];
    unsigned port;
    const char *const *environment; /* of the postmaster; NULL: ours */
    struct program postmaster;
};

struct server_options {
    const char *settings;           /* added to postgresql.conf; NULL: none */
    const char *const *environment; /* NAME=VALUE, must outlive the server; NULL: none */
};

/* How a client gets there. */
enum server_way { SERVER_UNIX, SERVER_TCP, SERVER_TLS };

/* Each of these ends the test, with the server's log, if it does not succeed. */

/* server_start - a new one in w, called name; settings are added to postgresql.conf, NULL: none. */
void server_start(struct server *s, const struct workdir *w, const char *name,
                  const char *settings);
/* server_start_with - the same, with options. */
void server_start_with(struct server *s, const struct workdir *w, const char *name,
                       const struct server_options *options);
/* server_start_replica - a copy of that running server, which streams from it. */
void server_start_replica(struct server *s, const struct workdir *w, const char *name,
                          const struct server *primary);
/* server_promote - a standby becomes a primary, on the next timeline; returns when it is one. */
void server_promote(const struct server *s);
/* server_renew - a stopped server gets new, empty files: another system identifier, at the same
 * address, with the role and the empty database again. It is not started. */
void server_renew(struct server *s);
/* server_start_standby - the same, but it stays in recovery. */
void server_start_standby(struct server *s, const struct workdir *w, const char *name);
void server_stop(struct server *s);   /* fast: sessions are ended with a farewell */
void server_crash(struct server *s);  /* immediate: all sessions gone at once */
void server_resume(struct server *s); /* after stop or crash, on the same port */
void server_reload(struct server *s, const char *settings); /* add these settings, reload */

/* server_conninfo - as the role baton over that way; a static string for each way. */
const char *server_conninfo(const struct server *s, enum server_way way);
/* server_conninfo_at - over TLS, but by that port: for a relay. Static. */
const char *server_conninfo_at(const struct server *s, unsigned port);

/* server_connect - as superuser, by the socket. Never NULL. */
PGconn *server_connect(const struct server *s, const char *application_name);

/* server_scalar - the one value of a query, as a static string; NULL if it failed or is null. */
const char *server_scalar(PGconn *conn, const char *sql);

/* server_do - a statement that must succeed. */
void server_do(PGconn *conn, const char *sql);

/* server_bin - the full path of a program of PostgreSQL, static. */
const char *server_bin(const char *name);

/* server_user - whom a server runs as: postgres when we are root, else NULL. */
const char *server_user(void);

/* free_port - of TCP on 127.0.0.1, at this moment. */
unsigned free_port(void);

#endif
