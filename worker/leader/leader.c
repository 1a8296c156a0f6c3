#include "worker/leader/leader.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "common/duration.h"
#include "common/log.h"
#include "common/process_tree.h"

/* Where the far end says nothing of a slice: a lock file has none, and needs none. */
#define SLICE_DEFAULT DUR_MS(800)

static void happened(struct leader *l, uint64_t campaign, struct turn_event event)
{
    assert(l->queued < LEADER_QUEUE_MAX); /* each source reports once a turn of the loop */
    l->queue[l->queued++] = (struct leader_happening){.event = event, .campaign = campaign};
}

static void of_turn(struct leader *l, struct turn_event event)
{
    happened(l, l->campaign, event);
}

/* ---- telling the supervisor ---- */

static bool tell(struct leader *l, enum message_type type, struct message *m, int pass_fd)
{
    int rc = channel_send(&l->child->up, type, m, pass_fd);

    if (rc < 0) {
        log_debug("message_not_sent", "type=%s error=%s", message_name(type),
                  log_text(strerror(-rc)).is);
    }
    return rc == 0;
}

static void tell_ended(struct leader *l, enum message_type type)
{
    struct message m = {
        .u.ended = {.turn = l->turn.number, .epoch = l->turn.epoch, .reason = l->turn.reason},
    };

    (void)snprintf(m.u.ended.text, sizeof(m.u.ended.text), "%s", l->text);
    (void)tell(l, type, &m, -1);
}

static void tell_slice(struct leader *l)
{
    struct message m = {.u.turn = {.turn = l->turn.number}};

    (void)tell(l, MESSAGE_SLICE_ANSWERED, &m, -1);
}

/* ---- what lock, term and jobs report ---- */

static void on_slice(void *ctx)
{
    tell_slice(ctx);
}

static void on_granted(void *ctx)
{
    of_turn(ctx, (struct turn_event){.type = TURN_GRANTED});
}

static void on_renewed(void *ctx, mono_ns sent_at, mono_ns deadline)
{
    struct leader *l = ctx;

    l->round_trip = clock_now() - sent_at;
    of_turn(l, (struct turn_event){.type = TURN_RENEWED, .sent_at = sent_at, .deadline = deadline});
    if (l->turn.state == WORKER_OPENING) {
        tell_slice(l); /* a long opening is not a hung worker */
    }
}

static void on_phase(void *ctx, enum lease_phase phase)
{
    enum turn_event_type type = TURN_LEASE_OVER;

    if (phase == LEASE_STOPPING) {
        type = TURN_LEASE_STOPPING;
    } else if (phase == LEASE_KILLING) {
        type = TURN_LEASE_KILLING;
    }
    of_turn(ctx, (struct turn_event){.type = type});
}

static void keep_text(struct leader *l, const char *text)
{
    if (l->text[0] == '\0') { /* the first one is the reason, what follows is its consequence */
        (void)snprintf(l->text, sizeof(l->text), "%s", text);
    }
}

static void on_lock_failed(void *ctx, enum end_reason why, const char *text)
{
    keep_text(ctx, text);
    of_turn(ctx, (struct turn_event){.type = TURN_LOCK_FAILED, .reason = why});
}

static void on_released(void *ctx)
{
    of_turn(ctx, (struct turn_event){.type = TURN_RELEASED});
}

static void on_opened(void *ctx, struct epoch epoch)
{
    of_turn(ctx, (struct turn_event){.type = TURN_OPENED, .epoch = epoch});
}

static void on_open_failed(void *ctx, const char *text)
{
    keep_text(ctx, text);
    of_turn(ctx, (struct turn_event){.type = TURN_OPEN_FAILED});
}

static void on_blocked(void *ctx, int ledger_pid)
{
    struct leader *l = ctx;
    struct message m = {.u.blocked = {.turn = l->turn.number, .ledger_pid = ledger_pid}};

    log_warn("term_blocked", "election=%s ledger_pid=%d",
             log_text(l->turn_config->election.name).is, ledger_pid);
    (void)tell(l, MESSAGE_OPENING_BLOCKED, &m, -1);
    tell_slice(l);
}

static void on_looked(void *ctx, struct takeover takeover)
{
    struct leader *l = ctx;

    l->takeover = takeover;
    of_turn(l, (struct turn_event){.type = TURN_LOOKED, .wait = takeover.wait});
}

static void on_stamped(void *ctx)
{
    struct leader *l = ctx;

    l->stamping = false;
    of_turn(l, (struct turn_event){.type = TURN_STAMPED});
}

static void on_idle(void *ctx)
{
    of_turn(ctx, (struct turn_event){.type = TURN_JOBS_IDLE});
}

static bool may_start(void *ctx)
{
    const struct leader *l = ctx;

    return turn_may_start(&l->turn, clock_now());
}

/* ---- deeds ---- */

/* The waiter of a lock file is a child of ours, and no job. */
static void know_helper(struct leader *l)
{
    pid_t helper = l->lock != NULL ? l->lock->helper : 0;

    if (helper == l->helper) {
        return;
    }
    if (l->helper > 0) {
        jobs_keep(l->jobs, l->helper, false);
    }
    if (helper > 0) {
        jobs_keep(l->jobs, helper, true);
    }
    l->helper = helper;
}

static void close_lock(struct leader *l)
{
    lock_close(l->lock);
    l->lock = NULL;
    know_helper(l);
}

/* The sessions of a turn use its configuration: it goes when they have gone. */
static void close_term(struct leader *l)
{
    term_close(l->term);
    l->term = NULL;
    l->stamping = false;
    if (l->lock == NULL && l->turn_config != NULL) {
        if (l->turn_config != l->config) {
            config_free(l->turn_config);
        }
        l->turn_config = NULL;
    }
}

static void open_term(struct leader *l)
{
    const struct term_events events = {
        .on_opened = on_opened,
        .on_failed = on_open_failed,
        .on_blocked = on_blocked,
        .on_looked = on_looked,
        .on_stamped = on_stamped,
        .ctx = l,
    };
    const struct term_options options = {
        .config = l->turn_config,
        .address = l->order.address,
        .server = l->order.server,
        .incarnation = l->incarnation,
        .seed = prng_next(&l->random),
    };

    l->term = term_open(l->loop, &options, &events);
    assert(l->term != NULL);
}

static void open_lock(struct leader *l)
{
    const struct lock_events events = {
        .on_slice = on_slice,
        .on_granted = on_granted,
        .on_renewed = on_renewed,
        .on_phase = on_phase,
        .on_failed = on_lock_failed,
        .on_released = on_released,
        .ctx = l,
    };
    const struct lock_options options = {
        .config = l->turn_config,
        .address = l->order.address,
        .server = l->order.server,
        .slice = l->order.slice > 0 ? l->order.slice : SLICE_DEFAULT,
        .poll = l->order.poll != 0,
    };

    l->lock = lock_open(l->loop, &options, &events);
    assert(l->lock != NULL);
}

static void connect_both(struct leader *l)
{
    close_term(l); /* the last one's end may still be on its way */
    l->campaign++;
    l->text[0] = '\0';
    l->takeover = (struct takeover){.reason = TAKEOVER_CLEAN};
    l->turn_config = l->config;
    if (l->config->job_count > 0 && !process_tree_available()) {
        on_lock_failed(l, END_REFUSED, "/proc cannot be read: jobs could not be found to be ended");
        return;
    }
    open_lock(l);
    open_term(l);
}

static void send_elected(struct leader *l)
{
    assert(l->lock != NULL);
    struct message m = {
        .u.elected = {.turn = l->turn.number,
                      .epoch = l->turn.epoch,
                      .server = l->lock->options.server,
                      .deadline = l->turn.deadline,
                      .lock_pid = l->lock->backend_pid},
    };

    log_info("elected", "election=%s epoch=%s instance=%s pid=%d",
             log_text(l->turn_config->election.name).is, epoch_text(l->turn.epoch).is,
             log_text(l->turn_config->pgbaton.instance).is, l->lock->backend_pid);
    if (!tell(l, MESSAGE_ELECTED, &m, l->lock->fd)) {
        /* Without its copy of the socket our crash would free the key before our jobs are dead. */
        keep_text(l, "the supervisor does not take the lock's descriptor");
        happened(l, 0, (struct turn_event){.type = TURN_ORPHANED});
        return;
    }
    term_announce(l->term);
}

static void send_renewed(struct leader *l)
{
    struct message m = {.u.renewed = {.turn = l->turn.number, .deadline = l->turn.deadline}};

    (void)tell(l, MESSAGE_RENEWED, &m, -1);
}

static void announce_wait(struct leader *l)
{
    log_info("takeover_wait", "election=%s epoch=%s instance=%s wait=%s reason=%s",
             log_text(l->turn_config->election.name).is, epoch_text(l->turn.epoch).is,
             log_text(l->turn_config->pgbaton.instance).is, duration_text(l->turn.wait).is,
             takeover_reason_name(l->takeover.reason));
}

static void stamp(struct leader *l)
{
    l->stamping = true;
    term_stamp(l->term, turn_ended_as(&l->turn), end_reason_name(l->turn.reason));
}

/* An end that somebody asked for is no trouble. */
static bool was_asked_for(enum end_reason reason)
{
    return reason == END_STOP || reason == END_STEP_DOWN || reason == END_RELOAD ||
           reason == END_NOT_GRANTED || reason == END_SEAT_LOST;
}

static void log_end(struct leader *l, const char *event, enum log_level level)
{
    log_event(level, event, "election=%s epoch=%s instance=%s reason=%s%s%s",
              log_text(l->turn_config->election.name).is, epoch_text(l->turn.epoch).is,
              log_text(l->turn_config->pgbaton.instance).is, end_reason_name(l->turn.reason),
              l->text[0] != '\0' ? " error=" : "", l->text[0] != '\0' ? log_text(l->text).is : "");
}

static void send_failed(struct leader *l)
{
    bool term_failed = l->turn.reason == END_TERM_FAILED;

    if (term_failed) {
        log_end(l, "term_failed", LEVEL_ERROR);
    } else {
        log_end(l, "campaign_failed", was_asked_for(l->turn.reason) ? LEVEL_DEBUG : LEVEL_WARN);
    }
    tell_ended(l, MESSAGE_CAMPAIGN_FAILED);
}

static void send_lost(struct leader *l)
{
    log_end(l, "lost", LEVEL_WARN);
    tell_ended(l, MESSAGE_LOST);
}

static void send_released(struct leader *l)
{
    log_end(l, "released", LEVEL_INFO);
    tell_ended(l, MESSAGE_RELEASED);
}

static void forget(struct leader *l)
{
    close_lock(l);
    if (!l->stamping) {
        close_term(l);
    }
}

static void carry_out(struct leader *l, enum turn_action action)
{
    switch (action) {
    case TURN_CONNECT:
        connect_both(l);
        return;
    case TURN_OPEN_TERM:
        assert(l->lock != NULL);
        term_begin(l->term, l->lock->backend_pid, l->lock->options.server);
        return;
    case TURN_PROVE:
        lock_beat(l->lock);
        term_look(l->term);
        return;
    case TURN_SEND_ELECTED:
        send_elected(l);
        return;
    case TURN_SEND_RENEWED:
        send_renewed(l);
        return;
    case TURN_ANNOUNCE_WAIT:
        announce_wait(l);
        return;
    case TURN_BEGIN_JOBS:
        jobs_begin(l->jobs, l->turn.epoch);
        return;
    case TURN_DRAIN_JOBS:
        jobs_drain(l->jobs, l->turn.drain_until, l->turn.kill_at);
        return;
    case TURN_TERMINATE_JOBS:
        jobs_terminate(l->jobs);
        return;
    case TURN_KILL_JOBS:
        jobs_kill(l->jobs);
        return;
    case TURN_STAMP:
        stamp(l);
        return;
    case TURN_RELEASE_KEY:
        lock_release(l->lock);
        return;
    case TURN_CLOSE_KEY:
        close_lock(l);
        return;
    case TURN_SEND_FAILED:
        send_failed(l);
        return;
    case TURN_SEND_LOST:
        send_lost(l);
        return;
    case TURN_SEND_RELEASED:
        send_released(l);
        return;
    case TURN_FORGET:
        forget(l);
        return;
    case TURN_EXIT:
        l->exit = true;
        return;
    }
}

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
    const struct board_worker board = {
        .state = t->state,
        .job_count = (uint32_t)l->config->job_count,
        .running = jobs_running(l->jobs),
        .epoch = turn_leads(t) ? t->epoch : (struct epoch){0},
        .deadline = turn_leads(t) ? t->deadline : 0,
        .takeover_until = waits ? t->wait_until : 0,
        .heartbeat_ns = l->round_trip,
    };

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
        carry_out(l, actions.list[i]);
    }
    if (changed && !turn_leads(&l->turn)) { /* how a term ended is still the leader's to say */
        retitle(l);
    }
}

void leader_settle(struct leader *l)
{
    bool changed = l->queued > 0;

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
        close_term(l);
    }
    know_helper(l);
    timer_arm(&l->tick, turn_wake_at(&l->turn));
    leader_publish(l);
    if (l->exit) {
        ev_break(l->loop, EVBREAK_ALL);
    }
}

static void on_tick(void *ctx)
{
    happened(ctx, 0, (struct turn_event){.type = TURN_TICK});
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
    };
}

int leader_init(struct leader *l, struct child *child, struct config *config, uint64_t incarnation)
{
    const struct jobs_events events = {.may_start = may_start, .on_idle = on_idle, .ctx = l};
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
    close_lock(l);
    close_term(l);
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
    if (old != l->turn_config) {
        config_free(old);
    }
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
    happened(l, 0, (struct turn_event){.type = TURN_CAMPAIGN, .turn = order->turn});
    leader_settle(l);
}

void leader_stand_down(struct leader *l, const struct message_stand_down *order)
{
    leader_settle(l);
    if (order->turn != l->turn.number) {
        return; /* that turn is over, and was answered */
    }
    happened(l, 0,
             (struct turn_event){.type = TURN_STAND_DOWN,
                                 .drain_until = order->drain_until,
                                 .over_by = order->over_by,
                                 .reason = (enum end_reason)order->reason});
    leader_settle(l);
}

void leader_leave(struct leader *l, enum turn_event_type why)
{
    assert(why == TURN_TERMINATED || why == TURN_ORPHANED);
    happened(l, 0, (struct turn_event){.type = why});
    leader_settle(l);
}

void leader_reap(struct leader *l)
{
    int status = 0;
    pid_t helper = l->lock != NULL ? l->lock->helper : 0;

    if (jobs_reap(l->jobs, helper, &status)) {
        lock_helper_ended(l->lock, status);
    }
    know_helper(l);
    leader_settle(l);
}
