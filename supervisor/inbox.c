#include "supervisor/inbox.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/duration.h"
#include "common/log.h"
#include "supervisor/deeds.h"
#include "supervisor/orders.h"

/* One chatty child must not keep the others waiting. */
enum { MESSAGES_A_TURN = 64 };
/* By the default limit of a socket's buffer it is some 280. */
enum { MORE_THAN_A_SOCKET_HOLDS = 1024 };
/* One that closed its channel is about to end; if not, it is helped. */
#define END_AFTER_EOF DUR_S(1)

/* Monitor and probe have a channel of their own, made anew for each new process of either. */
static void introduce_peers(struct supervisor *s)
{
    struct channel to_monitor;
    struct channel to_probe;

    if (s->children[SLOT_PROBE].state != CHILD_READY ||
        s->children[SLOT_MONITOR].state != CHILD_READY) {
        return;
    }
    int rc = channel_pair(0, FROM_PROBE, FROM_MONITOR, &to_monitor, &to_probe);
    if (rc < 0) {
        log_warn("peer_failed", "error=%s", log_text(strerror(-rc)).is);
        return;
    }
    deeds_send(s, SLOT_MONITOR, MESSAGE_PEER, NULL, to_probe.fd);
    deeds_send(s, SLOT_PROBE, MESSAGE_PEER, NULL, to_monitor.fd);
    channel_close(&to_monitor);
    channel_close(&to_probe);
}

/* A message that came in. */
struct arrival {
    struct child_row *row; /* from whom */
    const struct message *m;
    int fd; /* that came with it, or -1; closed afterwards, unless it was taken and set to -1 */
};

static void on_hello(struct supervisor *s, struct arrival *in)
{
    struct child_row *row = in->row;

    if (row->state != CHILD_STARTING) {
        if (row->state == CHILD_READY) {
            child_kill(row, clock_now(), "said HELLO twice");
        }
        return;
    }
    child_ready(row, clock_now());
    if (row->slot == SLOT_WORKER) {
        s->lag = (struct lag){.due = false};
    }
    deeds_send_config(s, row->slot);
    if (log_fd_get() >
        STDERR_FILENO) { /* it may have been opened anew since the child was started */
        deeds_send(s, row->slot, MESSAGE_LOG, NULL, log_fd_get());
    }
    log_debug("child_ready", "child=%s child_pid=%d generation=%" PRIu64, row->spec->name,
              (int)row->pid, row->generation);
    if (row->slot == SLOT_PROBE || row->slot == SLOT_MONITOR) {
        introduce_peers(s);
    }
    if (row->slot == SLOT_PROBE) {
        deeds_happened(s, ELECTION_PROBE_READY);
    } else if (row->slot == SLOT_WORKER) {
        deeds_happened(s, ELECTION_WORKER_READY);
    }
}

/* That it was heard is all that matters. */
static void judge_progress(struct supervisor *s, struct child_row *worker,
                           const struct message_progress *progress)
{
    wall_ns wall = clock_wall();

    switch (lag_step(&s->lag, progress, wall, clock_now())) {
    case LAG_NONE:
        return;
    case LAG_SAY:
        log_warn("scheduler_lags", "late=%s decisions=%" PRIu64,
                 duration_text(lag_late(progress, wall)).is, progress->decisions);
        return;
    case LAG_OVER:
        log_info("scheduler_caught_up", "decisions=%" PRIu64, progress->decisions);
        return;
    case LAG_RESTART:
        log_error("scheduler_stuck", "late=%s decisions=%" PRIu64,
                  duration_text(lag_late(progress, wall)).is, progress->decisions);
        child_kill(worker, clock_now(), "its scheduler does not advance");
        return;
    }
}

static void on_alive(struct supervisor *s, struct arrival *in)
{
    if (in->row->slot == SLOT_WORKER) {
        judge_progress(s, in->row, &in->m->u.alive.progress);
    }
}

static void on_last_words(struct supervisor *s, struct arrival *in)
{
    (void)s;
    (void)snprintf(in->row->last_words, sizeof(in->row->last_words), "%s",
                   in->m->u.last_words.text);
}

static void on_fleet(struct supervisor *s, struct arrival *in)
{
    const struct message_fleet *fleet = &in->m->u.fleet;
    bool clock_wrong = fleet->clock_wrong != 0;

    s->heir_waits = fleet->heir_waits != 0;
    if (clock_wrong != s->clock_wrong) {
        s->clock_wrong = clock_wrong;
        deeds_happened(s, clock_wrong ? ELECTION_CLOCK_WRONG : ELECTION_CLOCK_RIGHT);
    }
    if (fleet->witness == WITNESS_DENIES) {
        deeds_election(s, &(struct election_event){
                              .type = ELECTION_WITNESS_DENIES,
                              .reason = END_WITNESS,
                              .epoch = fleet->epoch,
                          });
    }
}

static void on_seat_taken(struct supervisor *s, struct arrival *in)
{
    if (in->m->u.seat.elections != s->reload.elections) {
        return; /* of the election before a reload: it crossed our LEAVE */
    }
    s->seat = in->m->u.seat;
    s->seen = epoch_later(s->seen, s->seat.seen);
    deeds_election(s, &(struct election_event){
                          .type = ELECTION_SEAT_TAKEN,
                          .slice = s->seat.slice > 0 ? s->seat.slice : DUR_S(1),
                          .poll = s->seat.poll != 0,
                      });
}

static void on_seat_lost(struct supervisor *s, struct arrival *in)
{
    (void)in;
    deeds_happened(s, ELECTION_SEAT_LOST);
}

static void on_slice_answered(struct supervisor *s, struct arrival *in)
{
    deeds_election(
        s, &(struct election_event){.type = ELECTION_SLICE_ANSWERED, .turn = in->m->u.turn.turn});
}

static void on_elected(struct supervisor *s, struct arrival *in)
{
    const struct message_elected *elected = &in->m->u.elected;

    if (!election_expects(&s->election, elected->turn)) {
        /* What it holds cannot be known: it ends, and what it started. */
        child_kill(in->row, clock_now(), "elected without a campaign");
        return;
    }
    if (in->fd == -1 && s->election.terms.has_probe) {
        child_kill(in->row, clock_now(), "elected without its lock");
        return;
    }
    assert(s->lock_fd == -1);
    s->elected = *elected;
    s->seen = epoch_later(s->seen, elected->epoch);
    s->lock_fd = in->fd;
    in->fd = -1;
    deeds_election(s, &(struct election_event){
                          .type = ELECTION_ELECTED,
                          .turn = elected->turn,
                          .epoch = elected->epoch,
                          .deadline = elected->deadline,
                      });
}

static void on_renewed(struct supervisor *s, struct arrival *in)
{
    judge_progress(s, in->row, &in->m->u.renewed.progress);
    deeds_election(s, &(struct election_event){.type = ELECTION_RENEWED,
                                               .turn = in->m->u.renewed.turn,
                                               .deadline = in->m->u.renewed.deadline});
}

/* CAMPAIGN_FAILED, LOST, RELEASED. */
static void on_ended(struct supervisor *s, struct arrival *in)
{
    const struct message_ended *ended = &in->m->u.ended;
    enum election_event_type type = ELECTION_CAMPAIGN_FAILED;

    if (in->m->header.type == MESSAGE_LOST) {
        type = ELECTION_LOST;
    } else if (in->m->header.type == MESSAGE_RELEASED) {
        type = ELECTION_RELEASED;
    }
    bool known = ended->reason < END_REASON_COUNT;
    if (type == ELECTION_CAMPAIGN_FAILED && ended->reason == END_TERM_FAILED) {
        s->term_failure.at = clock_wall();
        (void)snprintf(s->term_failure.text, sizeof(s->term_failure.text), "%s", ended->text);
    }
    deeds_election(s, &(struct election_event){
                          .type = type,
                          .turn = ended->turn,
                          .reason = known ? (enum end_reason)ended->reason : END_INTERNAL,
                      });
}

static void on_opening_blocked(struct supervisor *s, struct arrival *in)
{
    struct message m = {.u.unblock = {.ledger_pid = in->m->u.blocked.ledger_pid}};

    if (in->m->u.blocked.turn == s->election.turn) {
        deeds_send(s, SLOT_PROBE, MESSAGE_UNBLOCK, &m, -1);
    }
}

static void on_fence_recorded(struct supervisor *s, struct arrival *in)
{
    if (epoch_equal(in->m->u.fenced.epoch, s->elected.epoch)) {
        deeds_happened(s, ELECTION_FENCE_RECORDED);
    }
}

static void on_command(struct supervisor *s, struct arrival *in)
{
    orders_take(s, &in->m->u.command);
}

/* A request in the database, or somebody who says so. */
static void on_requests(struct supervisor *s, struct arrival *in)
{
    (void)in;
    if (s->election.state == ELECTION_LEADER) {
        log_debug("requests", "epoch=%s", epoch_text(s->election.epoch).is);
        deeds_send(s, SLOT_WORKER, MESSAGE_REQUESTS, NULL, -1);
    }
}

static void on_job_command(struct supervisor *s, struct arrival *in)
{
    orders_take_job(s, &in->m->u.job_command);
}

static void on_job_answer(struct supervisor *s, struct arrival *in)
{
    orders_pass_answer(s, &in->m->u.job_answer);
}

static void on_service_ended(struct supervisor *s, struct arrival *in)
{
    int code = in->m->u.service_ended.code;
    char reason[64];

    s->service_ended = true;
    if (s->exit_code == 0) {
        s->exit_code = code;
    }
    log_info("service_ended", "code=%d", code);
    deeds_shutdown(s, SHUTDOWN_SERVICE_ENDED);
    if (!supervisor_is_stopping(s)) {
        (void)snprintf(reason, sizeof(reason), "the service ended with code %d", code);
        supervisor_stop(s, false, code, reason);
    }
}

/* Somebody else may do better; and whoever looks after this instance is to know that it did not. */
static void on_critical(struct supervisor *s, struct arrival *in)
{
    char reason[JOB_NAME_MAX + 64];

    if (!supervisor_is_stopping(s)) {
        (void)snprintf(reason, sizeof(reason), "the critical service '%s' cannot be kept up",
                       in->m->u.critical.job);
        supervisor_stop(s, false, 1, reason);
    }
}

/* What is not here does not come to a supervisor: the table of messages sees to most of it, and
 * QUERY and QUERY_REPLY belong on the channel between monitor and probe. */
static void (*const takers[MESSAGE_TYPE_COUNT])(struct supervisor *s, struct arrival *in) = {
    [MESSAGE_HELLO] = on_hello,
    [MESSAGE_ALIVE] = on_alive,
    [MESSAGE_LAST_WORDS] = on_last_words,
    [MESSAGE_SEAT_TAKEN] = on_seat_taken,
    [MESSAGE_SEAT_LOST] = on_seat_lost,
    [MESSAGE_FLEET] = on_fleet,
    [MESSAGE_FENCE_RECORDED] = on_fence_recorded,
    [MESSAGE_SLICE_ANSWERED] = on_slice_answered,
    [MESSAGE_CAMPAIGN_FAILED] = on_ended,
    [MESSAGE_OPENING_BLOCKED] = on_opening_blocked,
    [MESSAGE_ELECTED] = on_elected,
    [MESSAGE_RENEWED] = on_renewed,
    [MESSAGE_LOST] = on_ended,
    [MESSAGE_RELEASED] = on_ended,
    [MESSAGE_COMMAND] = on_command,
    [MESSAGE_REQUESTS] = on_requests,
    [MESSAGE_JOB_COMMAND] = on_job_command,
    [MESSAGE_JOB_ANSWER] = on_job_answer,
    [MESSAGE_SERVICE_ENDED] = on_service_ended,
    [MESSAGE_CRITICAL] = on_critical,
};

static void misbehaved(struct supervisor *s, struct child_row *row, int rc)
{
    log_error("child_misbehaved", "child=%s pid=%d generation=%" PRIu64 " error=%s",
              row->spec->name, (int)row->pid, row->generation, log_text(strerror(-rc)).is);
    inbox_unwatch(s, row);
    channel_close(&row->channel);
    child_kill(row, clock_now(), "misbehaved on its channel");
}

static void take(struct supervisor *s, struct arrival *in)
{
    if (takers[in->m->header.type] == NULL) {
        misbehaved(s, in->row, -EPERM);
    } else {
        takers[in->m->header.type](s, in);
    }
    if (in->fd != -1) {
        (void)close(in->fd); /* one that nobody asked for */
    }
}

/* Reads one message. False: there is no more for now. */
static bool read_one(struct supervisor *s, struct child_row *row)
{
    struct message m;
    struct arrival in = {.row = row, .m = &m, .fd = -1};

    if (row->channel.fd == -1) {
        return false;
    }
    int rc = channel_receive(&row->channel, &m, &in.fd);
    if (rc == 1) {
        child_heard(row, clock_now());
        take(s, &in);
        return true;
    }
    if (rc == 0) {
        inbox_unwatch(s, row);
        channel_close(&row->channel);
        child_end(row, clock_now() + END_AFTER_EOF);
    } else if (rc != -EAGAIN) {
        misbehaved(s, row, rc);
    }
    return false;
}

static struct supervisor *owner(struct ev_loop *loop)
{
    return ev_userdata(loop);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct supervisor *s = owner(loop);
    struct child_row *row = io->data;

    (void)events;
    for (int i = 0; i < MESSAGES_A_TURN && read_one(s, row); i++) {
    }
    supervisor_settle(s);
}

void inbox_watch(struct supervisor *s, struct child_row *row)
{
    ev_io_init(&row->io, on_readable, row->channel.fd, EV_READ);
    row->io.data = row;
    ev_io_start(s->loop, &row->io);
}

void inbox_unwatch(struct supervisor *s, struct child_row *row)
{
    ev_io_stop(s->loop, &row->io);
}

unsigned inbox_drain(struct supervisor *s, struct child_row *row)
{
    unsigned count = 0;

    /* A live child could otherwise write for ever. */
    while (count < MORE_THAN_A_SOCKET_HOLDS && read_one(s, row)) {
        count++;
    }
    return count;
}
