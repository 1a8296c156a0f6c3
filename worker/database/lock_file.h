/*
 * lock_file.h - the election without PostgreSQL: open file description locks
 * on PATH.lock, byte 0 the leader key, byte 1 the seat; PATH.term says who
 * leads (DESIGN.md section 7), and whoever replaces it holds byte 2 meanwhile.
 *
 * Runs in: probe and worker. Waits only in the forked waiter, for the disk, and
 * at most 100 ms for byte 2; never logs.
 */
#ifndef PGBATON_WORKER_DATABASE_LOCK_FILE_H
#define PGBATON_WORKER_DATABASE_LOCK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/clock.h"
#include "common/identity.h"

enum lock_byte { LOCK_BYTE_LEADER = 0, LOCK_BYTE_SEAT = 1, LOCK_BYTE_TERM = 2 };

/*
 * lock_file_open - open PATH.lock (made if absent, 0600), each call a file
 * description of its own. Network file systems are refused (fstatfs).
 * A descriptor (the caller's, close-on-exec) or a negative errno, reason in reterr.
 */
int lock_file_open(const char *database_path, char *reterr, size_t size);

/* lock_file_try - 0: locked by this description now; -EAGAIN: another holds it; other negative
 * errno. */
int lock_file_try(int fd, enum lock_byte byte);
/* lock_file_unlock - give one byte up. */
int lock_file_unlock(int fd, enum lock_byte byte);
/* lock_file_is_held - 1: by another description; 0: nobody; negative errno. */
int lock_file_is_held(int fd, enum lock_byte byte);
/* lock_file_is_same - is PATH.lock still the inode that fd has open? */
bool lock_file_is_same(int fd, const char *database_path);

/*
 * lock_file_wait - fork the waiter: a child that closes every other descriptor,
 * asks for SIGKILL when its parent ends, waits for that byte on the same
 * description and exits 0 when it has it. Any other end: the description may
 * hold the lock, so every copy must be closed and the file opened anew.
 * Returns its pid or a negative errno.
 */
pid_t lock_file_wait(int fd, enum lock_byte byte);

/* What PATH.term says. */
struct lock_term {
    struct epoch epoch;
    uint64_t incarnation;
    dur_ns lease;
    bool ended;        /* cleanly released, or fenced: nothing to wait for */
    char ended_as[16]; /* "", "released", "fenced" */
    char instance[INSTANCE_MAX];
};
/* lock_term_read - 0; -ENOENT: no term yet; -EINVAL: not readable as one; other negative errno. */
int lock_term_read(const char *database_path, struct lock_term *ret_term);
/* lock_term_write - for who holds the leader key: by a temporary file, fsync and rename. -EAGAIN:
 * another process is about to replace it, and takes its time. */
int lock_term_write(const char *database_path, const struct lock_term *term);
/*
 * lock_term_end - for who does not hold it: the same, but only where that term still stands there
 * and has not ended. -ESTALE: it does not, and nothing was changed. However long the disk takes, a
 * later term is never replaced by an earlier one.
 */
int lock_term_end(const char *database_path, const struct lock_term *ended);

#endif
