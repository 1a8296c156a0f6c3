/* A fleet whose instances are not alike, and says so. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/long_test.h"
#include "tests/support/text.h"

TestSuite(mixed, .timeout = 120);

static struct fleet fleet;
static struct outcome told;

#define A (&fleet.member[0])
#define B (&fleet.member[1])

static void reconfigure(struct instance *i, const struct instance_settings *settings)
{
    struct instance_settings all = fleet_settings(&fleet, settings);

    instance_configure(i, &all);
    instance_mark(i);
}

static bool b_is_warned(void *ctx)
{
    return instance_is_warned(B, ctx);
}

/* Not before a minute of it: it is so for a moment whenever a new version is rolled out. */
Test(mixed, a_follower_whose_jobs_the_leader_does_not_have_says_so_until_it_has_them,
     .timeout = 300)
{
    static char unserved[] = "jobs_unserved";

    LONG_TEST();
    fleet_make(&fleet, 2, NULL);
    char *job = text_format("%s[job more]\nschedule = manual\ncommand = true\n", fleet.diary.job);
    reconfigure(B, &(struct instance_settings){.job = job});
    fleet_begin(&fleet);

    cr_expect(wait_until(b_is_warned, unserved, DUR_S(60) + WAIT_LIMIT));
    cr_expect_eq(instance_logged(B, "jobs_unserved", "leader=a"), 1);
    cr_expect_eq(instance_logged(A, "jobs_unserved", ""), 0);

    instance_mark(B);
    reconfigure(A, &(struct instance_settings){.job = job});
    instance_command(A, &told, "reload", NULL);
    cr_assert_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(B, "jobs_served", "");
    cr_expect_not(instance_is_warned(B, unserved));
    cr_expect_eq(diary_terms(&fleet.diary), 1, "the reload was to keep the term");
    free(job);
    fleet_check(&fleet);
}

static char hash_before[32];

static bool jobs_are_told(void *conn)
{
    const char *hash = server_scalar(conn, "SELECT jobs_hash FROM pgbaton.election");

    return hash != NULL && strcmp(hash, hash_before) != 0;
}

/* It may be held for longer than the leader waits for it at a time. */
Test(mixed, a_leader_that_cannot_tell_its_new_jobs_tells_them_when_the_row_is_free_again)
{
    fleet_make(&fleet, 1, NULL);
    fleet_begin(&fleet);
    PGconn *conn = server_connect(&fleet.pg, "test");
    PGconn *other = server_connect(&fleet.pg, "other");
    (void)snprintf(hash_before, sizeof(hash_before), "%s",
                   server_scalar(conn, "SELECT jobs_hash FROM pgbaton.election"));
    election_row_hold(other);

    char *job = text_format("%s[job more]\nschedule = manual\ncommand = true\n", fleet.diary.job);
    reconfigure(A, &(struct instance_settings){.job = job});
    instance_command(A, &told, "reload", NULL);
    cr_assert_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(A, "jobs_not_told", "");
    server_do(other, "ROLLBACK");
    cr_expect(wait_until(jobs_are_told, conn, WAIT_LIMIT));
    cr_expect_eq(instance_logged(A, "jobs_not_told", ""), 1);
    cr_expect_eq(diary_terms(&fleet.diary), 1, "the reload was to keep the term");
    free(job);
    PQfinish(other);
    PQfinish(conn);
    fleet_check(&fleet);
}

Test(mixed, two_instances_of_one_label_are_warned_about)
{
    static char shared[] = "label_shared";

    fleet_make(&fleet, 2, NULL);
    fleet_begin(&fleet);
    cr_expect_not(instance_is_warned(B, shared));

    const char *const words[] = {"-o", "pgbaton.instance=a", NULL};
    instance_stop(B);
    instance_start(B, words);
    cr_expect(wait_until(b_is_warned, shared, WAIT_LIMIT));
    fleet_check(&fleet);
}

Test(mixed, an_election_that_nobody_named_is_warned_about)
{
    fleet_make(&fleet, 1, &(struct instance_settings){.election = ELECTION_CALM});
    fleet_begin(&fleet);
    instance_wait(A, "election_unnamed", "");

    reconfigure(A, &(struct instance_settings){.election = ELECTION_CALM "name = own\n"});
    instance_command(A, &told, "reload", NULL);
    cr_assert_eq(told.code, 0, "%s%s", told.out, told.err);
    instance_wait(A, "elected", "election=own");
    cr_expect_eq(instance_logged(A, "election_unnamed", ""), 0);
    fleet_check(&fleet);
}
