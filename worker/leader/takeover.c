#include "worker/leader/takeover.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* More often than that no cluster is promoted between a dump of it and its end. */
#define GENERATIONS_OF_A_SYSTEM 1000

/* The configuration allows no longer lease. */
#define LENGTH_MAX DUR_S(3600)

bool takeover_can_follow(struct epoch stored)
{
    /* The database keeps them as signed numbers; half of those leaves room for any timeline. */
    return stored.generation < INT64_MAX / 2 && stored.number < INT64_MAX / 2;
}

bool takeover_read_number(const char *text, uint64_t *ret_number)
{
    char *end;

    if (*text < '0' || *text > '9') { /* strtoull takes signs and blanks */
        return false;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > INT64_MAX) {
        return false;
    }
    *ret_number = number;
    return true;
}

dur_ns takeover_read_length(const char *text)
{
    uint64_t number;

    if (!takeover_read_number(text, &number) || number > (uint64_t)(LENGTH_MAX / DUR_MS(1))) {
        return LENGTH_MAX;
    }
    return DUR_MS((int64_t)number);
}

struct epoch takeover_epoch(struct epoch stored, struct server_identity stored_server,
                            struct server_identity now)
{
    struct epoch next = {.generation = stored.generation, .number = stored.number + 1};
    uint64_t timelines = now.timeline > 0 ? now.timeline : 1;

    /* Of a system that the row does not come from, as if its timelines had been counted from the
     * beginning: a standby of it that never saw its first term must not call its own the same. */
    if (stored.generation == 0) {
        next.generation = timelines;
    } else if (now.system_id != stored_server.system_id) {
        next.generation += GENERATIONS_OF_A_SYSTEM + timelines - 1;
    } else if (now.timeline > stored_server.timeline) {
        next.generation += now.timeline - stored_server.timeline;
    } else if (now.timeline < stored_server.timeline) {
        next.generation += 1; /* an older copy of the files was put back */
    }
    assert(next.generation >= stored.generation);
    assert(next.number > stored.number);
    return next;
}

struct epoch takeover_beyond(struct epoch next, struct epoch seen)
{
    if (epoch_is_before(seen, next) || !takeover_can_follow(seen)) {
        return next;
    }
    return (struct epoch){.generation = seen.generation + 1, .number = seen.number + 1};
}

static dur_ns longer(dur_ns a, dur_ns b)
{
    return a > b ? a : b;
}

static bool same_history(struct server_identity a, struct server_identity b)
{
    return a.system_id == b.system_id && a.timeline == b.timeline;
}

/* newer: the term that superseded it; NULL: it is ours, which knows by tail_lost. */
static bool history_changed_after(const struct takeover_rules *rules,
                                  const struct takeover_term *term,
                                  const struct takeover_term *newer)
{
    return !same_history(term->server, rules->server) ||
           (newer != NULL && newer->generation != term->generation);
}

static struct takeover wait_for(const struct takeover_rules *rules,
                                const struct takeover_term *term, const struct takeover_term *newer)
{
    struct takeover t = {.reason = TAKEOVER_CLEAN};
    dur_ns waited = longer(term->superseded_ago, 0); /* a clock set back shortens nothing */

    if (history_changed_after(rules, term, newer)) {
        t.reason = TAKEOVER_HISTORY;
        t.wait = longer(term->lease, rules->lease);
    } else if (!term->ended_cleanly && term->unfinished_runs > 0 && rules->takeover_delay > 0) {
        t.reason = TAKEOVER_UNCLEAN;
        t.wait =
            longer(rules->takeover_delay, term->heartbeat + term->loss_grace + rules->kill_margin);
        if (term->runs_recorded) {
            waited = 0; /* or they were closed */
        }
    }
    t.wait -= waited;
    if (t.wait <= 0) {
        return (struct takeover){.reason = TAKEOVER_CLEAN};
    }
    return t;
}

/* Before the first term that the server knows of. */
static dur_ns wait_for_lost(const struct takeover_rules *rules, const struct takeover_term *terms,
                            size_t count)
{
    if (rules->tail_lost) {
        return rules->lease;
    }
    if (rules->server.timeline <= 1) {
        return 0;
    }
    return count == 0 ? rules->lease : rules->lease - longer(terms[count - 1].opened_ago, 0);
}

struct takeover takeover_decide(const struct takeover_rules *rules,
                                const struct takeover_term *terms, size_t count)
{
    struct takeover most = {.reason = TAKEOVER_CLEAN};
    dur_ns lost = wait_for_lost(rules, terms, count);

    if (lost > 0) {
        most = (struct takeover){.reason = TAKEOVER_HISTORY, .wait = lost};
    }
    for (size_t i = 0; i < count; i++) {
        struct takeover t = wait_for(rules, &terms[i], i > 0 ? &terms[i - 1] : NULL);
        if (t.wait > most.wait) {
            most = t;
        }
    }
    return most;
}

const char *takeover_reason_name(enum takeover_reason reason)
{
    switch (reason) {
    case TAKEOVER_CLEAN:
        return "clean";
    case TAKEOVER_UNCLEAN:
        return "unclean_end";
    case TAKEOVER_HISTORY:
        return "history_changed";
    }
    return "unknown";
}
