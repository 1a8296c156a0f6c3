#include "supervisor/restart.h"

#include <assert.h>
#include <sys/wait.h>

#include "common/child.h"

void restart_init(struct restart *r)
{
    r->wait = (struct backoff){.least = RESTART_WAIT_LEAST, .most = RESTART_WAIT_MOST};
}

enum restart_verdict restart_decide(struct restart *r, int wait_status, dur_ns uptime, mono_ns now,
                                    struct prng *random, mono_ns *ret_when)
{
    assert(uptime >= 0);

    if (WIFEXITED(wait_status)) {
        switch (WEXITSTATUS(wait_status)) {
        case CHILD_EXIT_CONFIG:
            return RESTART_ON_RELOAD;
        case CHILD_EXIT_PROTOCOL:
            return RESTART_NEVER;
        default: /* a number from outside, not an enum of ours: all others may pass */
            break;
        }
    }
    if (uptime >= RESTART_HEALTHY_AFTER) {
        backoff_reset(&r->wait);
    }
    *ret_when = restart_failed(r, now, random);
    return RESTART_AT;
}

mono_ns restart_failed(struct restart *r, mono_ns now, struct prng *random)
{
    return now + backoff_next(&r->wait, random);
}

const char *restart_verdict_name(enum restart_verdict verdict)
{
    static const char *const names[RESTART_VERDICT_COUNT] = {
        [RESTART_AT] = "restart",
        [RESTART_ON_RELOAD] = "wait_for_reload",
        [RESTART_NEVER] = "give_up",
    };

    return (unsigned)verdict < RESTART_VERDICT_COUNT ? names[verdict] : "?";
}
