#include "supervisor/lag.h"

static bool is_late(const struct message_progress *report, wall_ns wall)
{
    return report->leads != 0 && report->waits == 0 && report->next_due < wall &&
           wall - report->next_due > LAG_SAY_AFTER;
}

enum lag_verdict lag_step(struct lag *lag, const struct message_progress *report, wall_ns wall,
                          mono_ns now)
{
    bool said = lag->said;

    if (!is_late(report, wall)) {
        *lag = (struct lag){.decisions = report->decisions};
        return said ? LAG_OVER : LAG_NONE;
    }
    if (!lag->late || lag->decisions != report->decisions) {
        lag->stuck_since = now;
    }
    lag->late = true;
    lag->decisions = report->decisions;
    if (now - lag->stuck_since >= LAG_RESTART_AFTER) {
        return LAG_RESTART;
    }
    lag->said = true;
    return said ? LAG_NONE : LAG_SAY;
}
