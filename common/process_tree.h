/*
 * process_tree.h - find and end descendants, by /proc and pidfd.
 *
 * Never signals a bare pid that was read from /proc: a pidfd is opened first
 * and the parent is looked at again, so that a pid that was reused in between
 * is not hit.
 *
 * Runs in: supervisor, worker. Never waits; never logs.
 */
#ifndef PGBATON_COMMON_PROCESS_TREE_H
#define PGBATON_COMMON_PROCESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/clock.h"

/* A set of pids that grew as needed. Zero is empty. */
struct pid_set {
    pid_t *pids; /* owned */
    size_t count;
    size_t room;
};
int pid_set_add(struct pid_set *set, pid_t pid); /* 0 or -ENOMEM; a pid twice is once */
bool pid_set_has(const struct pid_set *set, pid_t pid);
void pid_set_release(struct pid_set *set);

/* process_tree_available - false where /proc cannot be read: then no instance leads with jobs. */
bool process_tree_available(void);

/* How often a look is taken again that has met somebody new, where no other one follows it. */
enum { PROCESS_TREE_PASSES = 4 };

/* process_descendants - all processes below root (root itself is not among them), children before
 * grandchildren. 0 or a negative errno. */
int process_descendants(pid_t root, struct pid_set *ret_set);

/* process_living_below - the same without the dead, by one look: what loses its parent meanwhile is
 * not in it. For whoever kills, and looks again. 0 or a negative errno. */
int process_living_below(pid_t root, struct pid_set *ret_set);

/* process_is_younger - is it known that what lives under that number was started after that moment
 * (to a hundredth of a second)? One that cannot be read, because it is gone, hidden from us, or no
 * descriptor is left, is not known to be. */
bool process_is_younger(pid_t pid, mono_ns than);

struct process_sweep {
    unsigned seen; /* children outside keep and all below them that live (zombies do not count) */
    unsigned refused; /* could not be signalled (EPERM) */
    pid_t example;    /* one of those still there; 0: none */
};

/*
 * process_sweep_children - send SIGKILL to every descendant of this process
 * that is not in keep (nor below one that is in keep; NULL: nothing is kept). One pass: what forks
 * in the meantime is met by the next one; call again until seen is 0, reaping with waitpid in
 * between. This process must be a child subreaper. 0 or a negative errno.
 */
int process_sweep_children(const struct pid_set *keep, struct process_sweep *ret_sweep);

/*
 * process_signal - signal pid by pidfd if its parent is still one of: this
 * process, or a process of tree (NULL: no such condition beyond being alive).
 * 0, -ESRCH (gone), -EPERM, other negative errno.
 */
int process_signal(pid_t pid, int signal_number, const struct pid_set *tree);

#endif
