/*
 * Another server takes the place of the first: a standby is promoted, a dump is restored into new
 * files. Epochs grow all the same, and the first term there waits one full lease (DESIGN.md
 * section 5).
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fleet.h"
#include "tests/support/long_test.h"
#include "tests/support/starts.h"
#include "tests/support/text.h"

TestSuite(promotion, .timeout = 240);

enum { STANDBYS_MAX = 2 };

static struct fleet fleet;
static struct server standby[STANDBYS_MAX];
static struct poller poller[STANDBYS_MAX];
static size_t standbys;
static struct starts starts;
static char *more_jobs; /* beside those of the diary; NULL: none */

#define A (&fleet.member[0])
#define B (&fleet.member[1])

#define LEASE DUR_S(6) /* of ELECTION_STEADY */
static const struct instance_settings steady = {.election = ELECTION_STEADY};

/* Every server there is, the standbys first. */
static char *dsn_of_all(void)
{
    char *hosts = text_format("127.0.0.1");
    char *ports = text_format("%u", fleet.pg.port);

    for (size_t i = 0; i < standbys; i++) {
        char *more_hosts = text_format("127.0.0.1,%s", hosts);
        char *more_ports = text_format("%u,%s", standby[i].port, ports);
        free(hosts);
        free(ports);
        hosts = more_hosts;
        ports = more_ports;
    }
    char *dsn = text_format("host=%s port=%s user=baton password=" SERVER_PASSWORD
                            " dbname=" SERVER_DATABASE " sslmode=require",
                            hosts, ports);
    free(hosts);
    free(ports);
    return dsn;
}

static void add_standby(void)
{
    static const char *const names[STANDBYS_MAX] = {"standby1", "standby2"};

    cr_assert(standbys < STANDBYS_MAX);
    server_start_replica(&standby[standbys], &fleet.dir, names[standbys], &fleet.pg);
    poller_start(&poller[standbys], &standby[standbys], LEADER_KEY);
    standbys++;
}

static void configure(struct instance *i, const char *dsn)
{
    struct instance_settings own = steady;

    own.dsn = dsn;
    own = fleet_settings(&fleet, &own);
    char *job = text_format("%s%s", more_jobs == NULL ? "" : more_jobs, own.job);
    own.job = job;
    instance_configure(i, &own);
    free(job);
}

static void begin_on_all(void)
{
    char *dsn = dsn_of_all();

    for (size_t i = 0; i < fleet.count; i++) {
        configure(&fleet.member[i], dsn);
    }
    free(dsn);
    fleet_begin(&fleet);
}

static void end(void)
{
    for (size_t i = 0; i < standbys; i++) {
        poller_check(&poller[i]);
    }
    fleet_check(&fleet);
}

struct wanted_value {
    PGconn *conn;
    const char *sql;
    const char *value;
};

static bool has_value(void *ctx)
{
    const struct wanted_value *w = ctx;
    const char *value = server_scalar(w->conn, w->sql);

    return value != NULL && strcmp(value, w->value) == 0;
}

static void wait_value(const struct server *s, const char *sql, const char *value)
{
    struct wanted_value wanted = {.conn = server_connect(s, "test"), .sql = sql, .value = value};

    cr_assert(wait_until(has_value, &wanted, WAIT_LIMIT), "%s is not %s", sql, value);
    PQfinish(wanted.conn);
}

static void wait_replayed(const struct server *s, const char *epoch)
{
    wait_value(s, "SELECT max(generation) || '.' || max(number) FROM pgbaton.term", epoch);
}

static void stream_from(struct server *s, const struct server *other)
{
    char *setting = text_format("primary_conninfo = 'host=%s port=%u user=postgres'\n", other->dir,
                                other->port);

    server_reload(s, setting);
    wait_value(other, "SELECT count(*) FROM pg_stat_replication", "1");
    free(setting);
}

/* From now on it falls behind. */
static void cut_off_from_primary(struct server *s)
{
    server_reload(s, "primary_conninfo = ''\n");
    wait_value(s, "SELECT count(*) FROM pg_stat_wal_receiver", "0");
}

/* Whoever leads then: its epoch, and not one job before a lease is over. */
static struct instance *somebody_leads_after_a_lease(const char *epoch)
{
    struct instance *leader = instances_wait_leader(fleet.member, fleet.count);
    size_t before = diary_lines(&fleet.diary, leader->name);
    char *said = text_format("epoch=%s ", epoch);
    char *run = text_format("run=%s-", epoch);

    instance_wait(leader, "elected", said);
    instance_wait(leader, "takeover_wait", "reason=history_changed");
    diary_wait(&fleet.diary, leader->name, before + 20);
    wall_ns from = instance_time_of(leader, "takeover_wait", said);
    wall_ns to = instance_time_of(leader, "job_started", run);
    cr_expect_geq(to - from, LEASE - DUR_MS(50), "it did not wait for a lease:\n%s",
                  text_tail(leader->log));
    free(run);
    free(said);
    return leader;
}

static void mark_all(void)
{
    for (size_t i = 0; i < fleet.count; i++) {
        instance_mark(&fleet.member[i]);
    }
}

/* Two more terms, one of each. Returns with that leader leading again. */
static void two_more_terms(struct instance *leader)
{
    struct instance *other = leader == A ? B : A;

    for (int i = 0; i < 2; i++) {
        struct instance *first = i == 0 ? leader : other;
        struct instance *next = i == 0 ? other : leader;
        size_t before = diary_lines(&fleet.diary, next->name);

        instance_wait(next, "seat_taken", "");
        instance_mark(next);
        instance_stop(first);
        instance_wait(next, "elected", "");
        diary_wait(&fleet.diary, next->name, before + 5);
        instance_mark(first);
        instance_start(first, NULL);
    }
    instance_wait(other, "seat_taken", "");
}

static bool runs_jobs(void *instance)
{
    const struct instance *i = instance;

    return diary_lines(&fleet.diary, i->name) > 0;
}

Test(promotion, before_it_a_streaming_standby_never_elects)
{
    fleet_make(&fleet, 2, &steady);
    add_standby();
    char *all = dsn_of_all();
    configure(A, all);
    configure(B, server_conninfo(&standby[0], SERVER_TLS));

    instance_start(B, NULL);
    instance_wait_text(B, "recovery");
    cr_expect(wait_never(runs_jobs, B, DUR_S(1)));
    instance_start(A, NULL);
    instance_wait(A, "elected", "");
    diary_wait(&fleet.diary, "a", 10);

    wait_replayed(&standby[0], "1.1");
    cr_expect_eq(instance_logged(B, "seat_taken", ""), 0);
    cr_expect_not(runs_jobs(B));
    PGconn *conn = server_connect(&standby[0], "test");
    cr_expect_str_eq(
        server_scalar(conn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    PQfinish(conn);
    free(all);
    end();
}

/* As the daemon does: the tables are made where it would lead. */
Test(promotion, before_it_init_db_passes_over_the_standby)
{
    static struct outcome told;

    fleet_make(&fleet, 1, &steady);
    add_standby();
    char *all = dsn_of_all();
    char *any = text_format("%s target_session_attrs=any", all);
    const char *const dsns[] = {all, any};

    for (size_t i = 0; i < 2; i++) {
        configure(A, dsns[i]);
        instance_command(A, &told, "init-db", NULL);
        cr_expect_eq(told.code, 0, "%s%s", told.out, told.err);
    }
    wait_value(&standby[0], "SELECT to_regclass('pgbaton.term') IS NOT NULL", "t");

    configure(A, server_conninfo(&standby[0], SERVER_TLS));
    instance_command(A, &told, "init-db", NULL);
    cr_expect_eq(told.code, 69, "%s%s", told.out, told.err);
    cr_expect_not_null(strstr(told.err, "hot standby"), "%s", told.err);
    free(any);
    free(all);
    end();
}

Test(promotion, is_followed_by_a_higher_generation_and_a_wait_of_one_lease)
{
    fleet_make(&fleet, 2, &steady);
    add_standby();
    begin_on_all();
    wait_replayed(&standby[0], "1.1");

    mark_all();
    server_stop(&fleet.pg);
    cr_assert(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    server_promote(&standby[0]);

    (void)somebody_leads_after_a_lease("2.2");
    cr_expect_eq(diary_terms(&fleet.diary), 2);
    end();
}

/* What the promotion has lost nobody can tell, so the first term waits; and who ends it does not
 * end what it waited for. */
Test(promotion, a_leader_that_stops_while_it_waits_leaves_the_rest_of_the_wait_to_the_next)
{
    fleet_make(&fleet, 2, &steady);
    add_standby();
    server_stop(&fleet.pg);
    server_promote(&standby[0]);
    char *dsn = dsn_of_all();
    configure(A, dsn);
    configure(B, dsn);
    free(dsn);

    instance_start(A, NULL);
    instance_wait(A, "takeover_wait", "reason=history_changed");
    instance_stop(A);
    instance_start(B, NULL);
    instance_wait(B, "elected", "epoch=2.2 ");
    instance_wait(B, "job_started", "run=2.2-");

    cr_expect_eq(instance_logged(A, "job_started", ""), 0);
    /* The lease is from when the term of A was opened, which it says a little later. */
    wall_ns began = instance_time_of(A, "takeover_wait", "");
    bool is_over = instance_time_of(B, "elected", "") - began > LEASE - DUR_S(1);
    cr_expect(is_over || instance_logged(B, "takeover_wait", "reason=history_changed") == 1, "%s",
              text_tail(B->log));
    cr_expect_geq(instance_time_of(B, "job_started", "") - began, LEASE - DUR_S(1),
                  "it did not wait for the rest of the lease:\n%s", text_tail(B->log));
    end();
}

/* Each of the two new primaries has missed the last terms of the one before. */
Test(promotion, twice_with_lost_tails_repeats_no_epoch)
{
    LONG_TEST();
    fleet_make(&fleet, 2, &steady);
    add_standby();
    add_standby();
    stream_from(&standby[1], &standby[0]);
    begin_on_all();
    wait_replayed(&standby[1], "1.1");

    cut_off_from_primary(&standby[0]);
    two_more_terms(A);
    mark_all();
    server_crash(&fleet.pg);
    cr_assert(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    server_promote(&standby[0]);
    struct instance *leader = somebody_leads_after_a_lease("2.2");

    wait_replayed(&standby[1], "2.2");
    cut_off_from_primary(&standby[1]);
    two_more_terms(leader);
    mark_all();
    server_crash(&standby[0]);
    cr_assert(wait_until(instance_term_ended, leader, WAIT_LIMIT), "%s", text_tail(leader->log));
    server_promote(&standby[1]);
    (void)somebody_leads_after_a_lease("3.3");

    cr_expect_eq(diary_terms(&fleet.diary), 7);
    end();
}

/*
 * The second standby never heard of the first one's promotion: both become timeline 2, and nothing
 * in the second one's files says that there were terms on it. Who lived through them remembers.
 */
Test(promotion, of_two_standbys_to_the_same_timeline_repeats_no_epoch)
{
    LONG_TEST();
    fleet_make(&fleet, 2, &steady);
    add_standby();
    add_standby();
    begin_on_all();
    wait_replayed(&standby[0], "1.1");
    wait_replayed(&standby[1], "1.1");

    cut_off_from_primary(&standby[1]);
    mark_all();
    server_crash(&fleet.pg);
    cr_assert(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    server_promote(&standby[0]);
    struct instance *leader = somebody_leads_after_a_lease("2.2");

    mark_all();
    server_crash(&standby[0]);
    cr_assert(wait_until(instance_term_ended, leader, WAIT_LIMIT), "%s", text_tail(leader->log));
    server_promote(&standby[1]);
    leader = somebody_leads_after_a_lease("3.3");

    cr_expect_eq(instance_logged(leader, "terms_lost", "stored=1.1 seen=2.2"), 1);
    cr_expect_eq(diary_terms(&fleet.diary), 3);
    end();
}

/* What an upgrade does: a dump, new files, the same address. */
static void move_into_new_files(void)
{
    char *dump = text_format("%s/dump.sql", fleet.dir.path);
    char *target = text_format("host=%s port=%u user=postgres dbname=" SERVER_DATABASE,
                               fleet.pg.dir, fleet.pg.port);
    const char *save[] = {server_bin("pg_dump"), "-n", "pgbaton", "-f", dump, target, NULL};
    const char *load[] = {"psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, target, NULL};
    char conf[200];

    cr_assert_eq(program_run(&(struct program_spec){.argv = save}), 0);
    server_stop(&fleet.pg);
    server_renew(&fleet.pg);
    /* Nobody may come in before the tables are there. */
    (void)snprintf(conf, sizeof conf, "%s/postgresql.conf", fleet.pg.data);
    text_append(conf, "listen_addresses = ''\n");
    server_resume(&fleet.pg);
    cr_assert_eq(program_run(&(struct program_spec){
                     .argv = load, .output = fleet.pg.log, .errors = fleet.pg.log}),
                 0, "%s", text_tail(fleet.pg.log));
    server_stop(&fleet.pg);
    text_append(conf, "listen_addresses = '127.0.0.1'\n");
    server_resume(&fleet.pg);
    free(target);
    free(dump);
}

Test(promotion, and_a_restore_into_new_files_are_the_same_to_an_election)
{
    fleet_make(&fleet, 2, &steady);
    fleet_begin(&fleet);

    mark_all();
    move_into_new_files();

    (void)somebody_leads_after_a_lease("1001.2");
    cr_expect_eq(diary_terms(&fleet.diary), 2);
    end();
}

/* ---- ticks ---- */

/* What the old primary knew and the new one does not: it runs to the old one's last moment. */
static void check_lost_tail(PGconn *conn)
{
    starts_check_rows(&starts, conn);
    no_rows(conn, "lost starts that are not told of",
            "SELECT * FROM note n WHERE job = 'once' AND id NOT IN (SELECT id FROM run) AND NOT "
            "EXISTS (SELECT FROM tick t WHERE t.job = n.job AND t.at = n.at AND t.outcome = "
            "'missed' AND t.reason = 'timeline')");
    no_rows(conn, "ticks that ran again and were not to",
            "SELECT at, attempt, array_agg(id) FROM note WHERE job = 'once' GROUP BY 1, 2 HAVING "
            "count(*) > 1");
    no_rows(conn, "ticks that ran again though their claim survived",
            "SELECT job, at, attempt, array_agg(id) FROM note WHERE id IN (SELECT id FROM run) "
            "GROUP BY 1, 2, 3 HAVING count(*) > 1");
    no_rows(conn, "lost ticks that did not run again",
            "SELECT * FROM note n WHERE job = 'again' AND id NOT IN (SELECT id FROM run) AND NOT "
            "EXISTS (SELECT FROM note m JOIN run USING (id) WHERE m.job = n.job AND m.at = n.at)");
    cr_expect_str_neq(server_scalar(conn, "SELECT count(*) FROM note WHERE job = 'once' AND id NOT "
                                          "IN (SELECT id FROM run)"),
                      "0", "no tail was lost");
}

Test(promotion, with_a_lost_tail_runs_a_tick_again_only_where_the_job_says_so)
{
    fleet_make(&fleet, 2, &steady);
    starts_make(&starts, &fleet.dir);
    more_jobs = text_format("[job once]\nschedule = every 1s\nmissed = all\n%s"
                            "[job again]\nschedule = every 1s\nmissed = all\n"
                            "on_interrupt = rerun\n%s",
                            starts.exec, starts.exec);
    add_standby();
    begin_on_all();
    wait_value(&standby[0],
               "SELECT count(DISTINCT job) FROM pgbaton.run WHERE outcome = 'succeeded' AND job IN "
               "('once', 'again')",
               "2");

    cut_off_from_primary(&standby[0]);
    starts_wait(&starts, "a", starts_of(&starts, "a") + 6);
    mark_all();
    server_crash(&fleet.pg);
    cr_assert(wait_until(instance_term_ended, A, WAIT_LIMIT), "%s", text_tail(A->log));
    server_promote(&standby[0]);
    struct instance *leader = somebody_leads_after_a_lease("2.2");
    starts_wait(&starts, leader->name, starts_of(&starts, leader->name) + 12);
    instance_stop(A);
    instance_stop(B);

    PGconn *conn = server_connect(&standby[0], "test");
    check_lost_tail(conn);
    PQfinish(conn);
    free(more_jobs);
    end();
}
