#include "worker/leader/leader.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "common/budget.h"
#include "common/log.h"
#include "worker/database/session.h"
#include "worker/leader/leader_private.h"

/*
 * An opening that others block may take until the lease of the term before is
 * over and the probe has ended them. Where it takes longer than two leases like
 * ours and this much, another instance may do better.
 */
#define OPEN_LEAST DUR_S(5)

/* ---- what people see ---- */

static void retitle(struct leader *l)
{
    const char *name = l->config->election.name;

    log_role(turn_leads(&l->turn) ? "leader" : "worker");
    if (!turn_leads(&l->turn)) {
        bool heir = l->turn.state == WORKER_CAMPAIGNING;
        child_title(heir ? "heir worker (%s)" : "worker (%s, waiting)", name);
    } else if (l->turn.epoch.number == 0) {
        child_title("leader worker (%s)", name);
    } else {
        child_title("leader worker (%s, epoch %s)", name, epoch_text(l->turn.epoch).is);
    }
}

void leader_publish(struct leader *l)
{
    const struct turn *t = &l->turn;
    bool waits = t->state == WORKER_WAITING;
    struct board_worker board = {
        .state = t->state,
        .job_count = (uint32_t)l->config->job_count,
        .running = jobs_running(l->jobs),
        .epoch = turn_leads(t) ? t->epoch : (struct epoch){0},
        .deadline = turn_leads(t) ? t->deadline : 0,
        .takeover_until = waits ? t->wait_until : 0,
        .heartbeat_ns = l->round_trip,
    };

    (void)snprintf(board.containment, sizeof(board.containment), "%s", jobs_containment(l->jobs));
    if (l->child->board != NULL) {
        scoreboard_put_worker(l->child->board, &board);
    }
}

/* ---- deciding ---- */

static void decide(struct leader *l, struct turn_event *event)
{
    struct turn_actions actions;
    enum worker_state before = l->turn.state;
    struct epoch epoch_before = l->turn.epoch;

    event->now = clock_now();
    turn_step(&l->turn, event, &actions);
    bool changed = l->turn.state != before || !epoch_equal(l->turn.epoch, epoch_before);

    if (changed && turn_leads(&l->turn)) {
        retitle(l);
    }
    if (l->turn.state != before) {
        log_debug("worker_state", "state=%s was=%s", worker_state_name(l->turn.state),
                  worker_state_name(before));
    }
    for (unsigned i = 0; i < actions.count; i++) {
        leader_carry_out(l, actions.list[i]);
    }
    if (changed && !turn_leads(&l->turn)) { /* how a term ended is still the leader's to say */
        retitle(l);
    }
}

void leader_settle(struct leader *l)
{
    bool changed = l->queued > 0;

    leader_know_helper(l); /* a lock that waits has one before anything is reported */
    while (l->queued > 0) {
        struct leader_happening first = l->queue[0];

        l->queued--;
        memmove(&l->queue[0], &l->queue[1], l->queued * sizeof(l->queue[0]));
        if (first.campaign == 0 || first.campaign == l->campaign) {
            decide(l, &first.event);
        }
    }
    if (!changed) {
        return;
    }
    /* A term whose end nobody waits for is closed here, outside of its own callback. */
    if (l->term != NULL && l->turn.state == WORKER_IDLE && !l->stamping) {
        leader_close_term(l);
    }
    leader_know_helper(l);
    timer_arm(&l->tick, turn_wake_at(&l->turn));
    leader_publish(l);
    if (l->exit) {
        ev_break(l->loop, EVBREAK_ALL);
    }
}

static void on_tick(void *ctx)
{
    leader_happened_to_process(ctx, (struct turn_event){.type = TURN_TICK});
    leader_settle(ctx);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
    (void)loop;
    (void)revents;
    leader_settle(prepare->data);
}

/* ---- from outside ---- */

static struct turn_rules rules_of(const struct config *cfg)
{
    return (struct turn_rules){
        .lease = cfg->election.lease,
        .stop_grace = cfg->election.stop_grace,
        .loss_grace = cfg->election.loss_grace,
        .kill_margin = BUDGET_KILL_MARGIN,
        .open_limit = 2 * cfg->election.lease + OPEN_LEAST,
    };
}

int leader_init(struct leader *l, struct child *child, struct config *config, uint64_t incarnation)
{
    const struct jobs_events events = leader_jobs_events(l);
    const struct turn_rules rules = rules_of(config);

    *l = (struct leader){
        .child = child, .loop = child->loop, .config = config, .incarnation = incarnation};
    prng_seed(&l->random, child->seed);
    turn_init(&l->turn, &rules, clock_now());
    int rc = timer_init(&l->tick, l->loop, on_tick, l);
    if (rc < 0) {
        return rc;
    }
    l->jobs = jobs_new(l->loop, child->board, &events, prng_next(&l->random));
    if (l->jobs == NULL) {
        return -ENOMEM;
    }
    jobs_configure(l->jobs, config);
    ev_prepare_init(&l->prepare, on_prepare);
    l->prepare.data = l;
    ev_prepare_start(l->loop, &l->prepare);
    retitle(l);
    leader_publish(l);
    return 0;
}

void leader_release(struct leader *l)
{
    leader_close_lock(l);
    leader_close_term(l);
    session_close_retired();
    timer_release(&l->tick);
    if (jobs_idle(l->jobs)) { /* else the supervisor kills what is left */
        jobs_free(l->jobs);
        config_free(l->config);
    }
}

void leader_configure(struct leader *l, struct config *config)
{
    struct config *old = l->config;

    l->config = config;
    jobs_configure(l->jobs, config);
    if (l->term != NULL && !l->stamping) {
        term_jobs(l->term, config_jobs_hash(config));
    }
    config_free(old);
    (void)malloc_trim(0); /* beside the new one there was room for two: megabytes, of many jobs */
    leader_publish(l);
}

void leader_campaign(struct leader *l, const struct message_campaign *order)
{
    leader_settle(l);
    if (l->turn.state != WORKER_IDLE) {
        log_warn("campaign_ignored", "state=%s", worker_state_name(l->turn.state));
        return;
    }
    l->order = *order;
    l->turn.rules = rules_of(l->config);
    leader_happened_to_process(l, (struct turn_event){.type = TURN_CAMPAIGN, .turn = order->turn});
    leader_settle(l);
}

void leader_stand_down(struct leader *l, const struct message_stand_down *order)
{
    leader_settle(l);
    if (order->turn != l->turn.number) {
        return; /* that turn is over, and was answered */
    }
    leader_happened_to_process(l, (struct turn_event){.type = TURN_STAND_DOWN,
                                                      .drain_until = order->drain_until,
                                                      .over_by = order->over_by,
                                                      .reason = (enum end_reason)order->reason});
    leader_settle(l);
}

void leader_leave(struct leader *l, enum turn_event_type how, enum end_reason reason)
{
    assert(how == TURN_TERMINATED || how == TURN_ORPHANED);
    leader_happened_to_process(l, (struct turn_event){.type = how, .reason = reason});
    leader_settle(l);
}

void leader_reap(struct leader *l)
{
    int status = 0;
    pid_t helper = l->lock != NULL ? l->lock->helper : 0;

    if (jobs_reap(l->jobs, helper, &status)) {
        lock_helper_ended(l->lock, status);
    }
    leader_know_helper(l);
    leader_settle(l);
}
