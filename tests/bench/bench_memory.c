/*
 * What an instance keeps in memory, all of its processes together. Each of
 * those measured runs from copies of its own of the program and its libraries:
 * as alone on its machine, with no page of them shared with its neighbours or
 * with the server.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/bench/crowd.h"
#include "tests/bench/table.h"
#include "tests/support/text.h"
#include "tests/support/wait.h"

/* As long as it takes until everything has happened once: looks, heartbeats, ALIVE. */
#define SETTLING DUR_S(15)

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

/* Copies the program and what it is linked with to dir. */
static void copy_program(const char *dir)
{
    static const char script[] =
        "mkdir \"$2\"; cp \"$1\" \"$2/pgbaton\";"
        " ldd \"$1\" | sed -n 's/.*=> \\(\\/[^ ]*\\).*/\\1/p' | xargs -I{} cp {} \"$2\";"
        /* or pages that are not written out yet would count as dirty */
        " sync \"$2\"/*";
    const char *argv[] = {"/bin/sh", "-ec", script, "sh", pgbaton_path(), dir, NULL};
    struct program_spec spec = {.argv = argv};

    cr_assert_eq(program_run(&spec), 0, "cannot copy the program to %s", dir);
}

/* One more instance, from copies. */
static void grow_alone(struct crowd *c, const struct instance_settings *settings)
{
    char dir[128];
    char program[160];
    char *before = strdup(pgbaton_path());

    (void)snprintf(dir, sizeof dir, "%s/copy-%zu", c->dir.path, c->count);
    (void)snprintf(program, sizeof program, "%s/pgbaton", dir);
    copy_program(dir);
    (void)setenv("PGBATON", program, 1);
    (void)setenv("LD_LIBRARY_PATH", dir, 1);
    crowd_grow(c, c->count + 1, settings);
    (void)unsetenv("LD_LIBRARY_PATH");
    (void)setenv("PGBATON", before, 1);
    free(before);
}

static double sum_mib(const struct instance *i, const char *what)
{
    pid_t pids[CROWD_PROCESSES_MAX];
    size_t count = instance_processes(i, pids);
    long long kib = 0;

    cr_assert(count >= 4, "%s has %zu processes", i->name, count);
    for (size_t n = 0; n < count; n++) {
        kib += process_number(pids[n], "smaps_rollup", what);
    }
    return (double)kib / 1024;
}

static void report(const struct instance *i, const char *role, double mark)
{
    char what[80];

    (void)snprintf(what, sizeof what, "PSS of the whole tree, %s", role);
    table_amount(what, sum_mib(i, "\nPss:"), mark, "MiB");
    (void)snprintf(what, sizeof what, "private dirty memory of the whole tree, %s", role);
    table_amount(what, sum_mib(i, "\nPrivate_Dirty:"), 0, "MiB");
}

Test(bench, memory, .timeout = 300)
{
    static struct crowd c;

    crowd_make(&c);
    char *jobs = crowd_jobs(&c, false);
    const struct instance_settings settings = {.job = jobs};
    grow_alone(&c, &settings);
    (void)stamps_wait(&c.stamps, 0); /* it leads */
    crowd_grow(&c, 2, &settings);
    (void)crowd_settled(&c);
    grow_alone(&c, &settings);
    free(jobs);
    struct instance *leader = crowd_settled(&c);
    struct instance *follower = crowd_role(&c, "follower");
    cr_assert_eq(leader, &c.member[0]);
    cr_assert_eq(follower, &c.member[2]);
    (void)wait_never(never, NULL, SETTLING);
    report(follower, "follower", 10);
    report(leader, "leader", 14);
}
