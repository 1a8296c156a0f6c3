/*
 * seat.h - PURE: when the probe connects, looks, takes the seat, rests and
 * gives the seat back.
 *
 * The seat is what makes one of the followers the heir: whoever holds it may
 * wait for the leader key. In mode = poll there is no seat: a key that looks
 * free is reported once, and then only after the supervisor seeks again.
 *
 * Used by the probe, over PostgreSQL and over a lock file. Time and randomness
 * come in; what is to be done comes out.
 */
#ifndef PGBATON_WORKER_PROBE_SEAT_H
#define PGBATON_WORKER_PROBE_SEAT_H

#include <stdbool.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/message.h"
#include "common/random.h"

/*
 * OFFLINE: there is no connection; the next attempt is at wake_at.
 *
 * CONNECTING: an attempt is under way, with a time limit of its own.
 *
 * WATCHING: connected. The seat is not ours: not asked for, refused, or given back.
 *
 * TAKING: the seat was asked for and there is no answer. It MAY be ours.
 *
 * HELD: it is ours, and the supervisor was told.
 *
 * GIVING: the unlock was sent and there is no answer. It MAY still be ours.
 */
enum seat_state {
    SEAT_OFFLINE,
    SEAT_CONNECTING,
    SEAT_WATCHING,
    SEAT_TAKING,
    SEAT_HELD,
    SEAT_GIVING,
};
const char *seat_state_name(enum seat_state state);

enum seat_event_type {
    SEAT_ON_TICK,
    SEAT_ON_CONNECTED,
    SEAT_ON_DISCONNECTED, /* could not connect, or the connection ended: nothing is held any more */
    SEAT_ON_SEEK,         /* the supervisor wants the seat, not before .not_before */
    SEAT_ON_LEAVE,        /* the supervisor does not want it; also: our worker leads */
    SEAT_ON_NOTIFIED,     /* a new term was announced */
    SEAT_ON_LOOKED,       /* .seat_free, .key_free, .clock_wrong, .poll say what was seen */
    SEAT_ON_TAKEN,        /* the answer to TAKE: yes */
    SEAT_ON_REFUSED,      /* the answer to TAKE: no */
    SEAT_ON_GIVEN,        /* the answer to GIVE */
};

struct seat_event {
    enum seat_event_type type;
    mono_ns now;
    mono_ns not_before;
    enum end_reason reason; /* DISCONNECTED: what SEAT_LOST says */
    bool seat_free;
    bool key_free;
    bool clock_wrong;
    bool poll; /* no waiting in the queue here: mode = poll, or a server that does not allow it */
};

enum seat_action {
    SEAT_CONNECT,
    SEAT_LOOK,
    SEAT_TAKE,
    SEAT_GIVE,
    SEAT_REPORT_TAKEN,
    SEAT_REPORT_FREE, /* mode = poll: the key looks free */
    SEAT_REPORT_LOST, /* with .reason */
};

enum { SEAT_ACTIONS_MAX = 4 };
struct seat_actions {
    enum seat_action list[SEAT_ACTIONS_MAX];
    unsigned count;
    enum end_reason reason;
};

struct seat_rules {
    dur_ns retry_interval;
    unsigned retry_jitter; /* percent */
    dur_ns backoff_max;
};

struct seat {
    struct seat_rules rules;
    enum seat_state state;
    bool wanted;        /* the supervisor seeks the seat */
    mono_ns not_before; /* while wanted */
    mono_ns wake_at;    /* when SEAT_ON_TICK is due: the next look or attempt */
    struct backoff backoff;
};

/* seat_begin - nothing is wanted yet; the first attempt to connect is due at once. */
void seat_begin(struct seat *seat, const struct seat_rules *rules, mono_ns now);

/* seat_adopt - new rules, from the next wait on. */
void seat_adopt(struct seat *seat, const struct seat_rules *rules);

/* seat_step - what happened, what is to be done. SEAT_ON_TICK before wake_at does nothing. */
void seat_step(struct seat *seat, const struct seat_event *event, struct prng *random,
               struct seat_actions *ret_actions);

/* seat_may_be_ours - TAKING, HELD or GIVING. */
bool seat_may_be_ours(const struct seat *seat);

#endif
