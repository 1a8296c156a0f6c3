/*
 * clock.h - the two kinds of time, and the one timer that everything uses.
 *
 * A moment (mono_ns) is on CLOCK_BOOTTIME, which goes on counting while the
 * machine sleeps: a lease that stood still during a suspend would be believed
 * after the server has given it away. The wall clock (wall_ns) appears in
 * schedules and in the log, and nowhere else.
 *
 * Runs in: every process. Never blocks, never logs.
 */
#ifndef PGBATON_COMMON_CLOCK_H
#define PGBATON_COMMON_CLOCK_H

#include <stdint.h>

typedef int64_t mono_ns; /* a moment on CLOCK_BOOTTIME */
typedef int64_t dur_ns;  /* a length of time */
typedef int64_t wall_ns; /* a moment on CLOCK_REALTIME, since the Unix epoch */

#define MONO_NEVER INT64_MAX
#define WALL_NEVER INT64_MAX

#define DUR_US(n) ((dur_ns)(n)*1000)
#define DUR_MS(n) ((dur_ns)(n)*1000 * 1000)
#define DUR_S(n) ((dur_ns)(n)*1000 * 1000 * 1000)

/* clock_now - the present moment. Cannot fail on Linux. */
mono_ns clock_now(void);

/* clock_wall - the present moment of the wall clock; may step either way. */
wall_ns clock_wall(void);

#endif
