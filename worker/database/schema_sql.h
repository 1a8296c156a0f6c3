/*
 * schema_sql.h - the text of the schema, with the gaps that schema.c fills in: $S, $L, $R. Runs in:
 * worker, and `pgbaton init-db`.
 */
#ifndef PGBATON_WORKER_DATABASE_SCHEMA_SQL_H
#define PGBATON_WORKER_DATABASE_SCHEMA_SQL_H

/* One after the other; NULL ends them. */
extern const char *const schema_create_parts[];
extern const char *const schema_grant_parts[];

#endif
