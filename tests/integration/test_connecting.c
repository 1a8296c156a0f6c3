/*
 * What stands in the way of a connection: each is named once, leaks no secret,
 * and is got over when it ends. DESIGN.md section 3, and trial 7 of section 10.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/backend.h"
#include "tests/support/fleet.h"
#include "tests/support/long_test.h"
#include "tests/support/names.h"
#include "tests/support/relay.h"
#include "tests/support/text.h"

TestSuite(connecting, .timeout = 180);

static struct fleet fleet;
static struct outcome told;

#define A (&fleet.member[0])
#define B (&fleet.member[1])
#define C (&fleet.member[2])

/* The diary's stray process ignores TERM: a stop need not wait for it. */
#define QUICK "grace = 300ms\n"

static void configure(struct instance *i, const struct instance_settings *settings)
{
    struct instance_settings all = fleet_settings(&fleet, settings);

    instance_configure(i, &all);
}

/* ---- hosts that do not answer ---- */

enum { QUEUE = 16 };

/* Its queue is full, so that a connection to it is never made. */
static unsigned deaf_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(fd, 0), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    for (int i = 0; i < QUEUE; i++) {
        int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert(one >= 0);
        (void)connect(one, (struct sockaddr *)&at, sizeof at);
    }
    return ntohs(at.sin_port);
}

Test(connecting, passes_over_a_host_that_never_answers_and_one_that_accepts_and_is_silent)
{
    static struct relay silent;

    fleet_make(&fleet, 2, NULL);
    relay_start(&silent, fleet.pg.port);
    relay_set(&silent, RELAY_STALL);
    char *dsn = text_format("host=127.0.0.1,127.0.0.1,127.0.0.1 port=%u,%u,%u user=baton "
                            "password=" SERVER_PASSWORD " dbname=app sslmode=require",
                            deaf_port(), silent.port, fleet.pg.port);
    const struct instance_settings settings = {
        .dsn = dsn, .database = "connect_timeout = 3s\n", .jobs = QUICK};
    configure(A, &settings);
    configure(B, &settings);

    fleet_begin(&fleet);

    /* Its worker campaigns at the very address that its probe has found. */
    program_kill_tree(&A->supervisor);
    instance_wait(B, "elected", "");
    diary_wait(&fleet.diary, "b", 5);
    cr_expect_eq(instance_logged(B, "campaign_failed", ""), 0, "%s", text_tail(B->log));
    free(dsn);
    relay_stop(&silent);
    fleet_check(&fleet);
}

/* ---- what the server asks for ---- */

struct refusals {
    const char *text; /* in the server's log */
    size_t more_than;
};

static size_t refusals(const char *text)
{
    char *log = text_read(fleet.pg.log);
    size_t count = text_count(log, text);

    free(log);
    return count;
}

static bool refused_more(void *ctx)
{
    const struct refusals *r = ctx;

    return refusals(r->text) > r->more_than;
}

/* It tries again and again, and says it once. */
static void is_said_once(const char *text)
{
    struct refusals wanted = {.text = text, .more_than = refusals(text) + 2};

    cr_assert(wait_until(refused_more, &wanted, WAIT_LIMIT), "%s", text_tail(fleet.pg.log));
    cr_expect_eq(instance_logged(A, "database_down", ""), 1, "%s", text_tail(A->log));
}

static void expect_no_secret(const char *secret)
{
    char *log = text_read(A->log);

    cr_expect_null(strstr(log, secret), "the password is in the log:\n%s", log);
    free(log);
    instance_command(A, &told, "status", "--json", NULL);
    cr_expect_null(strstr(told.out, secret), "the password is in the status:\n%s", told.out);
}

Test(connecting, takes_a_password_that_became_right_from_its_file)
{
    fleet_make(&fleet, 1, NULL);
    char *file = text_format("%s/password", fleet.dir.path);
    char *dsn = text_format("host=127.0.0.1 port=%u user=baton dbname=app", fleet.pg.port);
    char *database = text_format("password_file = %s\n", file);
    text_write(file, "open-sesame-9\n");
    cr_assert_eq(chmod(file, 0600), 0);
    configure(A, &(struct instance_settings){.dsn = dsn,
                                             .database = database,
                                             .election = ELECTION_CALM "backoff_max = 1s\n",
                                             .jobs = QUICK});
    instance_start(A, NULL);
    instance_wait(A, "database_down", "password authentication failed");
    is_said_once("password authentication failed");
    expect_no_secret("open-sesame-9");

    text_write(file, SERVER_PASSWORD "\n");

    instance_wait(A, "elected", "");
    expect_no_secret(SERVER_PASSWORD);
    /* And one that became wrong does not end a term: nobody connects anew. */
    text_write(file, "open-sesame-9\n");
    PGconn *dba = server_connect(&fleet.pg, "dba");
    int probe = backend_wait(dba, "pgbaton leader %", 0);
    instance_mark(A);
    backend_terminate(dba, probe);
    instance_wait(A, "database_down", "terminating connection");
    instance_wait(A, "database_down", "password authentication failed");
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 10);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    PQfinish(dba);
    free(database);
    free(dsn);
    free(file);
    fleet_check(&fleet);
}

static char *another_authority(void)
{
    char *root = text_format("%s/other.crt", fleet.dir.path);
    char *key = text_format("%s/other.key", fleet.dir.path);
    const char *argv[] = {"openssl", "req",     "-new",     "-x509", "-days",       "10",
                          "-nodes",  "-newkey", "rsa:2048", "-subj", "/CN=another", "-keyout",
                          key,       "-out",    root,       NULL};

    cr_assert_eq(program_run(&(struct program_spec){.argv = argv}), 0);
    free(key);
    return root;
}

static void is_refused(const char *host, const char *root, const char *text)
{
    char *dsn = text_format("host=%s port=%u user=baton password=" SERVER_PASSWORD
                            " dbname=app sslmode=verify-full sslrootcert=%s",
                            host, fleet.pg.port, root);

    configure(A, &(struct instance_settings){.dsn = dsn});
    instance_mark(A);
    instance_start(A, NULL);
    instance_wait(A, "database_down", text);
    expect_no_secret(SERVER_PASSWORD);
    cr_expect_eq(instance_logged(A, "elected", ""), 0);
    instance_stop(A);
    free(dsn);
}

Test(connecting, refuses_a_certificate_of_another_authority_or_another_host)
{
    fleet_make(&fleet, 1, NULL);
    char *other = another_authority();
    char *own = text_format("%s/own.crt", fleet.dir.path);
    char *source = text_format("%s/server.crt", fleet.pg.data);
    char *certificate = text_read(source);
    text_write(own, certificate);

    is_refused("localhost", other, "certificate verify failed");
    is_refused("127.0.0.1", own, "does not match host name");
    is_refused("localhost", "/nowhere/root.crt", "root certificate file");

    /* The worker gets name and address: the name is what is verified there, too. */
    char *dsn = text_format("host=localhost port=%u user=baton password=" SERVER_PASSWORD
                            " dbname=app sslmode=verify-full sslrootcert=%s",
                            fleet.pg.port, own);
    configure(A, &(struct instance_settings){.dsn = dsn, .jobs = QUICK});
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    instance_stop(A);
    free(dsn);
    free(certificate);
    free(source);
    free(own);
    free(other);
    fleet_check(&fleet);
}

/* ---- no room ---- */

enum { ROOM = 12 };

static PGconn *guests[ROOM];

/* Connections of a plain role until there is room for none: how many. */
static int fill_up(void)
{
    int count = 0;

    for (; count < ROOM; count++) {
        guests[count] = PQconnectdb(server_conninfo(&fleet.pg, SERVER_UNIX));
        if (PQstatus(guests[count]) != CONNECTION_OK) {
            PQfinish(guests[count]);
            break;
        }
    }
    cr_assert(count > 0 && count < ROOM, "%d connections, and there is still room", count);
    return count;
}

Test(connecting, says_once_that_there_is_no_room_and_comes_in_when_there_is)
{
    fleet_make(&fleet, 1, NULL);
    server_reload(&fleet.pg, "max_connections = 10\nmax_wal_senders = 0\n");
    server_stop(&fleet.pg);
    server_resume(&fleet.pg);
    configure(A, &(struct instance_settings){.election = ELECTION_CALM "backoff_max = 1s\n",
                                             .jobs = QUICK});
    int count = fill_up();
    instance_start(A, NULL);
    instance_wait(A, "database_down", "slots");
    is_said_once("connection slots are reserved");

    /* Room for its probe, and not for the worker's: it may not sit on the seat. */
    PQfinish(guests[--count]);
    instance_wait(A, "seat_taken", "");
    instance_wait(A, "campaign_failed", "slots");
    cr_expect_eq(instance_logged(A, "elected", ""), 0);
    while (count > 0) {
        PQfinish(guests[--count]);
    }
    instance_wait(A, "elected", "");

    /* Who leads is not touched by what others take. */
    count = fill_up();
    diary_wait(&fleet.diary, "a", diary_lines(&fleet.diary, "a") + 20);
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    while (count > 0) {
        PQfinish(guests[--count]);
    }
    fleet_check(&fleet);
}

Test(connecting, a_heir_whose_worker_cannot_connect_gives_the_seat_to_another)
{
    fleet_make(&fleet, 3, NULL);
    PGconn *dba = server_connect(&fleet.pg, "dba");
    server_do(dba, "CREATE ROLE narrow LOGIN CONNECTION LIMIT 1; GRANT baton TO narrow");
    char *dsn = text_format("host=%s port=%u user=narrow dbname=app", fleet.pg.dir, fleet.pg.port);
    configure(B, &(struct instance_settings){.dsn = dsn});
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    instance_start(B, NULL);
    instance_wait(B, "campaign_failed", "too many connections for role");

    instance_start(C, NULL);

    (void)backend_wait(dba, "pgbaton lock % c", 0);
    (void)backend_wait_waiting(dba);
    program_kill_tree(&A->supervisor);
    instance_wait(C, "elected", "");
    diary_wait(&fleet.diary, "c", 5);
    cr_expect_eq(instance_logged(B, "elected", ""), 0);
    PQfinish(dba);
    free(dsn);
    fleet_check(&fleet);
}

/* ---- names ---- */

/* a finds its server by name and leads, b waits for the key; then the name is gone, and a's probe
 * asks for it. */
static void lose_the_name(struct names *names, PGconn **ret_dba, unsigned seconds, unsigned times)
{
    fleet_make(&fleet, 2, NULL);
    names_begin(names, &fleet.dir, seconds, times);
    text_write(names->hosts, "127.0.0.1 db.test\n");
    char *dsn = text_format("host=db.test port=%u user=baton password=" SERVER_PASSWORD
                            " dbname=app sslmode=require",
                            fleet.pg.port);
    configure(A,
              &(struct instance_settings){.dsn = dsn, .election = ELECTION_STEADY, .jobs = QUICK});
    configure(B, &(struct instance_settings){.election = ELECTION_STEADY, .jobs = QUICK});
    free(dsn);
    fleet_begin(&fleet);
    *ret_dba = server_connect(&fleet.pg, "dba");
    text_write(names->hosts, "");
    backend_terminate(*ret_dba, backend_wait(*ret_dba, "pgbaton leader % a", 0));
    names_wait_question(names);
}

static void find_the_name(const struct names *names, PGconn *dba)
{
    text_write(names->hosts, "127.0.0.1 db.test\n");
    (void)backend_wait(dba, "pgbaton leader % a", 0);
    cr_expect(instance_leads(A), "%s", text_tail(A->log));
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    PQfinish(dba);
    fleet_check(&fleet);
}

/* Trial 7: the resolver blocks the probe for several leases. The worker never resolves a name. */
Test(connecting, a_name_server_that_never_answers_costs_no_heartbeat)
{
    static struct names names;
    PGconn *dba;

    if (!world_enter()) {
        cr_skip_test("no namespaces of our own: unshare(2) is not permitted here");
    }
    lose_the_name(&names, &dba, 10, 1);

    diary_wait_for(&fleet.diary, "a", DUR_S(13)); /* two leases and more */
    cr_expect_eq(backend_of(dba, "pgbaton leader % a"), 0, "the probe was not kept");
    find_the_name(&names, dba);
}

struct replaced {
    pid_t before;
};

static bool has_another_probe(void *ctx)
{
    const struct replaced *r = ctx;
    pid_t now = instance_child(A, "probe");

    return now != 0 && now != r->before;
}

Test(connecting, a_probe_that_asks_for_a_name_for_ever_is_replaced_and_the_leader_leads_on)
{
    static struct names names;
    PGconn *dba;

    LONG_TEST();
    if (!world_enter()) {
        cr_skip_test("no namespaces of our own: unshare(2) is not permitted here");
    }
    lose_the_name(&names, &dba, 30, 5);
    struct replaced probe = {.before = instance_wait_child(A, "probe", 0)};

    cr_expect(wait_until(has_another_probe, &probe, DUR_S(60) + WAIT_LIMIT), "%s",
              text_tail(A->log));
    cr_expect_eq(diary_terms(&fleet.diary), 1);
    /* The one after it hangs as well, and for as long: not waited for. */
    text_write(names.hosts, "127.0.0.1 db.test\n");
    cr_assert_eq(kill(instance_wait_child(A, "probe", probe.before), SIGKILL), 0);
    find_the_name(&names, dba);
}

/* One instance at that list of hosts, and a name server that waits so long and never answers. */
static void begin_at_hosts(struct names *names, const char *hosts, unsigned seconds)
{
    fleet_make(&fleet, 1, NULL);
    names_begin(names, &fleet.dir, seconds, 1);
    char *dsn = text_format("host=%s port=%u user=baton password=" SERVER_PASSWORD
                            " dbname=app sslmode=require",
                            hosts, fleet.pg.port);
    configure(A, &(struct instance_settings){.dsn = dsn, .jobs = QUICK});
    free(dsn);
    instance_start(A, NULL);
}

Test(connecting, a_name_is_resolved_only_when_the_hosts_before_it_are_of_no_use)
{
    static struct names names;

    if (!world_enter()) {
        cr_skip_test("no namespaces of our own: unshare(2) is not permitted here");
    }
    begin_at_hosts(&names, "127.0.0.1,db2.test,db3.test", 1);

    instance_wait(A, "elected", "");
    cr_expect_not(names_asked(&names));
    /* The second one's turn comes when the first one is of no use. */
    instance_mark(A);
    server_stop(&fleet.pg);
    names_wait_question(&names);
    server_resume(&fleet.pg);
    instance_wait(A, "database_up", "");
    fleet_check(&fleet);
}

static bool is_up(void *ctx)
{
    (void)ctx;
    return instance_logged(A, "database_up", "") > 0;
}

/* Each of them may take as long as one that is resolved alone: in all, longer than a silent probe
 * may live. */
Test(connecting, names_that_nobody_answers_for_are_got_over_one_by_one)
{
    static struct names names;

    LONG_TEST();
    if (!world_enter()) {
        cr_skip_test("no namespaces of our own: unshare(2) is not permitted here");
    }
    begin_at_hosts(&names, "db1.test,db2.test,db3.test,127.0.0.1", 30);
    pid_t probe = instance_wait_child(A, "probe", 0);

    cr_expect(wait_until(is_up, NULL, DUR_S(90) + WAIT_LIMIT), "%s", text_tail(A->log));
    cr_expect_eq(instance_child(A, "probe"), probe, "%s", text_tail(A->log));
    fleet_check(&fleet);
}
