#include "worker/leader/ledger.h"

#include <assert.h>

static struct ledger *new_ledger(const struct config *cfg)
{
    if (!cfg->election.enabled) {
        return ledger_none_new();
    }
    switch (cfg->database.kind) {
    case DATABASE_POSTGRES:
        return ledger_postgres_new();
    case DATABASE_SQLITE:
        return ledger_sqlite_new();
    case DATABASE_NONE:
        return ledger_none_new();
    }
    return NULL;
}

static struct ledger_limits limits_of(const struct config *cfg)
{
    return (struct ledger_limits){
        .history = cfg->runs.history,
        .history_runs = cfg->runs.history_runs,
        .max_clock_skew = cfg->database.max_clock_skew,
    };
}

struct ledger *ledger_open(struct ev_loop *loop, const struct ledger_options *options,
                           const struct ledger_events *events)
{
    struct ledger *l = new_ledger(options->config);

    if (l == NULL) {
        return NULL;
    }
    assert(l->kind != NULL);
    l->events = *events;
    l->loop = loop;
    l->options = *options;
    l->limits = limits_of(options->config);
    if (l->kind->open != NULL && l->kind->open(l) < 0) {
        l->kind->close(l);
        return NULL;
    }
    return l;
}

void ledger_limit(struct ledger *l, const struct config *cfg)
{
    const struct ledger_limits before = l->limits;

    l->limits = limits_of(cfg);
    if (l->kind->limit != NULL &&
        (l->limits.history != before.history || l->limits.history_runs != before.history_runs ||
         l->limits.max_clock_skew != before.max_clock_skew)) {
        l->kind->limit(l);
    }
}

void ledger_begin(struct ledger *l, struct epoch epoch)
{
    l->epoch = epoch;
    l->kind->begin(l);
}

bool ledger_is_free(const struct ledger *l)
{
    return l->kind->is_free(l);
}

void ledger_load(struct ledger *l)
{
    assert(ledger_is_free(l));
    l->kind->load(l);
}

void ledger_claim(struct ledger *l, const struct ledger_claim *claims, size_t count)
{
    assert(ledger_is_free(l));
    assert(count > 0);
    assert(count <= LEDGER_BATCH_MAX);
    l->kind->claim(l, claims, count);
}

void ledger_write(struct ledger *l, const struct ledger_write *write)
{
    assert(ledger_is_free(l));
    assert(write->change_count > 0 || write->job_count > 0 || write->answer_count > 0);
    assert(write->change_count <= LEDGER_BATCH_MAX);
    l->kind->write(l, write);
}

void ledger_take_requests(struct ledger *l)
{
    assert(ledger_is_free(l));
    l->kind->take_requests(l);
}

void ledger_prune(struct ledger *l, const char *job)
{
    assert(ledger_is_free(l));
    l->kind->prune(l, job);
}

void ledger_close(struct ledger *l)
{
    if (l != NULL) {
        l->kind->close(l);
    }
}
