#include "worker/probe/probe.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/probe/questions.h"

enum { MESSAGES_A_TURN = 16 };

/* A flood of requests, or of notifications that only look like it, must not become one of
 * messages: a worker that does not read for a lease of 15 s has room for as many as come then. */
#define REQUESTS_APART DUR_MS(100)

static struct seat_rules rules_of(const struct config *cfg)
{
    return (struct seat_rules){
        .retry_interval = cfg->election.retry_interval,
        .retry_jitter = cfg->election.retry_jitter,
        .backoff_max = cfg->election.backoff_max,
    };
}

const char *probe_role(const struct probe *p)
{
    if (p->leads) {
        return "leader";
    }
    return p->seat.state == SEAT_HELD ? "heir" : "follower";
}

void probe_forget_retired(struct probe *p)
{
    config_free(p->retired);
    p->retired = NULL;
}

/* ---- what was decided ---- */

static void report_taken(struct probe *p, bool poll)
{
    struct message m = {0};

    p->kind->where(p->shell, &m.u.seat);
    m.u.seat.poll = poll;
    m.u.seat.seen = p->seen;
    m.u.seat.elections = p->elections;
    if (!poll) {
        log_info("seat_taken", "election=%s instance=%s epoch=%s reason=\"it was free\"",
                 log_text(p->cfg->election.name).is, log_text(p->cfg->pgbaton.instance).is,
                 epoch_text(p->shown.leader_epoch).is);
        report_seat(p, true);
        p->kind->adopt(p->shell);
    }
    report_send(p, MESSAGE_SEAT_TAKEN, &m);
}

static void report_lost(struct probe *p, enum end_reason reason, const char *text)
{
    struct message m = {.u.seat_lost = {.reason = reason}};

    (void)snprintf(m.u.seat_lost.text, sizeof(m.u.seat_lost.text), "%s", text);
    log_warn("seat_lost", "election=%s instance=%s epoch=%s reason=%s text=%s",
             log_text(p->cfg->election.name).is, log_text(p->cfg->pgbaton.instance).is,
             epoch_text(p->shown.leader_epoch).is, end_reason_name(reason), log_text(text).is);
    report_seat(p, false);
    report_send(p, MESSAGE_SEAT_LOST, &m);
}

static void carry_out(struct probe *p, enum seat_action action, enum end_reason reason,
                      const char *text)
{
    switch (action) {
    case SEAT_CONNECT:
        report_alive_in_passing(p);
        p->kind->connect(p->shell);
        break;
    case SEAT_LOOK:
        report_alive_in_passing(p);
        p->kind->look(p->shell);
        break;
    case SEAT_TAKE:
        p->kind->take(p->shell);
        break;
    case SEAT_GIVE:
        report_seat(p, false);
        p->kind->give(p->shell);
        break;
    case SEAT_REPORT_TAKEN:
        report_taken(p, false);
        break;
    case SEAT_REPORT_FREE:
        report_taken(p, true);
        break;
    case SEAT_REPORT_LOST:
        report_lost(p, reason, text);
        break;
    }
}

/* A shell may call back from inside an action: the state was changed before any is carried out. */
static void happened(struct probe *p, struct seat_event *event, const char *text)
{
    struct seat_actions actions;

    if (p->kind == NULL) {
        return;
    }
    event->now = clock_now();
    seat_step(&p->seat, event, &p->random, &actions);
    for (unsigned i = 0; i < actions.count; i++) {
        carry_out(p, actions.list[i], actions.reason, text);
    }
}

static void simply(struct probe *p, enum seat_event_type type)
{
    struct seat_event event = {.type = type};

    happened(p, &event, "");
}

static void tell_requests(struct probe *p, mono_ns now)
{
    p->requests_at = MONO_NEVER;
    p->requests_told = now;
    log_debug("requests", "election=%s", log_text(p->cfg->election.name).is);
    report_send(p, MESSAGE_REQUESTS, NULL);
}

/* ---- what a shell tells ---- */

void shell_connected(struct probe *p, const char *server_version)
{
    report_up(p, server_version);
    simply(p, SEAT_ON_CONNECTED);
}

void shell_disconnected(struct probe *p, enum end_reason reason, bool refused, const char *text)
{
    struct seat_event event = {.type = SEAT_ON_DISCONNECTED, .reason = reason};

    probe_forget_retired(p);
    happened(p, &event, text);
    report_down(p, refused, text);
}

void shell_looked(struct probe *p, const struct sight *seen)
{
    struct seat_event event = {
        .type = SEAT_ON_LOOKED,
        .seat_free = seen->seat_free,
        .key_free = seen->holder == HOLDER_NOBODY,
        .clock_wrong = seen->skew == SKEW_OURS,
        .poll = seen->poll,
    };

    report_sight(p, seen);
    happened(p, &event, "the clock of this host is wrong");
}

void shell_taken(struct probe *p, bool taken)
{
    simply(p, taken ? SEAT_ON_TAKEN : SEAT_ON_REFUSED);
}

void shell_given(struct probe *p)
{
    simply(p, SEAT_ON_GIVEN);
    p->kind->adopt(p->shell);
}

void shell_notified(struct probe *p)
{
    simply(p, SEAT_ON_NOTIFIED);
}

/* Only the leader takes them; one that becomes it looks for them anyway. Many at once are told
 * once. */
void shell_requested(struct probe *p)
{
    mono_ns now = clock_now();

    if (!p->leads || p->requests_at != MONO_NEVER) {
        return;
    }
    p->requests_at = p->requests_told + REQUESTS_APART;
    if (p->requests_at <= now) {
        tell_requests(p, now);
    }
}

void shell_fenced(struct probe *p, const struct message_fenced *term)
{
    struct message m = {.u.fenced = *term};

    report_send(p, MESSAGE_FENCE_RECORDED, &m);
}

/* ---- what the supervisor tells ---- */

struct delivery {
    struct message message;
    int fd; /* -1: none; a handler that takes it over sets -1 */
};

static void open_shell(struct probe *p)
{
    struct seat_rules rules = rules_of(p->cfg);

    p->kind = NULL;
    if (!p->cfg->election.enabled) {
        return;
    }
    switch (p->cfg->database.kind) {
    case DATABASE_POSTGRES:
        p->kind = &shell_postgres;
        break;
    case DATABASE_SQLITE:
        p->kind = &shell_sqlite;
        break;
    case DATABASE_NONE:
        return;
    }
    seat_begin(&p->seat, &rules, clock_now());
    p->shell = p->kind->open(p);
}

static void close_shell(struct probe *p)
{
    if (p->kind != NULL) {
        p->kind->close(p->shell);
    }
    p->kind = NULL;
    p->shell = NULL;
    probe_forget_retired(p);
}

/* Another database, or another election in it: what is held in the old one ends with the session.
 */
static void elect_anew(struct probe *p, struct config *next)
{
    if (p->kind != NULL && p->seat.state == SEAT_HELD) {
        report_lost(p, END_RELOAD, "the configuration elects anew");
    }
    close_shell(p);
    if (!config_is_same_election(p->cfg, next)) {
        p->seen = (struct epoch){0};
    }
    config_free(p->cfg);
    p->cfg = next;
    p->leads = false;
    p->fleet_sent = false;
    p->shown = (struct board_probe){0};
    p->skew = (struct skew){0};
    p->unserved = (struct unserved){0};
    scoreboard_put_probe(p->child->board, &p->shown);
    open_shell(p);
}

/* The open session was opened with the old configuration and may look at it until it is closed. */
static void adopt(struct probe *p, struct config *next)
{
    struct seat_rules rules = rules_of(next);

    if (p->kind != NULL && p->retired == NULL) {
        p->retired = p->cfg;
    } else {
        config_free(p->cfg);
    }
    p->cfg = next;
    if (p->kind != NULL) {
        seat_adopt(&p->seat, &rules);
        p->kind->adopt(p->shell);
    }
}

static void on_config(struct probe *p, struct delivery *d)
{
    struct config *next = NULL;
    char reason[REASON_MAX];
    int rc = d->fd == -1 ? -EBADMSG : config_unseal(d->fd, &next);

    if (rc < 0) {
        child_die(p->child, CHILD_EXIT_PROTOCOL, "cannot read the configuration: %s",
                  strerror(-rc));
    }
    log_threshold(next->pgbaton.log_level);
    p->elections = d->message.u.config.elections;
    if (config_diff(p->cfg, next, true, reason, sizeof(reason)) >= CHANGE_ELECTION) {
        elect_anew(p, next);
    } else {
        adopt(p, next);
    }
}

static void on_seek(struct probe *p, struct delivery *d)
{
    struct seat_event event = {.type = SEAT_ON_SEEK, .not_before = d->message.u.seek.not_before};

    p->leads = false;
    happened(p, &event, "");
    if (p->kind != NULL) {
        p->kind->adopt(p->shell);
    }
}

static void on_leave(struct probe *p, struct delivery *d)
{
    (void)d;
    p->leads = false;
    simply(p, SEAT_ON_LEAVE);
    if (p->kind != NULL) {
        p->kind->adopt(p->shell);
    }
}

/* The worker does not need the seat any more: the next heir may have it. */
static void on_lead(struct probe *p, struct delivery *d)
{
    p->leads = true;
    p->lead = d->message.u.lead;
    p->lead_at = clock_now();
    simply(p, SEAT_ON_LEAVE);
    if (p->kind != NULL) {
        p->kind->adopt(p->shell);
    }
}

static void on_peer(struct ev_loop *loop, ev_io *io, int revents);

static void drop_peer(struct probe *p)
{
    if (p->peer.fd != -1) {
        ev_io_stop(p->child->loop, &p->peer_io);
        channel_close(&p->peer);
    }
}

static void on_peer_given(struct probe *p, struct delivery *d)
{
    drop_peer(p);
    if (d->fd == -1) {
        return;
    }
    p->peer = (struct channel){.fd = d->fd, .generation = 0, .far = FROM_MONITOR};
    ev_io_init(&p->peer_io, on_peer, d->fd, EV_READ);
    p->peer_io.data = p;
    ev_io_start(p->child->loop, &p->peer_io);
    d->fd = -1;
}

static void stop(struct probe *p)
{
    p->stopping = true;
    ev_break(p->child->loop, EVBREAK_ALL);
}

static void on_fenced(struct probe *p, struct delivery *d)
{
    if (p->kind != NULL) {
        p->kind->fence(p->shell, &d->message.u.fenced);
    }
}

static void on_unblock(struct probe *p, struct delivery *d)
{
    if (p->kind != NULL) {
        p->kind->unblock(p->shell, d->message.u.unblock.ledger_pid);
    }
}

static void on_log(struct probe *p, struct delivery *d)
{
    (void)p;
    (void)d;
    if (d->fd != -1) {
        child_take_log(d->fd);
        d->fd = -1;
    }
}

static void on_stop(struct probe *p, struct delivery *d)
{
    (void)d;
    stop(p);
}

/* What has no handler is not for us. */
static void (*const handlers[MESSAGE_TYPE_COUNT])(struct probe *p, struct delivery *d) = {
    [MESSAGE_CONFIG] = on_config, [MESSAGE_PEER] = on_peer_given, [MESSAGE_LOG] = on_log,
    [MESSAGE_STOP] = on_stop,     [MESSAGE_SEEK] = on_seek,       [MESSAGE_LEAVE] = on_leave,
    [MESSAGE_LEAD] = on_lead,     [MESSAGE_FENCED] = on_fenced,   [MESSAGE_UNBLOCK] = on_unblock,
};

static void obey(struct probe *p, struct delivery *d)
{
    assert(d->message.header.type < MESSAGE_TYPE_COUNT); /* channel_receive() has checked it */

    if (handlers[d->message.header.type] != NULL) {
        handlers[d->message.header.type](p, d);
    }
    if (d->fd != -1) {
        (void)close(d->fd);
    }
}

static void on_up(struct ev_loop *loop, ev_io *io, int revents)
{
    struct probe *p = io->data;
    struct delivery d;

    (void)loop;
    (void)revents;
    for (int i = 0; i < MESSAGES_A_TURN && !p->stopping; i++) {
        d.fd = -1;
        int rc = channel_receive(&p->child->up, &d.message, &d.fd);

        if (rc == -EAGAIN) {
            return;
        }
        if (rc == 0) { /* the supervisor is gone: so is the reason to hold a seat */
            stop(p);
            return;
        }
        if (rc < 0) {
            child_die(p->child, CHILD_EXIT_PROTOCOL, "a message of the supervisor: %s",
                      strerror(-rc));
        }
        obey(p, &d);
    }
}

static void on_peer(struct ev_loop *loop, ev_io *io, int revents)
{
    struct probe *p = io->data;
    struct message m;
    int fd = -1;

    (void)loop;
    (void)revents;
    int rc = channel_receive(&p->peer, &m, &fd);

    if (rc == -EAGAIN) {
        return;
    }
    if (rc <= 0) {
        drop_peer(p); /* the supervisor sends another one with the next monitor */
        return;
    }
    if (fd != -1) {
        (void)close(fd);
    }
    if (m.header.type != MESSAGE_QUERY) {
        return;
    }
    if (p->kind == NULL) {
        answer_unknown(&p->peer, &m.u.query, QUERY_NO_LEDGER, "");
    } else {
        p->kind->query(p->shell, &m.u.query);
    }
}

/* Whoever stops the instance tells the supervisor; a signal to all of a group or unit is not for
 * us. */
static void on_signal(struct ev_loop *loop, ev_io *io, int revents)
{
    struct probe *p = io->data;
    struct signalfd_siginfo info;

    (void)loop;
    (void)revents;
    while (read(p->child->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM && getppid() != p->child->supervisor) {
            stop(p);
        }
    }
}

/* ---- time ---- */

static mono_ns least(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

static void on_due(void *ctx)
{
    struct probe *p = ctx;
    mono_ns now = clock_now();

    p->armed_at = MONO_NEVER;
    if (now >= p->alive_at) {
        report_alive(p);
    }
    if (now >= p->requests_at) {
        tell_requests(p, now);
    }
    if (p->kind != NULL) {
        p->kind->due(p->shell, now);
        simply(p, SEAT_ON_TICK);
    }
}

static void before_sleep(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
    struct probe *p = prepare->data;
    mono_ns at = least(p->alive_at, p->requests_at);

    (void)loop;
    (void)revents;
    if (p->kind != NULL) {
        at = least(at, p->seat.wake_at);
        at = least(at, p->kind->wake_at(p->shell));
    }
    if (at != p->armed_at) {
        p->armed_at = at;
        timer_arm(&p->timer, at);
    }
}

static void watch(struct probe *p, ev_io *io, void (*on_readable)(struct ev_loop *, ev_io *, int),
                  int fd)
{
    ev_io_init(io, on_readable, fd, EV_READ);
    io->data = p;
    ev_io_start(p->child->loop, io);
}

static void start(struct probe *p)
{
    prng_seed(&p->random, p->child->seed);
    p->peer.fd = -1;
    p->armed_at = MONO_NEVER;
    p->alive_at = clock_now();
    p->requests_at = MONO_NEVER;
    if (timer_init(&p->timer, p->child->loop, on_due, p) < 0) {
        child_die(p->child, CHILD_EXIT_FAILED, "cannot make a timer");
    }
    watch(p, &p->up_io, on_up, p->child->up.fd);
    watch(p, &p->signal_io, on_signal, p->child->signal_fd);
    ev_prepare_init(&p->settle, before_sleep);
    p->settle.data = p;
    ev_prepare_start(p->child->loop, &p->settle);
    scoreboard_put_probe(p->child->board, &p->shown);
    open_shell(p);
}

int probe_main(struct child *c)
{
    struct probe p = {.child = c};
    struct message first;

    child_enter(c, NULL, 0);
    log_role("probe");
    child_title("follower-probe");
    child_hello(c, &p.cfg, &first);
    p.incarnation = first.u.config.incarnation;
    p.elections = first.u.config.elections;
    log_threshold(p.cfg->pgbaton.log_level);
    start(&p);
    if (!p.stopping) {
        ev_run(c->loop, 0);
    }
    close_shell(&p); /* the end of the session gives the seat up */
    drop_peer(&p);
    timer_release(&p.timer);
    config_free(p.cfg);
    return CHILD_EXIT_ASKED;
}
