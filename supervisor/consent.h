/*
 * consent.h - PURE: may what somebody asks for be done now, and if not, why not?
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_CONSENT_H
#define PGBATON_SUPERVISOR_CONSENT_H

#include <stdbool.h>

#include "supervisor/election.h"

enum consent {
    CONSENT_NOW,
    CONSENT_LATER, /* after what is under way */
    CONSENT_NOT_STOPPING,
    CONSENT_NOT_TWICE,
    CONSENT_NOT_LEADER,
    CONSENT_NO_ELECTION,
    CONSENT_NO_HEIR,
    CONSENT_TOO_MANY,
    CONSENT_COUNT,
};

struct step_down_asked {
    bool stopping;
    enum election_state state;
    bool has_election; /* false: dsn = none */
    bool heir_waits;
    bool force; /* an heir is not asked for */
};

/* consent_step_down - never LATER: an order that is carried out minutes later surprises. */
enum consent consent_step_down(const struct step_down_asked *asked);

struct reload_asked {
    bool stopping;
    bool under_way;  /* one waits for the term's release */
    bool needs_room; /* somebody waits for the answer */
    unsigned waiting;
    unsigned waiting_most;
};

/* consent_reload - NOW, LATER, NOT_STOPPING or TOO_MANY. */
enum consent consent_reload(const struct reload_asked *asked);

/* consent_text - why not, as the rest of a sentence; "" for NOW and LATER. */
const char *consent_text(enum consent consent);

#endif
