#include "tests/sim/checks.h"

#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"

/* What the model adds to any time limit: late timers, lost segments, the kernel. */
#define SLACK DUR_S(2)

struct excuse {
    mono_ns until;    /* true time */
    mono_ns key_lost; /* the server ended its session then, for a reason of its own */
    int key_conn;     /* that session's connection */
    struct server_identity key_server;
    bool key_stuck;      /* its backend was stuck, and nobody was told of the end */
    mono_ns link_mended; /* the last time at which its cable was out */
    mono_ns worker_hung; /* the last time at which its worker did not run */
    mono_ns late_until;  /* its clocks had stood still: by then its first heartbeat has told it */
    bool link_cut;
    bool alone; /* neither supervisor nor worker runs: nobody is left who could fence */
};

static struct excuse excuses[NODES_MAX];

void checks_reset(void)
{
    for (int i = 0; i < NODES_MAX; i++) {
        excuses[i] = (struct excuse){
            .until = -1, .key_lost = -1, .link_mended = -1, .worker_hung = -1, .late_until = -1};
    }
}

static void excuse(int node, dur_ns length)
{
    if (world.now + length > excuses[node].until) {
        excuses[node].until = world.now + length;
    }
}

static bool runs(int node, enum process process)
{
    const struct process_state *p = &nodes[node].process[process];

    return p->alive && !p->stopped;
}

/* Supervisor stopped (or gone), and the worker too: the double fault that nothing covers. */
static void look_who_runs(int node)
{
    bool alone = !runs(node, PROCESS_SUPERVISOR) && !runs(node, PROCESS_WORKER) &&
                 (nodes[node].process[PROCESS_SUPERVISOR].alive ||
                  nodes[node].process[PROCESS_WORKER].alive);

    if (excuses[node].alone && !alone) {
        excuse(node, world.settings.heartbeat + world.settings.loss_grace + SLACK);
    }
    excuses[node].alone = alone;
    if (!runs(node, PROCESS_WORKER)) {
        excuses[node].worker_hung = world.now;
        if (world.now <=
            excuses[node].late_until) { /* no heartbeat, and a supervisor whose D is late */
            excuses[node].late_until = -1;
            excuse(node, world.settings.lease + SLACK);
        }
    }
}

void checks_process_stopped(int node)
{
    look_who_runs(node);
}

void checks_process_goes_on(int node)
{
    excuses[node].worker_hung = world.now; /* until now, if it was the worker */
    look_who_runs(node);
}

void checks_process_died(int node)
{
    look_who_runs(node);
}

/* Both were killed at about one time: the kernel kills their jobs, and nothing waits for that. */
void checks_nobody_fences(int node)
{
    if (jobs_alive(node) > 0) {
        excuse(node, SLACK);
    }
}

/* It finds out by its clock, or with its first heartbeat if its clock stood still: or, if that
 * cannot be sent, at the deadline of a clock that is late. */
void checks_thawed(int node, bool clock_stood)
{
    bool deaf = clock_stood && network_is_cut(node);

    if (clock_stood) {
        excuses[node].late_until =
            world.now + world.settings.heartbeat + world.settings.loss_grace + SLACK;
    }
    excuse(node, deaf ? world.settings.lease + SLACK
                      : world.settings.heartbeat + world.settings.loss_grace + SLACK);
}

void checks_key_lost(int conn, bool stuck)
{
    int node = network_node(conn);

    excuses[node].key_lost = world.now;
    excuses[node].key_conn = conn;
    excuses[node].key_server = server_identity();
    excuses[node].key_stuck = stuck;
    if (world.settings.takeover_delay == 0) { /* opted out of waiting */
        excuse(node, world.settings.lease + SLACK);
    }
}

void checks_link_cut(int node)
{
    excuses[node].link_cut = true;
}

void checks_link_mended(int node)
{
    excuses[node].link_cut = false;
    excuses[node].link_mended = world.now;
}

/* Its heartbeat found no host, as if the network were cut: until it was sent again. */
static bool host_was_away(const struct excuse *e)
{
    mono_ns heard = network_heard_at(e->key_conn);

    return heard != NEVER_UNHEARD && world.now - world.settings.loss_grace - SLACK <= heard;
}

/* A backend that answers nothing stops the heartbeats, D - stop_grace; if nobody is told of its end
 * after that, nothing is sent that a host which lost the connection could answer. */
static bool was_silent_already(const struct excuse *e)
{
    return e->key_stuck && network_asked_at(e->key_conn) < e->key_lost;
}

/* The server ended the session, and in that very moment nobody could hear of it. Where the next
 * leader waits a lease, which is so after any change of history, that is no excuse. */
static bool could_not_know(int node, struct server_identity successor)
{
    const struct excuse *e = &excuses[node];
    bool deaf = !runs(node, PROCESS_WORKER) || e->worker_hung >= e->key_lost;

    return e->key_lost >= 0 && world.settings.takeover_delay < world.settings.lease &&
           identity_equal(e->key_server, successor) &&
           world.now < e->key_lost + world.settings.lease + SLACK &&
           (deaf || e->link_cut || e->link_mended >= e->key_lost - world.settings.lease ||
            host_was_away(e) || was_silent_already(e));
}

/* successor: the server on which the other term was opened. */
static bool is_excused(int node, struct server_identity successor)
{
    look_who_runs(node);
    return nodes[node].frozen || excuses[node].alone || world.now <= excuses[node].until ||
           could_not_know(node, successor);
}

void checks_job_started(int node, struct epoch epoch)
{
    struct server_identity successor = worker_server(node);

    for (int i = 0; i < world.nodes; i++) {
        for (int j = 0; j < JOBS_A_NODE; j++) {
            const struct job_process *other = &nodes[i].jobs[j];

            if (other->alive && !epoch_equal(other->epoch, epoch) && !is_excused(i, successor) &&
                !is_excused(node, successor)) {
                struct epoch_text was = epoch_text(other->epoch);
                violation("node %d starts a job in term %s while one of term %s runs on node %d",
                          node, epoch_text(epoch).is, was.is, i);
            }
        }
    }
}

int checks_leader(void)
{
    int key = server_key_node();
    int leader = -1;

    for (int i = 0; i < world.nodes; i++) {
        if (worker_leads(i)) {
            if (leader != -1) {
                return -1;
            }
            leader = i;
        }
    }
    return leader == key && key >= 0 ? leader : -1;
}

void checks_stopped_in_time(int node, mono_ns by)
{
    if (node_now(node) > by + SLACK && !nodes[node].process[PROCESS_SUPERVISOR].slept) {
        violation("node %d took %.1f s longer to stop than it may", node,
                  (double)(node_now(node) - by) / 1e9);
    }
}
