#include "common/budget.h"

#include <assert.h>
#include <stdio.h>

#include "common/duration.h"

#define BUDGET_MARGIN_MIN DUR_MS(500)

/* The server arms its timer for each heartbeat: this many may be in flight or lost. */
enum { BUDGET_HEARTBEATS = 3 };

dur_ns budget_margin(dur_ns lease)
{
    dur_ns share = lease / 20;

    return share > BUDGET_MARGIN_MIN ? share : BUDGET_MARGIN_MIN;
}

/* Each length as text, for sentences that hold several of them. */
struct texts {
    struct duration_text lease;
    struct duration_text heartbeat;
    struct duration_text stop_grace;
    struct duration_text loss_grace;
    struct duration_text takeover_delay;
    struct duration_text margin;
    struct duration_text kill_margin;
    struct duration_text need;
};

static struct texts texts_of(const struct budget *b, dur_ns need)
{
    return (struct texts){
        .lease = duration_text(b->lease),
        .heartbeat = duration_text(b->heartbeat),
        .stop_grace = duration_text(b->stop_grace),
        .loss_grace = duration_text(b->loss_grace),
        .takeover_delay = duration_text(b->takeover_delay),
        .margin = duration_text(budget_margin(b->lease)),
        .kill_margin = duration_text(BUDGET_KILL_MARGIN),
        .need = duration_text(need),
    };
}

/* The shortest lease for these heartbeats and grace; the margin grows with the lease. */
static dur_ns lease_needed(const struct budget *b)
{
    dur_ns fixed = b->heartbeat * BUDGET_HEARTBEATS + b->stop_grace;
    dur_ns small = fixed + BUDGET_MARGIN_MIN;

    if (budget_margin(small) == BUDGET_MARGIN_MIN) {
        return small;
    }
    dur_ns exact = fixed / 19 * 20 + fixed % 19 * 20 / 19;

    return (exact / DUR_MS(1) + 1) * DUR_MS(1);
}

static enum budget_verdict verdict_of(const struct budget *b)
{
    dur_ns delay_needed = b->heartbeat + b->loss_grace + BUDGET_KILL_MARGIN;

    if (b->heartbeat > BUDGET_HEARTBEAT_MAX) {
        return BUDGET_HEARTBEAT_LONG;
    }
    if (b->stop_grace <= BUDGET_KILL_MARGIN) {
        return BUDGET_GRACE_SHORT;
    }
    if (b->heartbeat * BUDGET_HEARTBEATS + b->stop_grace + budget_margin(b->lease) > b->lease) {
        return BUDGET_LEASE_SHORT;
    }
    if (b->takeover_delay > b->lease) {
        return BUDGET_DELAY_LONG;
    }
    if (b->takeover_delay != 0 && delay_needed > b->takeover_delay) {
        return BUDGET_DELAY_SHORT;
    }
    return BUDGET_HOLDS;
}

enum budget_verdict budget_check(const struct budget *b, char *ret_text, size_t size)
{
    enum budget_verdict verdict = verdict_of(b);
    struct texts t;

    assert(size > 0);
    switch (verdict) {
    case BUDGET_HOLDS:
        ret_text[0] = '\0';
        break;
    case BUDGET_LEASE_SHORT:
        t = texts_of(b, lease_needed(b));
        (void)snprintf(
            ret_text, size,
            "%s is too short: heartbeat * 3 + stop_grace + margin (%s * 3 + %s + %s) must "
            "fit into it; make lease at least %s, or heartbeat or stop_grace shorter",
            t.lease.is, t.heartbeat.is, t.stop_grace.is, t.margin.is, t.need.is);
        break;
    case BUDGET_DELAY_SHORT:
        t = texts_of(b, b->heartbeat + b->loss_grace + BUDGET_KILL_MARGIN);
        (void)snprintf(ret_text, size,
                       "%s is too short: heartbeat + loss_grace + kill_margin "
                       "(%s + %s + %s) must fit into it; make it at least %s (0 = never wait)",
                       t.takeover_delay.is, t.heartbeat.is, t.loss_grace.is, t.kill_margin.is,
                       t.need.is);
        break;
    case BUDGET_DELAY_LONG:
        t = texts_of(b, b->lease);
        (void)snprintf(ret_text, size,
                       "%s is longer than the lease of %s, after which nothing of the "
                       "previous leader runs; make it at most %s",
                       t.takeover_delay.is, t.lease.is, t.need.is);
        break;
    case BUDGET_GRACE_SHORT:
        t = texts_of(b, BUDGET_KILL_MARGIN + DUR_MS(1));
        (void)snprintf(ret_text, size,
                       "%s must be longer than kill_margin (%s), or jobs would be killed "
                       "before they are asked to end; make it at least %s",
                       t.stop_grace.is, t.kill_margin.is, t.need.is);
        break;
    case BUDGET_HEARTBEAT_LONG:
        t = texts_of(b, BUDGET_HEARTBEAT_MAX);
        (void)snprintf(ret_text, size, "%s is too long: make it at most %s", t.heartbeat.is,
                       t.need.is);
        break;
    }
    return verdict;
}

const char *const *budget_keys(enum budget_verdict verdict)
{
    static const char *const of_lease[] = {"lease", "heartbeat", "stop_grace", NULL};
    static const char *const of_short_delay[] = {"takeover_delay", "heartbeat", "loss_grace", NULL};
    static const char *const of_long_delay[] = {"takeover_delay", "lease", NULL};
    static const char *const of_grace[] = {"stop_grace", NULL};
    static const char *const of_heartbeat[] = {"heartbeat", NULL};

    switch (verdict) {
    case BUDGET_HOLDS:
    case BUDGET_LEASE_SHORT:
        break;
    case BUDGET_DELAY_SHORT:
        return of_short_delay;
    case BUDGET_DELAY_LONG:
        return of_long_delay;
    case BUDGET_GRACE_SHORT:
        return of_grace;
    case BUDGET_HEARTBEAT_LONG:
        return of_heartbeat;
    }
    return of_lease;
}
