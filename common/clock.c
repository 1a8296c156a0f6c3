#include "common/clock.h"

#include <assert.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    int rc = clock_gettime(id, &now);

    assert(rc == 0);
    return DUR_S(now.tv_sec) + now.tv_nsec;
}

mono_ns clock_now(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

wall_ns clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}
