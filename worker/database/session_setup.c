#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/database/session_private.h"
#include "worker/database/settings.h"

enum { VERSION_LEAST = 140000 };

static bool answered_with_rows(struct session *s, const PGresult *result)
{
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        return true;
    }
    session_candidate_refused(s, PQresultErrorMessage(result));
    return false;
}

static void become_ready(struct session *s)
{
    const struct server_identity *want = &s->expect;
    bool other_system = want->system_id != 0 && want->system_id != s->identity.system_id;
    bool other_timeline = want->timeline != 0 && want->timeline != s->identity.timeline;

    if (other_system || other_timeline) {
        char text[160];

        (void)snprintf(
            text, sizeof(text),
            "it is system %llu on timeline %u, and system %llu on timeline %u was expected",
            (unsigned long long)s->identity.system_id, s->identity.timeline,
            (unsigned long long)want->system_id, want->timeline);
        session_candidate_refused(s, text);
        return;
    }
    session_is_set_up(s);
}

/* Both functions may be executed by everybody, unless somebody took that away: then one of them, or
 * none, is known, and 0 stands for unknown. */
static const char *const identity_sql[] = {
    "SELECT system_identifier, pg_walfile_name(pg_current_wal_insert_lsn()) FROM "
    "pg_control_system()",
    "SELECT 0, pg_walfile_name(pg_current_wal_insert_lsn())",
    "SELECT system_identifier, '' FROM pg_control_system()",
    "SELECT 0, ''",
};
enum { IDENTITY_TRIES = sizeof(identity_sql) / sizeof(identity_sql[0]) };

static void on_identity(void *ctx, PGresult *result)
{
    struct session *s = ctx;
    char timeline[9] = "";

    if (PQresultStatus(result) != PGRES_TUPLES_OK && s->identity_try + 1 < IDENTITY_TRIES) {
        s->identity_try++;
        session_set_up_ask(s, identity_sql[s->identity_try], on_identity);
        return;
    }
    if (!answered_with_rows(s, result)) {
        return;
    }
    (void)snprintf(timeline, sizeof(timeline), "%.8s", PQgetvalue(result, 0, 1));
    s->identity.system_id = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    s->identity.timeline = (uint32_t)strtoul(timeline, NULL, 16);
    become_ready(s);
}

static struct settings settings_of(const struct session *s)
{
    struct settings wanted = {
        .lease = s->config->election.lease,
        .lock_timeout = s->lock_timeout,
        .tcp = PQhostaddr(s->conn)[0] != '\0',
    };

    switch (s->purpose) {
    case SESSION_PROBE:
        wanted.session = SETTINGS_PROBE;
        break;
    case SESSION_LOCK:
        wanted.session = SETTINGS_LOCK;
        break;
    case SESSION_LEDGER:
        wanted.session = SETTINGS_LEDGER;
        break;
    }
    return wanted;
}

static void on_pinned(void *ctx, PGresult *result)
{
    struct session *s = ctx;
    struct settings wanted = settings_of(s);
    char text[CONNECT_TEXT_MAX];

    if (!answered_with_rows(s, result)) {
        return;
    }
    if (settings_verify(&wanted, result, text, sizeof(text)) < 0) {
        session_candidate_refused(s, text);
        return;
    }
    s->slice = settings_slice(result);
    s->state = STATE_IDENTIFYING;
    s->identity_try = 0;
    session_set_up_ask(s, identity_sql[0], on_identity);
}

static void pin_settings(struct session *s)
{
    struct settings wanted = settings_of(s);
    char *sql = settings_sql(&wanted);

    if (sql == NULL) {
        session_candidate_failed(s, "out of memory");
        return;
    }
    s->state = STATE_PINNING;
    session_set_up_ask(s, sql, on_pinned);
    free(sql);
}

static void on_checked(void *ctx, PGresult *result)
{
    struct session *s = ctx;
    char text[200];

    if (!answered_with_rows(s, result)) {
        return;
    }
    int pid = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);

    if (pid != PQbackendPID(s->conn)) {
        session_candidate_refused(s,
                                  "a connection pooler stands in between: pgbaton needs a direct "
                                  "connection to PostgreSQL");
    } else if (PQserverVersion(s->conn) < VERSION_LEAST) {
        (void)snprintf(text, sizeof(text), "PostgreSQL %d is too old: 14 is the oldest supported",
                       PQserverVersion(s->conn) / 10000);
        session_candidate_refused(s, text);
    } else if (strcmp(PQgetvalue(result, 0, 1), "t") == 0) {
        session_candidate_refused(s, "it is a standby (in recovery): a lock there excludes nobody");
    } else {
        pin_settings(s);
    }
}

/* Before any SET: behind a pooler a SET would leak into the sessions of others. */
void session_set_up(struct session *s)
{
    s->state = STATE_CHECKING;
    session_set_up_ask(s, "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()",
                       on_checked);
}
