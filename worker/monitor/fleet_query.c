#include "worker/monitor/fleet_query.h"

static void on_known(void *ctx, uint64_t ticket, const struct message_query *query,
                     const struct query_answer *answer)
{
    struct fleet_query *f = ctx;

    (void)ticket;
    (void)query;
    f->asking = false;
    json_decref(f->instances);
    f->instances = answer->result == QUERY_KNOWN ? json_incref(answer->rows) : NULL;
    f->on_known(f->ctx);
}

void fleet_query_init(struct fleet_query *f, struct queries *queries, void (*known)(void *ctx),
                      void *ctx)
{
    *f = (struct fleet_query){.queries = queries, .on_known = known, .ctx = ctx};
}

void fleet_query_release(struct fleet_query *f)
{
    json_decref(f->instances);
    f->instances = NULL;
}

bool fleet_query_ask(struct fleet_query *f)
{
    static const struct message_query query = {.kind = QUERY_FLEET};
    mono_ns now = clock_now();

    if (f->asking) {
        return false;
    }
    if (f->asked_at != 0 && now - f->asked_at < FLEET_QUERY_FRESH) {
        return true;
    }
    json_decref(f->instances);
    f->instances = NULL;
    f->asked_at = now;
    /* A status without the fleet, at once, is better than one that is late. */
    f->asking = queries_has_probe(f->queries) &&
                queries_ask(f->queries, &query, FLEET_QUERY_WITHIN, on_known, f, 0);
    return !f->asking;
}
