/* The term, as worker/leader/term_ledger.c writes it. */
#include "tests/sim/worker_private.h"
#include "worker/leader/takeover.h"

#define LEDGER_LIMIT DUR_S(12)

void term_close(int i)
{
    struct term_model *t = &worker_of(i)->term;

    if (t->open && t->conn != NO_CONN) {
        network_close(t->conn);
    }
    *t = (struct term_model){.conn = NO_CONN, .limit = MONO_NEVER};
    worker_of(i)->stamping = false;
}

static void term_connect(int i)
{
    struct term_model *t = &worker_of(i)->term;

    t->conn = network_open(i, PROCESS_WORKER, worker_generation(i));
    t->ready = false;
    t->asking = false;
    t->limit = node_now(i) + world.settings.connect_timeout;
}

void term_open(int i)
{
    term_close(i); /* the last one's end may still be on its way */
    worker_of(i)->term.open = true;
    term_connect(i);
}

static void term_ask(int i, const struct request *r)
{
    struct term_model *t = &worker_of(i)->term;

    t->asking = true;
    t->asked = r->type;
    t->limit = node_now(i) + LEDGER_LIMIT;
    network_ask(t->conn, r);
}

static void term_proceed(int i)
{
    struct worker_model *w = worker_of(i);
    struct term_model *t = &w->term;
    struct request r = {
        .epoch = t->epoch, .pid = w->lock.pid, .clean = t->clean, .tail_lost = t->tail_lost};

    if (!t->ready || t->asking) {
        return;
    }
    if (t->wanted[WISH_BEGIN]) {
        r.type = REQUEST_LOCK_ROW;
    } else if (t->wanted[WISH_LOOK]) {
        r.type = REQUEST_TERMS;
    } else if (t->wanted[WISH_MARK]) {
        r.type = REQUEST_MARK;
    } else if (t->wanted[WISH_CLOSE]) {
        r.type = REQUEST_CLOSE;
    } else if (t->wanted[WISH_STAMP]) {
        r.type = REQUEST_STAMP;
    } else {
        return;
    }
    term_ask(i, &r);
}

void term_want(int i, enum wish wish)
{
    worker_of(i)->term.wanted[wish] = true;
    term_proceed(i);
}

static void term_stamped(int i)
{
    worker_of(i)->term.wanted[WISH_STAMP] = false;
    worker_of(i)->stamping = false;
    worker_happened(i, (struct turn_event){.type = TURN_STAMPED});
}

static void term_down(int i)
{
    struct term_model *t = &worker_of(i)->term;

    network_close(t->conn);
    t->conn = NO_CONN;
    t->ready = false;
    t->asking = false;
    t->limit = node_now(i) + DUR_MS(300); /* then anew */
    if (t->wanted[WISH_BEGIN]) {
        t->wanted[WISH_BEGIN] = false;
        worker_happened(i, (struct turn_event){.type = TURN_OPEN_FAILED});
    }
    if (t->wanted[WISH_LOOK]) {
        t->wanted[WISH_LOOK] = false;
        worker_happened(i, (struct turn_event){.type = TURN_LOOKED, .wait = world.settings.lease});
    }
    if (t->wanted[WISH_STAMP]) {
        term_stamped(i);
    }
}

static void on_row(int i, const struct answer *answer)
{
    struct worker_model *w = worker_of(i);
    struct request r = {.type = REQUEST_WRITE, .pid = w->lock.pid};

    w->term.tail_lost = epoch_is_before(answer->epoch, w->order.epoch);
    w->term.epoch = takeover_beyond(takeover_epoch(answer->epoch, answer->server, w->lock.server),
                                    w->order.epoch);
    r.epoch = w->term.epoch;
    term_ask(i, &r);
}

static void on_opening(int i, const struct answer *answer)
{
    struct term_model *t = &worker_of(i)->term;
    const struct request rollback = {.type = REQUEST_ROLLBACK};
    struct note note = {.type = NOTE_BLOCKED};

    if (answer->type == ANSWER_ROW) {
        on_row(i, answer);
    } else if (answer->type == ANSWER_BLOCKED) {
        note.turn = worker_of(i)->turn.number;
        note.pid = t->pid;
        node_post(i, PROCESS_SUPERVISOR, &note);
        worker_tell(i, NOTE_ANSWERED);
        term_ask(i, &rollback);
    } else {
        t->wanted[WISH_BEGIN] = false;
        worker_happened(i, (struct turn_event){.type = TURN_OPEN_FAILED});
    }
}

static void on_written(int i, const struct answer *answer)
{
    struct term_model *t = &worker_of(i)->term;

    t->wanted[WISH_BEGIN] = false;
    if (answer->type == ANSWER_YES) {
        t->wanted[WISH_LOOK] = true; /* it is on its way behind the opening */
        worker_happened(i, (struct turn_event){.type = TURN_OPENED, .epoch = t->epoch});
    } else {
        worker_happened(i, (struct turn_event){.type = TURN_OPEN_FAILED});
    }
}

static void term_answered(int i, const struct answer *answer)
{
    struct term_model *t = &worker_of(i)->term;

    t->asking = false;
    t->limit = MONO_NEVER;
    switch (t->asked) {
    case REQUEST_LOCK_ROW:
        on_opening(i, answer);
        break;
    case REQUEST_WRITE:
        on_written(i, answer);
        break;
    case REQUEST_TERMS:
        t->wanted[WISH_LOOK] = false;
        worker_happened(i, (struct turn_event){.type = TURN_LOOKED, .wait = answer->wait});
        break;
    case REQUEST_MARK:
        t->wanted[WISH_MARK] = false;
        break;
    case REQUEST_CLOSE:
        t->wanted[WISH_CLOSE] = false;
        break;
    case REQUEST_STAMP:
        term_stamped(i);
        break;
    default: /* a rollback: the next slice */
        break;
    }
    term_proceed(i);
}

void term_hear(int i, const struct answer *answer)
{
    struct term_model *t = &worker_of(i)->term;

    if (answer->type == ANSWER_CONNECTED &&
        !identity_equal(answer->server, worker_of(i)->order.server)) {
        term_down(i); /* refused: it is another server by now */
    } else if (answer->type == ANSWER_CONNECTED) {
        t->pid = answer->pid;
        t->ready = true;
        t->limit = MONO_NEVER;
        term_proceed(i);
    } else if (answer->type == ANSWER_REFUSED || answer->type == ANSWER_END) {
        term_down(i);
    } else {
        term_answered(i, answer);
    }
}

void term_due(int i)
{
    struct term_model *t = &worker_of(i)->term;

    if (!t->open || node_now(i) < t->limit) {
        return;
    }
    if (t->conn == NO_CONN) {
        term_connect(i);
    } else {
        term_down(i);
    }
}
