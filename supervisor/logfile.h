/*
 * logfile.h - [pgbaton] log_file: opened, reopened, handed to the children.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_LOGFILE_H
#define PGBATON_SUPERVISOR_LOGFILE_H

#include "supervisor/supervisor.h"

/* logfile_open - log there from now on; NULL: to stderr. A new file is given to the daemon's user
 * (privileges may be NULL). 0 or a negative errno: then the log stays where it was. */
int logfile_open(const char *path, const struct privileges *privileges);

/* logfile_reopen - USR1, or a reload that changed it: open anew and hand it to every child. */
void logfile_reopen(struct supervisor *s);

#endif
