#include <criterion/criterion.h>
#include <inttypes.h>

#include "common/random.h"
#include "supervisor/election.h"
#include "supervisor/election_fencing.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Every test lives on a clock that stands where it is put. */
#define T0 DUR_S(1000)
#define LEASE_ENDS (T0 + DUR_S(14))
#define EPOCH                                                                                      \
    {                                                                                              \
        1, 7                                                                                       \
    }

static const struct election_terms usual = {
    .candidate = true,
    .has_probe = true,
    .connect_timeout = DUR_S(5),
    .retry_interval = DUR_S(5),
    .retry_jitter = 20,
    .backoff_max = DUR_S(60),
    .margin = DUR_MS(750),
    .drain = DUR_S(2),
    .over = DUR_S(7),
};

static struct election_actions feed(struct election *e, struct election_event event)
{
    struct election_actions actions;

    if (event.now == 0) {
        event.now = e->now;
    }
    if (event.turn == 0) {
        event.turn = e->turn;
    }
    election_step(e, &event, &actions);
    return actions;
}

static bool has(const struct election_actions *actions, enum election_action action)
{
    for (unsigned i = 0; i < actions->count; i++) {
        if (actions->list[i] == action) {
            return true;
        }
    }
    return false;
}

/* The way to each state, as it goes in life. */
enum place { IDLE, SEEKING, HEIR, LEADER, DRAINING, KILLING, SWEEPING, RECORDING, STOPPED };

static struct election made_in(enum place place)
{
    static const struct election_event path[] = {
        {.type = ELECTION_PROBE_READY},
        {.type = ELECTION_WORKER_READY},
        {.type = ELECTION_SEAT_TAKEN, .slice = DUR_MS(800)},
        {.type = ELECTION_ELECTED, .epoch = EPOCH, .deadline = LEASE_ENDS},
    };
    static const unsigned steps[] = {
        [IDLE] = 0,    [SEEKING] = 2,  [HEIR] = 3,      [LEADER] = 4, [DRAINING] = 4,
        [KILLING] = 4, [SWEEPING] = 4, [RECORDING] = 4, [STOPPED] = 2};
    struct election e;

    election_init(&e, &usual, T0, 1);
    for (unsigned i = 0; i < steps[place]; i++) {
        feed(&e, path[i]);
    }
    if (place == DRAINING) {
        feed(&e, (struct election_event){.type = ELECTION_STEP_DOWN, .rest = DUR_S(30)});
    }
    if (place >= KILLING && place <= RECORDING) {
        feed(&e, (struct election_event){.type = ELECTION_TICK, .now = LEASE_ENDS});
    }
    if (place == SWEEPING || place == RECORDING) {
        feed(&e, (struct election_event){.type = ELECTION_WORKER_EXITED});
    }
    if (place == RECORDING) {
        feed(&e, (struct election_event){.type = ELECTION_DESCENDANTS_GONE});
    }
    if (place == STOPPED) {
        feed(&e, (struct election_event){.type = ELECTION_STOP, .reason = END_STOP});
    }
    return e;
}

#define NO_ACTION ELECTION_ACTION_COUNT

/* clang-format off */
static const struct {
    const char *title;
    enum place from;
    struct election_event event;
    enum election_state to;
    enum election_action must;     /* be among the actions */
    enum election_action must_not; /* be among them */
} cases[] = {
    {"the probe seeks only when there is a worker to campaign",
        IDLE, {.type = ELECTION_PROBE_READY}, ELECTION_FOLLOWER, NO_ACTION, ELECTION_SEEK},
    {"the seat makes the worker campaign",
        SEEKING, {.type = ELECTION_SEAT_TAKEN, .slice = DUR_MS(800)},
        ELECTION_HEIR, ELECTION_CAMPAIGN, ELECTION_LEAVE},
    {"a wrong clock seeks no seat",
        SEEKING, {.type = ELECTION_CLOCK_WRONG}, ELECTION_FOLLOWER, ELECTION_LEAVE, ELECTION_SEEK},
    {"a dead worker's probe does not go on seeking",
        SEEKING, {.type = ELECTION_WORKER_EXITED}, ELECTION_FENCING, ELECTION_LEAVE, ELECTION_SEEK},
    {"even a follower's dead worker is swept",
        SEEKING, {.type = ELECTION_WORKER_EXITED}, ELECTION_FENCING, ELECTION_SWEEP, ELECTION_KILL_WORKER},
    {"an election without a campaign is not believed: the worker is killed",
        SEEKING, {.type = ELECTION_ELECTED, .epoch = EPOCH, .deadline = LEASE_ENDS},
        ELECTION_FENCING, ELECTION_KILL_WORKER, ELECTION_LEAD},
    {"a follower that is told to stop leaves the seat and is gone",
        SEEKING, {.type = ELECTION_STOP}, ELECTION_STOPPED, ELECTION_GONE, ELECTION_STAND_DOWN},
    {"a follower elects anew at once",
        SEEKING, {.type = ELECTION_ELECT_ANEW}, ELECTION_FOLLOWER, ELECTION_READY_TO_ELECT_ANEW, ELECTION_SEEK},

    {"an answer makes the heir the leader, and the probe its witness",
        HEIR, {.type = ELECTION_ELECTED, .epoch = EPOCH, .deadline = LEASE_ENDS},
        ELECTION_LEADER, ELECTION_LEAD, ELECTION_LEAVE},
    {"an answer to another turn is not an answer",
        HEIR, {.type = ELECTION_ELECTED, .turn = 99, .epoch = EPOCH, .deadline = LEASE_ENDS},
        ELECTION_HEIR, NO_ACTION, ELECTION_LEAD},
    {"a heir that is silent for two slices and a connect timeout gives the seat up",
        HEIR, {.type = ELECTION_TICK, .now = T0 + DUR_MS(6600)},
        ELECTION_STANDING_DOWN, ELECTION_LEAVE, ELECTION_KILL_WORKER},
    {"a moment earlier it does not",
        HEIR, {.type = ELECTION_TICK, .now = T0 + DUR_MS(6599)},
        ELECTION_HEIR, NO_ACTION, ELECTION_LEAVE},
    {"a heir that loses its seat breaks its campaign off",
        HEIR, {.type = ELECTION_SEAT_LOST}, ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_KILL_WORKER},
    {"so does one that loses its probe",
        HEIR, {.type = ELECTION_PROBE_GONE}, ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_LEAVE},
    {"and one whose clock is wrong",
        HEIR, {.type = ELECTION_CLOCK_WRONG}, ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_KILL_WORKER},
    {"a failed campaign leaves the seat to others",
        HEIR, {.type = ELECTION_CAMPAIGN_FAILED, .reason = END_TERM_FAILED},
        ELECTION_FOLLOWER, ELECTION_LEAVE, ELECTION_CAMPAIGN},
    {"a heir whose worker dies sweeps: the key may have been granted",
        HEIR, {.type = ELECTION_WORKER_EXITED}, ELECTION_FENCING, ELECTION_SWEEP, ELECTION_CAMPAIGN},
    {"a heir that is told to stop stands down first",
        HEIR, {.type = ELECTION_STOP}, ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_GONE},

    {"a leader that does not renew by D is killed",
        LEADER, {.type = ELECTION_TICK, .now = LEASE_ENDS},
        ELECTION_FENCING, ELECTION_KILL_WORKER, ELECTION_CLOSE_LOCK},
    {"but not a moment earlier",
        LEADER, {.type = ELECTION_TICK, .now = LEASE_ENDS - 1},
        ELECTION_LEADER, NO_ACTION, ELECTION_KILL_WORKER},
    {"a dead leader's jobs die before the lock socket is closed",
        LEADER, {.type = ELECTION_WORKER_EXITED}, ELECTION_FENCING, ELECTION_SWEEP, ELECTION_CLOSE_LOCK},
    {"a renewal that is old when it is read is not the last one: a TICK judges",
        LEADER, {.type = ELECTION_RENEWED, .now = LEASE_ENDS + DUR_S(5), .deadline = LEASE_ENDS + DUR_S(1)},
        ELECTION_LEADER, NO_ACTION, ELECTION_KILL_WORKER},
    {"nor does any other news kill a worker that was not heard yet",
        LEADER, {.type = ELECTION_PROBE_GONE, .now = LEASE_ENDS + DUR_S(5)},
        ELECTION_LEADER, NO_ACTION, ELECTION_KILL_WORKER},
    {"lost means that nothing runs: the duplicate is closed",
        LEADER, {.type = ELECTION_LOST, .reason = END_SESSION_ENDED},
        ELECTION_FOLLOWER, ELECTION_CLOSE_LOCK, ELECTION_SWEEP},
    {"what is lost may be won again at once",
        LEADER, {.type = ELECTION_LOST, .reason = END_SESSION_ENDED},
        ELECTION_FOLLOWER, ELECTION_SEEK, ELECTION_KILL_WORKER},
    {"a witness that denies ends the term",
        LEADER, {.type = ELECTION_WITNESS_DENIES, .epoch = EPOCH},
        ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_KILL_WORKER},
    {"a witness that denies another term does not",
        LEADER, {.type = ELECTION_WITNESS_DENIES, .epoch = {1, 6}},
        ELECTION_LEADER, NO_ACTION, ELECTION_STAND_DOWN},
    {"a new probe is told that we lead",
        LEADER, {.type = ELECTION_PROBE_READY}, ELECTION_LEADER, ELECTION_LEAD, ELECTION_SEEK},
    {"a leader survives its probe",
        LEADER, {.type = ELECTION_PROBE_GONE}, ELECTION_LEADER, NO_ACTION, ELECTION_STAND_DOWN},
    {"a leader with a wrong clock steps down",
        LEADER, {.type = ELECTION_CLOCK_WRONG}, ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_KILL_WORKER},
    {"a reload that elects anew releases first",
        LEADER, {.type = ELECTION_ELECT_ANEW}, ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_READY_TO_ELECT_ANEW},
    {"a leader that is told to stop drains",
        LEADER, {.type = ELECTION_STOP}, ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_GONE},

    {"while it drains, D holds as before",
        DRAINING, {.type = ELECTION_TICK, .now = LEASE_ENDS}, ELECTION_FENCING, ELECTION_KILL_WORKER, ELECTION_CLOSE_LOCK},
    {"a worker that does not answer to its bound is killed",
        DRAINING, {.type = ELECTION_TICK, .now = T0 + DUR_MS(7250)},
        ELECTION_FENCING, ELECTION_KILL_WORKER, ELECTION_CLOSE_LOCK},
    {"released is the end of the term",
        DRAINING, {.type = ELECTION_RELEASED, .reason = END_STEP_DOWN},
        ELECTION_FOLLOWER, ELECTION_CLOSE_LOCK, ELECTION_CAMPAIGN},
    {"after D, what else comes in is heard before the silence is judged",
        DRAINING, {.type = ELECTION_RENEWED, .now = LEASE_ENDS + DUR_S(1), .deadline = LEASE_ENDS + DUR_MS(1)},
        ELECTION_STANDING_DOWN, NO_ACTION, ELECTION_KILL_WORKER},
    {"a second, harder order lowers the bound",
        DRAINING, {.type = ELECTION_STOP_NOW}, ELECTION_STANDING_DOWN, ELECTION_STAND_DOWN, ELECTION_GONE},

    {"nothing is closed while the worker is not reaped",
        KILLING, {.type = ELECTION_TICK, .now = LEASE_ENDS + DUR_S(60)},
        ELECTION_FENCING, ELECTION_KILL_WORKER, ELECTION_CLOSE_LOCK},
    {"what a killed worker said last is too late",
        KILLING, {.type = ELECTION_RELEASED}, ELECTION_FENCING, NO_ACTION, ELECTION_CLOSE_LOCK},
    {"when nothing of it lives, the fence is recorded",
        SWEEPING, {.type = ELECTION_DESCENDANTS_GONE}, ELECTION_FENCING, ELECTION_RECORD_FENCE, ELECTION_CLOSE_LOCK},
    {"descendants that refuse to die hold the lock only until the lease is over",
        SWEEPING, {.type = ELECTION_TICK, .now = LEASE_ENDS + DUR_S(1)},
        ELECTION_FOLLOWER, ELECTION_UNKILLABLE, ELECTION_RECORD_FENCE},
    {"and no longer",
        SWEEPING, {.type = ELECTION_TICK, .now = LEASE_ENDS + DUR_S(1)},
        ELECTION_FOLLOWER, ELECTION_CLOSE_LOCK, ELECTION_RECORD_FENCE},
    {"until then they do",
        SWEEPING, {.type = ELECTION_TICK, .now = LEASE_ENDS + DUR_S(1) - 1},
        ELECTION_FENCING, NO_ACTION, ELECTION_UNKILLABLE},
    {"a recorded fence is the end",
        RECORDING, {.type = ELECTION_FENCE_RECORDED}, ELECTION_FOLLOWER, ELECTION_CLOSE_LOCK, ELECTION_SWEEP},
    {"recording is never a condition",
        RECORDING, {.type = ELECTION_TICK, .now = LEASE_ENDS + DUR_MS(300)},
        ELECTION_FOLLOWER, ELECTION_CLOSE_LOCK, ELECTION_SWEEP},
    {"stopped is the end",
        STOPPED, {.type = ELECTION_WORKER_READY}, ELECTION_STOPPED, NO_ACTION, ELECTION_SEEK},
};
/* clang-format on */

Test(election, transitions)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct election e = made_in(cases[i].from);
        struct election_actions got = feed(&e, cases[i].event);

        cr_expect(e.state == cases[i].to, "%s: became %s", cases[i].title,
                  election_state_name(e.state));
        cr_expect(cases[i].must == NO_ACTION || has(&got, cases[i].must),
                  "%s: action %d is missing", cases[i].title, (int)cases[i].must);
        cr_expect(!has(&got, cases[i].must_not), "%s: action %d", cases[i].title,
                  (int)cases[i].must_not);
    }
}

Test(election, rests_longer_than_others_take_to_look_after_a_campaign_that_failed)
{
    struct election e = made_in(HEIR);

    feed(&e, (struct election_event){.type = ELECTION_CAMPAIGN_FAILED, .reason = END_TERM_FAILED});
    cr_expect_gt(e.rest_until - T0, usual.retry_interval);

    dur_ns first = e.rest_until - T0;
    for (int i = 0; i < 20; i++) {
        mono_ns now = e.rest_until;
        feed(&e, (struct election_event){.type = ELECTION_SEAT_TAKEN, .now = now});
        cr_assert_eq(e.state, ELECTION_HEIR, "try %d", i);
        feed(&e,
             (struct election_event){.type = ELECTION_CAMPAIGN_FAILED, .reason = END_TERM_FAILED});
        cr_expect_leq(e.rest_until - now, usual.retry_interval + usual.backoff_max);
        first = e.rest_until - now > first ? e.rest_until - now : first;
    }
    cr_expect_gt(first, usual.backoff_max / 2, "it does not grow");
}

Test(election, does_not_rest_longer_each_time_where_polling_finds_the_key_taken)
{
    struct election e = made_in(SEEKING);

    for (int i = 0; i < 20; i++) {
        mono_ns now = e.rest_until > T0 ? e.rest_until : T0;
        feed(&e, (struct election_event){.type = ELECTION_SEAT_TAKEN, .poll = true, .now = now});
        cr_assert_eq(e.state, ELECTION_HEIR);
        feed(&e,
             (struct election_event){.type = ELECTION_CAMPAIGN_FAILED, .reason = END_NOT_GRANTED});
        cr_expect_leq(e.rest_until - now, usual.retry_interval * 12 / 10);
    }
}

/* It may have seen the end of its session, and be ending its jobs: that is no hang. */
Test(election, a_leader_that_the_witness_denies_has_the_time_that_its_jobs_have_after_a_loss)
{
    struct election_terms patient = usual;
    struct election e = made_in(LEADER);

    feed(&e, (struct election_event){.type = ELECTION_WITNESS_DENIES, .epoch = EPOCH});
    cr_expect_eq(e.over_by, T0 + ELECTION_AT_ONCE);

    patient.loss = DUR_MS(1750);
    e = made_in(LEADER);
    election_configure(&e, &patient);
    feed(&e, (struct election_event){.type = ELECTION_WITNESS_DENIES, .epoch = EPOCH});
    cr_expect_eq(e.over_by, T0 + DUR_MS(1750));

    e = made_in(DRAINING);
    election_configure(&e, &patient);
    feed(&e, (struct election_event){.type = ELECTION_WITNESS_DENIES, .epoch = EPOCH});
    cr_expect_eq(e.over_by, T0 + DUR_MS(1750), "while it drains too");
}

Test(election, a_step_down_rests_from_the_release_on)
{
    struct election e = made_in(DRAINING);

    feed(&e, (struct election_event){.type = ELECTION_RELEASED, .now = T0 + DUR_S(1)});
    cr_expect_eq(e.rest_until, T0 + DUR_S(31));
    feed(&e, (struct election_event){.type = ELECTION_SEAT_TAKEN, .now = T0 + DUR_S(30)});
    cr_expect_eq(e.state, ELECTION_FOLLOWER, "a seat taken too early is given back");
}

Test(election, leads_without_an_election_as_soon_as_the_worker_is_ready)
{
    struct election_terms none = usual;
    struct election e;

    none.has_probe = false;
    election_init(&e, &none, T0, 1);
    struct election_actions got = feed(&e, (struct election_event){.type = ELECTION_WORKER_READY});
    cr_expect(has(&got, ELECTION_CAMPAIGN));
    feed(&e, (struct election_event){.type = ELECTION_ELECTED, .deadline = MONO_NEVER});
    cr_expect_eq(e.state, ELECTION_LEADER);
    got = feed(&e, (struct election_event){.type = ELECTION_TICK, .now = T0 + DUR_S(1000000)});
    cr_expect_eq(e.state, ELECTION_LEADER);
    cr_expect_eq(got.wake_at, MONO_NEVER);
}

Test(election, one_that_may_not_run_jobs_never_seeks)
{
    struct election_terms idle = usual;
    struct election e;

    idle.candidate = false;
    election_init(&e, &idle, T0, 1);
    struct election_actions a = feed(&e, (struct election_event){.type = ELECTION_PROBE_READY});
    struct election_actions b = feed(&e, (struct election_event){.type = ELECTION_WORKER_READY});
    cr_expect_eq(a.count + b.count, 0);
}

Test(election, an_answer_that_crosses_the_order_to_stand_down_is_still_fenced_by_its_lease)
{
    struct election e = made_in(HEIR);

    feed(&e, (struct election_event){.type = ELECTION_SEAT_LOST});
    cr_expect(election_expects(&e, e.turn));
    feed(&e, (struct election_event){
                 .type = ELECTION_ELECTED, .epoch = EPOCH, .deadline = T0 + DUR_MS(100)});
    cr_expect_eq(e.state, ELECTION_STANDING_DOWN);
    cr_expect(e.lock_kept);
    struct election_actions got =
        feed(&e, (struct election_event){.type = ELECTION_TICK, .now = T0 + DUR_MS(100)});
    cr_expect_eq(e.state, ELECTION_FENCING);
    cr_expect(has(&got, ELECTION_KILL_WORKER));
}

Test(election, goes_on_after_the_new_configuration_is_in_force)
{
    struct election e = made_in(LEADER);

    feed(&e, (struct election_event){.type = ELECTION_ELECT_ANEW});
    struct election_actions got = feed(&e, (struct election_event){.type = ELECTION_RELEASED});
    cr_expect(has(&got, ELECTION_READY_TO_ELECT_ANEW));
    cr_expect_not(has(&got, ELECTION_SEEK));
    got = feed(&e, (struct election_event){.type = ELECTION_CONFIGURED});
    cr_expect(has(&got, ELECTION_SEEK));
}

Test(election, that_stops_says_so_whatever_ended_the_term_before)
{
    struct election e = made_in(SEEKING);

    e.reason = END_STEP_DOWN;
    (void)feed(&e, (struct election_event){.type = ELECTION_STOP});
    cr_expect(e.state == ELECTION_STOPPED);
    cr_expect(e.reason == END_STOP);
}

/* A supervisor that was stopped for longer than a lease finds a queue of renewals. */
Test(election, one_that_slept_hears_all_renewals_before_it_judges)
{
    struct election e = made_in(LEADER);
    mono_ns awake = LEASE_ENDS + DUR_S(20);
    struct election_actions got;

    for (mono_ns d = LEASE_ENDS; d <= awake + DUR_S(13); d += DUR_S(1)) {
        got = feed(&e,
                   (struct election_event){.type = ELECTION_RENEWED, .now = awake, .deadline = d});
        cr_assert_eq(e.state, ELECTION_LEADER);
    }
    got = feed(&e, (struct election_event){.type = ELECTION_TICK});
    cr_expect_eq(e.state, ELECTION_LEADER);
    cr_expect_eq(got.wake_at, awake + DUR_S(13));
}

Test(election, one_that_slept_and_hears_nothing_new_judges_at_once)
{
    struct election e = made_in(LEADER);
    struct election_actions got =
        feed(&e, (struct election_event){.type = ELECTION_RENEWED,
                                         .now = LEASE_ENDS + DUR_S(20),
                                         .deadline = LEASE_ENDS + DUR_S(1)});

    cr_expect_leq(got.wake_at, e.now, "the caller is to send a TICK now");
    feed(&e, (struct election_event){.type = ELECTION_TICK});
    cr_expect_eq(e.state, ELECTION_FENCING);
}

/* The newest of the renewals in that queue may be old, because the channel was full. */
Test(election, one_whose_worker_was_not_heard_judges_when_it_could_have_spoken_again)
{
    static const enum place places[] = {HEIR, LEADER, DRAINING};

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct election e = made_in(places[i]);
        enum election_state state = e.state;
        mono_ns awake = LEASE_ENDS + DUR_S(20);

        feed(&e, (struct election_event){.type = ELECTION_UNHEARD, .now = awake});
        struct election_actions got = feed(&e, (struct election_event){.type = ELECTION_TICK});
        cr_expect_eq(e.state, state);
        cr_expect_eq(got.wake_at, awake + ELECTION_SAY_AGAIN);
        feed(&e, (struct election_event){.type = ELECTION_TICK, .now = awake + ELECTION_SAY_AGAIN});
        cr_expect_eq(e.state, state == ELECTION_HEIR ? ELECTION_STANDING_DOWN : ELECTION_FENCING);
    }
}

Test(election, one_that_hears_its_worker_in_time_goes_on)
{
    struct election e = made_in(LEADER);
    mono_ns awake = LEASE_ENDS + DUR_S(20);
    mono_ns deadline = awake + DUR_S(14);

    feed(&e, (struct election_event){.type = ELECTION_UNHEARD, .now = awake});
    feed(&e, (struct election_event){.type = ELECTION_RENEWED, .deadline = deadline});
    struct election_actions got = feed(&e, (struct election_event){.type = ELECTION_TICK});
    cr_expect_eq(got.wake_at, deadline);
    feed(&e, (struct election_event){.type = ELECTION_TICK, .now = deadline});
    cr_expect_eq(e.state, ELECTION_FENCING, "the next silence is its own");
}

Test(election, a_stop_during_a_long_drain_shortens_it)
{
    struct election e = made_in(DRAINING);
    struct election_terms hasty = usual;

    hasty.drain = DUR_MS(500);
    hasty.over = DUR_S(1);
    election_configure(&e, &hasty);
    struct election_actions got = feed(&e, (struct election_event){.type = ELECTION_STOP});
    cr_expect(has(&got, ELECTION_STAND_DOWN));
    cr_expect_eq(e.over_by, T0 + DUR_S(1));

    election_configure(&e, &usual);
    got = feed(&e, (struct election_event){.type = ELECTION_STOP});
    cr_expect_eq(got.count, 0, "and never lengthens it");
    cr_expect_eq(e.over_by, T0 + DUR_S(1));
}

/* The world around the machine: what it can see is what it may send. Random, but a process that is
 * dead says nothing, and one that is not reaped has not exited. */
static struct election_event draw(struct prng *random, const struct election *e)
{
    struct election_event event = {
        .type = (enum election_event_type)prng_below(random, ELECTION_EVENT_COUNT),
        .now = e->now + (dur_ns)prng_below(random, (uint64_t)DUR_S(2)),
        .turn = e->turn - (prng_below(random, 8) == 0),
        .reason = (enum end_reason)prng_below(random, END_REASON_COUNT),
        .epoch = {1, 1 + prng_below(random, 3)},
        .slice = DUR_MS(800),
        .poll = prng_below(random, 8) == 0,
        .rest = (dur_ns)prng_below(random, (uint64_t)DUR_S(30)),
    };

    event.deadline = event.now + (dur_ns)prng_below(random, (uint64_t)DUR_S(15));
    if (event.type == ELECTION_WORKER_READY && e->worker_ready) {
        event.type = ELECTION_TICK;
    }
    if ((event.type == ELECTION_STOP || event.type == ELECTION_STOP_NOW) &&
        prng_below(random, 50) != 0) {
        event.type = ELECTION_TICK; /* or no run would see anything else */
    }
    if (event.type == ELECTION_ELECTED && !election_expects(e, event.turn)) {
        event.type = ELECTION_TICK; /* the supervisor does not let it through */
    }
    if (!e->worker_ready && event.type >= ELECTION_SLICE_ANSWERED &&
        event.type <= ELECTION_RELEASED) {
        event.type = ELECTION_TICK;
    }
    if (event.type == ELECTION_CONFIGURED && !e->paused) {
        event.type = ELECTION_TICK;
    }
    return event;
}

Test(election, its_invariants_hold_whatever_happens)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct prng random;
        struct election e;
        bool lock_open = false; /* as the supervisor's descriptor would be */

        prng_seed(&random, seed);
        election_init(&e, &usual, T0, seed);
        for (int i = 0; i < 500; i++) {
            struct election_event event = draw(&random, &e);
            bool elected = event.type == ELECTION_ELECTED;
            enum election_state before = e.state;
            struct election_actions got;

            lock_open = lock_open || elected;
            election_step(&e, &event, &got); /* asserts what is always true */
            if (has(&got, ELECTION_CLOSE_LOCK)) {
                lock_open = false;
            }
            cr_assert_eq(lock_open, e.lock_kept, "seed %" PRIu64 " step %d", seed, i);
            cr_assert(!(lock_open && e.state == ELECTION_FOLLOWER));
            cr_assert(before != ELECTION_STOPPED || e.state == ELECTION_STOPPED);
            cr_assert(e.state == before || has(&got, ELECTION_ANNOUNCE));
        }
    }
}

/* What it had comes to us with its death; only one that does not die is gone around. */
Test(election, the_jobs_of_a_worker_are_looked_for_below_it_only_when_it_does_not_die)
{
    struct election e = made_in(LEADER);
    struct election_actions got =
        feed(&e, (struct election_event){.type = ELECTION_TICK, .now = LEASE_ENDS});

    cr_expect(has(&got, ELECTION_KILL_WORKER));
    cr_expect_not(has(&got, ELECTION_KILL_BELOW));
    cr_expect_eq(got.wake_at, LEASE_ENDS + ELECTION_KILL_BELOW_AFTER);
    cr_expect_lt(ELECTION_KILL_BELOW_AFTER, usual.margin, "the key may be another's by then");
    got = feed(&e, (struct election_event){.type = ELECTION_TICK, .now = got.wake_at});
    cr_expect(has(&got, ELECTION_KILL_WORKER));
    cr_expect(has(&got, ELECTION_KILL_BELOW));
    cr_expect_eq(got.wake_at, e.now + DUR_S(1));
    got = feed(&e, (struct election_event){.type = ELECTION_TICK, .now = got.wake_at});
    cr_expect(has(&got, ELECTION_KILL_BELOW), "again: it may have missed one");
    got = feed(&e, (struct election_event){.type = ELECTION_WORKER_EXITED});
    cr_expect(has(&got, ELECTION_SWEEP));
}

/* Somebody may lead again: with a world that answers, no state is a dead end. */
Test(election, finds_its_way_back_from_everywhere)
{
    static const enum place places[] = {SEEKING, HEIR,     LEADER,   DRAINING,
                                        KILLING, SWEEPING, RECORDING};

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct election e = made_in(places[i]);

        for (int round = 0; round < 100 && e.state != ELECTION_FOLLOWER; round++) {
            struct election_actions got =
                feed(&e, (struct election_event){.type = ELECTION_TICK, .now = e.now + DUR_S(1)});

            if (has(&got, ELECTION_KILL_WORKER)) {
                feed(&e, (struct election_event){.type = ELECTION_WORKER_EXITED});
            }
        }
        cr_expect_eq(e.state, ELECTION_FOLLOWER, "stuck in %s", election_state_name(e.state));
    }
}

/* Its jobs may run already, and have the same right to end by themselves. */
Test(election, a_heir_that_was_elected_while_it_was_told_to_stop_drains_like_a_leader)
{
    struct election e = made_in(HEIR);

    feed(&e, (struct election_event){.type = ELECTION_STOP});
    cr_expect_eq(e.drain_until, T0 + usual.drain);
    cr_expect_eq(e.deadline, T0 + ELECTION_AT_ONCE + ELECTION_ANSWER_SLACK,
                 "a mere campaign has no time to take");

    feed(&e, (struct election_event){
                 .type = ELECTION_ELECTED, .epoch = EPOCH, .deadline = T0 + DUR_S(15)});
    cr_expect_eq(e.state, ELECTION_STANDING_DOWN);
    cr_expect_eq(e.deadline, T0 + usual.over + ELECTION_ANSWER_SLACK);
}
