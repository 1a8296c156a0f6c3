/*
 * duration.h - PURE: lengths of time as text: 250ms 10s 5m 2h 1d 1w.
 */
#ifndef PGBATON_COMMON_DURATION_H
#define PGBATON_COMMON_DURATION_H

#include "common/clock.h"

/* duration_parse - a whole number and a unit (0 needs none); 0, -EINVAL, -ERANGE (beyond 100
 * years). */
int duration_parse(const char *text, dur_ns *ret_length);

struct duration_text {
    char is[32];
};
/* duration_text - the shortest exact text that duration_parse reads back ("1.5s" is "1500ms");
 * what is finer than a millisecond is rounded down to it. Use at once: .is */
struct duration_text duration_text(dur_ns length);

#endif
