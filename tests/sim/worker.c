/* The worker's shell: what worker/leader/leader.c does around the turn, in the model. */
#include <assert.h>
#include <string.h>

#include "common/budget.h"
#include "tests/sim/worker_private.h"

#define OPEN_LEAST DUR_S(5)

static struct worker_model models[NODES_MAX];

struct worker_model *worker_of(int i)
{
    return &models[i];
}

void worker_happened(int i, struct turn_event event)
{
    struct worker_model *w = worker_of(i);

    assert(w->queued < 16);
    w->queue[w->queued++] = event;
}

void worker_happened_first(int i, struct turn_event event)
{
    struct worker_model *w = worker_of(i);

    assert(w->queued < 16);
    memmove(&w->queue[1], &w->queue[0], w->queued * sizeof(w->queue[0]));
    w->queue[0] = event;
    w->queued++;
}

void worker_tell(int i, enum note_type type)
{
    const struct worker_model *w = worker_of(i);
    const struct note note = {
        .type = type,
        .turn = w->turn.number,
        .reason = w->turn.reason,
        .epoch = w->turn.epoch,
        .server = w->lock.server,
        .pid = w->lock.pid,
        .at = w->turn.deadline,
        .conn = w->lock.conn,
    };

    node_post(i, PROCESS_SUPERVISOR, &note);
}

uint64_t worker_generation(int i)
{
    return nodes[i].process[PROCESS_WORKER].generation;
}

/* ---- deciding ---- */

static void carry_out(int i, enum turn_action action)
{
    struct worker_model *w = worker_of(i);
    mono_ns now = node_now(i);

    switch (action) {
    case TURN_CONNECT:
        lock_open(i);
        term_open(i);
        return;
    case TURN_OPEN_TERM:
        term_want(i, WISH_BEGIN);
        return;
    case TURN_PROVE:
        w->lock.lease.next_send = now;
        return;
    case TURN_SEND_ELECTED:
        network_duplicate(w->lock.conn);
        worker_tell(i, NOTE_ELECTED);
        return;
    case TURN_ANNOUNCE:
        term_want(i, WISH_MARK);
        return;
    case TURN_SEND_RENEWED:
        worker_tell(i, NOTE_RENEWED);
        return;
    case TURN_ANNOUNCE_WAIT:
        trace("node %d     its jobs wait %.3f s", i, (double)w->turn.wait / 1e9);
        return;
    case TURN_BEGIN_JOBS:
        trace("node %d     begins its jobs in term %s", i, epoch_text(w->turn.epoch).is);
        jobs_become(i, JOBS_GOING, now);
        term_want(i, WISH_CLOSE);
        return;
    case TURN_DRAIN_JOBS:
        jobs_become(i, JOBS_DRAINING, w->turn.drain_until);
        return;
    case TURN_TERMINATE_JOBS:
        jobs_terminate_all(i);
        jobs_become(i, JOBS_TERMINATED, MONO_NEVER);
        return;
    case TURN_KILL_JOBS:
        jobs_become(i, JOBS_KILLED, MONO_NEVER);
        return;
    case TURN_STAMP:
        w->stamping = true;
        w->term.clean = strcmp(turn_ended_as(&w->turn), "released") == 0;
        term_want(i, WISH_STAMP);
        return;
    case TURN_RELEASE_KEY:
        lock_release(i);
        return;
    case TURN_CLOSE_KEY:
        lock_close(i);
        return;
    case TURN_SEND_FAILED:
        worker_tell(i, NOTE_FAILED);
        return;
    case TURN_SEND_LOST:
        trace("node %d     has lost term %s: %s", i, epoch_text(w->turn.epoch).is,
              end_reason_name(w->turn.reason));
        worker_tell(i, NOTE_LOST);
        return;
    case TURN_SEND_RELEASED:
        trace("node %d     has released term %s", i, epoch_text(w->turn.epoch).is);
        worker_tell(i, NOTE_RELEASED);
        return;
    case TURN_FORGET:
        lock_close(i);
        if (!w->stamping) {
            term_close(i);
        }
        return;
    case TURN_EXIT:
        w->exit = true;
        return;
    }
}

static void settle(int i)
{
    struct worker_model *w = worker_of(i);
    struct turn_actions actions;

    while (w->queued > 0) {
        struct turn_event event = w->queue[0];

        w->queued--;
        memmove(&w->queue[0], &w->queue[1], w->queued * sizeof(w->queue[0]));
        event.now = node_now(i);
        turn_step(&w->turn, &event, &actions);
        for (unsigned a = 0; a < actions.count; a++) {
            carry_out(i, actions.list[a]);
        }
    }
    if (w->term.open && w->turn.state == WORKER_IDLE && !w->stamping) {
        term_close(i);
    }
}

static struct turn_rules rules(void)
{
    const struct settings *c = &world.settings;

    return (struct turn_rules){
        .lease = c->lease,
        .stop_grace = c->stop_grace,
        .loss_grace = c->loss_grace,
        .kill_margin = BUDGET_KILL_MARGIN,
        .open_limit = 2 * c->lease + OPEN_LEAST,
    };
}

static void obey(int i, const struct note *note)
{
    struct worker_model *w = worker_of(i);

    switch (note->type) {
    case NOTE_CAMPAIGN:
        if (w->turn.state == WORKER_IDLE) {
            w->order = *note;
            w->turn.rules = rules();
            worker_happened(i, (struct turn_event){.type = TURN_CAMPAIGN, .turn = note->turn});
        }
        return;
    case NOTE_STAND_DOWN:
        if (note->turn == w->turn.number) {
            worker_happened(i, (struct turn_event){.type = TURN_STAND_DOWN,
                                                   .drain_until = note->at,
                                                   .over_by = note->over_by,
                                                   .reason = note->reason});
        }
        return;
    case NOTE_JOB_EXITED:
        jobs_look(i);
        return;
    case NOTE_STOP:
        worker_happened(i, (struct turn_event){.type = TURN_ORPHANED, .reason = END_STOP});
        return;
    default: /* the end of the supervisor */
        worker_happened(i,
                        (struct turn_event){.type = TURN_ORPHANED, .reason = END_SUPERVISOR_DIED});
        return;
    }
}

static mono_ns earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

static mono_ns wake_at(const struct worker_model *w)
{
    mono_ns at = earlier(turn_wake_at(&w->turn), w->lock.limit);

    if (w->lock.step == LOCK_HELD) {
        at = earlier(at, lease_wake_at(&w->lock.lease));
    }
    if (w->term.open) {
        at = earlier(at, w->term.limit);
    }
    return w->jobs == JOBS_OFF ? at : earlier(at, w->jobs_next);
}

static void on_due(int i)
{
    lock_due(i);
    term_due(i);
    worker_happened(i, (struct turn_event){.type = TURN_TICK});
    settle(i); /* what is over is known before anything is started */
    jobs_due(i);
}

void worker_reset(int i)
{
    struct worker_model *w = worker_of(i);

    memset(w, 0, sizeof(*w));
    w->lock = (struct lock_model){.step = LOCK_CLOSED, .conn = NO_CONN, .limit = MONO_NEVER};
    w->term = (struct term_model){.conn = NO_CONN, .limit = MONO_NEVER};
    w->jobs_next = MONO_NEVER;
}

void worker_boot(int i)
{
    struct worker_model *w = worker_of(i);
    const struct turn_rules r = rules();
    const struct note hello = {.type = NOTE_HELLO, .child = PROCESS_WORKER};

    worker_reset(i);
    turn_init(&w->turn, &r, node_now(i));
    node_post(i, PROCESS_SUPERVISOR, &hello);
}

void worker_take(int i, const struct happening *h)
{
    struct worker_model *w = worker_of(i);

    if (h->kind == HAPPENS_NOTE) {
        obey(i, &h->u.note);
    } else if (h->kind == HAPPENS_TIMER) {
        on_due(i);
    } else if (h->conn == w->lock.conn) {
        lock_hear(i, &h->u.answer);
    } else if (h->conn == w->term.conn) {
        term_hear(i, &h->u.answer);
    }
    settle(i);
    if (w->exit) {
        node_exit(i, PROCESS_WORKER, 0);
        return;
    }
    node_arm(i, PROCESS_WORKER, wake_at(w));
}

void worker_die(int i)
{
    lock_close(i);
    term_close(i);
}

struct server_identity worker_server(int i)
{
    return worker_of(i)->lock.server;
}

bool worker_leads(int i)
{
    return nodes[i].process[PROCESS_WORKER].alive && worker_of(i)->turn.state == WORKER_LEADING;
}
