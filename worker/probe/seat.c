#include "worker/probe/seat.h"

#include <assert.h>

/* The first attempt after a failure; then twice as long each time. */
#define BACKOFF_LEAST DUR_MS(500)
/* All followers hear of a new term at once: they look one after the other. */
#define NOTIFY_SPREAD DUR_MS(20)
/* After the seat was given back, or another one was faster, somebody else has it by then. */
#define NEXT_HEIR_WITHIN DUR_MS(500)

const char *seat_state_name(enum seat_state state)
{
    switch (state) {
    case SEAT_OFFLINE:
        return "offline";
    case SEAT_CONNECTING:
        return "connecting";
    case SEAT_WATCHING:
        return "watching";
    case SEAT_TAKING:
        return "taking";
    case SEAT_HELD:
        return "held";
    case SEAT_GIVING:
        return "giving";
    }
    return "unknown";
}

static void act(struct seat_actions *actions, enum seat_action action)
{
    assert(actions->count < SEAT_ACTIONS_MAX);
    actions->list[actions->count++] = action;
}

static mono_ns least(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

void seat_adopt(struct seat *seat, const struct seat_rules *rules)
{
    assert(rules->retry_interval > 0);
    assert(rules->backoff_max > 0);

    seat->rules = *rules;
    seat->backoff.least = least(BACKOFF_LEAST, rules->backoff_max);
    seat->backoff.most = rules->backoff_max;
}

void seat_begin(struct seat *seat, const struct seat_rules *rules, mono_ns now)
{
    *seat = (struct seat){.state = SEAT_OFFLINE, .wake_at = now};
    seat_adopt(seat, rules);
}

bool seat_may_be_ours(const struct seat *seat)
{
    return seat->state == SEAT_TAKING || seat->state == SEAT_HELD || seat->state == SEAT_GIVING;
}

/* A seat that is wanted later than the next look is not waited for twice. */
static void plan_look(struct seat *seat, mono_ns now, struct prng *random)
{
    seat->wake_at = now + jittered(seat->rules.retry_interval, seat->rules.retry_jitter, random);
    if (seat->wanted && seat->not_before > now) {
        seat->wake_at = least(seat->wake_at, seat->not_before);
    }
}

static bool may_seek(const struct seat *seat, const struct seat_event *event)
{
    return seat->wanted && event->now >= seat->not_before && !event->clock_wrong;
}

static void give(struct seat *seat, struct seat_actions *actions)
{
    seat->state = SEAT_GIVING;
    act(actions, SEAT_GIVE);
}

static void on_tick(struct seat *seat, const struct seat_event *event, struct prng *random,
                    struct seat_actions *actions)
{
    if (event->now < seat->wake_at) {
        return;
    }
    switch (seat->state) {
    case SEAT_OFFLINE:
        seat->state = SEAT_CONNECTING;
        seat->wake_at = MONO_NEVER;
        act(actions, SEAT_CONNECT);
        break;
    case SEAT_WATCHING:
    case SEAT_HELD:
        plan_look(seat, event->now, random);
        act(actions, SEAT_LOOK);
        break;
    case SEAT_CONNECTING:
    case SEAT_TAKING:
    case SEAT_GIVING:
        plan_look(seat, event->now, random); /* there is an answer to come first */
        break;
    }
}

static void on_connected(struct seat *seat, const struct seat_event *event, struct prng *random,
                         struct seat_actions *actions)
{
    assert(seat->state == SEAT_CONNECTING);

    seat->state = SEAT_WATCHING;
    plan_look(seat, event->now, random);
    act(actions, SEAT_LOOK);
}

static void on_disconnected(struct seat *seat, const struct seat_event *event, struct prng *random,
                            struct seat_actions *actions)
{
    if (seat->state == SEAT_HELD) {
        act(actions, SEAT_REPORT_LOST);
        actions->reason = event->reason;
    }
    seat->state = SEAT_OFFLINE;
    seat->wake_at = event->now + backoff_next(&seat->backoff, random);
}

static void on_leave(struct seat *seat, struct seat_actions *actions)
{
    seat->wanted = false;
    if (seat->state == SEAT_HELD) {
        give(seat, actions);
    }
}

/* A look that succeeded is what proves the database healthy: not the connection alone. */
static void on_looked(struct seat *seat, const struct seat_event *event,
                      struct seat_actions *actions)
{
    backoff_reset(&seat->backoff);
    if (seat->state == SEAT_HELD && event->clock_wrong) {
        seat->wanted = false;
        act(actions, SEAT_REPORT_LOST);
        actions->reason = END_CLOCK;
        give(seat, actions);
        return;
    }
    if (seat->state != SEAT_WATCHING || !may_seek(seat, event)) {
        return;
    }
    if (event->poll && event->key_free) {
        seat->wanted = false; /* once: the supervisor seeks again when the try has failed */
        act(actions, SEAT_REPORT_FREE);
    } else if (!event->poll && event->seat_free) {
        seat->state = SEAT_TAKING;
        act(actions, SEAT_TAKE);
    }
}

static void on_taken(struct seat *seat, struct seat_actions *actions)
{
    assert(seat->state == SEAT_TAKING);

    if (!seat->wanted) {
        give(seat, actions); /* it was left while the answer was on its way */
        return;
    }
    seat->state = SEAT_HELD;
    act(actions, SEAT_REPORT_TAKEN);
}

/* Whoever asks for the seat or has it does not hear of new terms: look what there is by now. */
static void watch_again(struct seat *seat, const struct seat_event *event)
{
    seat->state = SEAT_WATCHING;
    seat->wake_at = least(seat->wake_at, event->now + NEXT_HEIR_WITHIN);
}

static void on_refused(struct seat *seat, const struct seat_event *event)
{
    assert(seat->state == SEAT_TAKING);

    watch_again(seat, event);
}

/* Who takes it next, if anybody: a step-down soon after the election depends on it, too. */
static void on_given(struct seat *seat, const struct seat_event *event)
{
    assert(seat->state == SEAT_GIVING);

    watch_again(seat, event);
}

static void on_seek(struct seat *seat, const struct seat_event *event)
{
    seat->wanted = true;
    seat->not_before = event->not_before;
    if (seat->state == SEAT_WATCHING) {
        mono_ns from = event->not_before > event->now ? event->not_before : event->now;

        seat->wake_at = least(seat->wake_at, from);
    }
}

static void on_notified(struct seat *seat, const struct seat_event *event, struct prng *random)
{
    if (seat->state == SEAT_WATCHING) {
        mono_ns soon = event->now + (dur_ns)prng_below(random, (uint64_t)NOTIFY_SPREAD);

        seat->wake_at = least(seat->wake_at, soon);
    }
}

void seat_step(struct seat *seat, const struct seat_event *event, struct prng *random,
               struct seat_actions *ret_actions)
{
    *ret_actions = (struct seat_actions){0};

    switch (event->type) {
    case SEAT_ON_TICK:
        on_tick(seat, event, random, ret_actions);
        break;
    case SEAT_ON_CONNECTED:
        on_connected(seat, event, random, ret_actions);
        break;
    case SEAT_ON_DISCONNECTED:
        on_disconnected(seat, event, random, ret_actions);
        break;
    case SEAT_ON_SEEK:
        on_seek(seat, event);
        break;
    case SEAT_ON_LEAVE:
        on_leave(seat, ret_actions);
        break;
    case SEAT_ON_NOTIFIED:
        on_notified(seat, event, random);
        break;
    case SEAT_ON_LOOKED:
        on_looked(seat, event, ret_actions);
        break;
    case SEAT_ON_TAKEN:
        on_taken(seat, ret_actions);
        break;
    case SEAT_ON_REFUSED:
        on_refused(seat, event);
        break;
    case SEAT_ON_GIVEN:
        on_given(seat, event);
        break;
    }
}
