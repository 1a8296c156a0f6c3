/*
 * Many instances: one leads, one waits, the rest follow, and each costs the server one session. The
 * leader is killed again and again, and started again as soon as another one leads.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/long_test.h"
#include "tests/support/text.h"

TestSuite(hundred, .timeout = 900);

enum { MANY = 100, SOME = 12 };

static struct fleet fleet; /* of no members: server and observers */
static struct instance member[MANY];
static PGconn *conn;

struct reign {
    char instance[32];
    uint64_t generation;
    uint64_t number;
};

static const struct instance_settings calm = {
    .election = "retry_interval = 1s\nlease = 30s\nheartbeat = 500ms\ntakeover_delay = 1500ms\n"};

/* False: nobody leads at this moment. */
static bool who_leads(struct reign *ret)
{
    const char *row =
        server_scalar(conn, "SELECT instance || ' ' || epoch FROM pgbaton.leader WHERE holds_key");

    return row != NULL && sscanf(row, "%31s %" SCNu64 ".%" SCNu64, ret->instance, &ret->generation,
                                 &ret->number) == 3;
}

struct succession {
    struct reign last;
    struct reign now;
};

static bool another_leads(void *ctx)
{
    struct succession *s = ctx;

    return who_leads(&s->now) &&
           (s->now.generation != s->last.generation || s->now.number != s->last.number);
}

static struct instance *named(const char *name, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(member[i].name, name) == 0) {
            return &member[i];
        }
    }
    cr_assert_fail("nobody is called %s", name);
    return NULL;
}

static void begin(size_t count)
{
    char name[16];

    fleet_make_on(&fleet, 0, &calm,
                  &(struct server_options){.settings = "max_connections = 150\n"});
    conn = server_connect(&fleet.pg, "test");
    const struct instance_settings all = fleet_settings(&fleet, &calm);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "i%zu", i);
        instance_make(&member[i], &fleet.dir, name, &all);
        instance_start(&member[i], NULL);
    }
}

struct census {
    const char *what;
    const char *sql;
    char wanted[16];
};

static bool is_counted(void *ctx)
{
    const struct census *c = ctx;
    const char *count = server_scalar(conn, c->sql);

    return count != NULL && strcmp(count, c->wanted) == 0;
}

static void wait_count(const char *what, const char *sql, size_t wanted)
{
    struct census c = {.what = what, .sql = sql};

    (void)snprintf(c.wanted, sizeof c.wanted, "%zu", wanted);
    if (!wait_until(is_counted, &c, 3 * WAIT_LIMIT)) {
        const char *count = server_scalar(conn, sql);
        cr_assert_fail("%s: %s, not %s", what, count == NULL ? "unknown" : count, c.wanted);
    }
}

#define SESSIONS_OF "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgbaton "

/* One a follower, three for the heir and for the leader. */
static void wait_everybody_in_place(size_t count)
{
    wait_count("sessions", SESSIONS_OF "%'", count + 4);
    wait_count("leaders", SESSIONS_OF "leader %'", 1);
    wait_count("heirs", SESSIONS_OF "heir %'", 1);
    wait_count("followers", SESSIONS_OF "follower %'", count - 2);
}

static void kill_leaders(size_t count, int times)
{
    struct succession s = {.last = {.number = 0}};

    cr_assert(wait_until(another_leads, &s, 3 * WAIT_LIMIT), "nobody leads:\n%s",
              text_tail(member[0].log));
    wait_everybody_in_place(count);
    for (int i = 0; i < times; i++) {
        struct instance *leader = named(s.now.instance, count);

        diary_wait(&fleet.diary, leader->name, diary_lines(&fleet.diary, leader->name));
        s.last = s.now;
        program_kill_tree(&leader->supervisor);
        cr_assert(wait_until(another_leads, &s, WAIT_LIMIT), "after kill %d nobody leads", i + 1);
        cr_expect_eq(s.now.generation, s.last.generation);
        cr_expect_gt(s.now.number, s.last.number);
        cr_expect_str_neq(s.now.instance, s.last.instance);
        instance_start(leader, NULL);
    }
    diary_wait(&fleet.diary, s.now.instance, diary_lines(&fleet.diary, s.now.instance));
    wait_everybody_in_place(count);
}

/* Nobody but who was killed has lost anything. */
static void check(size_t count, int times)
{
    wait_count("terms", "SELECT count(*) FROM pgbaton.term", (size_t)times + 1);
    cr_expect_eq(diary_terms(&fleet.diary), (size_t)times + 1);
    for (size_t i = 0; i < count; i++) {
        cr_expect_not(instance_term_ended(&member[i]), "%s", text_tail(member[i].log));
        instance_check_log(&member[i]);
    }
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(hundred, or_rather_twelve_instances_have_a_leader_again_after_each_of_five_kills)
{
    begin(SOME);
    kill_leaders(SOME, 5);
    check(SOME, 5);
}

Test(hundred, instances_have_104_sessions_and_a_leader_again_after_each_of_twenty_kills)
{
    LONG_TEST();
    begin(MANY);
    kill_leaders(MANY, 20);
    check(MANY, 20);
}
