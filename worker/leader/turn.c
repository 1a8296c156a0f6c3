#include "worker/leader/turn.h"

#include <assert.h>

/* How long the end of a term may take to be written, and the key to be given up. */
#define STAMP_LIMIT DUR_S(1)
#define RELEASE_LIMIT DUR_MS(1500) /* more than what the lock gives itself */
#define STAMP_LEAST DUR_MS(250)    /* an answer that is on its way is worth that much */

/* All instances wake for it, and one becomes the heir: not while the first jobs are to be started.
 */
#define ANNOUNCE_WITHIN DUR_MS(100)

static void act(struct turn_actions *out, enum turn_action action)
{
    assert(out->count < TURN_ACTIONS_MAX);
    out->list[out->count++] = action;
}

static mono_ns earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

static mono_ns later(mono_ns a, mono_ns b)
{
    return a > b ? a : b;
}

/* The end of every turn: nothing of it is held, and nothing of it runs. */
static void finish(struct turn *t, struct turn_actions *out)
{
    t->state = t->leaving ? WORKER_GONE : WORKER_IDLE;
    t->kill_at = MONO_NEVER;
    t->limit = MONO_NEVER;
    act(out, TURN_FORGET);
    if (t->leaving) {
        act(out, TURN_EXIT);
    }
}

/* Before ELECTED every end is a campaign that failed: no job ever ran. */
static void fail(struct turn *t, enum end_reason reason, struct turn_actions *out)
{
    assert(!t->elected);
    assert(!t->jobs_began);

    t->reason = reason;
    act(out, TURN_CLOSE_KEY);
    act(out, TURN_SEND_FAILED);
    if (t->opened) {
        act(out, TURN_STAMP); /* nobody waits for its answer */
    }
    finish(t, out);
}

static void lost(struct turn *t, struct turn_actions *out)
{
    if (!t->elected) {
        fail(t, t->reason, out);
        return;
    }
    if (!t->key_closed) {
        act(out, TURN_CLOSE_KEY);
    }
    act(out, TURN_SEND_LOST);
    act(out, TURN_STAMP); /* nobody waits for its answer */
    finish(t, out);
}

static void kill_jobs(struct turn *t, struct turn_actions *out)
{
    if (!t->killed) {
        t->killed = true;
        act(out, TURN_KILL_JOBS);
    }
}

/* The key is gone, or as good as gone. */
static void lose(struct turn *t, enum end_reason reason, dur_ns grace, struct turn_actions *out)
{
    t->state = WORKER_LOSING;
    t->reason = reason;
    t->key_closed = false;
    if (!t->jobs_began) {
        lost(t, out);
        return;
    }
    act(out, TURN_TERMINATE_JOBS);
    t->kill_at = earlier(t->kill_at, t->now + grace); /* one that drains has a limit already */
    t->limit = t->now + t->rules.lease;               /* where there is no D */
    if (t->deadline != MONO_NEVER) {
        t->kill_at = earlier(t->kill_at, t->deadline - t->rules.kill_margin);
        t->limit = t->deadline;
    }
    if (t->now >= t->kill_at) { /* we slept through the time that they had */
        kill_jobs(t, out);
    }
}

static void lose_session(struct turn *t, enum end_reason reason, struct turn_actions *out)
{
    lose(t, reason, t->rules.loss_grace, out);
}

/* The server has the key for us until D at least: the jobs have that long. */
static void lose_lease(struct turn *t, struct turn_actions *out)
{
    lose(t, END_LEASE_EXPIRED, t->rules.lease, out);
}

static void release(struct turn *t, struct turn_actions *out)
{
    t->state = WORKER_RELEASING;
    /* Whoever waits for us beyond over_by takes us for hung; a closed session gives up as well. */
    t->limit = earlier(t->now + RELEASE_LIMIT, later(t->over_by, t->now));
    act(out, TURN_RELEASE_KEY);
}

static void stamp(struct turn *t, struct turn_actions *out)
{
    t->state = WORKER_STAMPING;
    t->kill_at = MONO_NEVER;
    t->limit = later(earlier(t->now + STAMP_LIMIT, t->over_by - STAMP_LEAST), t->now + STAMP_LEAST);
    act(out, TURN_STAMP);
}

/* The jobs must be over by then, so that term and key are within over_by too. */
static mono_ns jobs_over_by(const struct turn *t)
{
    dur_ns left = t->over_by - t->now;

    return left <= 0 ? t->now : t->over_by - earlier(2 * STAMP_LEAST, left / 4);
}

static void released(struct turn *t, struct turn_actions *out)
{
    act(out, TURN_CLOSE_KEY);
    act(out, t->elected ? TURN_SEND_RELEASED : TURN_SEND_FAILED);
    finish(t, out);
}

/* The key is held: let the jobs end, then write the end of the term, then give the key up. */
static void drain(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    t->reason = ev->reason;
    t->drain_until = ev->drain_until;
    t->over_by = ev->over_by;
    if (!t->jobs_began) {
        stamp(t, out);
        return;
    }
    t->state = WORKER_DRAINING;
    t->kill_at = jobs_over_by(t);
    act(out, TURN_DRAIN_JOBS);
}

/* What cannot be killed must not be a reason to renew for ever. */
static mono_ns leave_limit(const struct turn *t, dur_ns grace)
{
    return t->now + grace + t->rules.lease;
}

/* The supervisor is gone, or somebody wants this process gone: end the jobs, release, exit. */
static void leave(struct turn *t, dur_ns grace, enum end_reason reason, struct turn_actions *out)
{
    t->reason = reason;
    if (!t->jobs_began) {
        stamp(t, out);
        return;
    }
    t->state = WORKER_DRAINING;
    t->drain_until = t->now;
    t->kill_at = t->now + grace;
    t->over_by = MONO_NEVER;
    t->limit = leave_limit(t, grace);
    if (grace > 0) {
        act(out, TURN_TERMINATE_JOBS);
    } else {
        kill_jobs(t, out);
    }
}

static dur_ns grace_of(const struct turn *t, const struct turn_event *ev)
{
    return ev->type == TURN_TERMINATED ? t->rules.loss_grace : 0;
}

static void idle(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (t->leaving) {
        t->state = WORKER_GONE;
        act(out, TURN_EXIT);
    } else if (ev->type == TURN_CAMPAIGN) {
        turn_init(t, &t->rules, t->now);
        t->number = ev->turn;
        t->state = WORKER_CAMPAIGNING;
        act(out, TURN_CONNECT);
    }
}

static void campaigning(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (t->leaving) {
        fail(t, ev->reason, out);
    } else if (ev->type == TURN_GRANTED) {
        t->state = WORKER_OPENING;
        t->limit = t->now + t->rules.open_limit;
        act(out, TURN_OPEN_TERM);
    } else if (ev->type == TURN_LOCK_FAILED || ev->type == TURN_STAND_DOWN) {
        fail(t, ev->reason, out);
    }
}

static void announce(struct turn *t, struct turn_actions *out)
{
    t->announce_at = MONO_NEVER;
    act(out, TURN_ANNOUNCE);
}

static void begin_jobs(struct turn *t, struct turn_actions *out)
{
    t->state = WORKER_LEADING;
    t->jobs_began = true;
    act(out, TURN_BEGIN_JOBS);
}

static void elected_when_all_is_known(struct turn *t, struct turn_actions *out)
{
    if (!t->opened || !t->proven || !t->looked) {
        return;
    }
    t->elected = true;
    t->limit = MONO_NEVER;
    t->wait_until = t->now + t->wait;
    act(out, TURN_SEND_ELECTED);
    if (t->wait > 0) {
        t->state = WORKER_WAITING;
        announce(t, out);
        act(out, TURN_ANNOUNCE_WAIT);
    } else {
        t->announce_at = t->now + ANNOUNCE_WITHIN;
        begin_jobs(t, out);
    }
}

/* It ends before ELECTED with the key still ours: a term that is in the database gets its end
 * written first. */
static void break_off(struct turn *t, enum end_reason reason, mono_ns over_by,
                      struct turn_actions *out)
{
    if (!t->opened) {
        fail(t, reason, out);
        return;
    }
    t->reason = reason;
    t->over_by = over_by;
    stamp(t, out);
}

static void opening(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (t->leaving) {
        break_off(t, ev->reason, MONO_NEVER, out);
        return;
    }
    if (ev->type == TURN_STAND_DOWN) {
        break_off(t, ev->reason, ev->over_by, out);
        return;
    }
    if (t->now >= t->limit) {
        break_off(t, END_TERM_FAILED, MONO_NEVER, out);
        return;
    }
    switch (ev->type) {
    case TURN_OPENED:
        t->opened = true;
        t->opened_at = t->now;
        t->epoch = ev->epoch;
        act(out, TURN_PROVE);
        return;
    case TURN_OPEN_FAILED:
        fail(t, END_TERM_FAILED, out);
        return;
    case TURN_RENEWED:
        t->deadline = ev->deadline;
        t->proven = t->proven || (t->opened && ev->sent_at >= t->opened_at);
        elected_when_all_is_known(t, out);
        return;
    case TURN_LOOKED:
        t->looked = t->opened; /* else it is of no term of ours */
        t->wait = ev->wait;
        elected_when_all_is_known(t, out);
        return;
    case TURN_LOCK_FAILED:
        fail(t, ev->reason, out);
        return;
    case TURN_LEASE_STOPPING:
    case TURN_LEASE_KILLING:
    case TURN_LEASE_OVER:
        fail(t, END_LEASE_EXPIRED, out);
        return;
    case TURN_TICK:
    case TURN_CAMPAIGN:
    case TURN_STAND_DOWN:
    case TURN_GRANTED:
    case TURN_JOBS_STARTED:
    case TURN_JOBS_IDLE:
    case TURN_STAMPED:
    case TURN_RELEASED:
    case TURN_TERMINATED:
    case TURN_ORPHANED:
    case TURN_EVENT_COUNT:
        return;
    }
}

/* What can take the key away is the same whether jobs wait, run or end. True if it did. */
static bool loses(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (ev->type == TURN_LOCK_FAILED) {
        lose_session(t, ev->reason, out);
        return true;
    }
    if (ev->type == TURN_LEASE_STOPPING || ev->type == TURN_LEASE_KILLING ||
        ev->type == TURN_LEASE_OVER) {
        lose_lease(t, out);
        return true;
    }
    return false;
}

static void renew(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (ev->type == TURN_RENEWED) {
        t->deadline = ev->deadline;
        if (t->elected) {
            act(out, TURN_SEND_RENEWED);
        }
    }
}

/* WAITING and LEADING differ only in whether jobs have begun. */
static void leading(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (loses(t, ev, out)) {
        return;
    }
    if (t->leaving) {
        leave(t, grace_of(t, ev), ev->reason, out);
    } else if (ev->type == TURN_STAND_DOWN) {
        drain(t, ev, out);
    } else if (t->state == WORKER_WAITING && t->now >= t->wait_until) {
        begin_jobs(t, out);
    }
    if (t->state == WORKER_LEADING && t->announce_at != MONO_NEVER &&
        (ev->type == TURN_JOBS_STARTED || t->now >= t->announce_at)) {
        announce(t, out);
    }
    renew(t, ev, out);
}

/* Asked again, and sooner: what is left gets TERM now, and SIGKILL when the new time is over. */
static void hurry(struct turn *t, mono_ns over_by, enum end_reason reason, struct turn_actions *out)
{
    if (over_by >= t->over_by) {
        return;
    }
    t->reason = reason;
    t->over_by = over_by;
    t->kill_at = earlier(t->kill_at, jobs_over_by(t));
    act(out, TURN_TERMINATE_JOBS);
}

static void draining(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (loses(t, ev, out)) {
        return;
    }
    renew(t, ev, out);
    if (ev->type == TURN_JOBS_IDLE) {
        stamp(t, out);
    } else if (ev->type == TURN_STAND_DOWN) {
        hurry(t, ev->over_by, ev->reason, out);
    } else if (ev->type == TURN_TERMINATED || ev->type == TURN_ORPHANED) {
        t->limit = earlier(t->limit, leave_limit(t, grace_of(t, ev)));
        hurry(t, t->now + grace_of(t, ev), ev->reason, out);
    }
    if (t->state == WORKER_DRAINING && t->now >= t->kill_at) {
        kill_jobs(t, out);
    }
    if (t->state == WORKER_DRAINING && t->now >= t->limit) {
        /* RELEASED is not said: what is alive is the supervisor's to kill, or the kernel's. */
        act(out, TURN_CLOSE_KEY);
        finish(t, out);
    }
}

static void stamping(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (ev->type == TURN_LOCK_FAILED || ev->type == TURN_LEASE_OVER) {
        released(t, out); /* no job runs: it makes no difference that the key went by itself */
        return;
    }
    renew(t, ev, out);
    if (ev->type == TURN_STAMPED || t->now >= t->limit) {
        release(t, out);
    }
}

static void releasing(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (ev->type == TURN_RELEASED || ev->type == TURN_LOCK_FAILED || t->now >= t->limit) {
        released(t, out);
    }
}

static void losing(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    if (ev->type == TURN_JOBS_IDLE) {
        lost(t, out);
        return;
    }
    if (ev->type == TURN_LOCK_FAILED) {
        /* The key that only was not renewed is another's now: nobody waits until D. */
        t->kill_at = earlier(t->kill_at, t->now + t->rules.loss_grace);
    }
    if (ev->type == TURN_ORPHANED || ev->type == TURN_LEASE_KILLING || t->now >= t->kill_at) {
        kill_jobs(t, out);
    }
    if (!t->key_closed && (ev->type == TURN_LEASE_OVER || t->now >= t->limit)) {
        /* LOST is not sent: what is alive is the supervisor's to kill. */
        kill_jobs(t, out);
        t->key_closed = true;
        act(out, TURN_CLOSE_KEY);
        if (t->leaving) {
            finish(t, out);
        }
    }
}

void turn_init(struct turn *t, const struct turn_rules *rules, mono_ns now)
{
    *t = (struct turn){
        .state = WORKER_IDLE,
        .rules = *rules,
        .now = now,
        .deadline = MONO_NEVER,
        .wait_until = MONO_NEVER,
        .announce_at = MONO_NEVER,
        .drain_until = MONO_NEVER,
        .over_by = MONO_NEVER,
        .kill_at = MONO_NEVER,
        .limit = MONO_NEVER,
    };
}

/* What must be true between any two events, whatever the events. */
static void check(const struct turn *t)
{
    if (t->jobs_began) {
        assert(t->elected);
    }
    if (t->elected) {
        assert(t->opened);
        assert(t->proven);
    }
    if (t->state == WORKER_LEADING || t->state == WORKER_DRAINING) {
        assert(t->jobs_began);
    }
    if (t->state == WORKER_OPENING || t->state == WORKER_STAMPING || t->state == WORKER_RELEASING) {
        assert(t->limit != MONO_NEVER); /* nothing waits for ever */
    }
}

static void dispatch(struct turn *t, const struct turn_event *ev, struct turn_actions *out)
{
    switch (t->state) {
    case WORKER_IDLE:
        idle(t, ev, out);
        return;
    case WORKER_CAMPAIGNING:
        campaigning(t, ev, out);
        return;
    case WORKER_OPENING:
        opening(t, ev, out);
        return;
    case WORKER_WAITING:
    case WORKER_LEADING:
        leading(t, ev, out);
        return;
    case WORKER_DRAINING:
        draining(t, ev, out);
        return;
    case WORKER_STAMPING:
        stamping(t, ev, out);
        return;
    case WORKER_RELEASING:
        releasing(t, ev, out);
        return;
    case WORKER_LOSING:
        losing(t, ev, out);
        return;
    case WORKER_GONE:
    case WORKER_STATE_COUNT:
        return;
    }
}

void turn_step(struct turn *t, const struct turn_event *event, struct turn_actions *ret_actions)
{
    assert(event->now >= t->now);
    check(t);

    *ret_actions = (struct turn_actions){.count = 0};
    t->now = event->now;
    /* Facts hold in every state; what to do about them depends on the state. */
    if (event->type == TURN_TERMINATED || event->type == TURN_ORPHANED) {
        t->leaving = true;
    }
    dispatch(t, event, ret_actions);
    check(t);
}

mono_ns turn_wake_at(const struct turn *t)
{
    switch (t->state) {
    case WORKER_WAITING:
        return t->wait_until;
    case WORKER_LEADING:
        return t->announce_at;
    case WORKER_DRAINING:
        return t->killed ? t->limit : earlier(t->kill_at, t->limit);
    case WORKER_OPENING:
    case WORKER_STAMPING:
    case WORKER_RELEASING:
        return t->limit;
    case WORKER_LOSING:
        if (!t->killed) {
            return earlier(t->kill_at, t->limit);
        }
        return t->key_closed ? MONO_NEVER : t->limit;
    case WORKER_IDLE:
    case WORKER_CAMPAIGNING:
    case WORKER_GONE:
    case WORKER_STATE_COUNT:
        break;
    }
    return MONO_NEVER;
}

bool turn_may_start(const struct turn *t, mono_ns now)
{
    if (t->state != WORKER_LEADING && t->state != WORKER_DRAINING) {
        return false;
    }
    return t->deadline == MONO_NEVER || now < t->deadline - t->rules.stop_grace;
}

bool turn_leads(const struct turn *t)
{
    return t->state != WORKER_IDLE && t->state != WORKER_CAMPAIGNING && t->state != WORKER_GONE;
}

const char *turn_ended_as(const struct turn *t)
{
    if (!t->elected) {
        return "released";
    }
    switch (t->reason) {
    case END_STOP:
    case END_STEP_DOWN:
    case END_RELOAD:
    case END_CLOCK:
    case END_SEAT_LOST:
    case END_SUPERVISOR_DIED: /* the jobs were dead first */
        return "released";
    case END_NONE:
    case END_SESSION_ENDED:
    case END_LEASE_EXPIRED:
    case END_WITNESS:
    case END_CONNECT_FAILED:
    case END_REFUSED:
    case END_NOT_GRANTED:
    case END_TERM_FAILED:
    case END_INTERNAL:
    case END_WORKER_DIED:
    case END_WORKER_HUNG:
    case END_REASON_COUNT:
        break;
    }
    return "lost";
}

const char *worker_state_name(uint32_t state)
{
    static const char *const names[WORKER_STATE_COUNT] = {
        [WORKER_IDLE] = "idle",         [WORKER_CAMPAIGNING] = "campaigning",
        [WORKER_OPENING] = "opening",   [WORKER_WAITING] = "waiting",
        [WORKER_LEADING] = "leading",   [WORKER_DRAINING] = "draining",
        [WORKER_STAMPING] = "stamping", [WORKER_RELEASING] = "releasing",
        [WORKER_LOSING] = "losing",     [WORKER_GONE] = "gone",
    };

    return state < WORKER_STATE_COUNT ? names[state] : "unknown";
}
