/*
 * signals.h - signals and deaths, read from a descriptor like everything else.
 *
 * No handler, so nothing can be unsafe in one; and as PID 1, where the kernel
 * drops what has no handler, a blocked signal is still read.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_SIGNALS_H
#define PGBATON_SUPERVISOR_SIGNALS_H

#include "supervisor/supervisor.h"

/* signals_open - block them all, and watch. 0 or a negative errno. */
int signals_open(struct supervisor *s);
void signals_close(struct supervisor *s);

/* signals_reap - take every dead process there is: children, and strangers that came to us. */
void signals_reap(struct supervisor *s);

#endif
