/*
 * sql_settings.h - the settings of an SQL job's session that are not those of its role and
 * database.
 *
 * None may end it but ours: the job has timeouts of its own. And the server is to notice that the
 * job's side is gone. Of a process that has ended client_connection_check_interval tells it; of a
 * network that carries nothing any more the keepalives do. They are over before the lease is: what
 * runs outside a transaction is not fenced, and would go on beside the next leader's.
 *
 * Runs in: the process of an SQL job. Only makes text.
 */
#ifndef PGBATON_WORKER_SQL_SQL_SETTINGS_H
#define PGBATON_WORKER_SQL_SQL_SETTINGS_H

#include "common/clock.h"

/* A statement that sets the one that a server may refuse: where the system lacks what it takes. */
extern const char sql_settings_check[];

/* sql_settings_pins - a statement that sets the others, those that this server has. lease 0: nobody
 * else would lead, the keepalives stay as they are. The caller frees it; NULL: out of memory. */
char *sql_settings_pins(dur_ns lease);

#endif
