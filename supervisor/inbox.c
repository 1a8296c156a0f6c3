#include "supervisor/inbox.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/deeds.h"
#include "supervisor/orders.h"

/* One chatty child must not keep the others waiting. */
enum { MESSAGES_A_TURN = 64 };
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

static void on_hello(struct supervisor *s, struct child_row *row)
{
    if (row->state != CHILD_STARTING) {
        if (row->state == CHILD_READY) {
            child_kill(row, clock_now(), "said HELLO twice");
        }
        return;
    }
    child_ready(row, clock_now());
    deeds_send_config(s, row->slot);
    log_debug("child_ready", "child=%s pid=%d generation=%" PRIu64, row->spec->name,
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

static void on_fleet(struct supervisor *s, const struct message_fleet *fleet)
{
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

static void on_seat_taken(struct supervisor *s, const struct message_seat *seat)
{
    s->seat = *seat;
    deeds_election(s, &(struct election_event){
                          .type = ELECTION_SEAT_TAKEN,
                          .slice = seat->slice > 0 ? seat->slice : DUR_S(1),
                          .poll = seat->poll != 0,
                      });
}

/* *fd is taken over, and set to -1, where the election expects it. */
static void on_elected(struct supervisor *s, const struct message_elected *elected, int *fd)
{
    if (!election_expects(&s->election, elected->turn)) {
        /* What it holds cannot be known: it ends, and what it started. */
        child_kill(&s->children[SLOT_WORKER], clock_now(), "elected without a campaign");
        return;
    }
    assert(s->lock_fd == -1);
    s->elected = *elected;
    s->lock_fd = *fd;
    *fd = -1;
    deeds_election(s, &(struct election_event){
                          .type = ELECTION_ELECTED,
                          .turn = elected->turn,
                          .epoch = elected->epoch,
                          .deadline = elected->deadline,
                      });
}

static void on_ended(struct supervisor *s, enum election_event_type type,
                     const struct message_ended *ended)
{
    deeds_election(s, &(struct election_event){
                          .type = type,
                          .turn = ended->turn,
                          .reason = ended->reason < END_REASON_COUNT
                                        ? (enum end_reason)ended->reason
                                        : END_INTERNAL,
                      });
}

static void on_blocked(struct supervisor *s, const struct message_blocked *blocked)
{
    struct message m = {.u.unblock = {.ledger_pid = blocked->ledger_pid}};

    if (blocked->turn == s->election.turn) {
        deeds_send(s, SLOT_PROBE, MESSAGE_UNBLOCK, &m, -1);
    }
}

static void on_fence_recorded(struct supervisor *s, const struct message_fenced *fenced)
{
    if (epoch_equal(fenced->epoch, s->elected.epoch)) {
        deeds_happened(s, ELECTION_FENCE_RECORDED);
    }
}

static void on_last_words(struct child_row *row, const struct message_last_words *words)
{
    (void)snprintf(row->last_words, sizeof(row->last_words), "%s", words->text);
}

static void on_service_ended(struct supervisor *s, const struct message_service_ended *ended)
{
    char reason[64];

    s->service_ended = true;
    if (s->exit_code == 0) {
        s->exit_code = ended->code;
    }
    (void)snprintf(reason, sizeof(reason), "the service ended with code %d", (int)ended->code);
    log_info("service_ended", "code=%d", (int)ended->code);
    deeds_shutdown(s, SHUTDOWN_SERVICE_ENDED);
    if (!supervisor_is_stopping(s)) {
        supervisor_stop(s, false, ended->code, reason);
    }
}

/* What only the supervisor says never comes in: the table of messages sees to it. */
static void take(struct supervisor *s, struct child_row *row, const struct message *m, int *fd)
{
    const enum message_type type = (enum message_type)m->header.type;

    switch (type) {
    case MESSAGE_HELLO:
        on_hello(s, row);
        return;
    case MESSAGE_ALIVE:
        return;
    case MESSAGE_LAST_WORDS:
        on_last_words(row, &m->u.last_words);
        return;
    case MESSAGE_SEAT_TAKEN:
        on_seat_taken(s, &m->u.seat);
        return;
    case MESSAGE_SEAT_LOST:
        deeds_election(s, &(struct election_event){.type = ELECTION_SEAT_LOST,
                                                   .reason = END_SEAT_LOST});
        return;
    case MESSAGE_FLEET:
        on_fleet(s, &m->u.fleet);
        return;
    case MESSAGE_FENCE_RECORDED:
        on_fence_recorded(s, &m->u.fenced);
        return;
    case MESSAGE_SLICE_ANSWERED:
        deeds_election(s, &(struct election_event){.type = ELECTION_SLICE_ANSWERED,
                                                   .turn = m->u.turn.turn});
        return;
    case MESSAGE_CAMPAIGN_FAILED:
        on_ended(s, ELECTION_CAMPAIGN_FAILED, &m->u.ended);
        return;
    case MESSAGE_OPENING_BLOCKED:
        on_blocked(s, &m->u.blocked);
        return;
    case MESSAGE_ELECTED:
        on_elected(s, &m->u.elected, fd);
        return;
    case MESSAGE_RENEWED:
        deeds_election(s, &(struct election_event){.type = ELECTION_RENEWED,
                                                   .turn = m->u.renewed.turn,
                                                   .deadline = m->u.renewed.deadline});
        return;
    case MESSAGE_LOST:
        on_ended(s, ELECTION_LOST, &m->u.ended);
        return;
    case MESSAGE_RELEASED:
        on_ended(s, ELECTION_RELEASED, &m->u.ended);
        return;
    case MESSAGE_COMMAND:
        orders_take(s, &m->u.command);
        return;
    case MESSAGE_SERVICE_ENDED:
        on_service_ended(s, &m->u.service_ended);
        return;
    case MESSAGE_FLEET_REPLY: /* is for the monitor, on another channel */
        child_kill(row, clock_now(), "FLEET_REPLY on the wrong channel");
        return;
    case MESSAGE_FLEET_QUERY:
        child_kill(row, clock_now(), "FLEET_QUERY on the wrong channel");
        return;
    case MESSAGE_CONFIG:
    case MESSAGE_PEER:
    case MESSAGE_LOG:
    case MESSAGE_STOP:
    case MESSAGE_SEEK:
    case MESSAGE_LEAVE:
    case MESSAGE_LEAD:
    case MESSAGE_FENCED:
    case MESSAGE_UNBLOCK:
    case MESSAGE_CAMPAIGN:
    case MESSAGE_STAND_DOWN:
    case MESSAGE_REPLY:
    case MESSAGE_SIGNAL:
    case MESSAGE_TYPE_COUNT:
        break;
    }
    assert(!"a message that no child may send");
}

static void misbehaved(struct supervisor *s, struct child_row *row, int rc)
{
    log_error("child_misbehaved", "child=%s pid=%d generation=%" PRIu64 " error=%s",
              row->spec->name, (int)row->pid, row->generation, log_text(strerror(-rc)).is);
    inbox_unwatch(s, row);
    channel_close(&row->channel);
    child_kill(row, clock_now(), "misbehaved on its channel");
}

/* Reads one message. False: there is no more for now. */
static bool read_one(struct supervisor *s, struct child_row *row)
{
    struct message m;
    int fd = -1;

    if (row->channel.fd == -1) {
        return false;
    }
    int rc = channel_receive(&row->channel, &m, &fd);
    if (rc == 1) {
        child_heard(row, clock_now());
        take(s, row, &m, &fd);
        if (fd != -1) {
            (void)close(fd); /* one that nobody asked for */
        }
        return true;
    }
    if (rc == 0 || rc == -ECONNRESET) {
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

void inbox_drain(struct supervisor *s, struct child_row *row)
{
    /* Bounded by what the socket holds: a live child could otherwise write for ever. */
    for (int i = 0; i < 4 * MESSAGES_A_TURN && read_one(s, row); i++) {
    }
}
