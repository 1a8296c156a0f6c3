/*
 * How long until somebody else's first job runs? Measured beside the floor: a
 * bare libpq client that waits in pg_advisory_lock(), is granted the lock
 * because its holder was killed, and spawns the same command.
 *
 * A table for people, not a test: it fails only when nothing could be measured.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "tests/support/fleet.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

enum { TRIALS = 30, FLOOR_KEY = 4711 };

extern char **environ;

struct measure {
    dur_ns took[TRIALS];
    size_t count;
};

static char stamps[160]; /* the file that all commands append to */
static char stamp[512];  /* the command */

static int by_length(const void *a, const void *b)
{
    dur_ns x = *(const dur_ns *)a;
    dur_ns y = *(const dur_ns *)b;

    return (x > y) - (x < y);
}

static double median_ms(struct measure *m)
{
    cr_assert(m->count > 0);
    qsort(m->took, m->count, sizeof m->took[0], by_length);
    return (double)m->took[m->count / 2] / (double)DUR_MS(1);
}

static double worst_ms(const struct measure *m)
{
    return (double)m->took[m->count - 1] / (double)DUR_MS(1);
}

static size_t stamp_count(void)
{
    char *text = text_read(stamps);
    size_t lines = text_count(text, "\n");

    free(text);
    return lines;
}

static bool stamped(void *before)
{
    return stamp_count() > *(size_t *)before;
}

/* What the first command after that many says, less the moment of the fault. */
static void take(struct measure *m, size_t before, mono_ns fault)
{
    cr_assert(wait_until(stamped, &before, WAIT_LIMIT), "no job ran after the fault");
    char *text = text_read(stamps);
    char *line = text;

    while (before-- > 0) {
        line = strchr(line, '\n') + 1;
    }
    m->took[m->count++] = (mono_ns)strtoll(line, NULL, 10) - fault;
    free(text);
}

static PGconn *client(const struct server *s)
{
    PGconn *conn = PQconnectdb(server_conninfo(s, SERVER_TLS));

    return PQstatus(conn) == CONNECTION_OK ? conn : NULL;
}

static bool locks(PGconn *conn)
{
    PGresult *r = PQexec(conn, "SELECT pg_advisory_lock(4711)");
    bool done = PQresultStatus(r) == PGRES_TUPLES_OK;

    PQclear(r);
    return done;
}

/* Waits for the lock, spawns the command; the holder only waits for its death. */
static pid_t bare_client(const struct server *s, bool runs_command)
{
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid > 0) {
        return pid;
    }
    PGconn *conn = client(s);
    if (conn == NULL || !locks(conn)) {
        _exit(1);
    }
    if (!runs_command) {
        (void)pause();
    }
    char *argv[] = {stamp, stamps, NULL};
    pid_t child;
    if (posix_spawn(&child, stamp, NULL, NULL, argv, environ) != 0) {
        _exit(1);
    }
    (void)waitpid(child, NULL, 0);
    _exit(0);
}

struct locks_wanted {
    PGconn *conn;
    const char *sql;
};

static bool says_true(void *ctx)
{
    const struct locks_wanted *w = ctx;
    const char *answer = server_scalar(w->conn, w->sql);

    return answer != NULL && strcmp(answer, "t") == 0;
}

static void wait_sql(PGconn *conn, const char *sql)
{
    struct locks_wanted w = {.conn = conn, .sql = sql};

    cr_assert(wait_until(says_true, &w, WAIT_LIMIT), "never true: %s", sql);
}

static void measure_floor(const struct server *s, struct measure *m)
{
    PGconn *watch = server_connect(s, "watch");

    while (m->count < TRIALS) {
        pid_t holder = bare_client(s, false);
        wait_sql(watch, "SELECT count(*) = 1 FROM pg_locks WHERE objid = 4711 AND granted");
        pid_t waiter = bare_client(s, true);
        wait_sql(watch, "SELECT count(*) = 1 FROM pg_locks WHERE objid = 4711 AND NOT granted");
        size_t before = stamp_count();
        mono_ns fault = clock_now();

        cr_assert_eq(kill(holder, SIGKILL), 0);
        take(m, before, fault);
        (void)waitpid(holder, NULL, 0);
        (void)waitpid(waiter, NULL, 0);
        wait_sql(watch, "SELECT count(*) = 0 FROM pg_locks WHERE objid = 4711");
    }
    PQfinish(watch);
}

static bool leads_with_heir(void *instance)
{
    json_t *status = instance_status(instance);
    bool ready = json_is_true(json_object_get(status, "leads")) &&
                 json_is_true(json_object_get(status, "heir_waits"));

    json_decref(status);
    return ready;
}

/* The one that leads, as soon as it has an heir. */
static struct instance *settled(struct fleet *f)
{
    for (size_t turn = 0; turn < 1000; turn++) {
        for (size_t i = 0; i < f->count; i++) {
            if (instance_leads(&f->member[i]) && leads_with_heir(&f->member[i])) {
                return &f->member[i];
            }
        }
        (void)wait_never(stamped, &(size_t){SIZE_MAX}, DUR_MS(50));
    }
    cr_assert_fail("nobody leads with an heir");
    return NULL;
}

static void kill_tree_now(const struct instance *i)
{
    program_signal_tree(&i->supervisor, SIGKILL);
}

static void kill_worker_now(const struct instance *i)
{
    cr_assert_eq(kill(instance_child(i, "worker"), SIGKILL), 0);
}

static void ask_to_stop(const struct instance *i)
{
    program_signal(&i->supervisor, SIGTERM);
}

static void measure_takeover(struct fleet *f, struct measure *m, bool ends,
                             void (*fault)(const struct instance *))
{
    while (m->count < TRIALS) {
        struct instance *leader = settled(f);
        size_t before = stamp_count();
        mono_ns at = clock_now();

        fault(leader);
        take(m, before, at);
        if (ends) {
            cr_assert(program_wait_all(&leader->supervisor, WAIT_LIMIT));
            instance_start(leader, NULL);
        }
    }
}

static void report(const char *what, struct measure *m, double floor_ms, double mark)
{
    double median = median_ms(m);

    if (mark == 0) {
        printf("| %-58s | %8.2f | %8.2f |       |      |\n", what, median, worst_ms(m));
    } else {
        printf("| %-58s | %8.2f | %8.2f | %5.2f | %4.1f |\n", what, median, worst_ms(m),
               median / floor_ms, mark);
    }
    (void)fflush(stdout);
}

Test(bench, takeover, .timeout = 900)
{
    static struct fleet f;
    static struct measure floor_took, killed, released, worker_killed;
    struct instance_settings settings = {
        .election = "retry_interval = 300ms\ntakeover_delay = 0\nlease = 30s\n"};

    (void)snprintf(stamp, sizeof stamp, "%s", pgbaton_path());
    (void)snprintf(strrchr(stamp, '/'), sizeof stamp - strlen(stamp), "/tests/stamp");
    workdir_make(&f.dir);
    (void)snprintf(stamps, sizeof stamps, "%s/stamps", f.dir.path);
    char *jobs = text_format("[job first]\nschedule = @elected\nexec = %s %s\n"
                             "[job work]\nschedule = always\nexec = sleep 1000\n",
                             stamp, stamps);
    settings.job = jobs;
    fleet_make(&f, 3, &settings);
    for (size_t i = 0; i < f.count; i++) {
        instance_start(&f.member[i], NULL);
    }

    printf("| fault → first instruction of the next first job, 3 instances | median ms "
           "| worst ms | ratio | mark |\n| --- | --- | --- | --- | --- |\n");
    measure_floor(&f.pg, &floor_took);
    report("floor: bare pg_advisory_lock, holder SIGKILLed, spawn", &floor_took, 0, 0);
    double floor_ms = median_ms(&floor_took);
    measure_takeover(&f, &killed, true, kill_tree_now);
    report("leader's whole tree SIGKILLed", &killed, floor_ms, 2.5);
    measure_takeover(&f, &released, true, ask_to_stop);
    report("leader asked to stop", &released, floor_ms, 2.5);
    measure_takeover(&f, &worker_killed, false, kill_worker_now);
    report("leader's worker alone SIGKILLed, its job running", &worker_killed, floor_ms, 3.0);
    poller_check(&f.poller);
    free(jobs);
}
