#include "worker/leader/term.h"

#include <assert.h>
#include <stddef.h>

#include "common/budget.h"
#include "common/log.h"

static struct term *new_term(const struct config *cfg, void (**ret_start)(struct term *t))
{
    if (!cfg->election.enabled) {
        *ret_start = term_none_start;
        return term_none_new();
    }
    switch (cfg->database.kind) {
    case DATABASE_POSTGRES:
        *ret_start = term_ledger_start;
        return term_ledger_new();
    case DATABASE_SQLITE:
        *ret_start = term_file_start;
        return term_file_new();
    case DATABASE_NONE:
        *ret_start = term_none_start;
        return term_none_new();
    }
    return NULL;
}

struct term *term_open(struct ev_loop *loop, const struct term_options *options,
                       const struct term_events *events)
{
    void (*start)(struct term * t) = NULL;
    struct term *t = new_term(options->config, &start);

    if (t == NULL) {
        return NULL;
    }
    assert(t->kind != NULL);
    t->events = *events;
    t->loop = loop;
    t->options = *options;
    t->jobs_hash = options->jobs_hash;
    start(t);
    return t;
}

void term_begin(struct term *t, int lock_pid, struct server_identity server)
{
    t->options.server = server;
    t->lock_pid = lock_pid;
    t->kind->begin(t);
}

void term_announce(struct term *t)
{
    t->kind->announce(t);
}

void term_stamp(struct term *t, const char *ended_as, const char *end_reason, bool key_held)
{
    t->ended_as = ended_as;
    t->end_reason = end_reason;
    t->key_held = key_held;
    t->kind->stamp(t);
}

void term_jobs(struct term *t, uint64_t hash)
{
    if (hash == t->jobs_hash) {
        return;
    }
    t->jobs_hash = hash;
    if (t->kind->jobs != NULL) {
        t->kind->jobs(t);
    }
}

void term_close(struct term *t)
{
    if (t != NULL) {
        t->kind->close(t);
    }
}

struct epoch term_next(struct term *t, struct epoch stored, struct server_identity stored_server)
{
    struct epoch seen = t->options.seen;
    struct epoch next = takeover_epoch(stored, stored_server, t->options.server);

    t->tail_lost = takeover_can_follow(seen) && epoch_is_before(stored, seen);
    if (t->tail_lost) {
        log_warn("terms_lost",
                 "stored=%s seen=%s hint=\"the database has lost its latest terms: a standby that "
                 "had fallen behind was promoted, or an older copy was put back\"",
                 epoch_text(stored).is, epoch_text(seen).is);
    }
    return takeover_beyond(next, seen);
}

struct takeover_rules term_rules(const struct term *t)
{
    const struct config_election *election = &t->options.config->election;

    return (struct takeover_rules){
        .takeover_delay = election->takeover_delay,
        .kill_margin = BUDGET_KILL_MARGIN,
        .lease = election->lease,
        .server = t->options.server,
        .tail_lost = t->tail_lost,
    };
}
