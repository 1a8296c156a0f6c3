/*
 * backend.h - our sessions as the server sees them, and what a DBA or an
 * accident does to them.
 *
 * A session is found by a pattern (LIKE) of its application_name, which is
 * "pgbaton ROLE HASH8 ELECTION INSTANCE".
 */
#ifndef PGBATON_TESTS_SUPPORT_BACKEND_H
#define PGBATON_TESTS_SUPPORT_BACKEND_H

#include <libpq-fe.h>
#include <stdbool.h>

/* backend_of - the pid of one such session, 0: there is none. */
int backend_of(PGconn *conn, const char *like);

/* backend_wait - until there is one that is not `before`: its pid. Ends the test at the limit. */
int backend_wait(PGconn *conn, const char *like, int before);

/* backend_wait_gone - until the server has no such process. Ends the test at the limit. */
void backend_wait_gone(PGconn *conn, int pid);

/* backend_count - how many such sessions there are. */
int backend_count(PGconn *conn, const char *like);

/* backend_waiting - the pid of the session that waits for an advisory lock: the heir's, in a slice;
 * 0: none. */
int backend_waiting(PGconn *conn);

/* backend_wait_waiting - until there is one: its pid. */
int backend_wait_waiting(PGconn *conn);

/* backend_terminate, backend_cancel - pg_terminate_backend() and pg_cancel_backend(). */
void backend_terminate(PGconn *conn, int pid);
void backend_cancel(PGconn *conn, int pid);

/* election_row_hold - begin a transaction on conn that keeps the next term from being opened, as
 * one with assert_leader() does. Its end lets go. */
void election_row_hold(PGconn *conn);

#endif
