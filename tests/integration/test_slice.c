/*
 * Trial 1 of DESIGN.md section 10, timeout against grant: the holder unlocks at
 * the very end of a slice, again and again; what the session reports must be
 * what pg_locks shows.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/random.h"
#include "tests/support/server.h"
#include "tests/support/workdir.h"
#include "worker/leader/slice.h"

TestSuite(slice, .timeout = 300);

#define KEY INT64_C(0x12345678ABCDEF00)
#define SLICE DUR_MS(10)
#define SPREAD DUR_US(300) /* tries lie that far around the aim, both sides */

enum { TRIES = 1000 };

/* The naive wait, to show that these tries find what they look for. */
static const char naive_sql[] = "DO $$ BEGIN PERFORM set_config('pgbaton.granted', 'no', false); "
                                "BEGIN PERFORM pg_advisory_lock('%" PRId64 "'::bigint); "
                                "PERFORM set_config('pgbaton.granted', 'yes', false); "
                                "EXCEPTION WHEN lock_not_available THEN NULL; END; "
                                "END $$; SELECT current_setting('pgbaton.granted')";

struct trial {
    struct workdir dir;
    struct server pg;
    PGconn *holder;
    PGconn *waiter;
    PGconn *observer;
    char wait_sql[640];
    char lock_sql[96];
    char unlock_sql[96];
    char held_sql[256];
    struct prng random;
    dur_ns aim; /* from the sending of a slice to the unlock; follows what comes out */
    unsigned granted;
    unsigned refused;
    unsigned wrong;
};

static void trial_begin(struct trial *t)
{
    workdir_make(&t->dir);
    server_start(&t->pg, &t->dir, "pg", NULL);
    t->holder = server_connect(&t->pg, "holder");
    t->waiter = server_connect(&t->pg, "waiter");
    t->observer = server_connect(&t->pg, "observer");
    server_do(t->waiter, "SET lock_timeout = '10ms'");
    (void)snprintf(t->held_sql, sizeof(t->held_sql),
                   "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                   "AND objsubid = 1 AND pid = %d",
                   PQbackendPID(t->waiter));
    (void)snprintf(t->lock_sql, sizeof(t->lock_sql),
                   "SELECT pg_advisory_lock('%" PRId64 "'::bigint)", KEY);
    (void)snprintf(t->unlock_sql, sizeof(t->unlock_sql),
                   "SELECT pg_advisory_unlock('%" PRId64 "'::bigint)", KEY);
    prng_seed(&t->random, 1);
    t->aim = SLICE;
}

static void trial_end(struct trial *t)
{
    PQfinish(t->holder);
    PQfinish(t->waiter);
    PQfinish(t->observer);
    server_stop(&t->pg);
}

/* The instant is what is tried out here, so this is no way to wait for a fact. */
static void until(mono_ns moment)
{
    const struct timespec at = {.tv_sec = moment / DUR_S(1), .tv_nsec = moment % DUR_S(1)};

    while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &at, NULL) == EINTR) {
    }
}

static const char *last_value(PGconn *conn, char *ret_value, size_t size)
{
    PGresult *result;

    ret_value[0] = '\0';
    while ((result = PQgetResult(conn)) != NULL) {
        cr_assert(PQresultStatus(result) == PGRES_TUPLES_OK ||
                      PQresultStatus(result) == PGRES_COMMAND_OK,
                  "%s", PQresultErrorMessage(result));
        if (PQntuples(result) == 1) {
            (void)snprintf(ret_value, size, "%s", PQgetvalue(result, 0, 0));
        }
        PQclear(result);
    }
    return ret_value;
}

static void try_once(struct trial *t)
{
    char said[8];
    dur_ns offset = (dur_ns)prng_below(&t->random, (uint64_t)(2 * SPREAD)) - SPREAD;

    server_do(t->holder, t->lock_sql);
    mono_ns sent_at = clock_now();
    cr_assert_eq(PQsendQuery(t->waiter, t->wait_sql), 1);
    until(sent_at + t->aim + offset);
    server_do(t->holder, t->unlock_sql);

    bool says_yes = strcmp(last_value(t->waiter, said, sizeof(said)), "yes") == 0;
    bool holds = strcmp(server_scalar(t->observer, t->held_sql), "1") == 0;
    t->granted += holds;
    t->refused += !holds;
    t->wrong += says_yes != holds;
    /* Too early is granted, too late is refused: between them is the instant that is looked for. */
    t->aim += holds ? DUR_US(20) : -DUR_US(20);
    server_do(t->waiter, "SELECT pg_advisory_unlock_all()");
}

static void try_all(struct trial *t)
{
    for (int i = 0; i < TRIES; i++) {
        try_once(t);
    }
    cr_assert(t->granted > TRIES / 20 && t->refused > TRIES / 20,
              "badly aimed: %u granted, %u refused", t->granted, t->refused);
}

Test(slice, what_a_session_reports_is_what_it_holds_though_timeout_and_grant_meet)
{
    static struct trial t;

    trial_begin(&t);
    (void)snprintf(t.wait_sql, sizeof(t.wait_sql), SLICE_SQL, KEY, KEY);
    try_all(&t);
    cr_expect_eq(t.wrong, 0, "%u of %d", t.wrong, TRIES);
    trial_end(&t);
}

/* If this ever passes no more, the tries above prove nothing. */
Test(slice, the_naive_wait_is_caught_by_these_tries)
{
    static struct trial t;

    trial_begin(&t);
    (void)snprintf(t.wait_sql, sizeof(t.wait_sql), naive_sql, KEY);
    try_all(&t);
    cr_expect_gt(t.wrong, 0);
    trial_end(&t);
}
