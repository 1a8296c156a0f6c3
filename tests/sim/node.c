#include "tests/sim/node.h"

#include <assert.h>
#include <string.h>

#include "tests/sim/checks.h"
#include "tests/sim/network.h"

struct node nodes[NODES_MAX];

static const char *const process_names[PROCESS_COUNT] = {"supervisor", "probe", "worker"};

/* ---- clock ---- */

mono_ns node_now(int index)
{
    const struct node *n = &nodes[index];
    dur_ns passed = n->clock_stands ? 0 : world.now - n->clock_from;

    return n->clock_base + passed + passed * n->drift_ppm / 1000000;
}

mono_ns node_when(int index, mono_ns at)
{
    const struct node *n = &nodes[index];
    dur_ns left = at - node_now(index);

    if (left <= 0) {
        return world.now;
    }
    /* Rounded up, and a timer is never early. */
    return world.now + left - left * n->drift_ppm / 1000000 + left / 10000000 + 1000;
}

static void set_clock_standing(struct node *n, bool stands)
{
    mono_ns shown = node_now(n->index);

    n->clock_base = shown;
    n->clock_from = world.now;
    n->clock_stands = stands;
}

/* ---- processes ---- */

static struct process_state *process_of(int index, enum process process)
{
    return &nodes[index].process[process];
}

static void hand_over(const struct happening *h)
{
    switch (h->process) {
    case PROCESS_SUPERVISOR:
        supervisor_take(h->node, h);
        return;
    case PROCESS_PROBE:
        probe_take(h->node, h);
        return;
    case PROCESS_WORKER:
        worker_take(h->node, h);
        return;
    case PROCESS_COUNT:
        break;
    }
    assert(!"no such process");
}

static bool is_meant_for(const struct process_state *p, const struct happening *h)
{
    return p->alive && !p->dying && p->generation == h->generation &&
           (h->kind != HAPPENS_TIMER || p->token == h->token);
}

/* The kernel closes the descriptor of a message that nobody will read. */
static void drop(const struct happening *h)
{
    if (h->kind == HAPPENS_NOTE && h->u.note.type == NOTE_ELECTED) {
        network_close(h->u.note.conn);
    }
}

static void empty(struct process_state *p)
{
    for (unsigned i = 0; i < p->waiting; i++) {
        drop(&p->mailbox[i]);
    }
    p->waiting = 0;
}

void node_deliver(const struct happening *h)
{
    struct process_state *p = process_of(h->node, h->process);

    if (p->backlog > 0) {
        p->backlog--;
    }
    if (!is_meant_for(p, h)) {
        drop(h);
        return;
    }
    if (p->stopped) {
        assert(p->waiting < MAILBOX_MAX);
        p->mailbox[p->waiting++] = *h;
        return;
    }
    if (h->kind == HAPPENS_TIMER) {
        p->timer_at = MONO_NEVER;
    }
    hand_over(h);
}

void node_post(int index, enum process to, const struct note *note)
{
    const struct happening h = {
        .at = world.now + DUR_US(60),
        .kind = HAPPENS_NOTE,
        .node = index,
        .process = to,
        .generation = process_of(index, to)->generation,
        .u.note = *note,
    };

    if (process_of(index, to)->alive) {
        world_schedule(&h);
    } else {
        drop(&h);
    }
}

void node_arm(int index, enum process process, mono_ns at)
{
    struct process_state *p = process_of(index, process);
    struct happening h = {
        .kind = HAPPENS_TIMER, .node = index, .process = process, .generation = p->generation};

    if (at == p->timer_at) {
        return;
    }
    p->timer_at = at;
    h.token = ++p->token;
    if (at == MONO_NEVER) {
        return;
    }
    /* A busy machine lets a process run a little late, now and then much. */
    h.at = node_when(index, at) + (chance(20) ? between(0, DUR_MS(20)) : between(0, DUR_US(100)));
    world_schedule(&h);
}

static void boot_process(int index, uint64_t process)
{
    switch ((enum process)process) {
    case PROCESS_SUPERVISOR:
        supervisor_boot(index);
        return;
    case PROCESS_PROBE:
        probe_boot(index);
        return;
    case PROCESS_WORKER:
        worker_boot(index);
        return;
    case PROCESS_COUNT:
        break;
    }
    assert(!"no such process");
}

static void create(int index, enum process process)
{
    struct process_state *p = process_of(index, process);

    assert(!p->alive);
    p->alive = true;
    p->stopped = nodes[index].frozen;
    p->dying = false;
    p->waiting = 0;
    p->backlog = 0;
    p->slept = false;
    p->timer_at = MONO_NEVER;
    p->generation++;
    boot_process(index, process);
}

void node_spawn(int index, enum process process)
{
    create(index, process);
}

static void tell_end(int index, enum process gone, int status)
{
    struct note eof = {.type = NOTE_END_OF_FILE};
    struct note exited = {
        .type = NOTE_CHILD_EXITED,
        .child = gone,
        .status = status,
    };

    if (gone == PROCESS_SUPERVISOR) {
        node_post(index, PROCESS_PROBE, &eof);
        node_post(index, PROCESS_WORKER, &eof);
    } else {
        node_post(index, PROCESS_SUPERVISOR, &exited);
    }
}

static void kill_one_job(int index, struct job_process *job);

/* The kernel's part in the death of a process. */
static void is_dead(int index, enum process process, int status)
{
    struct node *n = &nodes[index];
    struct process_state *p = process_of(index, process);

    trace("node %d     %s is gone", index, process_names[process]);
    p->alive = false;
    p->stopped = false;
    empty(p);
    checks_process_died(index);
    if (process == PROCESS_WORKER) {
        for (int i = 0; i < JOBS_A_NODE; i++) {
            if (n->jobs[i].alive) {
                n->jobs[i].orphan = true;
                if (!n->jobs[i].detached) { /* the parent-death signal */
                    kill_one_job(index, &n->jobs[i]);
                }
            }
        }
        worker_die(index);
    } else if (process == PROCESS_PROBE) {
        probe_die(index);
    } else {
        supervisor_die(index);
    }
    tell_end(index, process, status);
    if (!n->process[PROCESS_SUPERVISOR].alive && !n->process[PROCESS_WORKER].alive) {
        checks_nobody_fences(index);
        jobs_kill_all(index, false); /* its container, or unit, ends with it */
    }
}

void node_exit(int index, enum process process, int status)
{
    is_dead(index, process, status << 8);
}

static void kill_arrives(int index, uint64_t token)
{
    enum process process = (enum process)(token % PROCESS_COUNT);
    struct process_state *p = process_of(index, process);

    if (p->alive && p->generation == token / PROCESS_COUNT) {
        is_dead(index, process, 9);
    }
}

void node_kill(int index, enum process process)
{
    struct process_state *p = process_of(index, process);

    if (!p->alive) {
        return;
    }
    p->dying = true; /* it does nothing any more; what it holds is held until it is gone */
    world_call(world.now + between(DUR_US(50), DUR_MS(5)), kill_arrives, index,
               p->generation * PROCESS_COUNT + process);
}

void node_stop_process(int index, enum process process)
{
    if (process_of(index, process)->alive) {
        trace("fault      node %d: %s is stopped", index, process_names[process]);
        process_of(index, process)->stopped = true;
        process_of(index, process)->slept = true;
        supervisor_child_stopped(index, process);
        checks_process_stopped(index);
    }
}

/* All at once, as the loop finds it: timers before or after what can be read, but in the
 * supervisor, which reads first. */
static void empty_mailbox(int index, enum process process)
{
    struct process_state *p = process_of(index, process);
    bool timers_first = process != PROCESS_SUPERVISOR && chance(500);

    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < p->waiting; i++) {
            struct happening h = p->mailbox[i];
            bool now = (h.kind == HAPPENS_TIMER) == (timers_first == (pass == 0));

            if (now) {
                h.at = world.now;
                p->backlog++;
                world_schedule(&h);
            }
        }
    }
    p->waiting = 0;
}

void node_continue_process(int index, enum process process)
{
    struct process_state *p = process_of(index, process);

    if (!p->alive || !p->stopped || nodes[index].frozen) {
        return;
    }
    trace("fault      node %d: %s goes on", index, process_names[process]);
    p->stopped = false;
    checks_process_goes_on(index);
    empty_mailbox(index, process);
}

void node_freeze(int index, bool clock_stands)
{
    struct node *n = &nodes[index];

    trace("fault      node %d is %s", index, clock_stands ? "paused with its clock" : "stopped");
    n->frozen = true;
    if (clock_stands) {
        set_clock_standing(n, true);
    }
    for (int p = 0; p < PROCESS_COUNT; p++) {
        n->process[p].stopped = n->process[p].alive;
        n->process[p].slept = true;
    }
}

/* What was armed by a clock that stood still is late by as much. */
static void rearm(int index)
{
    for (enum process p = 0; p < PROCESS_COUNT; p++) {
        struct process_state *state = process_of(index, p);
        mono_ns at = state->timer_at;

        if (state->alive && at != MONO_NEVER) {
            state->timer_at = MONO_NEVER;
            node_arm(index, p, at);
        }
    }
}

void node_thaw(int index)
{
    struct node *n = &nodes[index];
    bool stood = n->clock_stands;

    if (!n->frozen) {
        return;
    }
    trace("fault      node %d goes on", index);
    n->frozen = false;
    if (n->clock_stands) {
        set_clock_standing(n, false);
        rearm(index);
    }
    checks_thawed(index, stood);
    for (enum process p = 0; p < PROCESS_COUNT; p++) {
        node_continue_process(index, p);
    }
}

static void kill_all(int index)
{
    struct node *n = &nodes[index];

    for (int i = 0; i < JOBS_A_NODE; i++) {
        n->jobs[i].alive = false;
    }
    n->frozen = false;
    if (n->clock_stands) {
        set_clock_standing(n, false);
    }
    for (enum process p = 0; p < PROCESS_COUNT; p++) {
        if (n->process[p].alive) {
            n->process[p].alive = false;
            empty(&n->process[p]);
        }
    }
}

void node_power_off(int index)
{
    trace("fault      node %d has no power", index);
    network_power_off(index);
    kill_all(index);
    nodes[index].powered = false;
    worker_die(index);
    probe_die(index);
    supervisor_die(index);
}

void node_kill_tree(int index)
{
    trace("fault      node %d: everything is killed", index);
    kill_all(index);
    worker_die(index);
    probe_die(index);
    supervisor_die(index);
}

bool node_has_backlog(int index, enum process process)
{
    return process_of(index, process)->backlog > 0;
}

bool node_is_gone(int index)
{
    for (enum process p = 0; p < PROCESS_COUNT; p++) {
        if (nodes[index].process[p].alive) {
            return false;
        }
    }
    return jobs_alive(index) == 0;
}

void node_reset(int index)
{
    struct node *n = &nodes[index];
    uint64_t generations[PROCESS_COUNT];

    for (int p = 0; p < PROCESS_COUNT; p++) {
        generations[p] = n->process[p].generation;
    }
    n->index = index;
    n->frozen = false;
    n->clock_stands = false;
    n->clock_from = world.now;
    n->clock_base = DUR_S(100) + between(0, DUR_S(1000000));
    n->drift_ppm = (int)draw(401) - 200;
    memset(n->jobs, 0, sizeof(n->jobs));
    for (int p = 0; p < PROCESS_COUNT; p++) {
        n->process[p].alive = false;
        n->process[p].waiting = 0;
        n->process[p].generation = generations[p];
    }
    prng_seed(&n->random, draw(UINT64_MAX));
    supervisor_reset(index);
    probe_reset(index);
    worker_reset(index);
}

void node_boot(int index)
{
    nodes[index].powered = true;
    nodes[index].incarnation = draw(UINT64_MAX) | 1;
    trace("node %d     starts", index);
    create(index, PROCESS_SUPERVISOR);
}

/* ---- jobs ---- */

static void job_ends(int index, uint64_t serial)
{
    struct node *n = &nodes[index];
    const struct note note = {.type = NOTE_JOB_EXITED};

    for (int i = 0; i < JOBS_A_NODE; i++) {
        struct job_process *job = &n->jobs[i];

        if (!job->alive || job->serial != serial) {
            continue;
        }
        if (n->frozen && !job->dying) { /* it does not go on meanwhile */
            world_call(world.now + DUR_MS(200), job_ends, index, serial);
            return;
        }
        job->alive = false;
        if (job->orphan) {
            supervisor_stranger_died(index);
        } else {
            node_post(index, PROCESS_WORKER, &note);
        }
    }
}

static void kill_one_job(int index, struct job_process *job)
{
    if (!job->dying) {
        job->dying = true; /* one that is in the kernel's hands takes a little longer */
        world_call(world.now + (chance(100) ? between(DUR_MS(5), DUR_MS(200))
                                            : between(DUR_US(50), DUR_MS(5))),
                   job_ends, index, job->serial);
    }
}

void job_start(int index, struct epoch epoch)
{
    struct node *n = &nodes[index];

    for (int i = 0; i < JOBS_A_NODE; i++) {
        struct job_process *job = &n->jobs[i];

        if (!job->alive) {
            *job = (struct job_process){
                .alive = true,
                .ignores_term = chance(300),
                .detached = chance(300),
                .epoch = epoch,
                .serial = ++n->job_serial,
            };
            checks_job_started(index, epoch);
            world_call(world.now + (chance(200) ? DUR_S(600) : between(DUR_MS(20), DUR_S(3))),
                       job_ends, index, job->serial);
            return;
        }
    }
}

void jobs_terminate_all(int index)
{
    struct node *n = &nodes[index];

    for (int i = 0; i < JOBS_A_NODE; i++) {
        struct job_process *job = &n->jobs[i];

        if (job->alive && !job->ignores_term) {
            world_call(world.now + between(DUR_MS(1), DUR_S(2)), job_ends, index, job->serial);
        }
    }
}

void jobs_kill_all(int index, bool orphans_only)
{
    struct node *n = &nodes[index];

    for (int i = 0; i < JOBS_A_NODE; i++) {
        if (n->jobs[i].alive && (n->jobs[i].orphan || !orphans_only)) {
            kill_one_job(index, &n->jobs[i]);
        }
    }
}

unsigned jobs_alive(int index)
{
    unsigned alive = 0;

    for (int i = 0; i < JOBS_A_NODE; i++) {
        alive += nodes[index].jobs[i].alive;
    }
    return alive;
}

unsigned jobs_orphaned(int index)
{
    unsigned alive = 0;

    for (int i = 0; i < JOBS_A_NODE; i++) {
        alive += nodes[index].jobs[i].alive && nodes[index].jobs[i].orphan;
    }
    return alive;
}
