/* The probe's shell: what worker/probe/probe.c, probe_postgres.c and evict.c do, in the model. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/budget.h"
#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "worker/database/lease.h"
#include "worker/probe/seat.h"
#include "worker/probe/witness.h"

#define ANSWER_LIMIT DUR_S(7)
#define GIVE_LIMIT DUR_S(1)

/* One question at a time, in this order. */
enum want {
    WANT_FENCE,
    WANT_GIVE,
    WANT_TAKE,
    WANT_HEARTBEAT,
    WANT_LISTEN,
    WANT_END,
    WANT_UNBLOCK,
    WANT_LOOK,
    WANT_COUNT,
};

struct probe_model {
    struct seat seat;
    struct prng random;
    int conn;
    bool ready;
    bool asking;
    enum want asked;
    unsigned wants;
    mono_ns asked_at;
    mono_ns limit; /* of the answer, or of the connection */
    int pid;
    struct server_identity server;
    bool leased;
    struct lease lease;
    bool leads;
    struct note lead;
    mono_ns lead_at;
    struct stuck_watch key_watch;
    struct stuck_watch seat_watch;
    struct stuck_opening opening;
    struct sight_row last;
    struct epoch seen; /* the latest that this process saw */
    int end_pid;
    uint64_t end_start;
    int blocked;
    struct epoch fenced;
};

static struct probe_model models[NODES_MAX];

static struct probe_model *of(int i)
{
    return &models[i];
}

static void happened(int i, struct seat_event event);
static void ask_next(int i);

static void tell(int i, const struct note *note)
{
    node_post(i, PROCESS_SUPERVISOR, note);
}

static void lost(int i, enum end_reason reason)
{
    struct probe_model *p = of(i);

    if (p->conn != NO_CONN) {
        network_close(p->conn);
    }
    p->conn = NO_CONN;
    p->ready = false;
    p->asking = false;
    p->leased = false;
    p->limit = MONO_NEVER;
    p->wants &= 1u << WANT_FENCE;
    happened(i, (struct seat_event){.type = SEAT_ON_DISCONNECTED, .reason = reason});
}

static void want(int i, enum want what)
{
    of(i)->wants |= 1u << what;
    ask_next(i);
}

static void open_session(int i)
{
    struct probe_model *p = of(i);

    p->conn = network_open(i, PROCESS_PROBE, nodes[i].process[PROCESS_PROBE].generation);
    p->limit = node_now(i) + world.settings.connect_timeout;
}

static void carry_out(int i, enum seat_action action)
{
    struct probe_model *p = of(i);
    struct note note = {.type = NOTE_SEAT_TAKEN, .server = p->server, .epoch = p->seen};

    switch (action) {
    case SEAT_CONNECT:
        open_session(i);
        return;
    case SEAT_LOOK:
        want(i, WANT_LOOK);
        return;
    case SEAT_TAKE:
        want(i, WANT_TAKE);
        return;
    case SEAT_GIVE:
        want(i, WANT_GIVE);
        return;
    case SEAT_REPORT_TAKEN:
        tell(i, &note);
        return;
    case SEAT_REPORT_FREE:
        note.poll = true;
        tell(i, &note);
        return;
    case SEAT_REPORT_LOST:
        note.type = NOTE_SEAT_LOST;
        tell(i, &note);
        return;
    }
}

static void happened(int i, struct seat_event event)
{
    struct probe_model *p = of(i);
    struct seat_actions actions;

    event.now = node_now(i);
    seat_step(&p->seat, &event, &p->random, &actions);
    for (unsigned a = 0; a < actions.count; a++) {
        carry_out(i, actions.list[a]);
    }
}

/* ---- asking ---- */

static void ask(int i, enum want what)
{
    static const enum request_type requests[WANT_COUNT] = {
        [WANT_FENCE] = REQUEST_FENCE,     [WANT_GIVE] = REQUEST_GIVE,
        [WANT_TAKE] = REQUEST_TAKE,       [WANT_HEARTBEAT] = REQUEST_SYNC,
        [WANT_LISTEN] = REQUEST_LISTEN,   [WANT_END] = REQUEST_END,
        [WANT_UNBLOCK] = REQUEST_UNBLOCK, [WANT_LOOK] = REQUEST_LOOK,
    };
    struct probe_model *p = of(i);
    struct request r = {.type = requests[what], .epoch = p->fenced};

    if (what == WANT_END) {
        r.pid = p->end_pid;
        r.start = p->end_start;
    } else if (what == WANT_UNBLOCK) {
        r.pid = p->blocked;
    }
    p->asking = true;
    p->asked = what;
    p->asked_at = node_now(i);
    p->limit = p->asked_at + (what == WANT_GIVE ? GIVE_LIMIT : ANSWER_LIMIT);
    if (p->leased) {
        lease_sent(&p->lease, p->asked_at);
    }
    network_ask(p->conn, &r);
}

static void ask_next(int i)
{
    struct probe_model *p = of(i);

    if (!p->ready || p->asking) {
        return;
    }
    for (enum want w = 0; w < WANT_COUNT; w++) {
        if ((p->wants & (1u << w)) != 0) {
            p->wants &= ~(1u << w);
            ask(i, w);
            return;
        }
    }
}

/* ---- answers ---- */

static void on_take(int i, const struct answer *answer)
{
    struct probe_model *p = of(i);
    const struct lease_terms terms = {
        .lease = world.settings.lease,
        .heartbeat = world.settings.heartbeat,
        .margin = budget_margin(world.settings.lease),
    };

    if (answer->type != ANSWER_YES) {
        p->wants |= 1u << WANT_LISTEN;
        happened(i, (struct seat_event){.type = SEAT_ON_REFUSED});
        return;
    }
    p->leased = true;
    lease_begin(&p->lease, &terms, p->asked_at);
    lease_sent(&p->lease, p->asked_at);
    (void)lease_acknowledged(&p->lease, node_now(i));
    happened(i, (struct seat_event){.type = SEAT_ON_TAKEN});
}

static struct stuck_sight sight_of(int pid, uint64_t start, wall_ns state_change)
{
    struct stuck_sight sight = {.pid = pid};

    if (pid > 1) { /* another program's says nothing */
        (void)snprintf(sight.backend_start, sizeof(sight.backend_start), "%llu",
                       (unsigned long long)start);
        (void)snprintf(sight.state_change, sizeof(sight.state_change), "%lld",
                       (long long)state_change);
    }
    return sight;
}

static void end_session_of(int i, int pid, uint64_t start)
{
    struct probe_model *p = of(i);

    trace("node %d     ends the stuck backend %d", i, pid);
    p->end_pid = pid;
    p->end_start = start;
    p->wants |= 1u << WANT_END;
}

/* The heir ends the leader, and only the session that the current term records; anybody ends an
 * heir. */
static void evict_stuck(int i, const struct sight_row *seen)
{
    struct probe_model *p = of(i);
    struct stuck_sight key = sight_of(seen->key_pid, seen->key_start, seen->key_state_change);
    struct stuck_sight seat = sight_of(seen->seat_pid, seen->seat_start, seen->seat_state_change);
    bool of_term =
        seen->term_known && seen->key_pid == seen->term_pid && seen->key_start == seen->term_start;

    bool may_end =
        stuck_may_end_leader(p->seat.state == SEAT_HELD, world.settings.poll, p->seat.wanted);

    if (!may_end || !of_term) {
        p->key_watch = (struct stuck_watch){0};
    } else if (stuck_look(&p->key_watch, &key, seen->term_lease, p->asked_at)) {
        end_session_of(i, seen->key_pid, seen->key_start);
    }
    if (seen->seat_pid == p->pid || seen->seat_pid == 0) {
        p->seat_watch = (struct stuck_watch){0};
    } else if (stuck_look(&p->seat_watch, &seat, world.settings.lease, p->asked_at)) {
        end_session_of(i, seen->seat_pid, seen->seat_start);
    }
}

static void bear_witness(int i, const struct sight_row *seen)
{
    struct probe_model *p = of(i);
    const struct witness witness = {
        .lock_pid = p->leads ? p->lead.pid : 0, .since = p->lead_at, .server = p->lead.server};
    int pid = witness_pid(&witness, p->asked_at);
    struct note note = {.type = NOTE_WITNESS, .epoch = p->lead.epoch};

    if (witness_verdict(&witness, p->asked_at, p->server, seen->key_pid == pid) == WITNESS_DENIES) {
        trace("node %d     the witness denies term %s", i, epoch_text(p->lead.epoch).is);
        tell(i, &note);
    }
}

static void on_look(int i, const struct sight_row *seen)
{
    struct probe_model *p = of(i);

    if (p->seat.state == SEAT_HELD && seen->seat_pid != p->pid) {
        lost(i, END_INTERNAL);
        return;
    }
    p->last = *seen;
    p->seen = epoch_later(p->seen, seen->term_epoch);
    evict_stuck(i, seen);
    bear_witness(i, seen);
    happened(i, (struct seat_event){.type = SEAT_ON_LOOKED,
                                    .seat_free = seen->seat_pid == 0,
                                    .key_free = seen->key_pid == 0,
                                    .poll = world.settings.poll});
}

static bool lease_is_over(int i)
{
    struct probe_model *p = of(i);

    if (!p->leased || lease_look(&p->lease, node_now(i)) != LEASE_OVER) {
        return false;
    }
    lost(i, END_LEASE_EXPIRED);
    return true;
}

static void on_connected(int i, const struct answer *answer)
{
    struct probe_model *p = of(i);

    p->ready = true;
    p->limit = MONO_NEVER;
    p->pid = answer->pid;
    p->server = answer->server;
    p->key_watch = (struct stuck_watch){0};
    p->seat_watch = (struct stuck_watch){0};
    p->wants |= 1u << WANT_LISTEN;
    happened(i, (struct seat_event){.type = SEAT_ON_CONNECTED});
    ask_next(i);
}

static void on_fenced(int i)
{
    struct note note = {.type = NOTE_FENCE_DONE, .epoch = of(i)->fenced};

    tell(i, &note);
}

static void on_answer(int i, const struct answer *answer)
{
    struct probe_model *p = of(i);

    p->asking = false;
    p->limit = MONO_NEVER;
    if (p->leased && lease_acknowledged(&p->lease, node_now(i)) && lease_is_over(i)) {
        return;
    }
    switch (p->asked) {
    case WANT_FENCE:
        on_fenced(i);
        break;
    case WANT_GIVE:
        p->leased = false;
        happened(i, (struct seat_event){.type = SEAT_ON_GIVEN});
        break;
    case WANT_TAKE:
        on_take(i, answer);
        break;
    case WANT_LOOK:
        on_look(i, &answer->sight);
        break;
    case WANT_HEARTBEAT:
    case WANT_LISTEN:
    case WANT_END:
    case WANT_UNBLOCK:
    case WANT_COUNT:
        break;
    }
    ask_next(i);
}

static void hear(int i, const struct answer *answer)
{
    switch (answer->type) {
    case ANSWER_CONNECTED:
        on_connected(i, answer);
        return;
    case ANSWER_REFUSED:
        lost(i, END_CONNECT_FAILED);
        return;
    case ANSWER_END:
        lost(i, END_SESSION_ENDED);
        return;
    case ANSWER_NOTIFY:
        happened(i, (struct seat_event){.type = SEAT_ON_NOTIFIED});
        return;
    case ANSWER_YES:
    case ANSWER_NO:
    case ANSWER_SYNC:
    case ANSWER_SIGHT:
    case ANSWER_ROW:
    case ANSWER_BLOCKED:
    case ANSWER_ERROR:
    case ANSWER_WAIT:
        on_answer(i, answer);
        return;
    }
}

/* ---- orders ---- */

static dur_ns previous_lease(const struct probe_model *p)
{
    if (!p->last.term_known) {
        return world.settings.lease;
    }
    return p->last.term_ended ? 0 : p->last.term_lease;
}

static void obey(int i, const struct note *note)
{
    struct probe_model *p = of(i);

    switch (note->type) {
    case NOTE_SEEK:
        p->leads = false;
        happened(i, (struct seat_event){.type = SEAT_ON_SEEK, .not_before = note->at});
        return;
    case NOTE_LEAVE:
        p->leads = false;
        happened(i, (struct seat_event){.type = SEAT_ON_LEAVE});
        return;
    case NOTE_LEAD:
        p->leads = true;
        p->lead = *note;
        p->lead_at = node_now(i);
        happened(i, (struct seat_event){.type = SEAT_ON_LEAVE});
        return;
    case NOTE_FENCED:
        p->fenced = note->epoch;
        want(i, WANT_FENCE);
        return;
    case NOTE_UNBLOCK:
        if (p->ready && stuck_opening_due(&p->opening, note->pid, previous_lease(p), node_now(i))) {
            p->blocked = note->pid;
            want(i, WANT_UNBLOCK);
        }
        return;
    default: /* STOP, and the end of the supervisor; no other comes to a probe */
        node_exit(i, PROCESS_PROBE, 0);
        return;
    }
}

/* ---- time ---- */

static mono_ns earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

static mono_ns wake_at(const struct probe_model *p)
{
    mono_ns at = earlier(p->seat.wake_at, p->limit);

    if (p->leased) {
        at = earlier(at, p->asking ? p->lease.deadline : lease_wake_at(&p->lease));
    }
    return at;
}

static void on_due(int i)
{
    struct probe_model *p = of(i);
    mono_ns now = node_now(i);

    if (now >= p->limit) {
        lost(i, p->ready ? END_SESSION_ENDED : END_CONNECT_FAILED);
    }
    if (!lease_is_over(i) && p->leased && lease_send_due(&p->lease, now) && !p->asking) {
        want(i, WANT_HEARTBEAT);
    }
    happened(i, (struct seat_event){.type = SEAT_ON_TICK});
}

void probe_reset(int i)
{
    struct probe_model *p = of(i);

    *p = (struct probe_model){.conn = NO_CONN, .limit = MONO_NEVER};
}

void probe_boot(int i)
{
    struct probe_model *p = of(i);
    const struct seat_rules rules = {
        .retry_interval = world.settings.retry_interval,
        .retry_jitter = 20,
        .backoff_max = world.settings.backoff_max,
    };
    const struct note hello = {.type = NOTE_HELLO, .child = PROCESS_PROBE};

    probe_reset(i);
    prng_seed(&p->random, prng_next(&nodes[i].random));
    seat_begin(&p->seat, &rules, node_now(i));
    tell(i, &hello);
    node_arm(i, PROCESS_PROBE, p->seat.wake_at);
}

void probe_take(int i, const struct happening *h)
{
    struct probe_model *p = of(i);

    if (h->kind == HAPPENS_NOTE) {
        obey(i, &h->u.note);
    } else if (h->kind == HAPPENS_TIMER) {
        on_due(i);
    } else if (h->conn == p->conn) {
        hear(i, &h->u.answer);
    }
    if (nodes[i].process[PROCESS_PROBE].alive) {
        node_arm(i, PROCESS_PROBE, wake_at(p));
    }
}

void probe_die(int i)
{
    struct probe_model *p = of(i);

    if (p->conn != NO_CONN) {
        network_close(p->conn);
        p->conn = NO_CONN;
    }
}
