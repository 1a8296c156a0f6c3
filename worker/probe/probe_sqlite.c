/*
 * The probe over a lock file: every answer is known at once, there is no clock
 * to compare and no lease. The seat is byte 1 of PATH.lock.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/database/lock_file.h"
#include "worker/probe/probe.h"
#include "worker/probe/query_sqlite.h"

struct shell {
    struct probe *probe;
    int fd; /* -1: not open. Closing it gives the seat up */
};

static const char *path_of(const struct shell *s)
{
    return s->probe->cfg->database.dsn;
}

static struct shell *sqlite_open(struct probe *p)
{
    struct shell *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        child_die(p->child, CHILD_EXIT_FAILED, "out of memory");
    }
    s->probe = p;
    s->fd = -1;
    return s;
}

static void close_file(struct shell *s)
{
    if (s->fd != -1) {
        (void)close(s->fd);
        s->fd = -1;
    }
}

static void sqlite_close(struct shell *s)
{
    if (s != NULL) {
        close_file(s);
        free(s);
    }
}

static void lost(struct shell *s, enum end_reason reason, const char *text)
{
    close_file(s);
    shell_disconnected(s->probe, reason, false, text);
}

static void sqlite_connect(struct shell *s)
{
    char text[REASON_MAX] = "";
    int fd = lock_file_open(path_of(s), text, sizeof(text));

    assert(s->fd == -1);
    if (fd < 0) { /* a lock file on a network file system stays there */
        shell_disconnected(s->probe, END_CONNECT_FAILED, fd == -EREMOTE, text);
        return;
    }
    s->fd = fd;
    shell_connected(s->probe, "lock file");
}

static enum holder_kind kind_of(const struct shell *s, bool key_held, bool term_known,
                                const struct lock_term *term)
{
    if (!key_held) {
        return HOLDER_NOBODY;
    }
    if (s->probe->leads || (term_known && term->incarnation == s->probe->incarnation)) {
        return HOLDER_OURS;
    }
    return HOLDER_PGBATON;
}

/* The worker locks through a description of its own, so that ours sees it as another's. */
static enum witness_verdict verdict_of(const struct shell *s, bool key_held)
{
    if (!s->probe->leads) {
        return WITNESS_UNKNOWN;
    }
    return key_held ? WITNESS_CONFIRMS : WITNESS_DENIES;
}

static void sqlite_look(struct shell *s)
{
    int key = lock_file_is_held(s->fd, LOCK_BYTE_LEADER);
    int seat = lock_file_is_held(s->fd, LOCK_BYTE_SEAT);
    struct lock_term term = {0};
    bool term_known = lock_term_read(path_of(s), &term) == 0;

    if (key < 0 || seat < 0) {
        lost(s, END_SESSION_ENDED, strerror(key < 0 ? -key : -seat));
        return;
    }
    if (!lock_file_is_same(s->fd, path_of(s))) {
        lost(s, END_SESSION_ENDED, "the lock file was replaced");
        return;
    }
    struct sight sight = {
        .holder = kind_of(s, key == 1, term_known, &term),
        .seat_free = seat == 0,
        .seat_other = seat == 1,
        .witness = verdict_of(s, key == 1),
        .epoch = term.epoch,
        .poll = s->probe->cfg->election.mode == MODE_POLL,
    };

    if (key == 1 && term_known && !term.ended) {
        memcpy(sight.instance, term.instance, sizeof(sight.instance));
    }
    shell_looked(s->probe, &sight);
}

static void sqlite_take(struct shell *s)
{
    int rc = lock_file_try(s->fd, LOCK_BYTE_SEAT);

    if (rc < 0 && rc != -EAGAIN) {
        lost(s, END_INTERNAL, strerror(-rc));
        return;
    }
    shell_taken(s->probe, rc == 0);
}

static void sqlite_give(struct shell *s)
{
    int rc = lock_file_unlock(s->fd, LOCK_BYTE_SEAT);

    if (rc < 0) {
        lost(s, END_INTERNAL, strerror(-rc));
        return;
    }
    shell_given(s->probe);
}

static void sqlite_fence(struct shell *s, const struct message_fenced *fenced)
{
    struct lock_term term;
    int rc = lock_term_read(path_of(s), &term);

    if (rc == 0 && term.incarnation == s->probe->incarnation &&
        epoch_equal(term.epoch, fenced->epoch) && !term.ended) {
        term.ended = true;
        (void)snprintf(term.ended_as, sizeof(term.ended_as), "fenced");
        rc = lock_term_end(path_of(s), &term);
    }
    /* -ESTALE: the disk took so long that the next term has come. */
    if (rc < 0 && rc != -ESTALE) {
        log_warn("fence_not_recorded", "epoch=%s error=%s", epoch_text(fenced->epoch).is,
                 log_text(strerror(-rc)).is);
        return;
    }
    shell_fenced(s->probe, fenced);
}

/* Nothing but the lock blocks anybody here. */
static void sqlite_unblock(struct shell *s, int ledger_pid)
{
    (void)s;
    (void)ledger_pid;
}

/* Answered at once. */
static void sqlite_query(struct shell *s, const struct message_query *query)
{
    if (query_sqlite(s->probe, query)) {
        shell_requested(s->probe);
    }
}

static void sqlite_adopt(struct shell *s)
{
    (void)s;
}

static void sqlite_where(struct shell *s, struct message_seat *seat)
{
    (void)snprintf(seat->address.host, sizeof(seat->address.host), "%s", path_of(s));
}

static mono_ns sqlite_wake_at(struct shell *s)
{
    (void)s;
    return MONO_NEVER;
}

static void sqlite_due(struct shell *s, mono_ns now)
{
    (void)s;
    (void)now;
}

const struct shell_kind shell_sqlite = {
    .open = sqlite_open,
    .close = sqlite_close,
    .connect = sqlite_connect,
    .look = sqlite_look,
    .take = sqlite_take,
    .give = sqlite_give,
    .fence = sqlite_fence,
    .unblock = sqlite_unblock,
    .query = sqlite_query,
    .adopt = sqlite_adopt,
    .where = sqlite_where,
    .wake_at = sqlite_wake_at,
    .due = sqlite_due,
};
