/* The term is PATH.term: who leads, or how the last one ended. Written by whoever holds the key. */
#include "worker/leader/term.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/timer.h"
#include "worker/database/lock_file.h"
#include "worker/database/sqlite_file.h"
#include "worker/database/sqlite_term.h"

struct term_file {
    struct term term;
    struct timer timer; /* events come from the loop */
    bool begin;
    bool stamp;
    bool had_previous;
    mono_ns wait_until; /* jobs of the terms before may live until then */
    struct lock_term previous;
    struct lock_term ours;
};

static struct term_file *of(struct term *t)
{
    return (struct term_file *)t;
}

static const char *path_of(const struct term_file *f)
{
    return f->term.options.config->database.dsn;
}

static void failed(struct term_file *f, const char *what, int rc)
{
    char text[REASON_MAX];

    (void)snprintf(text, sizeof(text), "%s %s.term: %s", what, path_of(f), strerror(-rc));
    f->term.events.on_failed(f->term.events.ctx, text);
}

/* PATH.term may be gone, or an old copy: what the ledger has seen is not repeated. Where it cannot
 * be read it cannot be written either, and says so itself. */
static struct epoch seen_by_ledger(const struct term_file *f)
{
    char text[SQLITE_FILE_TEXT_MAX];
    struct epoch epoch = {0};

    if (sqlite_term_read(path_of(f), f->term.options.config->election.name, &epoch, text,
                         sizeof(text)) < 0) {
        log_debug("ledger_epoch_unknown", "error=%s", log_text(text).is);
    }
    return epoch;
}

static void look(struct term_file *f)
{
    const struct config_election *election = &f->term.options.config->election;
    const struct takeover_rules rules = term_rules(&f->term);
    const struct takeover_term previous = {
        .server = f->term.options.server,
        .ended_cleanly = f->previous.ended,
        .unfinished_runs = 1, /* the file does not say */
        .lease = f->previous.lease,
        .heartbeat = election->heartbeat, /* the file has only the lease */
        .loss_grace = election->loss_grace,
    };

    struct takeover takeover = takeover_decide(&rules, &previous, f->had_previous ? 1 : 0);

    f->wait_until = clock_now() + takeover.wait;
    f->term.events.on_looked(f->term.events.ctx, takeover);
}

static void open_term(struct term_file *f)
{
    const struct term_options *options = &f->term.options;
    struct epoch stored = seen_by_ledger(f);
    int rc = lock_term_read(path_of(f), &f->previous);

    if (rc < 0 && rc != -ENOENT) {
        /* Starting over would repeat epochs: somebody must look at it. */
        failed(f, rc == -EINVAL ? "there is no term to be read in" : "cannot read", rc);
        return;
    }
    f->had_previous = rc == 0;
    if (f->had_previous) {
        stored = epoch_later(stored, f->previous.epoch);
    }
    if (!takeover_can_follow(stored)) {
        failed(f, "there is no epoch to count on from in the ledger, or in", -EINVAL);
        return;
    }
    f->ours = (struct lock_term){
        .epoch = term_next(&f->term, stored, options->server),
        .incarnation = options->incarnation,
        .lease = options->config->election.lease,
    };
    (void)snprintf(f->ours.instance, sizeof(f->ours.instance), "%s",
                   options->config->pgbaton.instance);
    rc = lock_term_write(path_of(f), &f->ours);
    if (rc < 0) {
        failed(f, "cannot write", rc);
        return;
    }
    f->term.epoch = f->ours.epoch;
    f->term.events.on_opened(f->term.events.ctx, f->ours.epoch);
    look(f);
}

/*
 * Only a clean end is written: any other is what the file says already, and once
 * the key is lost the file may be another instance's. One that came while our
 * own wait still ran is not clean: the file has no room for the term before.
 */
static void stamp(struct term_file *f)
{
    bool clean = strcmp(f->term.ended_as, "released") == 0 && clock_now() >= f->wait_until;

    if (clean && f->term.key_held) {
        f->ours.ended = true;
        (void)snprintf(f->ours.ended_as, sizeof(f->ours.ended_as), "%s", f->term.ended_as);
        int rc = lock_term_write(path_of(f), &f->ours);
        if (rc < 0) {
            log_warn("term_not_stamped", "epoch=%s error=%s", epoch_text(f->ours.epoch).is,
                     log_text(strerror(-rc)).is);
        }
    }
    f->term.events.on_stamped(f->term.events.ctx);
}

static void on_due(void *ctx)
{
    struct term_file *f = ctx;

    if (f->begin) {
        f->begin = false;
        open_term(f);
    }
    if (f->stamp) {
        f->stamp = false;
        stamp(f);
    }
}

static void soon(struct term *t)
{
    timer_arm(&of(t)->timer, clock_now());
}

static void file_begin(struct term *t)
{
    of(t)->begin = true;
    soon(t);
}

static void file_announce(struct term *t)
{
    (void)t; /* the followers look at the lock itself */
}

static void file_stamp(struct term *t)
{
    of(t)->stamp = true;
    soon(t);
}

static void file_close(struct term *t)
{
    timer_release(&of(t)->timer);
    free(of(t));
}

static const struct term_kind file = {
    .begin = file_begin,
    .announce = file_announce,
    .stamp = file_stamp,
    .close = file_close,
};

struct term *term_file_new(void)
{
    struct term_file *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return NULL;
    }
    f->term.kind = &file;
    return &f->term;
}

void term_file_start(struct term *t)
{
    int rc = timer_init(&of(t)->timer, t->loop, on_due, t);

    assert(rc == 0); /* no descriptor left in a child that has a handful */
}
