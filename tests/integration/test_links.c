/*
 * Cables that are really pulled: two instances, each in a network of its own, and the server in a
 * third one. A relay cannot show what the kernels of both sides do with a peer that is gone.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/links.h"
#include "tests/support/text.h"

TestSuite(links, .timeout = 120);

static struct fleet fleet;
static struct link links[2];

#define A (&fleet.member[0])
#define B (&fleet.member[1])

/* Longer than the server's own impatience below. */
#define LEASE DUR_S(6)
static const struct instance_settings settings = {
    .election = "retry_interval = 300ms\nlease = 6s\nheartbeat = 200ms\nstop_grace = 500ms\n"
                "loss_grace = 200ms\ntakeover_delay = 1s\n"};

static char *dsn_by(const struct link *l)
{
    return text_format("host=%s port=%u user=baton password=" SERVER_PASSWORD
                       " dbname=" SERVER_DATABASE " sslmode=require",
                       l->address, fleet.pg.port);
}

/* a leads and b is the heir, each by its own cable; jobs: beside those of the diary. */
static void begin(const char *server_settings, const char *jobs)
{
    links_enter();
    char *all = text_format("listen_addresses = '*'\n%s", server_settings);
    fleet_make_on(&fleet, 2, &settings, &(struct server_options){.settings = all});
    char *job = text_format("%s%s", jobs, fleet.diary.job);
    for (size_t i = 0; i < fleet.count; i++) {
        link_make(&links[i], (unsigned)i + 1);
        char *dsn = dsn_by(&links[i]);
        struct instance_settings own = settings;
        own.dsn = dsn;
        own.job = job;
        own = fleet_settings(&fleet, &own);
        instance_configure(&fleet.member[i], &own);
        fleet.member[i].network = links[i].network;
        free(dsn);
    }
    fleet_begin(&fleet);
    free(job);
    free(all);
}

static void end(void)
{
    for (size_t i = 0; i < fleet.count; i++) {
        instance_stop(&fleet.member[i]);
        link_release(&links[i]);
    }
    fleet_check(&fleet);
}

struct of_key {
    PGconn *conn;
    int pid;
};

static bool has_lost_the_key(void *ctx)
{
    const struct of_key *k = ctx;

    return leader_pid(k->conn) != k->pid;
}

/* The key is not free before the jobs are dead, which the diary shows, and not before the lease is
 * over: the last heartbeat that the server heard is at most a second older than the cut. */
static void pull_the_cable_of_the_leader(const char *server_settings)
{
    begin(server_settings, "");
    struct of_key key = {.conn = server_connect(&fleet.pg, "test")};
    key.pid = leader_pid(key.conn);

    mono_ns at = clock_now();
    link_set(&links[0], false);
    cr_expect(wait_until(has_lost_the_key, &key, WAIT_LIMIT));
    cr_expect_gt(clock_now() - at, LEASE - DUR_S(1), "the server ended the session too early: %s",
                 text_tail(fleet.pg.log));

    cr_expect(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    instance_wait(B, "elected", "");
    cr_expect_eq(instance_logged(B, "session_ended", "was=leader"), 0,
                 "it took two leases, and the heir to do it:\n%s", text_tail(B->log));
    diary_wait(&fleet.diary, "b", 20);

    instance_mark(A);
    link_set(&links[0], true);
    instance_wait(A, "seat_taken", "");
    size_t before = diary_lines(&fleet.diary, "a");
    diary_wait(&fleet.diary, "b", diary_lines(&fleet.diary, "b") + 20);
    cr_expect_eq(diary_lines(&fleet.diary, "a"), before);
    cr_expect_eq(diary_terms(&fleet.diary), 2);
    PQfinish(key.conn);
    end();
}

Test(links, of_a_leader_that_goes_down_frees_the_key_after_the_lease_and_its_jobs_are_dead_before)
{
    pull_the_cable_of_the_leader("");
}

Test(links, of_a_leader_that_goes_down_frees_the_key_no_sooner_where_the_server_is_impatient)
{
    pull_the_cable_of_the_leader("tcp_user_timeout = 2s\ntcp_keepalives_idle = 1\n"
                                 "tcp_keepalives_interval = 1\ntcp_keepalives_count = 1\n");
}

#define SLEEPS "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(1000)'"

static bool is_there(void *ctx)
{
    return server_scalar(ctx, SLEEPS) != NULL;
}

/* Nothing fences it, and nobody can tell the server that its job is dead. */
Test(links,
     of_a_leader_that_goes_down_ends_its_statement_outside_a_transaction_before_the_next_term)
{
    begin("", "[job slow]\nschedule = @elected\nsql_transaction = no\n"
              "sql = SELECT pg_sleep(1000)\n");
    PGconn *dba = server_connect(&fleet.pg, "test");
    cr_assert(wait_until(is_there, dba, WAIT_LIMIT), "%s", text_tail(A->log));
    char *gone = text_format("SELECT count(*) FROM pg_stat_activity WHERE pid = %s",
                             server_scalar(dba, SLEEPS));

    link_set(&links[0], false);
    instance_wait(B, "elected", "");
    cr_expect_str_eq(server_scalar(dba, gone), "0", "%s", text_tail(B->log));

    instance_mark(A);
    link_set(&links[0], true);
    instance_wait(A, "seat_taken", "");
    free(gone);
    PQfinish(dba);
    end();
}
