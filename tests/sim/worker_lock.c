/* The leader key, as worker/leader/lock_session.c holds it. */
#include "common/budget.h"
#include "tests/sim/worker_private.h"

#define RELEASE_WITHIN DUR_S(1)
#define SLICE DUR_MS(800)

void lock_close(int i)
{
    struct lock_model *l = &worker_of(i)->lock;

    if (l->step != LOCK_CLOSED && l->conn != NO_CONN) {
        network_abandon(l->conn);
        network_close(l->conn);
    }
    *l = (struct lock_model){.step = LOCK_CLOSED, .conn = NO_CONN, .limit = MONO_NEVER};
}

void lock_open(int i)
{
    struct lock_model *l = &worker_of(i)->lock;

    *l = (struct lock_model){
        .step = LOCK_CONNECTING,
        .conn = network_open(i, PROCESS_WORKER, worker_generation(i)),
        .limit = node_now(i) + world.settings.connect_timeout,
    };
}

static void lock_failed(int i, enum end_reason why)
{
    worker_of(i)->lock.step = LOCK_ENDED;
    worker_of(i)->lock.limit = MONO_NEVER;
    worker_happened(i, (struct turn_event){.type = TURN_LOCK_FAILED, .reason = why});
}

static void lock_try(int i)
{
    struct lock_model *l = &worker_of(i)->lock;
    const struct request r = {.type = worker_of(i)->order.poll ? REQUEST_TRY : REQUEST_SLICE};

    l->step = LOCK_TRYING;
    l->limit = node_now(i) + SLICE + world.settings.connect_timeout;
    network_ask(l->conn, &r);
}

static void heartbeat(int i)
{
    struct lock_model *l = &worker_of(i)->lock;
    const struct request r = {.type = REQUEST_SYNC};
    mono_ns now = node_now(i);

    if (lease_send_due(&l->lease, now)) {
        lease_sent(&l->lease, now);
        network_ask(l->conn, &r);
    }
}

static void lock_granted(int i)
{
    struct lock_model *l = &worker_of(i)->lock;
    const struct settings *c = &world.settings;
    const struct lease_terms terms = {
        .lease = c->lease,
        .heartbeat = c->heartbeat,
        .stop_grace = c->stop_grace,
        .margin = budget_margin(c->lease),
        .kill_margin = BUDGET_KILL_MARGIN,
    };

    l->step = LOCK_HELD;
    l->limit = MONO_NEVER;
    lease_begin(&l->lease, &terms, node_now(i));
    l->reported = LEASE_UNPROVEN;
    worker_happened(i, (struct turn_event){.type = TURN_GRANTED});
    heartbeat(i);
}

static void report_phase(int i)
{
    struct lock_model *l = &worker_of(i)->lock;
    enum lease_phase phase = lease_look(&l->lease, node_now(i));
    enum turn_event_type type = TURN_LEASE_OVER;

    if (phase <= LEASE_HELD || phase == l->reported) {
        return;
    }
    l->reported = phase;
    if (phase == LEASE_STOPPING) {
        type = TURN_LEASE_STOPPING;
    } else if (phase == LEASE_KILLING) {
        type = TURN_LEASE_KILLING;
    }
    worker_happened(i, (struct turn_event){.type = type});
}

static void unlock_when_settled(int i)
{
    struct lock_model *l = &worker_of(i)->lock;
    const struct request r = {.type = REQUEST_UNLOCK};

    if (l->step == LOCK_SETTLING && l->lease.outstanding == 0) {
        l->step = LOCK_UNLOCKING;
        network_ask(l->conn, &r);
    }
}

static void lock_released(int i)
{
    lock_close(i);
    worker_happened(i, (struct turn_event){.type = TURN_RELEASED});
}

void lock_release(int i)
{
    struct lock_model *l = &worker_of(i)->lock;

    if (l->step != LOCK_HELD) {
        lock_released(i);
        return;
    }
    l->step = LOCK_SETTLING;
    l->limit = node_now(i) + RELEASE_WITHIN;
    unlock_when_settled(i);
}

static void lock_acknowledged(int i)
{
    struct lock_model *l = &worker_of(i)->lock;
    const struct lease_terms *terms = &l->lease.terms;

    if (!lease_acknowledged(&l->lease, node_now(i))) {
        lock_failed(i, END_SESSION_ENDED);
        return;
    }
    if (l->step == LOCK_SETTLING) {
        unlock_when_settled(i);
        return;
    }
    if (l->lease.phase == LEASE_HELD) {
        mono_ns deadline = l->lease.deadline;
        worker_happened(i, (struct turn_event){.type = TURN_RENEWED,
                                               .sent_at = deadline - terms->lease + terms->margin,
                                               .deadline = deadline});
        if (worker_of(i)->turn.state == WORKER_OPENING) {
            worker_tell(i, NOTE_ANSWERED);
        }
    }
    report_phase(i);
}

void lock_hear(int i, const struct answer *answer)
{
    struct lock_model *l = &worker_of(i)->lock;

    if (l->step == LOCK_ENDED) {
        return;
    }
    switch (answer->type) {
    case ANSWER_CONNECTED:
        l->pid = answer->pid;
        l->server = answer->server;
        if (!identity_equal(answer->server, worker_of(i)->order.server)) {
            lock_failed(i, END_REFUSED);
            return;
        }
        worker_tell(i, NOTE_ANSWERED);
        lock_try(i);
        return;
    case ANSWER_YES:
        if (l->step == LOCK_UNLOCKING) {
            lock_released(i);
        } else {
            lock_granted(i);
        }
        return;
    case ANSWER_NO:
        if (worker_of(i)->order.poll) {
            lock_failed(i, END_NOT_GRANTED);
            return;
        }
        worker_tell(i, NOTE_ANSWERED);
        lock_try(i);
        return;
    case ANSWER_SYNC:
        lock_acknowledged(i);
        return;
    case ANSWER_REFUSED:
        lock_failed(i, END_CONNECT_FAILED);
        return;
    default: /* the end, or what was never asked for */
        if (l->step == LOCK_UNLOCKING || l->step == LOCK_SETTLING) {
            lock_released(i);
        } else {
            lock_failed(i, END_SESSION_ENDED);
        }
        return;
    }
}

void lock_due(int i)
{
    struct lock_model *l = &worker_of(i)->lock;

    if (l->step == LOCK_HELD) {
        report_phase(i);
        heartbeat(i);
    } else if (node_now(i) >= l->limit) {
        if (l->step == LOCK_SETTLING || l->step == LOCK_UNLOCKING) {
            lock_released(i);
        } else {
            lock_failed(i, l->step == LOCK_CONNECTING ? END_CONNECT_FAILED : END_SESSION_ENDED);
        }
    }
}
