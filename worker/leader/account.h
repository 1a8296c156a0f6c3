/*
 * account.h - the user that a job runs as, looked up before the fork.
 *
 * The user database may be behind the network (NSS): it is asked when a
 * configuration is taken, not in the instant of a start, and never in a child.
 *
 * Runs in: worker, `pgbaton exec`.
 */
#ifndef PGBATON_WORKER_LEADER_ACCOUNT_H
#define PGBATON_WORKER_LEADER_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct account {
    bool change; /* the process must change to it; false: it is the daemon's own */
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* owned */
    size_t group_count;
    char *name; /* owned, as the three below; never NULL */
    char *home;
};

/*
 * account_find - user by name, or the daemon's own for NULL. Where the daemon's
 * own has no entry its uid and "/" stand in; "/" is also the home of one without. Returns NULL,
 * with the reason in reterr, when there is no such user or no memory.
 */
struct account *account_find(const char *user, char *reterr, size_t size);
void account_free(struct account *account);

#endif
