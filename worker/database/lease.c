#include "worker/database/lease.h"

#include <assert.h>
#include <string.h>

static mono_ns earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

/* When the present phase ends by the passing of time alone. */
static mono_ns phase_ends_at(const struct lease *l)
{
    switch (l->phase) {
    case LEASE_UNPROVEN:
        return l->began + l->terms.lease - l->terms.margin;
    case LEASE_HELD:
        return l->deadline - l->terms.stop_grace;
    case LEASE_STOPPING:
        return l->deadline - l->terms.kill_margin;
    case LEASE_KILLING:
        return l->deadline;
    case LEASE_OVER:
        break;
    }
    return MONO_NEVER;
}

/* One that is lost is not kept alive: the server may give it away when it likes. */
static bool still_renews(const struct lease *l)
{
    return l->phase == LEASE_UNPROVEN || l->phase == LEASE_HELD;
}

void lease_begin(struct lease *l, const struct lease_terms *terms, mono_ns now)
{
    assert(terms->heartbeat > 0);
    assert(terms->lease > terms->margin + terms->stop_grace);
    assert(terms->stop_grace >= terms->kill_margin);
    assert(terms->kill_margin >= 0);

    *l = (struct lease){
        .terms = *terms,
        .phase = LEASE_UNPROVEN,
        .deadline = MONO_NEVER,
        .next_send = now,
        .began = now,
    };
}

bool lease_send_due(const struct lease *l, mono_ns now)
{
    return still_renews(l) && l->outstanding < LEASE_OUTSTANDING_MAX && now >= l->next_send;
}

void lease_sent(struct lease *l, mono_ns now)
{
    assert(l->outstanding < LEASE_OUTSTANDING_MAX);
    assert(l->outstanding == 0 || now >= l->sent[l->outstanding - 1]);

    l->sent[l->outstanding++] = now;
    l->next_send = now + l->terms.heartbeat;
}

bool lease_acknowledged(struct lease *l, mono_ns now)
{
    if (l->outstanding == 0) {
        return false;
    }
    mono_ns sent_at = l->sent[0];

    assert(now >= sent_at);
    l->outstanding--;
    memmove(&l->sent[0], &l->sent[1], l->outstanding * sizeof(l->sent[0]));

    /* First the time, then the answer: after a pause of this process both have
     * come, and the answer says nothing of what happened in the pause. */
    (void)lease_look(l, now);
    if (still_renews(l)) {
        l->phase = LEASE_HELD;
        l->deadline = sent_at + l->terms.lease - l->terms.margin;
        (void)lease_look(l, now);
    }
    return true;
}

enum lease_phase lease_look(struct lease *l, mono_ns now)
{
    if (l->phase == LEASE_UNPROVEN) {
        if (now >= phase_ends_at(l)) {
            l->deadline = phase_ends_at(l);
            l->phase = LEASE_OVER; /* there is no job to stop */
        }
        return l->phase;
    }
    while (l->phase != LEASE_OVER && now >= phase_ends_at(l)) {
        l->phase++;
    }
    return l->phase;
}

mono_ns lease_wake_at(const struct lease *l)
{
    mono_ns wake_at = phase_ends_at(l);

    if (still_renews(l) && l->outstanding < LEASE_OUTSTANDING_MAX) {
        wake_at = earlier(wake_at, l->next_send);
    }
    return wake_at;
}
