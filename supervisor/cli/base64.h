/*
 * base64.h - PURE: bytes that travelled as text.
 */
#ifndef PGBATON_SUPERVISOR_CLI_BASE64_H
#define PGBATON_SUPERVISOR_CLI_BASE64_H

#include <stddef.h>

/* base64_decode - text of that length, into to, which has room for length / 4 * 3 bytes. Returns
 * how many there are, or -EINVAL. */
long base64_decode(const char *text, size_t length, unsigned char *to);

#endif
