/*
 * inbox.h - what the children say.
 *
 * A child's misbehaviour is never the supervisor's bug: it is a message
 * refused, a line in the log, and the end of that child.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_INBOX_H
#define PGBATON_SUPERVISOR_INBOX_H

#include "supervisor/supervisor.h"

/* inbox_watch - read what this child says, from now on. inbox_unwatch - it is dead. */
void inbox_watch(struct supervisor *s, struct child_row *row);
void inbox_unwatch(struct supervisor *s, struct child_row *row);

/* inbox_drain - take everything that this child has said so far. Before its death is dealt with,
 * and before silence is held against it. Returns how many messages that were. */
unsigned inbox_drain(struct supervisor *s, struct child_row *row);

#endif
