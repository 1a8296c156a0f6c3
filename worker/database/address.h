/*
 * address.h - where a dsn leads to: one candidate for each address.
 *
 * libpq parses the dsn, reads service files and the environment, and says what
 * it found, without connecting; the names are resolved here, so that every
 * address can be tried with a time limit of its own.
 *
 * Runs in: probe, and in the process of an SQL job. address_resolve() and
 * address_enumerate() block while names are resolved. Never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_ADDRESS_H
#define PGBATON_WORKER_DATABASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/identity.h"

/* Hosts of one dsn, addresses of one host: what comes after them is never tried. */
enum { ADDRESS_MAX = 64 };

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
 * address_names - the hosts of this dsn, in its order, with nothing resolved. Returns 0 or a
 * negative errno with one line for people in reterr (-EINVAL: the dsn is wrong).
 */
int address_names(const char *dsn, struct address_list *ret_list, char *reterr, size_t size);

/* address_needs_resolver - may address_resolve() of it block? */
bool address_needs_resolver(const struct server_address *name);

/*
 * address_resolve - every address of one host, in the resolver's order; of what
 * needs no resolver, itself. Returns 0, or with one line in reterr -ENXIO (it
 * cannot be resolved) or -ENOMEM.
 */
int address_resolve(const struct server_address *name, struct address_list *ret_list, char *reterr,
                    size_t size);

/*
 * address_enumerate - both at once, for who has nothing else to do: every
 * address that this dsn names. A name that cannot be resolved is left out as
 * long as another one can be. Returns as those two.
 */
int address_enumerate(const char *dsn, struct address_list *ret_list, char *reterr, size_t size);

void address_list_release(struct address_list *list);

#endif
