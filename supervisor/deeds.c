#include "supervisor/deeds.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/budget.h"
#include "common/log.h"
#include "supervisor/reload.h"

void deeds_send(struct supervisor *s, enum child_slot slot, enum message_type type,
                struct message *m, int fd)
{
    struct child_row *row = &s->children[slot];

    if (row->state == CHILD_DOWN || row->channel.fd == -1) {
        return; /* what it would have been told it learns when it is started again */
    }
    if (row->state == CHILD_STARTING && type != MESSAGE_STOP) {
        return; /* the first thing that it hears is its configuration: it learns the rest after
                   HELLO */
    }
    int rc = channel_send(&row->channel, type, m, fd);
    if (rc == 0 || rc == -EPIPE) { /* its death is on the way to us */
        return;
    }
    log_warn("child_not_reading", "child=%s message=%s error=%s", row->spec->name,
             message_name(type), log_text(strerror(-rc)).is);
    child_kill(row, clock_now(), "does not read its messages");
}

void deeds_send_config(struct supervisor *s, enum child_slot slot)
{
    struct message m = {.u.config = {
                            .hash = s->config->hash,
                            .incarnation = s->incarnation,
                            .reload = s->reload.done,
                            .elections = s->reload.elections,
                        }};

    deeds_send(s, slot, MESSAGE_CONFIG, &m,
               slot == SLOT_MONITOR ? s->config_stripped_fd : s->config_fd);
}

static dur_ns longest_grace(const struct config *cfg)
{
    dur_ns longest = 0;

    for (size_t i = 0; i < cfg->job_count; i++) {
        if (cfg->jobs[i].enabled && cfg->jobs[i].grace > longest) {
            longest = cfg->jobs[i].grace;
        }
    }
    return longest;
}

struct election_terms deeds_terms(const struct config *cfg)
{
    struct shutdown_bounds bounds = shutdown_bounds(cfg->pgbaton.stop_timeout, longest_grace(cfg));
    bool elects = cfg->election.enabled && cfg->database.kind != DATABASE_NONE;

    return (struct election_terms){
        /* Without /proc what a worker leaves cannot be found. */
        .candidate = cfg->jobs_enabled && (cfg->job_count == 0 || process_tree_available()),
        .has_probe = elects,
        .connect_timeout = cfg->database.connect_timeout,
        .retry_interval = cfg->election.retry_interval,
        .retry_jitter = cfg->election.retry_jitter,
        .backoff_max = cfg->election.backoff_max,
        .margin = budget_margin(cfg->election.lease),
        .loss = cfg->election.loss_grace + BUDGET_KILL_MARGIN,
        .drain = bounds.drain,
        .over = bounds.over,
    };
}

static void announce(struct supervisor *s)
{
    const struct election *e = &s->election;
    bool has_term = e->epoch.generation != 0 || e->epoch.number != 0;
    struct epoch epoch = has_term ? e->epoch : s->announced_epoch; /* the one that ends here */

    if (e->state == s->announced) {
        return;
    }
    s->role_since = clock_wall();
    if (e->state == ELECTION_LEADER) {
        s->elections++;
        s->term_failure = (struct board_failure){.at = 0};
    }
    log_info("role", "role=%s was=%s election=%s instance=%s turn=%" PRIu64 " epoch=%s reason=%s",
             election_state_name(e->state), election_state_name(s->announced),
             log_text(s->config->election.name).is, log_text(s->config->pgbaton.instance).is,
             e->turn, epoch_text(epoch).is, end_reason_name(e->reason));
    s->announced = e->state;
    s->announced_epoch = e->epoch;
}

static void send_campaign(struct supervisor *s)
{
    struct message m = {.u.campaign = {.turn = s->election.turn, .slice = s->election.slice}};

    if (s->election.terms.has_probe) {
        m.u.campaign.address = s->seat.address;
        m.u.campaign.server = s->seat.server;
        m.u.campaign.poll = s->seat.poll;
        m.u.campaign.seen = s->seen;
    }
    deeds_send(s, SLOT_WORKER, MESSAGE_CAMPAIGN, &m, -1);
}

static void send_stand_down(struct supervisor *s)
{
    struct message m = {.u.stand_down = {
                            .turn = s->election.turn,
                            .drain_until = s->election.drain_until,
                            .over_by = s->election.over_by,
                            .reason = s->election.reason,
                        }};

    deeds_send(s, SLOT_WORKER, MESSAGE_STAND_DOWN, &m, -1);
}

static void send_lead(struct supervisor *s)
{
    struct message m = {.u.lead = {
                            .epoch = s->elected.epoch,
                            .server = s->elected.server,
                            .lock_pid = s->elected.lock_pid,
                        }};

    deeds_send(s, SLOT_PROBE, MESSAGE_LEAD, &m, -1);
}

static void send_fenced(struct supervisor *s)
{
    struct message m = {.u.fenced = {.epoch = s->elected.epoch, .reason = s->election.reason}};

    deeds_send(s, SLOT_PROBE, MESSAGE_FENCED, &m, -1);
}

static void close_lock(struct supervisor *s)
{
    if (s->announced == ELECTION_FENCING) {
        log_warn("fenced", "election=%s instance=%s epoch=%s reason=%s left=%u",
                 log_text(s->config->election.name).is, log_text(s->config->pgbaton.instance).is,
                 epoch_text(s->elected.epoch).is, end_reason_name(s->election.reason),
                 s->fence.active ? s->fence.seen : 0);
    }
    if (s->lock_fd != -1) {
        (void)close(s->lock_fd);
        s->lock_fd = -1;
        s->handed_over_at = s->announced == ELECTION_FENCING ? 0 : clock_now();
    }
}

/* Its jobs do not wait for the end of a worker that takes a while to die: it is over for them now.
 */
static void kill_below_worker(const struct supervisor *s)
{
    const struct child_row *worker = &s->children[SLOT_WORKER];

    if (worker->state != CHILD_DOWN) {
        fence_kill_below(worker->pid);
    }
}

static void do_election_action(struct supervisor *s, enum election_action action)
{
    struct message m = {.header = {0}};

    switch (action) {
    case ELECTION_SEEK:
        m.u.seek.not_before = s->election.rest_until;
        deeds_send(s, SLOT_PROBE, MESSAGE_SEEK, &m, -1);
        return;
    case ELECTION_LEAVE:
        m.u.leave.reason = s->election.reason;
        deeds_send(s, SLOT_PROBE, MESSAGE_LEAVE, &m, -1);
        return;
    case ELECTION_CAMPAIGN:
        send_campaign(s);
        return;
    case ELECTION_STAND_DOWN:
        send_stand_down(s);
        return;
    case ELECTION_KILL_WORKER:
        child_kill(&s->children[SLOT_WORKER], clock_now(), end_reason_name(s->election.reason));
        return;
    case ELECTION_KILL_BELOW:
        kill_below_worker(s);
        return;
    case ELECTION_SWEEP:
        fence_begin(&s->fence, clock_now());
        return;
    case ELECTION_RECORD_FENCE:
        send_fenced(s);
        return;
    case ELECTION_CLOSE_LOCK:
        close_lock(s);
        return;
    case ELECTION_LEAD:
        send_lead(s);
        return;
    case ELECTION_ANNOUNCE:
        announce(s);
        return;
    case ELECTION_UNKILLABLE:
        log_error("fence_incomplete", "epoch=%s processes=%u not_permitted=%u pid=%d",
                  epoch_text(s->elected.epoch).is, s->fence.seen, s->fence.refused,
                  (int)s->fence.example);
        return;
    case ELECTION_READY_TO_ELECT_ANEW:
        reload_carry_on(s);
        return;
    case ELECTION_GONE:
        deeds_shutdown(s, clock_now() < s->handed_over_at + SHUTDOWN_REST ? SHUTDOWN_HANDED_OVER
                                                                          : SHUTDOWN_RELEASED);
        return;
    case ELECTION_ACTION_COUNT:
        break;
    }
    assert(!"no such action");
}

static void step(struct supervisor *s, const struct election_event *event)
{
    struct election_event timed = *event;
    struct election_actions actions;

    timed.now = clock_now();
    election_step(&s->election, &timed, &actions);
    s->election_wake_at = actions.wake_at;
    for (unsigned i = 0; i < actions.count; i++) {
        do_election_action(s, actions.list[i]);
    }
}

/* A deed may be a happening itself (the end of a release is what a reload waits for): one after the
 * other. */
void deeds_election(struct supervisor *s, const struct election_event *event)
{
    assert(s->queued < ELECTION_QUEUE_MAX);
    s->queue[s->queued++] = *event;
    if (s->stepping) {
        return;
    }
    s->stepping = true;
    while (s->queued > 0) {
        struct election_event next = s->queue[0];

        s->queued--;
        memmove(&s->queue[0], &s->queue[1], s->queued * sizeof(s->queue[0]));
        step(s, &next);
    }
    s->stepping = false;
}

void deeds_happened(struct supervisor *s, enum election_event_type type)
{
    deeds_election(s, &(struct election_event){.type = type, .reason = END_STOP});
}

static void signal_service(struct supervisor *s, int number)
{
    struct message m = {.u.signal = {.number = number}};

    deeds_send(s, SLOT_KEEPER, MESSAGE_SIGNAL, &m, -1);
}

static void for_each_child(struct supervisor *s, enum shutdown_action action)
{
    mono_ns now = clock_now();

    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        struct child_row *row = &s->children[slot];

        if (action == SHUTDOWN_DO_STOP) {
            deeds_send(s, (enum child_slot)slot, MESSAGE_STOP, NULL, -1);
            child_end(row, s->shutdown.ends_at);
        } else if (action == SHUTDOWN_DO_TERM) {
            child_signal(row, SIGTERM);
        } else {
            child_kill(row, now, "did not stop");
        }
    }
}

static void do_shutdown_action(struct supervisor *s, enum shutdown_action action)
{
    switch (action) {
    case SHUTDOWN_DO_RELEASE:
        deeds_happened(s, ELECTION_STOP);
        return;
    case SHUTDOWN_DO_RELEASE_NOW:
        deeds_happened(s, ELECTION_STOP_NOW);
        return;
    case SHUTDOWN_DO_SIGNAL_SERVICE:
        if (s->children[SLOT_KEEPER].state == CHILD_DOWN) { /* it could never be started */
            deeds_shutdown(s, SHUTDOWN_SERVICE_ENDED);
        } else {
            signal_service(s, s->stop_signal);
        }
        return;
    case SHUTDOWN_DO_KILL_SERVICE:
        log_warn("service_killed", "after_signal=%d", s->stop_signal);
        signal_service(s, SIGKILL);
        return;
    case SHUTDOWN_DO_STOP:
    case SHUTDOWN_DO_TERM:
    case SHUTDOWN_DO_KILL:
        for_each_child(s, action);
        return;
    case SHUTDOWN_DO_EXIT:
        ev_break(s->loop, EVBREAK_ALL);
        return;
    }
}

void deeds_shutdown(struct supervisor *s, enum shutdown_event_type type)
{
    struct shutdown_actions actions;
    enum shutdown_rung before = s->shutdown.rung;

    shutdown_step(&s->shutdown, &(struct shutdown_event){.type = type, .now = clock_now()},
                  &actions);
    if (s->shutdown.rung != before) {
        log_debug("stopping_rung", "rung=%s", shutdown_rung_name(s->shutdown.rung));
    }
    for (unsigned i = 0; i < actions.count; i++) {
        do_shutdown_action(s, actions.list[i]);
    }
}
