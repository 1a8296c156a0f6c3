#include "tests/sim/server.h"

#include <assert.h>
#include <string.h>

#include "tests/sim/checks.h"
#include "tests/sim/server_private.h"

struct server server;

/* ---- clock ---- */

wall_ns server_wall(void)
{
    return world.now + world.now * server.drift_ppm / 1000000 + server.stepped + DUR_S(1000000);
}

/* The true time that a length of the wall clock takes from now on, if it is not stepped. */
static dur_ns true_length(dur_ns wall)
{
    return wall - wall * server.drift_ppm / 1000000;
}

/* ---- sessions ---- */

struct session *session_at(int s)
{
    assert(s >= 0 && s < SESSIONS_MAX);
    assert(server.sessions[s].used);
    return &server.sessions[s];
}

static int session_of_conn(int conn)
{
    for (int s = 0; s < SESSIONS_MAX; s++) {
        if (server.sessions[s].used && server.sessions[s].conn == conn) {
            return s;
        }
    }
    return NO_SESSION;
}

int session_by_pid(int pid)
{
    int s = pid - FIRST_PID;

    return s >= 0 && s < SESSIONS_MAX && server.sessions[s].used ? s : NO_SESSION;
}

static void idle_timer(int unused, uint64_t token);

/* A timer is armed for the moment that the wall clock showed when it was armed, and looks at the
 * wall clock when it fires: set back, it goes on waiting; set forward, it is over at once. */
static void arm_idle(int s)
{
    struct session *session = session_at(s);
    dur_ns left = session->idle_until - server_wall();

    if (!session->alarm) {
        session->alarm = true;
        world_call(world.now + (left > 0 ? true_length(left) + DUR_US(10) : 0), idle_timer, s,
                   session->start);
    }
}

static void idle_timer(int s, uint64_t start)
{
    struct session *session = &server.sessions[s];

    if (!session->used || session->start != start) {
        return;
    }
    session->alarm = false;
    if (session->frozen || session->idle_until == WALL_NEVER) {
        return;
    }
    if (server_wall() < session->idle_until) {
        arm_idle(s);
        return;
    }
    trace("server     idle_session_timeout ends backend %d", session->pid);
    session_end(s, true);
}

void session_busy(int s)
{
    session_at(s)->idle_until = WALL_NEVER;
    session_at(s)->state_change = server_wall();
}

void session_idle(int s)
{
    struct session *session = session_at(s);

    session->state_change = server_wall();
    if (session->client_gone) { /* now it reads the end of the stream */
        session_end(s, false);
        return;
    }
    if (session->idle_timeout > 0) {
        session->idle_until = server_wall() + session->idle_timeout;
        arm_idle(s);
    } else {
        session->idle_until = WALL_NEVER;
    }
}

void session_idle_in_transaction(int s)
{
    session_busy(s);
    if (session_at(s)->client_gone) {
        session_end(s, false);
        return;
    }
    session_at(s)->idle_until = server_wall() + world.settings.lease;
    arm_idle(s);
}

/* tcp_user_timeout: the kernel gives a connection up, by its own clock, whose host has not
 * acknowledged what was sent for a lease. */
static void unacknowledged(int s, uint64_t start)
{
    if (server.sessions[s].used && server.sessions[s].start == start) {
        trace("server     nobody acknowledges what backend %d sent", server.sessions[s].pid);
        server_client_gone(server.sessions[s].conn);
    }
}

void session_answer(int s, const struct answer *answer)
{
    const struct session *session = session_at(s);

    network_answer(session->conn, answer, between(DUR_US(20), DUR_US(300)));
    if (network_host_is_gone(session->conn)) {
        world_call(world.now + world.settings.lease, unacknowledged, s, session->start);
    }
}

void session_answer_type(int s, enum answer_type type)
{
    const struct answer answer = {.type = type};

    session_answer(s, &answer);
}

void session_end(int s, bool farewell)
{
    struct session *session = session_at(s);
    int conn = session->conn;

    if (session->ending) {
        return;
    }
    session->ending = true;
    if (server.key_holder == s && !session->client_gone) {
        checks_key_lost(conn, session->frozen && !farewell);
    }
    trace("server     backend %d of node %d has ended%s", session->pid, network_node(conn),
          server.key_holder == s ? ": it held the key" : "");
    if (farewell) {
        session_answer_type(s, ANSWER_END);
    }
    network_forget(conn);
    session->used = false; /* what it held is given to others from here on */
    locks_drop(s);
    rows_drop(s);
}

static void connect(int conn)
{
    struct answer answer = {.type = ANSWER_CONNECTED, .server = server.identity};

    for (int s = 0; s < SESSIONS_MAX; s++) {
        struct session *session = &server.sessions[s];

        if (!session->used && server.up && !server.full) {
            *session = (struct session){
                .used = true,
                .conn = conn,
                .pid = FIRST_PID + s,
                .start = ++server.starts,
                .idle_until = WALL_NEVER,
            };
            session->state_change = server_wall();
            answer.pid = session->pid;
            /* Several round trips: authentication, settings, who are you. */
            network_answer(conn, &answer, between(DUR_MS(1), DUR_MS(8)));
            return;
        }
    }
    answer.type = ANSWER_REFUSED;
    network_answer(conn, &answer, between(DUR_MS(1), DUR_MS(3)));
    network_forget(conn);
}

static void look(int s)
{
    const struct term_row *term = rows_newest();
    struct answer answer = {.type = ANSWER_SIGHT};
    struct sight_row *sight = &answer.sight;

    if (server.key_holder >= 0) {
        const struct session *key = session_at(server.key_holder);
        sight->key_pid = key->pid;
        sight->key_start = key->start;
        sight->key_state_change = key->state_change;
    } else if (server.key_holder == FOREIGN) {
        sight->key_pid = 1;
    }
    if (server.seat_holder >= 0) {
        const struct session *seat = session_at(server.seat_holder);
        sight->seat_pid = seat->pid;
        sight->seat_start = seat->start;
        sight->seat_state_change = seat->state_change;
    }
    if (term != NULL) {
        sight->term_known = true;
        sight->term_ended = term->ended != MONO_NEVER;
        sight->term_epoch = term->epoch;
        sight->term_pid = term->pid;
        sight->term_start = term->start;
        sight->term_lease = world.settings.lease;
    }
    session_answer(s, &answer);
}

static void end_blocker(int s, int blocked_pid)
{
    int blocked = session_by_pid(blocked_pid);
    int blocker = blocked == NO_SESSION ? NO_SESSION : row_blocker(blocked);

    if (blocker == FOREIGN) {
        trace("server     the transaction that blocks the opening is ended");
        rows_drop(FOREIGN);
    } else if (blocker != NO_SESSION) {
        session_end(blocker, true);
    }
    session_answer_type(s, ANSWER_YES);
}

static void terminate(int s, const struct request *r)
{
    int victim = session_by_pid(r->pid);

    if (victim != NO_SESSION && session_at(victim)->start == r->start) {
        trace("server     backend %d is ended by another", r->pid);
        session_end(victim, true);
    }
    session_answer_type(s, ANSWER_YES);
}

static void carry_out(int s, const struct request *r)
{
    switch (r->type) {
    case REQUEST_SLICE:
        locks_slice(s);
        return;
    case REQUEST_TRY:
        locks_try(s);
        return;
    case REQUEST_SYNC:
        session_answer_type(s, ANSWER_SYNC);
        session_idle(s);
        return;
    case REQUEST_UNLOCK:
        locks_unlock(s);
        return;
    case REQUEST_LOOK:
        look(s);
        session_idle(s);
        return;
    case REQUEST_TAKE:
        locks_take_seat(s);
        return;
    case REQUEST_GIVE:
        locks_give_seat(s);
        return;
    case REQUEST_LISTEN:
        session_at(s)->listens = true;
        session_answer_type(s, ANSWER_YES);
        session_idle(s);
        return;
    case REQUEST_FENCE:
        rows_stamp(s, r, true);
        return;
    case REQUEST_END:
        terminate(s, r);
        session_idle(s);
        return;
    case REQUEST_UNBLOCK:
        end_blocker(s, r->pid);
        session_idle(s);
        return;
    case REQUEST_LOCK_ROW:
        rows_lock(s, r);
        return;
    case REQUEST_ROLLBACK:
        rows_rollback(s);
        return;
    case REQUEST_WRITE:
        rows_write(s, r);
        return;
    case REQUEST_TERMS:
        rows_terms(s, r);
        return;
    case REQUEST_MARK:
        rows_mark(s, r);
        return;
    case REQUEST_CLOSE:
        rows_close(s, r);
        return;
    case REQUEST_STAMP:
        rows_stamp(s, r, false);
        return;
    case REQUEST_CONNECT:
    case REQUEST_FAREWELL:
        break;
    }
    assert(!"no such request");
}

static enum session_purpose purpose_of(enum request_type type)
{
    if (type == REQUEST_SLICE || type == REQUEST_TRY || type == REQUEST_SYNC) {
        return PURPOSE_LOCK;
    }
    return type >= REQUEST_LOCK_ROW ? PURPOSE_LEDGER : PURPOSE_PROBE;
}

void server_take(int conn, const struct request *request)
{
    int s;

    if (request->type == REQUEST_CONNECT) {
        if (server.up || server.host_answers) {
            connect(conn);
        }
        return;
    }
    s = session_of_conn(conn);
    assert(s != NO_SESSION); /* the network knows which are forgotten */
    if (session_at(s)->frozen) {
        return; /* it lies in the socket, unread */
    }
    if (session_at(s)->purpose == PURPOSE_UNKNOWN) {
        session_at(s)->purpose = purpose_of(request->type);
        if (session_at(s)->purpose == PURPOSE_LOCK) { /* set before its first slice */
            session_at(s)->idle_timeout = world.settings.lease;
        }
    }
    session_busy(s);
    carry_out(s, request);
}

void server_client_gone(int conn)
{
    int s = session_of_conn(conn);

    if (s == NO_SESSION || session_at(s)->frozen) {
        return;
    }
    session_at(s)->client_gone = true;
    if (!session_at(s)->waits_for_key && !session_at(s)->waits_for_row) {
        session_end(s, false);
    }
}

/* ---- what is asked by the tests ---- */

bool server_is_up(void)
{
    return server.up;
}

bool server_host_answers(void)
{
    return server.host_answers;
}

struct server_identity server_identity(void)
{
    return server.identity;
}

int server_key_node(void)
{
    return server.key_holder >= 0 ? network_node(session_at(server.key_holder)->conn)
                                  : server.key_holder;
}

void server_reset(void)
{
    memset(&server, 0, sizeof(server));
    server.up = true;
    server.host_answers = true;
    server.identity = (struct server_identity){.system_id = 7000, .timeline = 1};
    server.drift_ppm = (int)draw(401) - 200;
    server.key_holder = NO_SESSION;
    server.seat_holder = NO_SESSION;
    server.row_holder = NO_SESSION;
}

/* ---- what breaks ---- */

void server_stop(enum server_end how)
{
    bool said = how == SERVER_END_SAID;

    trace("fault      the server stops%s", said ? "" : ", and nobody is told");
    server.up = false;
    server.host_answers = said;
    server.key_waiters = 0; /* no grants while it goes down */
    server.row_waiters = 0;
    server.foreign_wants = 0;
    for (int s = 0; s < SESSIONS_MAX; s++) {
        if (server.sessions[s].used) {
            session_end(s, said);
        }
    }
    server.key_holder = NO_SESSION;
    server.row_holder = NO_SESSION;
}

void server_start(void)
{
    trace("fault      the server is up, timeline %u of system %llu", server.identity.timeline,
          (unsigned long long)server.identity.system_id);
    server.up = true;
    server.host_answers = true;
}

void server_promote(dur_ns lost)
{
    assert(!server.up);
    trace("fault      a standby is promoted, without the last %.1f s", (double)lost / 1e9);
    server.identity.timeline++;
    rows_lose(lost);
}

void server_replace(dur_ns age)
{
    mono_ns first = rows_first_of(server.identity.system_id);

    assert(!server.up);
    if (first == MONO_NEVER) {
        return; /* no term of this cluster is in any dump: nothing is left to know them by */
    }
    if (first > world.now - age) {
        age = 0;
    }
    trace("fault      another cluster, from a dump of %.1f s ago", (double)age / 1e9);
    rows_lose(age);
    server.replaced = world.now;
    server.identity.system_id++;
    server.identity.timeline = 1;
}

void server_terminate(enum server_victim victim)
{
    int s = NO_SESSION;

    if (victim == VICTIM_KEY) {
        s = server.key_holder;
    } else if (victim == VICTIM_SEAT) {
        s = server.seat_holder;
    } else {
        for (int i = 0; i < SESSIONS_MAX; i++) {
            if (server.sessions[i].used && server.sessions[i].purpose == PURPOSE_LEDGER) {
                s = i;
            }
        }
    }
    if (s >= 0) {
        trace("fault      pg_terminate_backend(%d)", session_at(s)->pid);
        session_end(s, true);
    }
}

void server_step_clock(dur_ns by)
{
    trace("fault      the server's clock steps by %.1f s", (double)by / 1e9);
    server.stepped += by;
    for (int s = 0; s < SESSIONS_MAX; s++) {
        /* An alarm that is pending comes sooner than it must, and looks at the clock. */
        if (server.sessions[s].used && server_wall() >= server.sessions[s].idle_until) {
            world_call(world.now, idle_timer, s, server.sessions[s].start);
        }
    }
}

/* One whose term is open: who it is that has the key before that, nobody can tell, and nobody ends
 * a session that may be another program's. */
void server_freeze_holder(void)
{
    const struct term_row *newest = rows_newest();

    if (server.key_holder >= 0 && newest != NULL &&
        newest->start == session_at(server.key_holder)->start) {
        trace("fault      backend %d is stuck", session_at(server.key_holder)->pid);
        session_at(server.key_holder)->frozen = true;
    }
}

void server_read_only(bool on)
{
    trace("fault      the database is %s", on ? "read-only" : "writable again");
    server.read_only = on;
}

void server_full(bool on)
{
    trace("fault      %s", on ? "no more connections" : "connections again");
    server.full = on;
}
