/*
 * rundir.h - the directory of a running instance: its lock, its pid, its control socket.
 *
 * Runs in: supervisor and the commands that talk to a daemon.
 */
#ifndef PGBATON_SUPERVISOR_RUNDIR_H
#define PGBATON_SUPERVISOR_RUNDIR_H

#include <stddef.h>

#include "common/config.h"

/*
 * rundir_path - which directory: run_dir of the configuration, else the first
 * of /run/pgbaton, $XDG_RUNTIME_DIR/pgbaton, /tmp/pgbaton-UID that exists or
 * could be made by this user (for a command: the first that has a control
 * socket). 0 or a negative errno with the reason in reterr.
 */
int rundir_path(const struct config *cfg, bool for_command, char *ret_path, size_t size,
                char *reterr, size_t reterr_size);

/*
 * rundir_claim - make the directory (0750; one that is not ours or that others
 * may write to is refused), lock run_dir/pgbaton.pid against a second instance
 * and write our pid there. Returns the descriptor that holds the lock, or a
 * negative errno (-EBUSY: another instance lives there) with the reason in reterr.
 */
int rundir_claim(const char *path, char *reterr, size_t reterr_size);

/* rundir_listen - bind run_dir/control.sock anew (0660) and listen. A descriptor or a negative
 * errno. */
int rundir_listen(const char *path);

#endif
