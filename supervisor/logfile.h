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

/* logfile_error - what such an errno means here, as text. */
const char *logfile_error(int rc);

/* logfile_prepare - open it (NULL: stderr), and log where we do. A descriptor for logfile_adopt()
 * or logfile_forget(), or a negative errno. */
int logfile_prepare(const char *path);

/* logfile_adopt - log there from now on, the children too. Takes fd over. */
void logfile_adopt(struct supervisor *s, int fd);

/* logfile_forget - it is not needed after all. -1: none. */
void logfile_forget(int fd);

/* logfile_reopen - USR1: open anew and hand it to every child. */
void logfile_reopen(struct supervisor *s);

#endif
