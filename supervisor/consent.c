#include "supervisor/consent.h"

enum consent consent_step_down(const struct step_down_asked *asked)
{
    if (asked->stopping) {
        return CONSENT_NOT_STOPPING;
    }
    if (asked->state == ELECTION_STANDING_DOWN) {
        return CONSENT_NOT_TWICE;
    }
    if (asked->state != ELECTION_LEADER) {
        return CONSENT_NOT_LEADER;
    }
    if (!asked->has_election) {
        return CONSENT_NO_ELECTION;
    }
    return asked->heir_waits || asked->force ? CONSENT_NOW : CONSENT_NO_HEIR;
}

enum consent consent_reload(const struct reload_asked *asked)
{
    if (asked->stopping) {
        return CONSENT_NOT_STOPPING;
    }
    if (asked->needs_room && asked->waiting >= asked->waiting_most) {
        return CONSENT_TOO_MANY;
    }
    return asked->under_way ? CONSENT_LATER : CONSENT_NOW;
}

const char *consent_text(enum consent consent)
{
    static const char *const texts[CONSENT_COUNT] = {
        [CONSENT_NOW] = "",
        [CONSENT_LATER] = "",
        [CONSENT_NOT_STOPPING] = "this instance is stopping",
        [CONSENT_NOT_TWICE] = "this instance is standing down already",
        [CONSENT_NOT_LEADER] = "this instance is not the leader",
        [CONSENT_NO_ELECTION] = "there is no election here, every instance runs the jobs",
        [CONSENT_NO_HEIR] = "no heir waits, nobody would lead; --force does it all the same",
        [CONSENT_TOO_MANY] = "too many wait already",
    };

    return (unsigned)consent < CONSENT_COUNT ? texts[consent] : "";
}
