/*
 * schema.h - the tables in the database, as SQL.
 *
 * Runs in: worker, and `pgbaton init-db`.
 */
#ifndef PGBATON_WORKER_DATABASE_SCHEMA_H
#define PGBATON_WORKER_DATABASE_SCHEMA_H

#include "common/config.h"

enum { SCHEMA_VERSION = 2 };

/* schema_create_sql - everything that creates or upgrades the schema of this
 * configuration, idempotent, for one simple-query message (one transaction).
 * The caller frees it; NULL: out of memory. */
char *schema_create_sql(const struct config *cfg);

/* schema_quote - the schema's name as a quoted SQL identifier, e.g. "pgbaton"; 0 or -ERANGE. */
int schema_quote(const struct config *cfg, char *ret_name, size_t size);

/* schema_quote_literal - a text as a quoted SQL literal, for sessions with
 * standard_conforming_strings = on; 0 or -ERANGE. */
int schema_quote_literal(const char *text, char *ret_literal, size_t size);

/* schema_grant_sql - the rights that the daemon's role needs on it, one GRANT a line. The caller
 * frees it; NULL: out of memory, or no name of a role. */
char *schema_grant_sql(const struct config *cfg, const char *role);

#endif
