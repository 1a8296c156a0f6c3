/*
 * log_repeat.h - PURE: which lines of the log say the same again.
 *
 * Remembers the last few lines by their hash. One that comes more than
 * REPEAT_BURST times within REPEAT_WITHIN is held back; when it is printed once
 * more, how often it was held back is known. The first few are all printed: a
 * change of state that truly happens twice is two lines of the audit trail, and
 * only a flood is none.
 */
#ifndef PGBATON_COMMON_LOG_REPEAT_H
#define PGBATON_COMMON_LOG_REPEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

#define REPEAT_WITHIN DUR_S(10)
enum { REPEAT_LINES = 16, REPEAT_BURST = 4 };

struct repeat_line {
    uint64_t hash;
    mono_ns began_at;        /* its first printing within REPEAT_WITHIN */
    unsigned printed;        /* since then */
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
