#include "worker/leader/turn.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"

/* Every test lives on a clock that stands where it is put: milliseconds from here. */
#define AT(ms) (DUR_S(1000) + DUR_MS(ms))

static const struct turn_rules rules = {
    .lease = DUR_S(15),
    .stop_grace = DUR_S(3),
    .loss_grace = DUR_MS(500),
    .kill_margin = DUR_MS(250),
    .open_limit = DUR_S(35),
};

/* D of every term here, unless it is renewed. */
#define DEADLINE AT(14250)

static const struct turn_event campaign = {.type = TURN_CAMPAIGN, .turn = 7};
static const struct turn_event granted = {.type = TURN_GRANTED};
static const struct turn_event opened = {.type = TURN_OPENED,
                                         .epoch = {.generation = 1, .number = 7}};
static const struct turn_event renewed = {
    .type = TURN_RENEWED, .sent_at = AT(1), .deadline = DEADLINE};
static const struct turn_event renewed_before_commit = {
    .type = TURN_RENEWED, .sent_at = AT(-1), .deadline = DEADLINE};
static const struct turn_event free_to_go = {.type = TURN_LOOKED, .wait = 0};
static const struct turn_event must_wait = {.type = TURN_LOOKED, .wait = DUR_S(2)};
static const struct turn_event stand_down = {
    .type = TURN_STAND_DOWN, .drain_until = AT(4000), .over_by = AT(8000), .reason = END_STEP_DOWN};
static const struct turn_event ended = {.type = TURN_LOCK_FAILED, .reason = END_SESSION_ENDED};
static const struct turn_event unreachable = {.type = TURN_LOCK_FAILED,
                                              .reason = END_CONNECT_FAILED};
static const struct turn_event stopping = {.type = TURN_LEASE_STOPPING};
static const struct turn_event killing = {.type = TURN_LEASE_KILLING};
static const struct turn_event over = {.type = TURN_LEASE_OVER};
static const struct turn_event no_term = {.type = TURN_OPEN_FAILED};
static const struct turn_event started = {.type = TURN_JOBS_STARTED};
static const struct turn_event idle = {.type = TURN_JOBS_IDLE};
static const struct turn_event stamped = {.type = TURN_STAMPED};
static const struct turn_event given_up = {.type = TURN_RELEASED};
static const struct turn_event terminated = {.type = TURN_TERMINATED, .reason = END_STOP};
static const struct turn_event orphaned = {.type = TURN_ORPHANED, .reason = END_SUPERVISOR_DIED};
static const struct turn_event tick = {.type = TURN_TICK};

static void feed(struct turn *t, const struct turn_event *event, mono_ns at,
                 struct turn_actions *out)
{
    struct turn_event e = *event;

    e.now = at;
    turn_step(t, &e, out);
}

/* A turn that went the usual way up to that state, all of it at 0 ms. */
static struct turn made_in(enum worker_state state)
{
    static const struct turn_event *const path[] = {
        &campaign, &granted, &opened, &renewed, &must_wait, &tick, &stand_down, &idle, &stamped};
    struct turn t;
    struct turn_actions ignored;
    mono_ns at = AT(0);

    turn_init(&t, &rules, at);
    if (state == WORKER_LOSING) {
        t = made_in(WORKER_LEADING);
        feed(&t, &ended, t.now, &ignored);
    }
    for (size_t i = 0; t.state != state; i++) {
        cr_assert(i < ARRAY_LEN(path), "no path to %s", worker_state_name(state));
        if (path[i] == &tick) {
            at = t.wait_until;
        }
        feed(&t, path[i], at, &ignored);
    }
    return t;
}

static const char *action_letters(const struct turn_actions *a)
{
    static const char *const words[] = {
        [TURN_CONNECT] = "connect",
        [TURN_OPEN_TERM] = "open",
        [TURN_PROVE] = "prove",
        [TURN_SEND_ELECTED] = "ELECTED",
        [TURN_SEND_RENEWED] = "RENEWED",
        [TURN_ANNOUNCE_WAIT] = "wait",
        [TURN_ANNOUNCE] = "announce",
        [TURN_BEGIN_JOBS] = "begin",
        [TURN_DRAIN_JOBS] = "drain",
        [TURN_TERMINATE_JOBS] = "term",
        [TURN_KILL_JOBS] = "kill",
        [TURN_STAMP] = "stamp",
        [TURN_RELEASE_KEY] = "release",
        [TURN_CLOSE_KEY] = "close",
        [TURN_SEND_FAILED] = "FAILED",
        [TURN_SEND_LOST] = "LOST",
        [TURN_SEND_RELEASED] = "RELEASED",
        [TURN_FORGET] = "forget",
        [TURN_EXIT] = "exit",
    };
    static char text[256];
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < a->count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? " " : "",
                                 words[a->list[i]]);
    }
    return text;
}

/* clang-format off */
static const struct {
    const char *title;
    enum worker_state from;
    const struct turn_event *event;
    int ms; /* after the state was reached */
    enum worker_state to;
    const char *actions;
} cases[] = {
    {"a campaign connects",
        WORKER_IDLE, &campaign, 0, WORKER_CAMPAIGNING, "connect"},
    {"an idle worker that is told to end ends",
        WORKER_IDLE, &orphaned, 0, WORKER_GONE, "exit"},
    {"an order for a turn that is over is none",
        WORKER_IDLE, &stand_down, 0, WORKER_IDLE, ""},
    {"the grant opens the term",
        WORKER_CAMPAIGNING, &granted, 0, WORKER_OPENING, "open"},
    {"a campaign that cannot connect has failed",
        WORKER_CAMPAIGNING, &unreachable, 0, WORKER_IDLE, "close FAILED forget"},
    {"a campaign is broken off by closing its session: it may hold the key",
        WORKER_CAMPAIGNING, &stand_down, 0, WORKER_IDLE, "close FAILED forget"},
    {"a second campaign in the first is none",
        WORKER_CAMPAIGNING, &campaign, 0, WORKER_CAMPAIGNING, ""},
    {"a heir whose supervisor is gone closes and ends",
        WORKER_CAMPAIGNING, &orphaned, 0, WORKER_GONE, "close FAILED forget exit"},
    {"after the commit comes a heartbeat, and the look at the term before",
        WORKER_OPENING, &opened, 0, WORKER_OPENING, "prove"},
    {"a term that cannot be opened gives the key back",
        WORKER_OPENING, &no_term, 0, WORKER_IDLE, "close FAILED forget"},
    {"a key that goes during the opening was never announced",
        WORKER_OPENING, &ended, 0, WORKER_IDLE, "close FAILED forget"},
    {"a lease that runs out during the opening is lost at once: no job needs time",
        WORKER_OPENING, &stopping, 0, WORKER_IDLE, "close FAILED forget"},
    {"an opening that others block for ever gives the key back",
        WORKER_OPENING, &tick, 35000, WORKER_IDLE, "close FAILED forget"},
    {"and not before they had their time",
        WORKER_OPENING, &renewed_before_commit, 34999, WORKER_OPENING, ""},
    {"jobs begin when the wait is over",
        WORKER_WAITING, &tick, 2000, WORKER_LEADING, "begin"},
    {"and not before",
        WORKER_WAITING, &tick, 1999, WORKER_WAITING, ""},
    {"a renewal in the wait is passed on",
        WORKER_WAITING, &renewed, 500, WORKER_WAITING, "RENEWED"},
    {"a wait that is broken off has no jobs to drain",
        WORKER_WAITING, &stand_down, 0, WORKER_STAMPING, "stamp"},
    {"a key that is lost in the wait is lost at once",
        WORKER_WAITING, &ended, 0, WORKER_IDLE, "close LOST stamp forget"},
    {"a leader passes its renewals on",
        WORKER_LEADING, &renewed, 0, WORKER_LEADING, "RENEWED"},
    {"a leader that stands down drains first",
        WORKER_LEADING, &stand_down, 0, WORKER_DRAINING, "drain"},
    {"a session that ends stops the jobs at once, and closes nothing yet",
        WORKER_LEADING, &ended, 0, WORKER_LOSING, "term"},
    {"a lease that runs out stops the jobs, and closes nothing yet",
        WORKER_LEADING, &stopping, 0, WORKER_LOSING, "term"},
    {"a leader whose supervisor is gone kills, then releases",
        WORKER_LEADING, &orphaned, 0, WORKER_DRAINING, "kill"},
    {"a leader that alone gets SIGTERM gives its jobs loss_grace",
        WORKER_LEADING, &terminated, 0, WORKER_DRAINING, "term"},
    {"the end of the term is written when the last job is gone",
        WORKER_DRAINING, &idle, 10, WORKER_STAMPING, "stamp"},
    {"jobs that outlive the order are killed before it is over",
        WORKER_DRAINING, &tick, 7600, WORKER_DRAINING, "kill"},
    {"and not much before",
        WORKER_DRAINING, &tick, 1000, WORKER_DRAINING, ""},
    {"renewals go on while jobs drain",
        WORKER_DRAINING, &renewed, 10, WORKER_DRAINING, "RENEWED"},
    {"a session that ends while jobs drain stops them now",
        WORKER_DRAINING, &ended, 10, WORKER_LOSING, "term"},
    {"a supervisor that goes while jobs drain kills them now",
        WORKER_DRAINING, &orphaned, 10, WORKER_DRAINING, "term kill"},
    {"the key is given up after the end is written",
        WORKER_STAMPING, &stamped, 0, WORKER_RELEASING, "release"},
    {"or when that takes too long",
        WORKER_STAMPING, &tick, 1000, WORKER_RELEASING, "release"},
    {"a key that goes by itself when no job runs was released",
        WORKER_STAMPING, &ended, 0, WORKER_IDLE, "close RELEASED forget"},
    {"released is said when the key is given up",
        WORKER_RELEASING, &given_up, 0, WORKER_IDLE, "close RELEASED forget"},
    {"or closed for want of an answer",
        WORKER_RELEASING, &tick, 1500, WORKER_IDLE, "close RELEASED forget"},
    {"lost is said when the last job is gone, and only then is the socket closed",
        WORKER_LOSING, &idle, 10, WORKER_IDLE, "close LOST stamp forget"},
    {"jobs are killed loss_grace after the session ended",
        WORKER_LOSING, &tick, 500, WORKER_LOSING, "kill"},
    {"and not before",
        WORKER_LOSING, &tick, 499, WORKER_LOSING, ""},
    {"a heartbeat that comes back cancels nothing",
        WORKER_LOSING, &renewed, 10, WORKER_LOSING, ""},
    {"an order to stand down makes losing no slower",
        WORKER_LOSING, &stand_down, 10, WORKER_LOSING, ""},
    {"at D the socket is closed though jobs live, and lost is not said",
        WORKER_LOSING, &over, 10, WORKER_LOSING, "kill close"},
};
/* clang-format on */

Test(turn, transitions)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct turn t = made_in(cases[i].from);
        struct turn_actions got;

        feed(&t, cases[i].event, t.now + DUR_MS(cases[i].ms), &got);

        cr_expect(t.state == cases[i].to, "%s: became %s", cases[i].title,
                  worker_state_name(t.state));
        cr_expect(strcmp(action_letters(&got), cases[i].actions) == 0, "%s: does '%s'",
                  cases[i].title, action_letters(&got));
    }
}

/* The order in which the three come is not ours to choose. */
Test(turn, is_elected_only_when_the_term_is_open_and_proven_and_the_one_before_is_known)
{
    const struct turn_event *orders[][3] = {
        {&opened, &renewed, &free_to_go},
        {&opened, &free_to_go, &renewed},
    };

    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        struct turn t = made_in(WORKER_OPENING);
        struct turn_actions got;

        feed(&t, orders[i][0], AT(0), &got);
        feed(&t, orders[i][1], AT(1), &got);
        cr_expect_eq(t.state, WORKER_OPENING);
        cr_expect_eq(got.count, 0);
        feed(&t, orders[i][2], AT(2), &got);
        cr_expect_eq(t.state, WORKER_LEADING);
        cr_expect_str_eq(action_letters(&got), "ELECTED begin", "the socket before any job");
        cr_expect_eq(t.deadline, DEADLINE);
    }
}

/* It is of no term of ours: an answer to what was asked with an opening that wrote nothing. */
Test(turn, is_not_elected_by_a_look_from_before_its_term)
{
    struct turn t = made_in(WORKER_OPENING);
    struct turn_actions got;

    feed(&t, &free_to_go, AT(0), &got);
    feed(&t, &opened, AT(1), &got);
    feed(&t, &renewed, AT(2), &got);
    cr_expect_eq(t.state, WORKER_OPENING);
    feed(&t, &must_wait, AT(3), &got);
    cr_expect_eq(t.state, WORKER_WAITING);
}

static struct turn elected_without_a_wait(void)
{
    struct turn t = made_in(WORKER_OPENING);
    struct turn_actions got;

    feed(&t, &opened, AT(0), &got);
    feed(&t, &renewed, AT(1), &got);
    feed(&t, &free_to_go, AT(2), &got);
    cr_assert_eq(t.state, WORKER_LEADING);
    return t;
}

/* All instances wake for the announcement, and one connects to become the heir. */
Test(turn, the_term_is_announced_when_the_first_jobs_have_started)
{
    struct turn t = elected_without_a_wait();
    struct turn_actions got;

    feed(&t, &renewed, AT(3), &got);
    cr_expect_str_eq(action_letters(&got), "RENEWED", "jobs are still to be started");
    feed(&t, &started, AT(4), &got);
    cr_expect_str_eq(action_letters(&got), "announce");
    cr_expect_eq(turn_wake_at(&t), MONO_NEVER);
    feed(&t, &started, AT(5), &got);
    cr_expect_eq(got.count, 0, "once");
}

Test(turn, the_term_is_announced_soon_though_no_job_can_be_started)
{
    struct turn t = elected_without_a_wait();
    struct turn_actions got;

    cr_expect_eq(turn_wake_at(&t), AT(102));
    feed(&t, &tick, AT(101), &got);
    cr_expect_eq(got.count, 0);
    feed(&t, &tick, AT(102), &got);
    cr_expect_str_eq(action_letters(&got), "announce");
    feed(&t, &tick, AT(300), &got);
    cr_expect_eq(got.count, 0, "once");
}

Test(turn, a_term_whose_jobs_must_wait_is_announced_at_once)
{
    struct turn t = made_in(WORKER_OPENING);
    struct turn_actions got;

    feed(&t, &opened, AT(0), &got);
    feed(&t, &renewed, AT(1), &got);
    feed(&t, &must_wait, AT(2), &got);
    cr_expect_eq(t.state, WORKER_WAITING);
    cr_expect_str_eq(action_letters(&got), "ELECTED announce wait");
}

Test(turn, a_heartbeat_from_before_the_commit_proves_nothing)
{
    struct turn t = made_in(WORKER_OPENING);
    struct turn_actions got;

    feed(&t, &opened, AT(0), &got);
    feed(&t, &free_to_go, AT(1), &got);
    feed(&t, &renewed_before_commit, AT(2), &got);
    cr_expect_eq(t.state, WORKER_OPENING);
    feed(&t, &renewed, AT(3), &got);
    cr_expect_eq(t.state, WORKER_LEADING);
}

Test(turn, a_term_in_the_database_is_stamped_even_if_it_was_never_announced)
{
    struct turn t = made_in(WORKER_OPENING);
    struct turn_actions got;

    feed(&t, &opened, AT(0), &got);
    feed(&t, &stand_down, AT(1), &got);
    cr_expect_str_eq(action_letters(&got), "stamp");
    feed(&t, &stamped, AT(2), &got);
    cr_expect_str_eq(action_letters(&got), "release");
    feed(&t, &given_up, AT(3), &got);
    cr_expect_str_eq(action_letters(&got), "close FAILED forget");
    cr_expect_eq(t.reason, END_STEP_DOWN);
}

/* The key is still ours: the record is complete before the next leader can look at it. */
Test(turn, an_opening_that_takes_too_long_after_its_commit_is_stamped_first)
{
    struct turn t = made_in(WORKER_OPENING);
    struct turn_actions got;

    cr_expect_eq(turn_wake_at(&t), AT(35000));
    feed(&t, &opened, AT(0), &got);
    feed(&t, &tick, AT(35000), &got);
    cr_expect_str_eq(action_letters(&got), "stamp");
    feed(&t, &stamped, AT(35001), &got);
    feed(&t, &given_up, AT(35002), &got);
    cr_expect_str_eq(action_letters(&got), "close FAILED forget");
    cr_expect_eq(t.reason, END_TERM_FAILED);
}

Test(turn, the_limit_of_the_opening_ends_with_it)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    t.deadline = MONO_NEVER;
    feed(&t, &tick, AT(99000), &got);
    cr_expect_eq(t.state, WORKER_LEADING);
    cr_expect(turn_wake_at(&t) == MONO_NEVER);
    struct turn_event late = stand_down;
    late.drain_until = AT(104000);
    late.over_by = AT(109000);
    feed(&t, &late, AT(99000), &got);
    feed(&t, &tick, AT(99001), &got);
    cr_expect_eq(t.state, WORKER_DRAINING);
}

Test(turn, nobody_waits_after_a_term_that_never_had_a_job)
{
    struct turn t = made_in(WORKER_OPENING);
    struct turn_actions got;

    feed(&t, &opened, AT(0), &got);
    feed(&t, &ended, AT(1), &got);
    cr_expect_str_eq(action_letters(&got), "close FAILED stamp forget");
    cr_expect_str_eq(turn_ended_as(&t), "released");
    cr_expect_eq(t.reason, END_SESSION_ENDED, "and why it ended stays true");
}

Test(turn, a_key_lost_in_the_moment_that_the_last_job_ended_was_not_lost)
{
    struct turn t = made_in(WORKER_DRAINING);
    struct turn_actions got;

    feed(&t, &idle, t.now, &got);
    feed(&t, &ended, t.now, &got);
    cr_expect_str_eq(action_letters(&got), "close RELEASED forget");
}

Test(turn, a_lease_that_runs_out_makes_draining_no_longer)
{
    struct turn t = made_in(WORKER_DRAINING);
    struct turn_actions got;
    mono_ns kill_at = t.kill_at;

    feed(&t, &stopping, t.now, &got);
    cr_expect_eq(t.state, WORKER_LOSING);
    cr_expect_eq(turn_wake_at(&t), kill_at);
}

/* Renewed all the time, and still nobody keeps a key for what cannot be killed. */
Test(turn, a_worker_that_leaves_keeps_the_key_for_one_lease_at_most)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;
    struct turn_event again = renewed;
    mono_ns left_at = t.now;

    feed(&t, &orphaned, left_at, &got);
    cr_expect_str_eq(action_letters(&got), "kill");
    cr_expect_eq(turn_wake_at(&t), left_at + DUR_S(15));
    again.deadline = left_at + DUR_S(99);
    feed(&t, &again, left_at + DUR_MS(14999), &got);
    cr_expect_eq(t.state, WORKER_DRAINING);
    feed(&t, &tick, left_at + DUR_S(15), &got);
    cr_expect_str_eq(action_letters(&got), "close forget exit");
    cr_expect_eq(t.state, WORKER_GONE);
}

Test(turn, an_expired_lease_gives_jobs_until_d_less_kill_margin)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    feed(&t, &stopping, DEADLINE - DUR_S(3), &got);
    cr_expect_eq(turn_wake_at(&t), DEADLINE - DUR_MS(250));
    feed(&t, &tick, DEADLINE - DUR_MS(251), &got);
    cr_expect_eq(got.count, 0);
    feed(&t, &killing, DEADLINE - DUR_MS(250), &got);
    cr_expect_str_eq(action_letters(&got), "kill");
    feed(&t, &tick, DEADLINE, &got);
    cr_expect_str_eq(action_letters(&got), "close");
    cr_expect_eq(t.state, WORKER_LOSING);
    cr_expect(turn_wake_at(&t) == MONO_NEVER);
    feed(&t, &idle, DEADLINE + DUR_S(1), &got);
    cr_expect_str_eq(action_letters(&got), "LOST stamp forget");
    cr_expect_str_eq(turn_ended_as(&t), "lost");
    cr_expect_eq(t.reason, END_LEASE_EXPIRED);
}

Test(turn, a_session_that_ends_near_d_kills_before_d)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    feed(&t, &ended, DEADLINE - DUR_MS(400), &got);
    cr_expect_eq(turn_wake_at(&t), DEADLINE - DUR_MS(250), "loss_grace is cut");
}

/* The server had the key for us until D, as long as it had not ended the session. */
Test(turn, a_session_that_ends_while_the_lease_runs_out_leaves_the_jobs_loss_grace)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    feed(&t, &stopping, DEADLINE - DUR_S(3), &got);
    cr_assert_eq(turn_wake_at(&t), DEADLINE - DUR_MS(250));
    feed(&t, &ended, DEADLINE - DUR_S(2), &got);
    cr_expect_eq(got.count, 0, "they have SIGTERM already");
    cr_expect_eq(turn_wake_at(&t), DEADLINE - DUR_MS(1500));
    feed(&t, &ended, DEADLINE - DUR_MS(1900), &got);
    cr_expect_eq(turn_wake_at(&t), DEADLINE - DUR_MS(1500), "a second end gives no more time");
    feed(&t, &tick, DEADLINE - DUR_MS(1500), &got);
    cr_expect_str_eq(action_letters(&got), "kill");
    cr_expect_eq(t.reason, END_LEASE_EXPIRED, "what began it");
    feed(&t, &idle, DEADLINE - DUR_MS(1400), &got);
    cr_expect_str_eq(action_letters(&got), "close LOST stamp forget");
}

Test(turn, a_session_that_ends_in_the_last_moments_of_the_lease_gives_no_time_beyond_it)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    feed(&t, &stopping, DEADLINE - DUR_S(3), &got);
    feed(&t, &ended, DEADLINE - DUR_MS(400), &got);
    cr_expect_eq(turn_wake_at(&t), DEADLINE - DUR_MS(250));
}

Test(turn, a_worker_that_slept_through_its_lease_kills_at_once)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    feed(&t, &over, DEADLINE + DUR_S(60), &got);
    cr_expect_str_eq(action_letters(&got), "term kill");
    feed(&t, &tick, DEADLINE + DUR_S(60), &got);
    cr_expect_str_eq(action_letters(&got), "close");
}

Test(turn, without_a_lease_losing_ends_all_the_same)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    t.deadline = MONO_NEVER;
    mono_ns lost_at = t.now;
    feed(&t, &ended, lost_at, &got);
    feed(&t, &tick, lost_at + DUR_MS(500), &got);
    cr_expect_str_eq(action_letters(&got), "kill");
    feed(&t, &tick, lost_at + DUR_S(15), &got);
    cr_expect_str_eq(action_letters(&got), "close");
}

Test(turn, a_second_order_makes_draining_shorter_and_never_longer)
{
    struct turn t = made_in(WORKER_DRAINING);
    struct turn_actions got;
    mono_ns kill_at = t.kill_at;
    struct turn_event longer = stand_down;
    struct turn_event sooner = stand_down;

    longer.over_by = AT(99000);
    sooner.over_by = t.now + DUR_MS(750);
    feed(&t, &longer, t.now, &got);
    cr_expect_eq(got.count, 0);
    cr_expect_eq(t.kill_at, kill_at);
    feed(&t, &sooner, t.now, &got);
    cr_expect_str_eq(action_letters(&got), "term");
    cr_expect_lt(t.kill_at, sooner.over_by, "term and key are to be given up by then too");
}

Test(turn, a_worker_that_leaves_releases_and_exits)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    feed(&t, &orphaned, t.now, &got);
    feed(&t, &idle, t.now, &got);
    cr_expect_str_eq(action_letters(&got), "stamp");
    cr_expect_str_eq(turn_ended_as(&t), "released", "every job was dead before the key was free");
    cr_expect_eq(t.reason, END_SUPERVISOR_DIED, "nobody asked for it");
    feed(&t, &stamped, t.now, &got);
    feed(&t, &given_up, t.now, &got);
    cr_expect_str_eq(action_letters(&got), "close RELEASED forget exit");
    cr_expect_eq(t.state, WORKER_GONE);
}

Test(turn, the_end_of_a_term_says_whether_it_was_asked_for_or_the_supervisor_died)
{
    static const enum worker_state held[] = {WORKER_OPENING, WORKER_WAITING, WORKER_LEADING,
                                             WORKER_DRAINING};

    for (size_t i = 0; i < ARRAY_LEN(held); i++) {
        struct turn asked = made_in(held[i]);
        struct turn alone = made_in(held[i]);
        struct turn_actions got;

        feed(&asked, &terminated, asked.now, &got);
        cr_expect_neq(asked.reason, END_SUPERVISOR_DIED, "%s", worker_state_name(held[i]));
        feed(&alone, &orphaned, alone.now, &got);
        cr_expect_eq(alone.reason, END_SUPERVISOR_DIED, "%s", worker_state_name(held[i]));
    }
}

Test(turn, a_worker_that_leaves_does_not_outlive_d)
{
    struct turn t = made_in(WORKER_LEADING);
    struct turn_actions got;

    feed(&t, &orphaned, t.now, &got);
    feed(&t, &stopping, DEADLINE - DUR_S(3), &got);
    feed(&t, &over, DEADLINE, &got);
    cr_expect_eq(t.state, WORKER_GONE);
    cr_expect_str_eq(action_letters(&got), "close forget exit");
}

Test(turn, no_job_starts_but_on_a_lease_that_has_room)
{
    struct turn t = made_in(WORKER_LEADING);

    cr_expect(turn_may_start(&t, DEADLINE - DUR_S(3) - 1));
    cr_expect_not(turn_may_start(&t, DEADLINE - DUR_S(3)), "a worker that woke late");
    t = made_in(WORKER_WAITING);
    cr_expect_not(turn_may_start(&t, AT(0)));
    t = made_in(WORKER_DRAINING);
    cr_expect(turn_may_start(&t, t.now), "@released jobs run while the key is held");
    t = made_in(WORKER_LOSING);
    cr_expect_not(turn_may_start(&t, t.now));
}

/* Whatever comes, in whatever state: no assertion, and nothing starts after losing. */
Test(turn, every_event_in_every_state_is_survived)
{
    static const struct turn_event *const all[] = {
        &campaign,   &granted, &opened,   &renewed, &free_to_go, &must_wait,
        &stand_down, &ended,   &stopping, &killing, &over,       &no_term,
        &idle,       &stamped, &given_up, &tick,    &orphaned,   &terminated};

    for (enum worker_state s = 0; s < WORKER_GONE; s++) {
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
            for (size_t j = 0; j < ARRAY_LEN(all); j++) {
                struct turn t = made_in(s);
                struct turn_actions got;

                feed(&t, all[i], t.now + DUR_MS(1), &got);
                enum worker_state between = t.state;
                feed(&t, all[j], t.now + DUR_MS(1), &got);
                bool began = strstr(action_letters(&got), "begin") != NULL;
                cr_expect_not(began && between == WORKER_LOSING);
            }
        }
    }
}

/* Over a slow line term and key are given up one after the other: both within what was ordered. */
Test(turn, the_key_is_given_up_within_the_time_that_was_ordered_however_long_the_stamp_took)
{
    struct turn t = made_in(WORKER_STAMPING);
    struct turn_actions out;

    feed(&t, &stamped, t.over_by - DUR_MS(100), &out);
    cr_assert_eq(t.state, WORKER_RELEASING);
    cr_expect_eq(turn_wake_at(&t), t.over_by);

    feed(&t, &tick, t.over_by, &out);
    cr_expect_eq(t.state, WORKER_IDLE);

    t = made_in(WORKER_STAMPING);
    feed(&t, &stamped, t.over_by + DUR_MS(100), &out);
    cr_expect_eq(turn_wake_at(&t), t.now, "late already: at once");
}
