#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/duration.h"
#include "common/log.h"
#include "worker/probe/probe.h"

/* A reason that changes from attempt to attempt is not told more often than this. */
#define DOWN_AGAIN_AFTER DUR_S(60)
/* But this is told at once: how the session ended, and why there is no other one. */
#define DOWN_AT_ONCE 2
/* Silence for longer looks like a hang to the supervisor, long before its limit. */
#define ALIVE_AFTER DUR_S(30)

/* End of file tells the rest of the process; a full socket means that the supervisor hangs, and
 * then there is nobody to hold a seat for. */
void report_send(struct probe *p, enum message_type type, struct message *m)
{
    int rc = channel_send(&p->child->up, type, m, -1);

    if (rc == -EPIPE) {
        p->stopping = true;
        ev_break(p->child->loop, EVBREAK_ALL);
    } else if (rc < 0) {
        child_die(p->child, CHILD_EXIT_FAILED, "cannot send %s: %s", message_name(type),
                  strerror(-rc));
    }
    p->alive_at = clock_now() + ALIVE_AFTER;
}

void report_alive(struct probe *p)
{
    report_send(p, MESSAGE_ALIVE, NULL);
}

void report_alive_in_passing(struct probe *p)
{
    if (p->alive_at - clock_now() <= ALIVE_AFTER / 3) {
        report_alive(p);
    }
}

static void send_fleet(struct probe *p, const struct message_fleet *fleet)
{
    struct message m = {.u.fleet = *fleet};

    if (p->fleet_sent && memcmp(&p->fleet, fleet, sizeof(*fleet)) == 0) {
        return;
    }
    p->fleet = *fleet;
    p->fleet_sent = true;
    report_send(p, MESSAGE_FLEET, &m);
}

static void log_clock(struct probe *p, const struct sight *seen)
{
    const char *sign = seen->clock_offset < 0 ? "-" : "";
    struct duration_text off =
        duration_text(seen->clock_offset < 0 ? -seen->clock_offset : seen->clock_offset);
    struct duration_text limit = duration_text(p->cfg->database.max_clock_skew);

    if (seen->skew == p->skew_logged) {
        return;
    }
    p->skew_logged = seen->skew;
    switch (seen->skew) {
    case SKEW_NONE:
        log_info("clock_right", "offset=%s%s", sign, off.is);
        return;
    case SKEW_OURS:
        log_error("clock_wrong", "offset=%s%s limit=%s hint=\"correct the clock of this host\"",
                  sign, off.is, limit.is);
        return;
    case SKEW_SERVERS:
        log_error("server_clock_wrong",
                  "offset=%s%s limit=%s hint=\"the clock of the database's host was set, and ours "
                  "was not: correct it\"",
                  sign, off.is, limit.is);
        return;
    }
}

/* A foreign holder keeps the whole fleet from leading: said once each time it appears. */
static void log_holder(const struct probe *p, const struct sight *seen)
{
    if (seen->holder == HOLDER_FOREIGN &&
        (p->fleet.holder != HOLDER_FOREIGN || p->shown.holder_pid != seen->holder_pid)) {
        log_warn("key_held_elsewhere", "election=%s backend_pid=%d application_name=%s",
                 log_text(p->cfg->election.name).is, seen->holder_pid,
                 log_text(seen->application).is);
    }
}

/* Of ours, what the leader has not is run by nobody: so for a moment while a new version is rolled
 * out, for good where two services share an election. */
static void log_jobs(const struct probe *p, const struct sight *seen, bool unserved)
{
    if (unserved && p->shown.jobs_differ == 0) {
        log_error("jobs_unserved",
                  "election=%s leader=%s hint=\"the leader has another set of jobs: what only we "
                  "have is run by nobody; two services need two elections\"",
                  log_text(p->cfg->election.name).is, log_text(seen->instance).is);
    } else if (!unserved && p->shown.jobs_differ != 0) {
        log_info("jobs_served", "election=%s", log_text(p->cfg->election.name).is);
    }
}

void report_sight(struct probe *p, const struct sight *seen)
{
    struct message_fleet fleet = {
        .database = DATABASE_UP,
        .holder = seen->holder,
        .heir_waits = seen->seat_other,
        .witness = seen->witness,
        .epoch = p->leads ? p->lead.epoch : (struct epoch){0},
        .clock_wrong = seen->skew == SKEW_OURS,
    };
    bool unserved = unserved_look(&p->unserved, seen->unserved, clock_now());

    log_clock(p, seen);
    log_holder(p, seen);
    log_jobs(p, seen, unserved);
    p->shown.database = DATABASE_UP;
    p->shown.holder = seen->holder;
    p->shown.holder_pid = seen->holder_pid;
    p->shown.heir_waits = seen->seat_other;
    p->shown.jobs_differ = unserved;
    p->shown.looked_at = clock_wall();
    p->shown.clock_offset_ns = seen->clock_offset;
    p->shown.server_clock_wrong = seen->skew == SKEW_SERVERS;
    p->shown.leader_epoch = seen->epoch;
    p->seen = epoch_later(p->seen, seen->epoch);
    (void)snprintf(p->shown.leader_instance, sizeof(p->shown.leader_instance), "%s",
                   seen->instance);
    (void)snprintf(p->shown.holder_application, sizeof(p->shown.holder_application), "%s",
                   seen->application);
    scoreboard_put_probe(p->child->board, &p->shown);
    send_fleet(p, &fleet);
}

/* The masking is the log's; its quotes are not wanted where the text goes into the log once more.
 */
static void mask(const char *text, char *ret_masked, size_t size)
{
    struct log_text masked = log_text(text);
    size_t used = 0;

    for (const char *c = masked.is; *c != '\0' && used + 1 < size; c++) {
        if (*c == '\\' && (c[1] == '"' || c[1] == '\\')) {
            c++;
        } else if (*c == '"') {
            continue;
        }
        ret_masked[used++] = *c;
    }
    ret_masked[used] = '\0';
}

static void log_down(struct probe *p, bool refused)
{
    bool same = strcmp(p->down_reason, p->shown.reason) == 0;
    bool soon = clock_now() - p->down_logged_at < DOWN_AGAIN_AFTER;

    if (p->shown.database != DATABASE_DOWN) {
        p->down_told = 0;
    } else if (same || (soon && p->down_told >= DOWN_AT_ONCE)) {
        return;
    }
    p->down_told++;
    /* Waiting brings a server back; it does not remove a pooler. */
    log_event(refused ? LEVEL_ERROR : LEVEL_WARN, "database_down", "election=%s reason=%s",
              log_text(p->cfg->election.name).is, log_text(p->shown.reason).is);
    (void)snprintf(p->down_reason, sizeof(p->down_reason), "%s", p->shown.reason);
    p->down_logged_at = clock_now();
}

void report_down(struct probe *p, bool refused, const char *text)
{
    struct message_fleet fleet = p->fleet;

    fleet.database = DATABASE_DOWN;
    fleet.holder = HOLDER_UNKNOWN;
    fleet.heir_waits = 0;
    fleet.witness = WITNESS_UNKNOWN;
    (void)unserved_look(&p->unserved, UNSERVED_UNKNOWN, clock_now());

    /* People read it in the status too, where no password may be. */
    mask(text, p->shown.reason, sizeof(p->shown.reason));
    log_down(p, refused);
    p->shown.database = DATABASE_DOWN;
    p->shown.holder = HOLDER_UNKNOWN;
    p->shown.holder_pid = 0;
    p->shown.heir_waits = 0;
    p->shown.connect_failures++;
    scoreboard_put_probe(p->child->board, &p->shown);
    send_fleet(p, &fleet);
}

void report_up(struct probe *p, const char *server_version)
{
    struct message_seat where = {0};

    p->kind->where(p->shell, &where);
    p->shown.address = where.address;
    p->shown.server = where.server;
    (void)snprintf(p->shown.server_version, sizeof(p->shown.server_version), "%s", server_version);
    p->shown.reason[0] = '\0';
    p->down_reason[0] = '\0';
    if (p->shown.database != DATABASE_UP) {
        log_info("database_up", "election=%s host=%s port=%s version=%s",
                 log_text(p->cfg->election.name).is, log_text(where.address.host).is,
                 log_text(where.address.port).is, log_text(server_version).is);
    }
    p->shown.database = DATABASE_UP;
}

void report_seat(struct probe *p, bool held)
{
    p->shown.seat_held = held;
    scoreboard_put_probe(p->child->board, &p->shown);
}
