/* The supervisor's shell: what supervisor/deeds.c, inbox.c and children.c do, in the model. */
#include <assert.h>
#include <string.h>

#include "common/budget.h"
#include "supervisor/election.h"
#include "supervisor/restart.h"
#include "supervisor/shutdown.h"
#include "tests/sim/checks.h"
#include "tests/sim/network.h"
#include "tests/sim/node.h"

/* A child that is told nothing but silence by its kernel is found out by these. */
#define STALL_WORKER DUR_S(10)
#define STALL_PROBE DUR_S(60)

struct child_model {
    bool wanted;
    bool ready;
    mono_ns spawn_at; /* MONO_NEVER: alive, or not wanted */
    mono_ns born;
    struct restart restart;
};

struct supervisor_model {
    struct election election;
    struct shutdown shutdown;
    struct prng random;
    mono_ns election_wake_at;
    struct child_model children[PROCESS_COUNT];
    struct note seat;
    struct note elected;
    struct epoch seen; /* the latest that this instance saw */
    int lock;          /* our copy of the lock socket: a connection; NO_CONN: none */
    bool sweeping;
    mono_ns sweep_at;
    /* decisions that wait for the present one to be carried out */
    struct election_event queue[8];
    unsigned queued;
    bool stepping;
    bool gone;
};

static struct supervisor_model models[NODES_MAX];

static void settle(int i);
static void shutdown_event(int i, enum shutdown_event_type type);

static struct supervisor_model *of(int i)
{
    return &models[i];
}

static void send(int i, enum process to, const struct note *note)
{
    if (nodes[i].process[to].alive && of(i)->children[to].ready) {
        node_post(i, to, note);
    }
}

static void send_campaign(int i)
{
    struct supervisor_model *s = of(i);
    const struct note note = {
        .type = NOTE_CAMPAIGN,
        .turn = s->election.turn,
        .server = s->seat.server,
        .epoch = s->seen,
        .poll = s->seat.poll,
    };

    send(i, PROCESS_WORKER, &note);
}

static void send_stand_down(int i)
{
    const struct election *e = &of(i)->election;
    const struct note note = {
        .type = NOTE_STAND_DOWN,
        .turn = e->turn,
        .at = e->drain_until,
        .over_by = e->over_by,
        .reason = e->reason,
    };

    send(i, PROCESS_WORKER, &note);
}

static void send_of_term(int i, enum note_type type)
{
    const struct note *elected = &of(i)->elected;
    const struct note note = {
        .type = type, .epoch = elected->epoch, .server = elected->server, .pid = elected->pid};

    send(i, PROCESS_PROBE, &note);
}

static void close_lock(int i)
{
    struct supervisor_model *s = of(i);

    if (s->lock != NO_CONN) {
        network_close(s->lock);
        s->lock = NO_CONN;
    }
}

static void act(int i, enum election_action action)
{
    struct supervisor_model *s = of(i);
    struct note note = {.at = s->election.rest_until};

    switch (action) {
    case ELECTION_SEEK:
        note.type = NOTE_SEEK;
        send(i, PROCESS_PROBE, &note);
        return;
    case ELECTION_LEAVE:
        note.type = NOTE_LEAVE;
        send(i, PROCESS_PROBE, &note);
        return;
    case ELECTION_CAMPAIGN:
        send_campaign(i);
        return;
    case ELECTION_STAND_DOWN:
        send_stand_down(i);
        return;
    case ELECTION_KILL_WORKER:
        node_kill(i, PROCESS_WORKER);
        return;
    case ELECTION_SWEEP:
        s->sweeping = true;
        s->sweep_at = node_now(i);
        return;
    case ELECTION_RECORD_FENCE:
        send_of_term(i, NOTE_FENCED);
        return;
    case ELECTION_CLOSE_LOCK:
        close_lock(i);
        return;
    case ELECTION_LEAD:
        send_of_term(i, NOTE_LEAD);
        return;
    case ELECTION_ANNOUNCE:
        trace("node %d     is %s, turn %llu, epoch %s, %s", i,
              election_state_name(s->election.state), (unsigned long long)s->election.turn,
              epoch_text(s->election.epoch).is, end_reason_name(s->election.reason));
        return;
    case ELECTION_KILL_BELOW: /* nobody here survives a kill */
    case ELECTION_UNKILLABLE:
    case ELECTION_READY_TO_ELECT_ANEW:
        return;
    case ELECTION_GONE:
        shutdown_event(i, SHUTDOWN_RELEASED);
        return;
    case ELECTION_ACTION_COUNT:
        break;
    }
    assert(!"no such action");
}

static void step(int i, struct election_event event)
{
    struct supervisor_model *s = of(i);
    struct election_actions actions;

    event.now = node_now(i);
    election_step(&s->election, &event, &actions);
    s->election_wake_at = actions.wake_at;
    for (unsigned a = 0; a < actions.count; a++) {
        act(i, actions.list[a]);
    }
}

static void election_event(int i, struct election_event event)
{
    struct supervisor_model *s = of(i);

    assert(s->queued < 8);
    s->queue[s->queued++] = event;
    if (s->stepping) {
        return;
    }
    s->stepping = true;
    while (s->queued > 0) {
        struct election_event next = s->queue[0];

        s->queued--;
        memmove(&s->queue[0], &s->queue[1], s->queued * sizeof(s->queue[0]));
        step(i, next);
    }
    s->stepping = false;
}

static void happened(int i, enum election_event_type type)
{
    election_event(i, (struct election_event){.type = type, .reason = END_STOP});
}

/* ---- shutdown ---- */

static bool children_gone(int i)
{
    return !nodes[i].process[PROCESS_PROBE].alive && !nodes[i].process[PROCESS_WORKER].alive;
}

static void do_shutdown(int i, enum shutdown_action action)
{
    const struct note stop = {.type = NOTE_STOP};

    switch (action) {
    case SHUTDOWN_DO_RELEASE:
        happened(i, ELECTION_STOP);
        return;
    case SHUTDOWN_DO_RELEASE_NOW:
        happened(i, ELECTION_STOP_NOW);
        return;
    case SHUTDOWN_DO_STOP:
        send(i, PROCESS_PROBE, &stop);
        send(i, PROCESS_WORKER, &stop);
        return;
    case SHUTDOWN_DO_TERM: /* the children take it as they take STOP */
        return;
    case SHUTDOWN_DO_KILL:
        node_kill(i, PROCESS_PROBE);
        node_kill(i, PROCESS_WORKER);
        return;
    case SHUTDOWN_DO_EXIT:
        of(i)->gone = true;
        return;
    case SHUTDOWN_DO_SIGNAL_SERVICE:
    case SHUTDOWN_DO_KILL_SERVICE:
        return;
    }
}

static void shutdown_event(int i, enum shutdown_event_type type)
{
    struct shutdown_actions actions;

    shutdown_step(&of(i)->shutdown, &(struct shutdown_event){.type = type, .now = node_now(i)},
                  &actions);
    for (unsigned a = 0; a < actions.count; a++) {
        do_shutdown(i, actions.list[a]);
    }
}

/* ---- children ---- */

static void child_said_hello(int i, enum process child)
{
    of(i)->children[child].ready = true;
    happened(i, child == PROCESS_PROBE ? ELECTION_PROBE_READY : ELECTION_WORKER_READY);
}

static void child_exited(int i, const struct note *note)
{
    struct supervisor_model *s = of(i);
    struct child_model *child = &s->children[note->child];
    mono_ns now = node_now(i);
    mono_ns when = MONO_NEVER;

    child->ready = false;
    if (restart_decide(&child->restart, note->status, now - child->born, now, &s->random, &when) ==
            RESTART_AT &&
        s->shutdown.rung == SHUTDOWN_NOT) {
        child->spawn_at = when;
    }
    if (note->child == PROCESS_PROBE) {
        happened(i, ELECTION_PROBE_GONE);
    } else if (note->child == PROCESS_WORKER) {
        happened(i, ELECTION_WORKER_EXITED);
    }
}

static void stalled(int i, uint64_t token)
{
    enum process process = (enum process)(token % PROCESS_COUNT);
    const struct process_state *p = &nodes[i].process[process];
    const struct process_state *supervisor = &nodes[i].process[PROCESS_SUPERVISOR];

    if (p->alive && p->stopped && p->generation == token / PROCESS_COUNT && supervisor->alive &&
        !supervisor->stopped &&
        (process == PROCESS_PROBE || of(i)->election.state == ELECTION_FOLLOWER)) {
        trace("node %d     a child that hangs is killed", i);
        node_kill(i, process);
    }
}

void supervisor_child_stopped(int i, enum process process)
{
    world_call(world.now + (process == PROCESS_PROBE ? STALL_PROBE : STALL_WORKER), stalled, i,
               nodes[i].process[process].generation * PROCESS_COUNT + process);
}

static void look_at_children(int i)
{
    struct supervisor_model *s = of(i);

    for (enum process p = PROCESS_PROBE; p < PROCESS_COUNT; p++) {
        struct child_model *child = &s->children[p];

        if (child->spawn_at != MONO_NEVER && node_now(i) >= child->spawn_at &&
            s->shutdown.rung == SHUTDOWN_NOT && !nodes[i].process[p].alive) {
            child->spawn_at = MONO_NEVER;
            child->born = node_now(i);
            node_spawn(i, p);
        }
    }
}

/* ---- fence ---- */

static void look_at_fence(int i)
{
    struct supervisor_model *s = of(i);

    if (!s->sweeping || node_now(i) < s->sweep_at) {
        return;
    }
    if (jobs_orphaned(i) == 0) {
        s->sweeping = false;
        happened(i, ELECTION_DESCENDANTS_GONE);
        return;
    }
    jobs_kill_all(i, true);
    s->sweep_at = node_now(i) + DUR_MS(1);
}

void supervisor_stranger_died(int i)
{
    (void)i; /* the next pass, a millisecond later, sees it */
}

/* ---- what comes in ---- */

static void on_elected(int i, const struct note *note)
{
    struct supervisor_model *s = of(i);

    if (!election_expects(&s->election, note->turn)) {
        network_close(note->conn);
        node_kill(i, PROCESS_WORKER);
        return;
    }
    assert(s->lock == NO_CONN);
    s->elected = *note;
    s->seen = epoch_later(s->seen, note->epoch);
    s->lock = note->conn;
    election_event(i, (struct election_event){.type = ELECTION_ELECTED,
                                              .turn = note->turn,
                                              .epoch = note->epoch,
                                              .deadline = note->at});
}

static void on_answer(int i, enum election_event_type type, const struct note *note)
{
    election_event(i, (struct election_event){.type = type,
                                              .turn = note->turn,
                                              .reason = note->reason,
                                              .epoch = note->epoch,
                                              .deadline = note->at,
                                              .slice = DUR_MS(800),
                                              .poll = note->poll});
}

static void on_signal(int i, int number)
{
    struct supervisor_model *s = of(i);

    if (number == 2) {
        election_event(i, (struct election_event){.type = ELECTION_STEP_DOWN, .rest = DUR_S(5)});
        return;
    }
    shutdown_event(i, number == 0 ? SHUTDOWN_ASKED : SHUTDOWN_ASKED_AT_ONCE);
    trace("node %d     is asked to stop, by %.3f", i,
          (double)(world.now + s->shutdown.ends_at - node_now(i)) / 1e9);
}

static void take(int i, const struct note *note)
{
    struct supervisor_model *s = of(i);

    switch (note->type) {
    case NOTE_HELLO:
        child_said_hello(i, note->child);
        return;
    case NOTE_SEAT_TAKEN:
        s->seat = *note;
        s->seen = epoch_later(s->seen, note->epoch);
        on_answer(i, ELECTION_SEAT_TAKEN, note);
        return;
    case NOTE_SEAT_LOST:
        on_answer(i, ELECTION_SEAT_LOST, note);
        return;
    case NOTE_WITNESS:
        on_answer(i, ELECTION_WITNESS_DENIES, note);
        return;
    case NOTE_FENCE_DONE:
        if (epoch_equal(note->epoch, s->elected.epoch)) {
            happened(i, ELECTION_FENCE_RECORDED);
        }
        return;
    case NOTE_ANSWERED:
        on_answer(i, ELECTION_SLICE_ANSWERED, note);
        return;
    case NOTE_FAILED:
        on_answer(i, ELECTION_CAMPAIGN_FAILED, note);
        return;
    case NOTE_BLOCKED:
        if (note->turn == s->election.turn) {
            struct note unblock = {.type = NOTE_UNBLOCK, .pid = note->pid};
            send(i, PROCESS_PROBE, &unblock);
        }
        return;
    case NOTE_ELECTED:
        on_elected(i, note);
        return;
    case NOTE_RENEWED:
        on_answer(i, ELECTION_RENEWED, note);
        return;
    case NOTE_LOST:
        on_answer(i, ELECTION_LOST, note);
        return;
    case NOTE_RELEASED:
        on_answer(i, ELECTION_RELEASED, note);
        return;
    case NOTE_CHILD_EXITED:
        child_exited(i, note);
        return;
    case NOTE_SIGNAL:
        on_signal(i, note->status);
        return;
    case NOTE_SEEK:
    case NOTE_LEAVE:
    case NOTE_LEAD:
    case NOTE_FENCED:
    case NOTE_UNBLOCK:
    case NOTE_CAMPAIGN:
    case NOTE_STAND_DOWN:
    case NOTE_STOP:
    case NOTE_END_OF_FILE:
    case NOTE_JOB_EXITED:
        break;
    }
    assert(!"not for a supervisor");
}

static mono_ns earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

static mono_ns next_wake(int i)
{
    const struct supervisor_model *s = of(i);
    mono_ns at = earlier(s->election_wake_at, shutdown_wake_at(&s->shutdown));

    for (enum process p = PROCESS_PROBE; p < PROCESS_COUNT; p++) {
        if (s->shutdown.rung == SHUTDOWN_NOT) {
            at = earlier(at, s->children[p].spawn_at);
        }
    }
    return s->sweeping ? earlier(at, s->sweep_at) : at;
}

static void look_at_shutdown(int i)
{
    struct supervisor_model *s = of(i);

    if (s->shutdown.rung == SHUTDOWN_NOT) {
        return;
    }
    shutdown_event(i, children_gone(i) && s->shutdown.rung >= SHUTDOWN_CHILDREN
                          ? SHUTDOWN_CHILDREN_GONE
                          : SHUTDOWN_TICK);
}

/* What came to us and outlived everybody ends with us, before the lock does. */
static void leave(int i)
{
    if (jobs_alive(i) > 0) {
        jobs_kill_all(i, false);
        node_arm(i, PROCESS_SUPERVISOR, node_now(i) + DUR_MS(1));
        return;
    }
    checks_stopped_in_time(i, of(i)->shutdown.ends_at);
    node_exit(i, PROCESS_SUPERVISOR, 0);
}

static void settle(int i)
{
    struct supervisor_model *s = of(i);

    look_at_children(i);
    look_at_fence(i);
    /* Silence is not held against anybody before all that waited was read. */
    if (node_now(i) >= s->election_wake_at && !node_has_backlog(i, PROCESS_SUPERVISOR)) {
        happened(i, ELECTION_TICK);
    }
    look_at_shutdown(i);
    if (s->gone) {
        leave(i);
        return;
    }
    node_arm(i, PROCESS_SUPERVISOR, next_wake(i));
}

static struct election_terms terms(void)
{
    const struct settings *c = &world.settings;
    struct shutdown_bounds bounds = shutdown_bounds(c->stop_timeout, c->job_grace);

    return (struct election_terms){
        .candidate = true,
        .has_probe = true,
        .connect_timeout = c->connect_timeout,
        .retry_interval = c->retry_interval,
        .retry_jitter = 20,
        .backoff_max = c->backoff_max,
        .margin = budget_margin(c->lease),
        .loss = c->loss_grace + BUDGET_KILL_MARGIN,
        .drain = bounds.drain,
        .over = bounds.over,
    };
}

void supervisor_reset(int i)
{
    struct supervisor_model *s = of(i);

    memset(s, 0, sizeof(*s));
    s->lock = NO_CONN;
    s->election_wake_at = MONO_NEVER;
}

void supervisor_boot(int i)
{
    struct supervisor_model *s = of(i);
    const struct election_terms t = terms();
    mono_ns now = node_now(i);

    supervisor_reset(i);
    prng_seed(&s->random, prng_next(&nodes[i].random));
    election_init(&s->election, &t, now, prng_next(&nodes[i].random));
    shutdown_init(&s->shutdown, world.settings.stop_timeout, false);
    for (enum process p = PROCESS_PROBE; p < PROCESS_COUNT; p++) {
        restart_init(&s->children[p].restart);
        s->children[p].spawn_at = now;
    }
    settle(i);
}

void supervisor_take(int i, const struct happening *h)
{
    if (h->kind == HAPPENS_NOTE) {
        take(i, &h->u.note);
    }
    settle(i);
}

void supervisor_die(int i)
{
    close_lock(i);
}

bool supervisor_stopping(int i)
{
    return of(i)->shutdown.rung != SHUTDOWN_NOT;
}
