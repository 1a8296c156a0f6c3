#include <criterion/criterion.h>

#include "worker/probe/seat.h"

#define NOW DUR_S(100)
#define INTERVAL DUR_S(5)

static const struct seat_rules rules = {
    .retry_interval = INTERVAL,
    .retry_jitter = 20,
    .backoff_max = DUR_S(60),
};

static struct prng prng;

static struct seat_actions step(struct seat *seat, struct seat_event event)
{
    struct seat_actions actions;

    seat_step(seat, &event, &prng, &actions);
    return actions;
}

/* A seat in that state, wanted by the supervisor. */
static struct seat seat_in(enum seat_state state)
{
    struct seat seat;

    prng_seed(&prng, 1);
    seat_begin(&seat, &rules, NOW);
    (void)step(&seat, (struct seat_event){.type = SEAT_ON_SEEK, .now = NOW});
    static const struct seat_event path[] = {
        {.type = SEAT_ON_TICK, .now = NOW},
        {.type = SEAT_ON_CONNECTED, .now = NOW},
        {.type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true},
        {.type = SEAT_ON_TAKEN, .now = NOW},
        {.type = SEAT_ON_LEAVE, .now = NOW},
    };

    for (size_t i = 0; seat.state != state; i++) {
        cr_assert(i < sizeof(path) / sizeof(path[0]), "no path to %s", seat_state_name(state));
        (void)step(&seat, path[i]);
    }
    return seat;
}

/* clang-format off */
static const struct {
    const char *title;
    enum seat_state from;
    struct seat_event event;
    enum seat_state to;
    unsigned count; /* of actions, and the first one: */
    enum seat_action first;
} cases[] = {
    {"an attempt to connect waits for its time",
        SEAT_OFFLINE, {.type = SEAT_ON_TICK, .now = NOW - 1}, SEAT_OFFLINE, 0, 0},
    {"when it has come, we connect",
        SEAT_OFFLINE, {.type = SEAT_ON_TICK, .now = NOW}, SEAT_CONNECTING, 1, SEAT_CONNECT},
    {"the first look is at once",
        SEAT_CONNECTING, {.type = SEAT_ON_CONNECTED, .now = NOW}, SEAT_WATCHING, 1, SEAT_LOOK},
    {"a failure to connect reports no seat lost",
        SEAT_CONNECTING, {.type = SEAT_ON_DISCONNECTED, .now = NOW}, SEAT_OFFLINE, 0, 0},
    {"an attempt under way is not doubled",
        SEAT_CONNECTING, {.type = SEAT_ON_TICK, .now = NOW + DUR_S(60)}, SEAT_CONNECTING, 0, 0},
    {"a free seat is taken",
        SEAT_WATCHING, {.type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true},
        SEAT_TAKING, 1, SEAT_TAKE},
    {"a seat that is not free is not asked for",
        SEAT_WATCHING, {.type = SEAT_ON_LOOKED, .now = NOW, .key_free = true},
        SEAT_WATCHING, 0, 0},
    {"an instance with a wrong clock takes no seat",
        SEAT_WATCHING, {.type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true, .clock_wrong = true},
        SEAT_WATCHING, 0, 0},
    {"in poll mode a free key is reported, and no seat is taken",
        SEAT_WATCHING, {.type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true, .key_free = true, .poll = true},
        SEAT_WATCHING, 1, SEAT_REPORT_FREE},
    {"in poll mode a held key is left alone",
        SEAT_WATCHING, {.type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true, .poll = true},
        SEAT_WATCHING, 0, 0},
    {"a refusal leaves us watching",
        SEAT_TAKING, {.type = SEAT_ON_REFUSED, .now = NOW}, SEAT_WATCHING, 0, 0},
    {"the seat is reported when it is ours",
        SEAT_TAKING, {.type = SEAT_ON_TAKEN, .now = NOW}, SEAT_HELD, 1, SEAT_REPORT_TAKEN},
    {"a seat whose answer never came was never reported, so it is not reported lost",
        SEAT_TAKING, {.type = SEAT_ON_DISCONNECTED, .now = NOW}, SEAT_OFFLINE, 0, 0},
    {"a question that is out is not asked twice",
        SEAT_TAKING, {.type = SEAT_ON_TICK, .now = NOW + DUR_S(60)}, SEAT_TAKING, 0, 0},
    {"the heir goes on looking",
        SEAT_HELD, {.type = SEAT_ON_TICK, .now = NOW + DUR_S(60)}, SEAT_HELD, 1, SEAT_LOOK},
    {"the heir's seat ends with its session, and the supervisor hears of it",
        SEAT_HELD, {.type = SEAT_ON_DISCONNECTED, .now = NOW}, SEAT_OFFLINE, 1, SEAT_REPORT_LOST},
    {"a seat that is not wanted any more is given back",
        SEAT_HELD, {.type = SEAT_ON_LEAVE, .now = NOW}, SEAT_GIVING, 1, SEAT_GIVE},
    {"an heir whose clock is wrong says so and gives the seat back",
        SEAT_HELD, {.type = SEAT_ON_LOOKED, .now = NOW, .clock_wrong = true},
        SEAT_GIVING, 2, SEAT_REPORT_LOST},
    {"an heir that sees a free seat (its own look was late) does not take it again",
        SEAT_HELD, {.type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true}, SEAT_HELD, 0, 0},
    {"given back is given back",
        SEAT_GIVING, {.type = SEAT_ON_GIVEN, .now = NOW}, SEAT_WATCHING, 0, 0},
    {"while the unlock is out nothing is taken",
        SEAT_GIVING, {.type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true}, SEAT_GIVING, 0, 0},
    {"a seat that was being given back is not reported lost",
        SEAT_GIVING, {.type = SEAT_ON_DISCONNECTED, .now = NOW}, SEAT_OFFLINE, 0, 0},
};
/* clang-format on */

Test(seat, transitions)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seat seat = seat_in(cases[i].from);
        struct seat_actions got = step(&seat, cases[i].event);

        cr_expect(seat.state == cases[i].to, "%s: became %s", cases[i].title,
                  seat_state_name(seat.state));
        cr_expect(got.count == cases[i].count, "%s: %u actions", cases[i].title, got.count);
        if (cases[i].count > 0) {
            cr_expect(got.list[0] == cases[i].first, "%s: action %d", cases[i].title,
                      (int)got.list[0]);
        }
    }
}

Test(seat, that_was_left_while_the_answer_was_on_its_way_is_given_back_unreported)
{
    struct seat seat = seat_in(SEAT_TAKING);

    cr_expect(step(&seat, (struct seat_event){.type = SEAT_ON_LEAVE, .now = NOW}).count == 0);
    struct seat_actions got = step(&seat, (struct seat_event){.type = SEAT_ON_TAKEN, .now = NOW});

    cr_expect(seat.state == SEAT_GIVING);
    cr_expect(got.count == 1 && got.list[0] == SEAT_GIVE);
}

Test(seat, is_not_taken_while_it_rests_and_looked_at_when_the_rest_is_over)
{
    struct seat seat = seat_in(SEAT_WATCHING);
    const struct seat_event look = {.type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true};

    (void)step(&seat,
               (struct seat_event){.type = SEAT_ON_SEEK, .now = NOW, .not_before = NOW + DUR_S(1)});
    cr_expect(step(&seat, look).count == 0, "taken before its time");
    cr_expect(seat.wake_at == NOW + DUR_S(1), "woken at %lld", (long long)seat.wake_at);

    struct seat_actions got =
        step(&seat, (struct seat_event){.type = SEAT_ON_TICK, .now = NOW + DUR_S(1)});

    cr_expect(got.count == 1 && got.list[0] == SEAT_LOOK);
    got =
        step(&seat,
             (struct seat_event){.type = SEAT_ON_LOOKED, .now = NOW + DUR_S(1), .seat_free = true});
    cr_expect(got.count == 1 && got.list[0] == SEAT_TAKE);
}

Test(seat, that_nobody_seeks_is_only_watched)
{
    struct seat seat = seat_in(SEAT_WATCHING);

    (void)step(&seat, (struct seat_event){.type = SEAT_ON_LEAVE, .now = NOW});
    struct seat_actions got =
        step(&seat, (struct seat_event){
                        .type = SEAT_ON_LOOKED, .now = NOW, .seat_free = true, .key_free = true});

    cr_expect(got.count == 0);
    cr_expect(seat.state == SEAT_WATCHING);
}

Test(seat, reports_a_free_key_once_until_it_is_sought_again)
{
    struct seat seat = seat_in(SEAT_WATCHING);
    const struct seat_event look = {
        .type = SEAT_ON_LOOKED, .now = NOW, .key_free = true, .poll = true};

    cr_expect(step(&seat, look).count == 1);
    cr_expect(step(&seat, look).count == 0, "reported twice");
    (void)step(&seat, (struct seat_event){.type = SEAT_ON_SEEK, .now = NOW});
    cr_expect(step(&seat, look).count == 1, "not reported again");
}

Test(seat, lost_says_why)
{
    struct seat seat = seat_in(SEAT_HELD);
    struct seat_actions got = step(
        &seat,
        (struct seat_event){.type = SEAT_ON_DISCONNECTED, .now = NOW, .reason = END_LEASE_EXPIRED});

    cr_expect(got.reason == END_LEASE_EXPIRED);

    seat = seat_in(SEAT_HELD);
    got = step(&seat, (struct seat_event){.type = SEAT_ON_LOOKED, .now = NOW, .clock_wrong = true});
    cr_expect(got.reason == END_CLOCK);
    cr_expect(got.list[1] == SEAT_GIVE);
}

Test(seat, looks_at_an_interval_that_is_jittered_and_soon_after_a_new_term)
{
    for (int i = 0; i < 1000; i++) {
        struct seat seat = seat_in(SEAT_WATCHING);
        prng_seed(&prng, (uint64_t)i);
        mono_ns now = NOW + DUR_S(60);

        (void)step(&seat, (struct seat_event){.type = SEAT_ON_TICK, .now = now});
        cr_assert(seat.wake_at >= now + INTERVAL * 8 / 10, "too early");
        cr_assert(seat.wake_at <= now + INTERVAL * 12 / 10, "too late");

        (void)step(&seat, (struct seat_event){.type = SEAT_ON_NOTIFIED, .now = now});
        cr_assert(seat.wake_at >= now && seat.wake_at <= now + DUR_MS(20));
    }
}

Test(seat, is_looked_at_soon_after_a_time_in_which_no_term_was_heard_of)
{
    static const struct {
        enum seat_state from;
        enum seat_event_type answer;
    } deaf[] = {{SEAT_TAKING, SEAT_ON_REFUSED}, {SEAT_GIVING, SEAT_ON_GIVEN}};

    for (size_t i = 0; i < sizeof(deaf) / sizeof(deaf[0]); i++) {
        struct seat seat = seat_in(deaf[i].from);

        (void)step(&seat, (struct seat_event){.type = SEAT_ON_NOTIFIED, .now = NOW});
        (void)step(&seat, (struct seat_event){.type = deaf[i].answer, .now = NOW});
        cr_expect(seat.wake_at <= NOW + DUR_MS(500), "%s: woken %lld ms later",
                  seat_state_name(deaf[i].from), (long long)((seat.wake_at - NOW) / DUR_MS(1)));
        cr_expect(seat.wake_at > NOW, "not in a circle");
    }
}

Test(seat, backs_off_after_failures_and_a_look_ends_it_but_a_connection_does_not)
{
    struct seat seat = seat_in(SEAT_CONNECTING);
    const struct seat_event lost = {.type = SEAT_ON_DISCONNECTED, .now = NOW};
    mono_ns longest = 0;

    for (int i = 0; i < 20; i++) {
        (void)step(&seat, lost);
        cr_assert(seat.wake_at > NOW);
        cr_assert(seat.wake_at <= NOW + rules.backoff_max);
        longest = seat.wake_at > longest ? seat.wake_at : longest;
        (void)step(&seat, (struct seat_event){.type = SEAT_ON_TICK, .now = seat.wake_at});
        (void)step(&seat, (struct seat_event){.type = SEAT_ON_CONNECTED, .now = NOW});
    }
    cr_expect(longest >= NOW + rules.backoff_max / 2, "a server that only connects is not healthy");

    (void)step(&seat, (struct seat_event){.type = SEAT_ON_LOOKED, .now = NOW});
    seat.state = SEAT_WATCHING;
    (void)step(&seat, lost);
    cr_expect(seat.wake_at <= NOW + DUR_MS(500), "a healthy one is tried again soon");
}
