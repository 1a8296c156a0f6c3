/*
 * sql_order.h - what the process of an SQL job is told: through a sealed memfd, since a password,
 * and statements, are nobody else's to read: not in its arguments, nor in its environment.
 *
 * Runs in: worker (seal), the process of an SQL job (unseal).
 */
#ifndef PGBATON_WORKER_SQL_SQL_ORDER_H
#define PGBATON_WORKER_SQL_SQL_ORDER_H

#include <stdbool.h>

#include "common/clock.h"
#include "common/identity.h"

/* Texts are never NULL: "" is none. */
struct sql_order {
    const char *job;
    const char *dsn;
    const char *password_file;
    const char *password; /* what PGPASSWORD said to the daemon */
    const char *schema;
    const char *application_name;
    const char *epoch; /* "main/1.7": asserted; "": is not */
    const char *role;
    const char *statements;
    const char *sealed; /* what the texts above point into, of one that was unsealed; owned */
    struct server_address address; /* host "" and hostaddr "" and port "": wherever the dsn leads */
    dur_ns connect_timeout;
    dur_ns lease; /* of the term; 0: nobody else would lead */
    bool transaction;
};

/* sql_order_seal - a descriptor, or a negative errno. */
int sql_order_seal(const struct sql_order *order);

/* sql_order_unseal - 0, or a negative errno (-EINVAL: it is none, or was not sealed). fd stays the
 * caller's. */
int sql_order_unseal(int fd, struct sql_order *ret_order);
void sql_order_release(struct sql_order *order);

#endif
