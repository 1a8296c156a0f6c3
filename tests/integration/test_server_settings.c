/*
 * Settings of server, role and database that would end, block or slow down a
 * session: ours pin what they depend on. DESIGN.md section 3, "The session".
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/text.h"

TestSuite(settings, .timeout = 180);

static struct fleet fleet;
static PGconn *dba;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

static const char of_the_server[] = "idle_session_timeout = 1s\n"
                                    "statement_timeout = 1s\n"
                                    "lock_timeout = 100ms\n"
                                    "idle_in_transaction_session_timeout = 500ms\n"
                                    "log_min_duration_statement = 100ms\n";

/* The observers are superusers, and are left alone. */
static const char *const of_roles[] = {
    "ALTER ROLE postgres SET idle_session_timeout = 0",
    "ALTER ROLE postgres SET statement_timeout = 0",
    "ALTER ROLE baton SET idle_session_timeout = '700ms'",
    "ALTER ROLE baton SET statement_timeout = '300ms'",
    "ALTER ROLE baton SET lock_timeout = '20ms'",
    "ALTER ROLE baton SET idle_in_transaction_session_timeout = '300ms'",
    "ALTER ROLE baton SET tcp_keepalives_idle = 1",
    "ALTER ROLE baton SET tcp_keepalives_interval = 1",
    "ALTER ROLE baton SET tcp_keepalives_count = 1",
    "ALTER ROLE baton SET synchronous_commit = off",
    "ALTER ROLE baton SET default_transaction_isolation = 'serializable'",
    "ALTER ROLE baton SET default_transaction_deferrable = on",
    "ALTER ROLE baton SET search_path = nowhere",
    "ALTER ROLE baton SET DateStyle = 'German'",
    "ALTER ROLE baton SET IntervalStyle = 'iso_8601'",
    "ALTER ROLE baton SET TimeZone = 'Asia/Tokyo'",
    "ALTER ROLE baton SET client_min_messages = error",
    "ALTER ROLE baton SET bytea_output = 'escape'",
    "ALTER DATABASE app SET idle_session_timeout = '900ms'",
    "ALTER DATABASE app SET statement_timeout = '400ms'",
    "ALTER ROLE baton IN DATABASE app SET idle_session_timeout = '600ms'",
};

static char *our_sessions(void)
{
    const char *list =
        server_scalar(dba, "SELECT string_agg(application_name || '=' || pid, ' ' ORDER BY "
                           "application_name) FROM pg_stat_activity WHERE application_name LIKE "
                           "'pgbaton %'");

    return text_format("%s", list == NULL ? "none" : list);
}

static bool all_are_there(void *ctx)
{
    (void)ctx;
    return backend_count(dba, "pgbaton leader % a") == 1 &&
           backend_count(dba, "pgbaton heir % b") == 1 &&
           backend_count(dba, "pgbaton follower % c") == 1 &&
           backend_count(dba, "pgbaton ledger %") == 2 && backend_waiting(dba) != 0;
}

/* How often a line of one of our sessions has that text. */
static size_t logged_of_ours(const char *log, const char *text)
{
    size_t count = 0;

    for (const char *line = log; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        char *copy = text_format("%.*s", (int)length, line);
        count += strstr(copy, "] pgbaton ") != NULL && strstr(copy, text) != NULL;
        free(copy);
        line += length + (line[length] == '\n');
    }
    return count;
}

/*
 * A slice of 80 ms is not in the log, but on a loaded machine some may be late.
 * One that deadlock_timeout alone cuts off lasts 800 ms at the least: then all
 * of them are there, and none is shorter; of late ones there are few.
 */
static bool slices_are_short(const char *log)
{
    double shortest = 0;
    size_t count = 0;

    for (const char *at = strstr(log, "duration: "); at != NULL;
         at = strstr(at + 1, "duration: ")) {
        double length = strtod(at + strlen("duration: "), NULL);
        char *line = text_format("%.*s", (int)strcspn(at, "\n"), at);
        bool is_slice = strstr(line, "pg_advisory_xact_lock") != NULL;

        count += is_slice;
        if (is_slice && (shortest == 0 || length < shortest)) {
            shortest = length;
        }
        free(line);
    }
    return count < 3 || shortest < 700;
}

Test(settings, of_server_role_and_database_end_no_session_of_ours)
{
    fleet_make(&fleet, 3,
               &(struct instance_settings){.election = ELECTION_CALM, .jobs = "grace = 300ms\n"});
    dba = server_connect(&fleet.pg, "dba");
    for (size_t i = 0; i < sizeof of_roles / sizeof of_roles[0]; i++) {
        server_do(dba, of_roles[i]);
    }
    PQfinish(dba);
    server_reload(&fleet.pg, of_the_server);
    dba = server_connect(&fleet.pg, "dba");
    fleet_begin(&fleet);
    cr_assert(wait_until(all_are_there, NULL, WAIT_LIMIT), "%s", our_sessions());
    char *before = our_sessions();
    char *early = text_read(fleet.pg.log);

    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 250); /* 3 s at the least */

    char *after = our_sessions();
    cr_expect_str_eq(after, before);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    char *log = text_read(fleet.pg.log);
    const char *late = log + strlen(early);
    cr_expect_eq(logged_of_ours(late, "still waiting"), 0, "%s", late);
    cr_expect_eq(logged_of_ours(late, "terminating connection"), 0, "%s", late);
    cr_expect_eq(logged_of_ours(late, "canceling statement"), 0, "%s", late);
    cr_expect(slices_are_short(late), "%s", late);

    program_kill_tree(&A->supervisor);
    instance_wait(B, "elected", "epoch=1.2");
    diary_wait(&fleet.diary, "b", 5);
    instance_stop(B);
    instance_wait(C, "elected", "reason=clean");
    free(log);
    free(after);
    free(early);
    free(before);
    PQfinish(dba);
    fleet_check(&fleet);
}

static bool somebody_waits(void *ctx)
{
    (void)ctx;
    return backend_waiting(dba) != 0;
}

/* A slice of 8 ms would be noise in the server: the key is looked at, now and then. */
Test(settings, that_leave_no_room_for_a_wait_make_the_heir_poll)
{
    fleet_make(&fleet, 2, NULL);
    server_reload(&fleet.pg, "deadlock_timeout = 10ms\n");
    dba = server_connect(&fleet.pg, "dba");
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    instance_start(B, NULL);
    instance_wait(B, "slice_too_short", "polled");
    cr_expect(wait_never(somebody_waits, NULL, DUR_S(1)));

    program_kill_tree(&A->supervisor);
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 5);
    PQfinish(dba);
    fleet_check(&fleet);
}
