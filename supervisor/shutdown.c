#include "supervisor/shutdown.h"

#include <assert.h>
#include <stddef.h>

static void act(struct shutdown_actions *out, enum shutdown_action action)
{
    assert(out->count < SHUTDOWN_ACTIONS_MAX);
    out->list[out->count++] = action;
}

/* Of a short stop_timeout the jobs still get half. */
static dur_ns tail_of(dur_ns timeout)
{
    return timeout / 2 < SHUTDOWN_TAIL ? timeout / 2 : SHUTDOWN_TAIL;
}

/*
 * When a rung ends, as eighths of the tail before the end of all. A worker that
 * does not answer is killed by the election a quarter of a second after its
 * bound, which is why the first rung lasts into the tail. The last eighth is for
 * what the children leave behind.
 */
static mono_ns rung_ends(const struct shutdown *s, enum shutdown_rung rung)
{
    static const int eighths[SHUTDOWN_RUNG_COUNT] = {
        [SHUTDOWN_RELEASE] = 5, [SHUTDOWN_SERVICE] = 4, [SHUTDOWN_CHILDREN] = 3,
        [SHUTDOWN_TERM] = 2,    [SHUTDOWN_KILL] = 1,
    };

    return s->ends_at - s->tail / 8 * eighths[rung];
}

static void climb_to(struct shutdown *s, enum shutdown_rung rung, struct shutdown_actions *out)
{
    assert(rung > s->rung); /* stopping only rises */
    s->rung = rung;
    s->deadline = rung == SHUTDOWN_DONE ? MONO_NEVER : rung_ends(s, rung);
    switch (rung) {
    case SHUTDOWN_RELEASE:
        act(out, s->at_once ? SHUTDOWN_DO_RELEASE_NOW : SHUTDOWN_DO_RELEASE);
        return;
    case SHUTDOWN_SERVICE:
        act(out, SHUTDOWN_DO_SIGNAL_SERVICE);
        return;
    case SHUTDOWN_CHILDREN:
        act(out, SHUTDOWN_DO_STOP);
        return;
    case SHUTDOWN_TERM:
        act(out, SHUTDOWN_DO_TERM);
        return;
    case SHUTDOWN_KILL:
        act(out, SHUTDOWN_DO_KILL);
        return;
    case SHUTDOWN_DONE:
        act(out, SHUTDOWN_DO_EXIT);
        return;
    case SHUTDOWN_NOT:
    case SHUTDOWN_RUNG_COUNT:
        break;
    }
    assert(!"no such rung");
}

/* There is nothing left to wait for but the rest. */
static bool rests(const struct shutdown *s)
{
    bool before_children = s->rung == SHUTDOWN_RELEASE || s->rung == SHUTDOWN_SERVICE;

    return before_children && s->released && !s->has_service && !s->at_once;
}

/* Has what this rung waits for happened? */
static bool is_done(const struct shutdown *s, mono_ns now)
{
    if (rests(s) && now < s->rest_until) {
        return false;
    }
    switch (s->rung) {
    case SHUTDOWN_NOT:
        return false;
    case SHUTDOWN_RELEASE:
        return s->released;
    case SHUTDOWN_SERVICE:
        return !s->has_service;
    case SHUTDOWN_CHILDREN:
    case SHUTDOWN_TERM:
    case SHUTDOWN_KILL:
        return s->children_gone;
    case SHUTDOWN_DONE:
    case SHUTDOWN_RUNG_COUNT:
        break;
    }
    return false;
}

static enum shutdown_rung rung_after(const struct shutdown *s)
{
    if (s->rung == SHUTDOWN_RELEASE && !s->has_service) {
        return SHUTDOWN_CHILDREN;
    }
    if (s->rung >= SHUTDOWN_CHILDREN && s->children_gone) {
        return SHUTDOWN_DONE;
    }
    return (enum shutdown_rung)(s->rung + 1);
}

static void climb(struct shutdown *s, mono_ns now, struct shutdown_actions *out)
{
    while (s->rung != SHUTDOWN_NOT && s->rung != SHUTDOWN_DONE &&
           (is_done(s, now) || now >= s->deadline)) {
        if (s->rung == SHUTDOWN_SERVICE && s->has_service) {
            act(out, SHUTDOWN_DO_KILL_SERVICE);
        }
        climb_to(s, rung_after(s), out);
    }
}

static void begin(struct shutdown *s, mono_ns now, bool at_once, struct shutdown_actions *out)
{
    s->at_once = at_once;
    s->ends_at = now + (at_once && SHUTDOWN_AT_ONCE < s->timeout ? SHUTDOWN_AT_ONCE : s->timeout);
    s->tail = tail_of(s->ends_at - now);
    climb_to(s, SHUTDOWN_RELEASE, out);
}

/* Asked again: the same rung, with less time. */
static void hurry(struct shutdown *s, mono_ns now, struct shutdown_actions *out)
{
    if (s->at_once || s->rung == SHUTDOWN_DONE) {
        return;
    }
    s->at_once = true;
    if (now + SHUTDOWN_AT_ONCE < s->ends_at) {
        s->ends_at = now + SHUTDOWN_AT_ONCE;
        s->tail = tail_of(SHUTDOWN_AT_ONCE);
    }
    if (rung_ends(s, s->rung) < s->deadline) {
        s->deadline = rung_ends(s, s->rung);
    }
    if (s->rung == SHUTDOWN_RELEASE) {
        act(out, SHUTDOWN_DO_RELEASE_NOW);
    } else if (s->rung == SHUTDOWN_SERVICE) {
        act(out, SHUTDOWN_DO_SIGNAL_SERVICE);
    }
}

struct shutdown_bounds shutdown_bounds(dur_ns stop_timeout, dur_ns longest_grace)
{
    dur_ns over = stop_timeout - tail_of(stop_timeout);
    dur_ns drain = over - longest_grace;

    return (struct shutdown_bounds){.drain = drain > 0 ? drain : 0, .over = over};
}

void shutdown_init(struct shutdown *s, dur_ns stop_timeout, bool has_service)
{
    *s = (struct shutdown){
        .rung = SHUTDOWN_NOT,
        .has_service = has_service,
        .ends_at = MONO_NEVER,
        .deadline = MONO_NEVER,
        .timeout = stop_timeout,
    };
}

void shutdown_configure(struct shutdown *s, dur_ns stop_timeout)
{
    if (s->rung == SHUTDOWN_NOT) {
        s->timeout = stop_timeout;
    }
}

static void check(const struct shutdown *s)
{
    bool waits = s->rung != SHUTDOWN_NOT && s->rung != SHUTDOWN_DONE;

    assert(waits == (s->deadline != MONO_NEVER)); /* nothing waits for ever */
    assert(!waits || s->deadline <= s->ends_at);
}

void shutdown_step(struct shutdown *s, const struct shutdown_event *event,
                   struct shutdown_actions *ret_actions)
{
    check(s);
    *ret_actions = (struct shutdown_actions){.count = 0};
    switch (event->type) {
    case SHUTDOWN_TICK:
        break;
    case SHUTDOWN_ASKED:
    case SHUTDOWN_ASKED_AT_ONCE:
        if (s->rung == SHUTDOWN_NOT) {
            begin(s, event->now, event->type == SHUTDOWN_ASKED_AT_ONCE, ret_actions);
        } else {
            hurry(s, event->now, ret_actions);
        }
        break;
    case SHUTDOWN_HANDED_OVER:
        s->released = true;
        s->rest_until = event->now + SHUTDOWN_REST;
        break;
    case SHUTDOWN_RELEASED:
        s->released = true;
        break;
    case SHUTDOWN_SERVICE_ENDED:
        s->has_service = false;
        break;
    case SHUTDOWN_CHILDREN_GONE:
        s->children_gone = true;
        break;
    case SHUTDOWN_EVENT_COUNT:
        assert(!"no such event");
    }
    climb(s, event->now, ret_actions);
    check(s);
}

mono_ns shutdown_wake_at(const struct shutdown *s)
{
    return rests(s) && s->rest_until < s->deadline ? s->rest_until : s->deadline;
}

const char *shutdown_rung_name(enum shutdown_rung rung)
{
    static const char *const names[SHUTDOWN_RUNG_COUNT] = {
        [SHUTDOWN_NOT] = "running",     [SHUTDOWN_RELEASE] = "release",
        [SHUTDOWN_SERVICE] = "service", [SHUTDOWN_CHILDREN] = "children",
        [SHUTDOWN_TERM] = "term",       [SHUTDOWN_KILL] = "kill",
        [SHUTDOWN_DONE] = "done",
    };

    return (unsigned)rung < SHUTDOWN_RUNG_COUNT ? names[rung] : "?";
}
