/*
 * identity.h - who is meant: a term's epoch, a server, an instance.
 *
 * Plain structs that travel in messages, the scoreboard and the database.
 */
#ifndef PGBATON_COMMON_IDENTITY_H
#define PGBATON_COMMON_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    INSTANCE_MAX = 128, /* the label of an instance, with its NUL */
    JOB_NAME_MAX = 64,  /* a job's name, with its NUL */
    ELECTION_NAME_MAX = 64,
    REASON_MAX = 256, /* a sentence for people, with its NUL */
};

/* Shown as 1.7. Compared by generation first, then by number. 0.0: none. */
struct epoch {
    uint64_t generation;
    uint64_t number;
};

/* Which database cluster, and which of its histories. 0, 0: unknown. */
struct server_identity {
    uint64_t system_id;
    uint32_t timeline;
    uint32_t reserved;
};

/* Where a connection goes, as libpq resolved it: hand all three on, and nothing is resolved again.
 */
struct server_address {
    char host[256];    /* a name, an address, or the directory of a UNIX socket */
    char hostaddr[64]; /* "" over a UNIX socket */
    char port[8];
};

struct epoch_text {
    char is[48];
};
/* epoch_text - "1.7". Use at once: epoch_text(e).is */
struct epoch_text epoch_text(struct epoch epoch);

bool epoch_equal(struct epoch a, struct epoch b);
bool epoch_is_before(struct epoch a, struct epoch b);
/* epoch_later - whichever of the two comes later. */
struct epoch epoch_later(struct epoch a, struct epoch b);
bool identity_equal(struct server_identity a, struct server_identity b);

#endif
