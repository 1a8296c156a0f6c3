/*
 * orphaned.h - a grandchild of this process that loses its parent at about this
 * moment: whoever reads lists of children just then may find it in none of them.
 *
 * This process must be a child subreaper.
 */
#ifndef PGBATON_TESTS_SUPPORT_ORPHANED_H
#define PGBATON_TESTS_SUPPORT_ORPHANED_H

#include <sys/types.h>

/* How often to try it. */
enum { ORPHANED_TRIES = 300 };

/* orphaned_make - its pid; its parent ends while we return. */
pid_t orphaned_make(void);

/* orphaned_end - it and the body of its parent are gone. */
void orphaned_end(pid_t pid);

#endif
