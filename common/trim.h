/*
 * trim.h - give back what only the start needed. Starting, resolving symbols
 * and a TLS handshake go through megabytes of code and data that are not
 * touched again while an instance waits, most of it in libraries of libraries.
 *
 * Runs in: every process of ours. Never fails: what it cannot do does no harm.
 */
#ifndef PGBATON_COMMON_TRIM_H
#define PGBATON_COMMON_TRIM_H

/*
 * trim_memory - free heap goes back to the kernel; pages of its libraries
 * that nobody can have written are let go, and come back, from the page cache,
 * when they are touched.
 */
void trim_memory(void);

#endif
