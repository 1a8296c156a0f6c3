/*
 * size.h - PURE: numbers of bytes as text: 512 64KiB 1MiB.
 */
#ifndef PGBATON_COMMON_SIZE_H
#define PGBATON_COMMON_SIZE_H

#include <stdint.h>

/* size_parse - a whole number of bytes, KiB, MiB or GiB (also 64K, 64kB: powers of 1024, as in
 * postgresql.conf); 0, -EINVAL, -ERANGE (beyond 1 TiB). */
int size_parse(const char *text, int64_t *ret_bytes);

struct size_text {
    char is[32];
};
/* size_text - the shortest exact text that size_parse reads back. Use at once: .is */
struct size_text size_text(int64_t bytes);

#endif
