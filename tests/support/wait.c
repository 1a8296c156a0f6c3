#include "tests/support/wait.h"

#include <time.h>

bool wait_until(bool (*holds)(void *ctx), void *ctx, dur_ns within)
{
    const struct timespec pause = {.tv_nsec = DUR_MS(10)};
    mono_ns limit = clock_now() + within;

    while (!holds(ctx)) {
        if (clock_now() >= limit) {
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

bool wait_never(bool (*holds)(void *ctx), void *ctx, dur_ns length)
{
    return !wait_until(holds, ctx, length);
}
