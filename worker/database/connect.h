/*
 * connect.h - what libpq is told when a connection begins, and what it says
 * when one fails.
 *
 * Runs in: probe, worker, and commands that ask the database. Never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_CONNECT_H
#define PGBATON_WORKER_DATABASE_CONNECT_H

#include <libpq-fe.h>
#include <stddef.h>

#include "common/config.h"
#include "common/identity.h"

enum { CONNECT_TEXT_MAX = 512 }; /* one line about a failure, with its NUL */

/*
 * connect_start - begin to connect: PQconnectPoll() is next.
 *
 * to: NULL for whatever the dsn says; else host, hostaddr and port replace those of the
 * dsn and nothing is resolved. The password file is read now. The caller owns the
 * connection (PQfinish); NULL, with one line in reterr: the password file cannot be
 * read, or out of memory.
 */
PGconn *connect_start(const struct config *cfg, const struct server_address *to,
                      const char *application_name, char *reterr, size_t size);

/*
 * connect_wait - the same for a command that writes: connect to the first host of the dsn that is a
 * primary, whatever its target_session_attrs says, at most connect_timeout for each address. NULL,
 * with one line in reterr that has what each host said, when there is no connection.
 */
PGconn *connect_wait(const struct config *cfg, const char *application_name, char *reterr,
                     size_t size);

/* connect_user - the role that a connection would use, as libpq sees it; 0, or -EINVAL with the
 * reason. */
int connect_user(const struct config *cfg, char *ret_user, size_t user_size, char *reterr,
                 size_t size);

/*
 * connect_check_dsn - can libpq read it? 0, or -EINVAL with one line in reterr. libpq quotes what
 * it cannot read, which is often a part of a password (an unquoted space, an @ in a URI), so that
 * nothing of such a dsn is repeated.
 */
int connect_check_dsn(const char *dsn, char *reterr, size_t size);

/* connect_one_line - text of libpq with its line feeds as spaces and none at the end, and no line
 * twice in a row (it tries again without TLS and may fail alike). */
void connect_one_line(const char *text, char *ret_line, size_t size);

/* connect_said - what the server said of a statement, in one line, without what is for a terminal.
 */
void connect_said(const PGresult *result, char *ret_line, size_t size);

#endif
