/*
 * log_repeat.h - PURE: which lines of the log say the same again.
 *
 * Remembers the last few lines by their hash. One that comes again within
 * REPEAT_WITHIN is held back; when it is printed once more, how often it was
 * held back is known.
 */
#ifndef PGBATON_COMMON_LOG_REPEAT_H
#define PGBATON_COMMON_LOG_REPEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

#define REPEAT_WITHIN DUR_S(10)
enum { REPEAT_LINES = 16 };

struct repeat_line {
    uint64_t hash;
    mono_ns printed_at;
    unsigned long held_back; /* since then */
};

struct repeats {
    struct repeat_line lines[REPEAT_LINES]; /* in no order; zero is empty */
    size_t count;
};

/*
 * repeat_is_news - should this line be printed now? If so, *ret_held_back is
 * how often it was held back since it was printed last, and it is remembered.
 */
bool repeat_is_news(struct repeats *r, uint64_t hash, mono_ns now, unsigned long *ret_held_back);

#endif
