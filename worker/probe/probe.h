/*
 * probe.h - the follower-probe: seeks the heir's seat, says who leads and
 * whether the database answers; while our worker leads, its witness.
 *
 * Runs in: probe. Never decides who leads: it reports, and the supervisor decides.
 */
#ifndef PGBATON_WORKER_PROBE_PROBE_H
#define PGBATON_WORKER_PROBE_PROBE_H

#include <ev.h>
#include <stdbool.h>

#include "common/channel.h"
#include "common/child.h"
#include "common/config.h"
#include "common/random.h"
#include "common/scoreboard.h"
#include "common/timer.h"
#include "worker/probe/seat.h"
#include "worker/probe/shell.h"
#include "worker/probe/skew.h"
#include "worker/probe/unserved.h"

struct probe {
    struct child *child;
    struct config *cfg;
    struct config *retired; /* the one before: the open session may still look at it; or NULL */
    uint64_t incarnation;
    bool stopping;
    struct prng random;

    ev_io up_io;
    ev_io signal_io;
    ev_io peer_io;
    ev_prepare settle;   /* arms the timer before the loop sleeps */
    struct channel peer; /* to the monitor; fd -1: none */
    struct timer timer;
    mono_ns armed_at;
    mono_ns alive_at;      /* when we must be heard at the latest */
    mono_ns requests_at;   /* when to tell the supervisor of requests; MONO_NEVER: of none */
    mono_ns requests_told; /* when that was done last */

    struct seat seat;
    const struct shell_kind *kind; /* NULL: no database, nothing to do */
    struct shell *shell;

    bool leads; /* our worker leads: .lead is what it was told, at lead_at */
    struct message_lead lead;
    mono_ns lead_at;

    struct skew skew; /* of our clock and the database's; outlives a session, not a server */
    enum skew_verdict skew_logged;

    struct unserved unserved; /* jobs of ours */

    uint64_t elections; /* which of them we seek in: the configuration's count */
    struct epoch seen;  /* the latest epoch, on whichever server */

    struct message_fleet fleet; /* as it was sent last */
    bool fleet_sent;
    struct board_probe shown;
    char down_reason[REASON_MAX]; /* as it was logged last */
    unsigned down_told;           /* lines about this outage */
    mono_ns down_logged_at;
};

/* probe_role - what this instance's probe is called in application_name: follower, heir or leader.
 */
const char *probe_role(const struct probe *p);

/* probe_forget_retired - the session that looked at it is closed. */
void probe_forget_retired(struct probe *p);

/* In report.c: what is told, to the supervisor and to people. A channel that cannot be written ends
 * the process. */
void report_send(struct probe *p, enum message_type type, struct message *m);
void report_alive(struct probe *p);
/* We are awake anyway: say so, if nothing was sent for a while. */
void report_alive_in_passing(struct probe *p);
void report_sight(struct probe *p, const struct sight *seen);
void report_down(struct probe *p, bool refused, const char *text);
void report_up(struct probe *p, const char *server_version);
void report_seat(struct probe *p, bool held);

#endif
