/*
 * Somebody must lead: a backend that is stuck, or one that blocks the opening
 * of a term when the lease before it is over, is ended by the server for us.
 * Always by what it is, and not by its pid alone: pids come back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/database/connect.h"
#include "worker/probe/postgres.h"

static void add_ending(struct shell *pg, const struct ending *ending)
{
    if (pg->ending_count < ENDINGS_MAX) {
        pg->endings[pg->ending_count++] = *ending;
        postgres_want(pg, WANT_END);
    }
}

static void end_holder(struct shell *pg, const struct look_holder *holder, const char *what)
{
    struct ending ending = {.pid = holder->session.pid, .what = what};

    memcpy(ending.backend_start, holder->session.backend_start, sizeof(ending.backend_start));
    memcpy(ending.application, holder->application, sizeof(ending.application));
    add_ending(pg, &ending);
}

/* The heir ends the leader, and only the very session that the current term records; anybody ends
 * an heir, and only one of the own role. Never a foreign holder. */
void evict_stuck(struct shell *pg, const struct look *look, bool polls, mono_ns now)
{
    const struct probe *p = pg->probe;
    bool seat_ours = look->seat.session.pid == session_backend_pid(pg->session);

    if (!stuck_may_end_leader(p->seat.state == SEAT_HELD, polls, p->seat.wanted) ||
        !look_is_of_term(&look->term, &look->key.session)) {
        pg->key_watch = (struct stuck_watch){0};
    } else if (stuck_look(&pg->key_watch, &look->key.session, look->term.lease, now)) {
        end_holder(pg, &look->key, "leader");
    }
    if (seat_ours || !look->seat.own_role) {
        pg->seat_watch = (struct stuck_watch){0};
    } else if (stuck_look(&pg->seat_watch, &look->seat.session, p->cfg->election.lease, now)) {
        end_holder(pg, &look->seat, "heir");
    }
}

/* The term before ours is the current one for as long as ours is not committed. */
static dur_ns previous_lease(const struct shell *pg)
{
    if (!pg->last.term.known) {
        return pg->probe->cfg->election.lease;
    }
    return pg->last.term.ended ? 0 : pg->last.term.lease;
}

void evict_blockers(struct shell *pg, int ledger_pid)
{
    if (stuck_opening_due(&pg->opening, ledger_pid, previous_lease(pg), clock_now())) {
        pg->blocked = ledger_pid;
        postgres_want(pg, WANT_BLOCKERS);
    }
}

void evict_ask_blockers(struct shell *pg)
{
    char pid[16];
    const char *values[] = {pid};

    (void)snprintf(pid, sizeof(pid), "%d", pg->blocked);
    postgres_ask(
        pg,
        "SELECT b.pid, a.application_name FROM unnest(pg_blocking_pids($1::int)) AS b(pid) "
        "LEFT JOIN pg_stat_activity a ON a.pid = b.pid",
        1, values, POSTGRES_LIMIT);
}

void evict_on_blockers(struct shell *pg, PGresult *result)
{
    char said[CONNECT_TEXT_MAX];

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        connect_said(result, said, sizeof(said));
        log_warn("blockers_unknown", "ledger_pid=%d error=%s", pg->blocked, log_text(said).is);
        return;
    }
    for (int row = 0; row < PQntuples(result); row++) {
        struct ending ending = {
            .pid = (int)strtol(PQgetvalue(result, row, 0), NULL, 10),
            .blocked = pg->blocked,
            .what = "blocker",
        };

        if (ending.pid == 0) {
            log_error("blocker_stays",
                      "ledger_pid=%d hint=\"a prepared transaction holds the row "
                      "of the election: commit it or roll it back\"",
                      pg->blocked);
            continue;
        }
        (void)snprintf(ending.application, sizeof(ending.application), "%s",
                       PQgetvalue(result, row, 1));
        add_ending(pg, &ending);
    }
}

/* With some time to die in: the signal alone says nothing about a backend that is stopped. */
void evict_ask_end(struct shell *pg)
{
    const struct ending *ending = &pg->endings[0];
    char pid[16];
    char blocked[16];
    char within[24];
    const char *values[] = {pid, blocked, within};

    (void)snprintf(pid, sizeof(pid), "%d", ending->pid);
    (void)snprintf(blocked, sizeof(blocked), "%d", ending->blocked);
    (void)snprintf(within, sizeof(within), "%" PRId64,
                   stuck_end_within(pg->probe->cfg->election.lease) / DUR_MS(1));
    if (ending->backend_start[0] == '\0') {
        postgres_ask(
            pg,
            "SELECT pg_terminate_backend(b.pid, $3::bigint) FROM unnest(pg_blocking_pids($2::int)) "
            "AS b(pid) WHERE b.pid = $1::int LIMIT 1",
            3, values, POSTGRES_LIMIT);
        return;
    }
    values[1] = ending->backend_start;
    postgres_ask(pg,
                 "SELECT pg_terminate_backend(pid, $3::bigint) FROM pg_stat_activity "
                 "WHERE pid = $1::int AND backend_start = $2::timestamptz",
                 3, values, POSTGRES_LIMIT);
}

static void log_ending(const struct ending *ending, const PGresult *result)
{
    bool answered = PQresultStatus(result) == PGRES_TUPLES_OK;
    char said[CONNECT_TEXT_MAX] = "it does not react to SIGTERM";

    if (answered && PQntuples(result) == 0) {
        return; /* gone by itself */
    }
    if (answered && strcmp(PQgetvalue(result, 0, 0), "t") == 0) {
        log_warn("session_ended", "was=%s backend_pid=%d application_name=%s by=us", ending->what,
                 ending->pid, log_text(ending->application).is);
    } else {
        if (!answered) {
            connect_said(result, said, sizeof(said));
        }
        log_error(
            "session_stays",
            "was=%s backend_pid=%d application_name=%s error=%s hint=\"end this process of the "
            "server by other means\"",
            ending->what, ending->pid, log_text(ending->application).is, log_text(said).is);
    }
}

void evict_on_end(struct shell *pg, PGresult *result)
{
    log_ending(&pg->endings[0], result);
    pg->ending_count--;
    memmove(&pg->endings[0], &pg->endings[1], pg->ending_count * sizeof(pg->endings[0]));
    if (pg->ending_count > 0) {
        postgres_want(pg, WANT_END);
    }
}
