/*
 * address.h - where a dsn leads to: one candidate for each address.
 *
 * libpq parses the dsn, reads service files and the environment, and says what
 * it found, without connecting; the names are resolved here, so that every
 * address can be tried with a time limit of its own.
 *
 * Runs in: probe. address_enumerate() blocks while names are resolved. Never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_ADDRESS_H
#define PGBATON_WORKER_DATABASE_ADDRESS_H

#include <stddef.h>

#include "common/identity.h"

enum { ADDRESS_MAX = 64 }; /* candidates of one dsn: what comes after them is never tried */

struct address_list {
    struct server_address *list; /* owned */
    size_t count;
};

/*
 * address_split - the comma-separated lists of a dsn as libpq reads them: entry
 * i of each belongs together, one port stands for all, no port is 5432. NULL is
 * an empty list; neither host nor hostaddr is the default socket: one candidate
 * with an empty host. Returns 0 (address_list_release), -EINVAL when the lists
 * do not match, -ERANGE when an entry is too long, -ENOMEM.
 */
int address_split(const char *hosts, const char *hostaddrs, const char *ports,
                  struct address_list *ret_list);

/*
 * address_enumerate - every address that this dsn names, in its order. A name
 * that cannot be resolved is left out as long as another one can be. Returns 0
 * or a negative errno with one line for people in reterr (-EINVAL: the dsn is
 * wrong; -ENXIO: no name can be resolved).
 */
int address_enumerate(const char *dsn, struct address_list *ret_list, char *reterr, size_t size);

void address_list_release(struct address_list *list);

#endif
