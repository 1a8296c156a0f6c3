/*
 * retell.h - PURE: the followers are to know the hash of the leader's jobs: is
 * it told, or to be told again?
 *
 * A reload may change the hash while it is being told, and telling it may fail
 * for as long as somebody holds the election's row. Whoever is not told says for
 * the rest of the term that its jobs are run by nobody.
 *
 * Used by the worker.
 */
#ifndef PGBATON_WORKER_LEADER_RETELL_H
#define PGBATON_WORKER_LEADER_RETELL_H

#include <stdbool.h>
#include <stdint.h>

enum retell_verdict {
    RETELL_DONE,  /* they can know */
    RETELL_NOW,   /* what was told is not what they are to know any more */
    RETELL_LATER, /* it failed */
};

/* All zero: nothing was told yet. */
struct retell {
    uint64_t asked; /* the hash in the statement that is under way */
    bool failing;
};

/* retell_asked - a statement with that hash is sent. */
void retell_asked(struct retell *r, uint64_t hash);

/* retell_answered - whether it succeeded; hash is what they are to know by now. *ret_log: it
 * failed, and that is news. */
enum retell_verdict retell_answered(struct retell *r, bool succeeded, uint64_t hash, bool *ret_log);

#endif
