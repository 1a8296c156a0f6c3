#include "supervisor/lag.h"

#include <stdint.h>

dur_ns lag_late(const struct message_progress *report, wall_ns wall)
{
    if (report->next_due >= wall) {
        return 0;
    }
    /* What a worker says may be anything. */
    return report->next_due < wall - INT64_MAX ? INT64_MAX : wall - report->next_due;
}

enum lag_verdict lag_step(struct lag *lag, const struct message_progress *report, wall_ns wall,
                          mono_ns now)
{
    dur_ns late = lag_late(report, wall);
    bool said = lag->said;

    if (report->leads == 0) {
        *lag = (struct lag){.due = false};
        return LAG_NONE;
    }
    if (report->waits != 0) { /* nothing is to be expected of it, and nothing is caught up */
        lag->due = false;
        return LAG_NONE;
    }
    if (late == 0 || !lag->due || lag->decisions != report->decisions) {
        lag->stuck_since = now;
    }
    lag->due = late > 0;
    lag->decisions = report->decisions;
    lag->said = late > LAG_SAY_AFTER;
    if (!lag->said) {
        return said ? LAG_OVER : LAG_NONE;
    }
    if (now - lag->stuck_since >= LAG_RESTART_AFTER) {
        return LAG_RESTART;
    }
    return said ? LAG_NONE : LAG_SAY;
}
